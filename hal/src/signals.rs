//! The signals of a command as a frame carries them, how they lie in it, and their limits.
//!
//! What the signals mean belongs to the vehicle: its [`table`] says it once. This room carries them, refuses what lies outside the
//! limits, and says how far two commands are apart; for all that it needs whole numbers only, which [`Layout`] takes from the table when
//! it is compiled.

// What is read here came over a bus.
#![deny(clippy::arithmetic_side_effects)]

mod bounds;
mod serial;
pub mod table;

pub use bounds::{Bounds, Divergence};
use table::{Kind, SIGNALS_MAX, Signal, Table};

/// The signals of a command have room in so many bytes: those of a CAN FD frame behind its header.
pub const SIGNAL_BYTES_MAX: usize = (table::FD_BITS / 8) as usize;
/// A signal of 32 bits that begins at the last bit of a byte lies in so many bytes.
const BYTES_OF_A_SIGNAL: usize = 5;

/// The signals of one command, packed in the order of the table as the frame carries them. Bits behind the last one are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signals([u8; SIGNAL_BYTES_MAX]);

impl Default for Signals {
    fn default() -> Self {
        Self([0; SIGNAL_BYTES_MAX])
    }
}

impl core::fmt::Debug for Signals {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Signals(")?;
        self.tidy().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Signals {
    /// Returns the signals that the first bytes of a frame's content carry; bytes that are not there are zero. What is beyond
    /// [`SIGNAL_BYTES_MAX`] is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut signals = Self::default();
        signals.0.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        signals
    }

    /// Returns signals of 16 bits each, with these counts: what the frames of this framework carried before they had a table.
    #[must_use]
    pub const fn of_16_bits<const N: usize>(counts: [i16; N]) -> Self {
        const { assert!(N <= SIGNALS_MAX, "a command has 26 signals at most") };
        let mut bytes = [0; SIGNAL_BYTES_MAX];
        let mut at = 0;
        while at < N {
            #[expect(clippy::arithmetic_side_effects, reason = "26 signals of two bytes fit")]
            {
                [bytes[2 * at], bytes[2 * at + 1]] = counts[at].to_le_bytes();
                at += 1;
            }
        }
        Self(bytes)
    }

    /// Returns the bytes that carry them.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; SIGNAL_BYTES_MAX] {
        &self.0
    }

    /// Returns the bytes without the zeros at the end.
    fn tidy(&self) -> &[u8] {
        without_zeros(&self.0)
    }

    /// Returns the number of `bits` bits that begins at bit `at`.
    fn raw(&self, at: usize, bits: u8) -> u64 {
        let first = at / 8;
        let mut word = 0;
        for byte in (0..BYTES_OF_A_SIGNAL).rev() {
            word = word << 8 | u64::from(self.0.get(first.saturating_add(byte)).copied().unwrap_or(0));
        }
        word >> (at % 8) & mask(bits)
    }

    /// Puts the number of `bits` bits at bit `at`, where there are zeros.
    fn set_raw(&mut self, at: usize, bits: u8, raw: u64) {
        let mut word = (raw & mask(bits)) << (at % 8);
        for byte in self.0.iter_mut().skip(at / 8).take(BYTES_OF_A_SIGNAL) {
            *byte |= word.to_le_bytes()[0];
            word >>= 8;
        }
    }
}

/// Returns `numbers` without the zeros at the end.
fn without_zeros<T: Default + PartialEq>(numbers: &[T]) -> &[T] {
    let zeros = numbers.iter().rev().take_while(|number| **number == T::default()).count();
    numbers.get(..numbers.len().saturating_sub(zeros)).unwrap_or_default()
}

const fn mask(bits: u8) -> u64 {
    // At most 32, as `Layout::of` sees to.
    (1_u64 << bits).wrapping_sub(1)
}

/// How a frame carries one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    bits: u8,
    signed: bool,
    kind: Kind,
    /// The limits in counts, the smaller one first; both are allowed.
    limits: [i64; 2],
}

impl Field {
    const fn of(signal: &Signal) -> Self {
        // What a table that `Table::check` refuses says is cut.
        let bits = if signal.bits > 32 { 32 } else { signal.bits.to_le_bytes()[0] };
        Self { bits, signed: signal.signed, kind: signal.kind, limits: signal.limits() }
    }

    /// Returns the limits in counts, the smaller one first; both are allowed.
    #[must_use]
    pub const fn limits(&self) -> [i64; 2] {
        self.limits
    }

    /// Returns what the signal is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn counts(&self, raw: u64) -> i64 {
        let counts = raw.cast_signed();
        let is_negative = self.signed && self.bits > 0 && counts >> self.bits.saturating_sub(1) & 1 == 1;
        if is_negative { counts.wrapping_sub(1_i64 << self.bits) } else { counts }
    }
}

/// How a frame carries the signals of a vehicle: its table in whole numbers, as gate and node need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    fields: [Field; SIGNALS_MAX],
    count: usize,
}

impl Layout {
    /// Returns the layout of a table. Whether the table can be is for [`Table::check`] to say; more than 26 signals are cut.
    #[must_use]
    pub const fn of(table: &Table) -> Self {
        const NONE: Field = Field { bits: 0, signed: false, kind: Kind::Quantity, limits: [0, 0] };
        let mut fields = [NONE; SIGNALS_MAX];
        let signals = table.signals();
        let mut count = 0;
        while count < signals.len() && count < SIGNALS_MAX {
            fields[count] = Field::of(&signals[count]);
            #[expect(clippy::arithmetic_side_effects, reason = "26 at most")]
            {
                count += 1;
            }
        }
        Self { fields, count }
    }

    /// Returns the signals, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        self.fields.get(..self.count).unwrap_or_default()
    }

    /// Returns signals of which each bit is set: nothing takes more room.
    #[must_use]
    pub fn all_ones(&self) -> Signals {
        self.pack(&[-1; SIGNALS_MAX])
    }

    /// Packs `counts`, one for each signal in order. What a signal's bits cannot carry loses its upper bits: [`Signal::counts`] gives
    /// none such. Signals without a number are zero.
    #[must_use]
    pub fn pack(&self, counts: &[i64]) -> Signals {
        let mut signals = Signals::default();
        for ((at, field), counts) in self.places().zip(counts) {
            signals.set_raw(at, field.bits, counts.cast_unsigned());
        }
        signals
    }

    /// Returns the counts that `signals` carry, one for each signal in order.
    pub fn counts(&self, signals: &Signals) -> impl Iterator<Item = i64> {
        self.places().map(|(at, field)| field.counts(signals.raw(at, field.bits)))
    }

    /// Returns whether each signal is within its limits.
    #[must_use]
    pub fn allows(&self, signals: &Signals) -> bool {
        self.counts(signals).zip(self.fields()).all(|(counts, field)| {
            let [min, max] = field.limits;
            min <= counts && counts <= max
        })
    }

    /// Returns each signal with the bit at which it begins.
    fn places(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields().iter().scan(0_usize, |next, field| {
            let at = *next;
            *next = at.saturating_add(field.bits.into());
            Some((at, field))
        })
    }
}

/// A vehicle's command: what is asked of the actuators, in the vehicle's own units. It gives and takes plain numbers; how a frame carries
/// them is the framework's.
pub trait Command: Copy {
    /// What it consists of.
    const TABLE: Table;
    /// The same in whole numbers.
    const LAYOUT: &'static Layout = &Layout::of(&Self::TABLE);

    /// Writes the values of the signals into `values`, in the order of the table and in its units. There is room for each.
    fn values(&self, values: &mut [f64]);

    /// Returns the command with these values, which are in the order of the table and in its units.
    fn from_values(values: &[f64]) -> Self;

    /// Returns the signals that carry this command, or `None` when it is not finite or out of range.
    ///
    /// `None` is how NaN from a control law is stopped on the device, before it can reach a frame.
    fn encode(&self) -> Option<Signals> {
        let signals = Self::TABLE.signals();
        let (mut values, mut counts) = ([f64::NAN; SIGNALS_MAX], [0; SIGNALS_MAX]);
        self.values(values.get_mut(..signals.len())?);
        for ((counts, value), signal) in counts.iter_mut().zip(values).zip(signals) {
            *counts = signal.counts(value)?;
        }
        Some(Self::LAYOUT.pack(&counts))
    }

    /// Returns the command that `signals` carry.
    fn decode(signals: &Signals) -> Self {
        let mut values = [0.0; SIGNALS_MAX];
        let counts = Self::LAYOUT.counts(signals);
        for ((value, counts), signal) in values.iter_mut().zip(counts).zip(Self::TABLE.signals()) {
            *value = signal.value(counts);
        }
        Self::from_values(values.get(..Self::TABLE.signals().len()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
