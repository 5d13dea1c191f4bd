//! The cycle: a numbered control period.
//!
//! Inside, the number is wide; the wire carries its low 12 bits, restored against the last known value. A
//! frame that was held back for a whole multiple of the counter's range (41 s at 100 Hz) looks fresh: known,
//! bounded to one cycle, and written down in docs/protocol.md.

// What is restored here came over the bus.
#![deny(clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};

/// How many cycles the wire can tell apart.
pub const RANGE: u16 = 4096;

/// The bits of a number that the wire carries.
const LOW_BITS: u64 = RANGE as u64 - 1;

/// The farthest that a frame may be ahead of the last cycle acted on: half the range, less one.
pub const AHEAD_MAX: u16 = RANGE / 2 - 1;

/// The number of a control period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cycle(u64);

impl Cycle {
    /// Returns cycle `number`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the cycle's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the cycle `count` after this one.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// Returns the cycle after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// Returns by how many cycles `self` is ahead of `other`, negative when it is behind.
    #[must_use]
    pub const fn ahead_of(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Returns the low 12 bits, as the wire carries them.
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        (self.0 & LOW_BITS) as u16
    }

    /// Returns the cycle nearest to `near` with the low bits `wire`; a cycle that would lie before cycle 0
    /// is taken from the range after it.
    #[must_use]
    pub const fn from_wire(wire: u16, near: Self) -> Self {
        // The range is a part of 16 bits, so what wraps there is right here.
        let ahead = wire.wrapping_sub(near.to_wire()) % RANGE;
        if ahead <= AHEAD_MAX {
            return near.plus(ahead as u64);
        }
        match near.0.checked_sub(RANGE.saturating_sub(ahead) as u64) {
            Some(behind) => Self(behind),
            None => near.plus(ahead as u64),
        }
    }
}

impl core::fmt::Display for Cycle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_restores_every_cycle_within_its_window() {
        for near in [5_000_u64, 4_096, 4_095, 123_456] {
            for ahead in -2_048_i64..=2_047 {
                let cycle = Cycle(near.checked_add_signed(ahead).expect("near is large enough"));
                assert_eq!(Cycle::from_wire(cycle.to_wire(), Cycle(near)), cycle, "{near} {ahead}");
            }
        }
    }

    #[test]
    fn nothing_lies_before_cycle_zero() {
        assert_eq!(Cycle::from_wire(4_095, Cycle(0)), Cycle(4_095));
        assert_eq!(Cycle(3).ahead_of(Cycle(5)), -2);
    }
}
