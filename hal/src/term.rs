//! Slots and terms: who may drive, and in which reign.
//!
//! A [`Term`] belongs to one device: `term mod 4` is its [`Slot`]. Two devices can therefore never send in
//! one term (invariant 2 holds by construction). Inside, a term is wide; the wire carries its low 8 bits
//! (6 bits of reign, 2 bits of slot), restored against the last known value.

// What is read and restored here came over a link or the bus.
#![deny(clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};

/// How many devices one vehicle's bus can carry.
pub const SLOTS: u8 = 4;

/// A device's configured number, unique on one vehicle's bus. The pair has 0 and 1, its spares 2 and 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Slot(u8);

impl Slot {
    /// The first device of the pair.
    pub const LEFT: Self = Self(0);
    /// The second device of the pair.
    pub const RIGHT: Self = Self(1);

    /// Returns slot `number`, or `None` when it is not below [`SLOTS`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// Returns the slot that the low two bits of `bits` name.
    #[must_use]
    pub const fn from_low_bits(bits: u8) -> Self {
        Self(bits % SLOTS)
    }

    /// Returns the slot's number, 0 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the slot's number as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u8> for Slot {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a slot is 0, 1, 2 or 3")
    }
}

impl From<Slot> for u8 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl core::fmt::Display for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

/// The number of one holder's reign: the fencing token. Higher is newer.
///
/// One that is read from a link or a file is at most [`Term::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct Term(u32);

impl TryFrom<u32> for Term {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err("a term is at most 2147483648") }
    }
}

impl Term {
    /// The highest term that somebody may tell: 2³¹. A reign of a second each, that is 68 years; and whoever is told of it has
    /// as many left to count on.
    pub const MAX: Self = Self(1 << 31);

    /// Returns the term with number `number`.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the term's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Returns the device that this term belongs to.
    #[must_use]
    pub const fn slot(self) -> Slot {
        Slot::from_low_bits((self.0 & 0xFF) as u8)
    }

    /// Returns the smallest term of `slot` above `heard`, or the slot's first term when nothing was heard.
    #[must_use]
    pub const fn next_of(slot: Slot, heard: Option<Self>) -> Self {
        match heard {
            None => Self(slot.0 as u32),
            Some(Self(heard)) => {
                // The number of slots is a part of 8 bits, so what wraps there is right here.
                let behind = slot.0.wrapping_sub((heard & 0xFF) as u8) % SLOTS;
                let step = if behind == 0 { SLOTS } else { behind };
                Self(heard.saturating_add(step as u32))
            }
        }
    }

    /// Returns the low 8 bits, as the wire carries them.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        (self.0 & 0xFF) as u8
    }

    /// Returns the term nearest to `near` with the low bits `wire`; `None` when that would lie before term 0.
    ///
    /// With nothing known (`near` is `None`) the wire's bits are taken as they are.
    #[must_use]
    pub fn from_wire(wire: u8, near: Option<Self>) -> Option<Self> {
        let Some(Self(near)) = near else {
            return Some(Self(u32::from(wire)));
        };
        let ahead = i8::from_ne_bytes([wire.wrapping_sub((near & 0xFF) as u8)]);
        near.checked_add_signed(i32::from(ahead)).map(Self)
    }
}

impl core::fmt::Display for Term {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_next_term_is_the_smallest_of_the_slot_above_what_was_heard() {
        assert_eq!(Term::next_of(Slot::RIGHT, None), Term(1));
        assert_eq!(Term::next_of(Slot::RIGHT, Some(Term(0))), Term(1));
        assert_eq!(Term::next_of(Slot::RIGHT, Some(Term(1))), Term(5));
        assert_eq!(Term::next_of(Slot::LEFT, Some(Term(5))), Term(8));
        for heard in 0..64 {
            for slot in 0..SLOTS {
                let next = Term::next_of(Slot(slot), Some(Term(heard)));
                assert_eq!(next.slot(), Slot(slot));
                assert!(next > Term(heard) && next <= Term(heard + 4));
            }
        }
    }

    #[test]
    fn the_wire_restores_every_term_within_its_window() {
        for near in [0_u32, 3, 100, 255, 256, 1_000, 70_001] {
            for ahead in -128_i32..=127 {
                let Some(term) = near.checked_add_signed(ahead).map(Term) else {
                    continue;
                };
                assert_eq!(Term::from_wire(term.to_wire(), Some(Term(near))), Some(term));
            }
        }
        assert_eq!(Term::from_wire(0xFF, Some(Term(0))), None);
    }

    #[test]
    fn nobody_may_tell_of_a_term_that_leaves_no_room_above_it() {
        assert_eq!(Term::try_from(1 << 31), Ok(Term::MAX));
        for told in [(1 << 31) + 1, u32::MAX - 3, u32::MAX] {
            assert!(Term::try_from(told).is_err(), "{told}");
        }
        // Whoever was told of the highest counts on from there, each slot in terms of its own.
        for slot in 0..SLOTS {
            let next = Term::next_of(Slot(slot), Some(Term::MAX));
            assert!(next > Term::MAX && next.slot() == Slot(slot));
        }
    }
}
