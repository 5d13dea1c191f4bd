//! The table of a vehicle's signals: what its commands consist of. From it follow what a frame carries, the limits, and the lines of the
//! DBC file.
//!
//! The signals are packed in the order of the table, each with as many bits as it has, the lowest bit first (Intel's order, `@1` in a
//! DBC file), without gaps.

// Its numbers stand in the code.
#![expect(clippy::arithmetic_side_effects, reason = "a table is a constant, and `Table::check` looks at it")]

use core::fmt;

/// A table has at most so many signals: one frame moves all actuators.
pub const SIGNALS_MAX: usize = 26;
/// A classic frame has room for so many bits of signals: 8 bytes, of which 4 are the header.
pub const CLASSIC_BITS: u32 = 32;
/// A CAN FD frame has room for so many: 64 bytes, of which 12 are the header.
pub const FD_BITS: u32 = 416;
/// A signal has at most so many bits.
const BITS_MAX: u32 = 32;

/// What kind of thing a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A quantity: it has a scale, can be ramped, and two of it can be near each other.
    Quantity,
    /// A choice out of several, such as a gear: any difference is one.
    Mode,
}

/// One signal of a command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// Its name in frames, files and reports: letters, digits and underscores, as a DBC file wants it.
    pub name: &'static str,
    /// Its unit; empty where it has none.
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// How many bits carry it, 1 to 32.
    pub bits: u32,
    /// One of the bits is a sign (two's complement).
    pub signed: bool,
    /// What one count is worth, in the unit.
    pub factor: f64,
    /// What zero counts are worth, in the unit.
    pub offset: f64,
    /// The smallest value that the mechanics allow, in the unit.
    pub min: f64,
    /// The largest one.
    pub max: f64,
    /// How far the commands of two devices may be apart in it, in the unit, before they are in dispute. Of a mode any difference is too
    /// far, whatever this says.
    pub apart_max: f64,
}

/// Why a table cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    /// There is nothing in it.
    #[error("a vehicle needs a signal: write one at least")]
    Empty,
    /// There are too many.
    #[error("{count} signals are too many for one frame: write {SIGNALS_MAX} at most")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// They do not fit into one frame.
    #[error("the signals have {bits} bits, and a frame has room for {room}: give them fewer bits")]
    TooLong {
        /// How many all together.
        bits: u32,
        /// For how many there is room.
        room: u32,
    },
    /// A name is none.
    #[error(
        "signal {place} is called {name:?}: write letters, digits and underscores, 32 at most, and begin with a letter"
    )]
    Name {
        /// Where in the table, from 0.
        place: usize,
        /// The name.
        name: &'static str,
    },
    /// Two have one name.
    #[error("two signals are called {name}: give each a name of its own")]
    Twice {
        /// The name.
        name: &'static str,
    },
    /// A number of bits that cannot be.
    #[error("{name} has {bits} bits: write 1 to {BITS_MAX}, and 2 at least with a sign")]
    Bits {
        /// The signal.
        name: &'static str,
        /// Its bits.
        bits: u32,
    },
    /// A scale that says nothing.
    #[error(
        "{name} has the factor {factor} and the offset {offset}: the factor is what one count is worth, and both are numbers"
    )]
    Scale {
        /// The signal.
        name: &'static str,
        /// Its factor.
        factor: f64,
        /// Its offset.
        offset: f64,
    },
    /// Limits that no value keeps.
    #[error("{name} is limited from {min} to {max}: write the smaller one first")]
    Limits {
        /// The signal.
        name: &'static str,
        /// Its lower limit.
        min: f64,
        /// Its upper limit.
        max: f64,
    },
    /// A bound on how far two commands may be apart that none can keep, or none can pass.
    #[error(
        "{name} may be {apart_max} apart: write a number from {factor}, which is one count, to {span}, which is all that its limits leave"
    )]
    Apart {
        /// The signal.
        name: &'static str,
        /// Its bound.
        apart_max: f64,
        /// One count of it.
        factor: f64,
        /// From the smallest value to the largest one.
        span: f64,
    },
    /// A limit that the bits cannot carry.
    #[error(
        "{name} has the limit {limit}, which its {bits} bits cannot carry at {factor} a count: more bits, or a larger factor"
    )]
    Beyond {
        /// The signal.
        name: &'static str,
        /// The limit.
        limit: f64,
        /// Its bits.
        bits: u32,
        /// Its factor.
        factor: f64,
    },
}

impl Signal {
    /// Returns a signal of 16 bits that is a plain number of counts, with these limits, the smaller one first; both are allowed.
    #[must_use]
    pub const fn of_counts(name: &'static str, limits: [i16; 2]) -> Self {
        let [min, max] = [limits[0] as f64, limits[1] as f64];
        Self {
            name,
            unit: "",
            kind: Kind::Quantity,
            bits: 16,
            signed: true,
            factor: 1.0,
            offset: 0.0,
            min,
            max,
            apart_max: 1.0,
        }
    }

    /// Returns `value` in counts; `None` when it is no number, or beyond the limits.
    #[must_use]
    pub const fn counts(&self, value: f64) -> Option<i64> {
        let [min, max] = self.limits();
        match self.nearest_counts(value) {
            Some(counts) if min <= counts && counts <= max => Some(counts),
            Some(_) | None => None,
        }
    }

    /// Returns what `counts` are worth, in the unit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit into the 53 of a double")]
    pub const fn value(&self, counts: i64) -> f64 {
        counts as f64 * self.factor + self.offset
    }

    /// Returns `value` in counts, within its limits or not.
    const fn nearest_counts(&self, value: f64) -> Option<i64> {
        nearest((value - self.offset) / self.factor)
    }

    /// Returns a bound on how far two commands may be apart, which is in the unit, in counts. That of a mode is zero, and so is what is no number,
    /// or below nothing.
    #[must_use]
    pub const fn counts_apart(&self, apart: f64) -> u32 {
        let factor = if self.factor < 0.0 { -self.factor } else { self.factor };
        match nearest(apart / factor) {
            Some(counts) if counts > 0 && matches!(self.kind, Kind::Quantity) => {
                if counts < u32::MAX as i64 {
                    counts.cast_unsigned() as u32
                } else {
                    u32::MAX
                }
            }
            Some(_) | None => 0,
        }
    }

    /// Returns the smallest and the largest bound on how far two commands may be apart that says something: a count, and all that the limits
    /// leave.
    #[must_use]
    pub fn apart_range(&self) -> [f64; 2] {
        [self.factor.abs(), self.max - self.min]
    }

    /// Returns the limits in counts, the smaller one first; both are allowed.
    #[must_use]
    pub const fn limits(&self) -> [i64; 2] {
        match (self.nearest_counts(self.min), self.nearest_counts(self.max)) {
            (Some(low), Some(high)) if low <= high => [low, high],
            // A negative factor turns them round.
            (Some(low), Some(high)) => [high, low],
            // Limits that `Table::check` refuses allow nothing.
            (_, _) => [0, -1],
        }
    }

    /// Returns what its bits can carry, in counts.
    #[must_use]
    pub const fn range(&self) -> [i64; 2] {
        let span = 1_i64 << self.bits;
        if self.signed { [-(span / 2), span / 2 - 1] } else { [0, span - 1] }
    }
}

/// Returns the whole number that is nearest; half a count goes away from zero. `None` for what is no number, or beyond 53 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "it was just seen to be within 53 bits"
)]
const fn nearest(counts: f64) -> Option<i64> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    // NaN is neither.
    if !(counts > -WHOLE_MAX && counts < WHOLE_MAX) {
        return None;
    }
    let whole = counts as i64;
    let rest = counts - whole as f64;
    Some(if rest >= 0.5 {
        whole + 1
    } else if rest <= -0.5 {
        whole - 1
    } else {
        whole
    })
}

/// A vehicle's signals, in the order in which a frame carries them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table(&'static [Signal]);

impl Table {
    /// Returns the table of `signals`. Whether it can be is for [`Table::check`] to say.
    #[must_use]
    pub const fn of(signals: &'static [Signal]) -> Self {
        Self(signals)
    }

    /// Returns the signals.
    #[must_use]
    pub const fn signals(&self) -> &'static [Signal] {
        self.0
    }

    /// Returns the names of the signals, in order; behind the last one they are empty.
    #[must_use]
    pub const fn names(&self) -> [&'static str; SIGNALS_MAX] {
        let mut names = [""; SIGNALS_MAX];
        let mut place = 0;
        while place < self.0.len() && place < SIGNALS_MAX {
            names[place] = self.0[place].name;
            place += 1;
        }
        names
    }

    /// Returns how many bits all of them have.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.0.iter().fold(0, |sum, signal| sum.saturating_add(signal.bits))
    }

    /// Returns whether a command fits into a classic frame. If not, all frames of the vehicle are CAN FD.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.bits() <= CLASSIC_BITS
    }

    /// Checks that there can be such signals, and that a frame can carry them.
    ///
    /// # Errors
    /// The first thing that cannot be, and what to write instead.
    pub fn check(&self) -> Result<(), TableError> {
        if self.0.is_empty() {
            return Err(TableError::Empty);
        }
        if self.0.len() > SIGNALS_MAX {
            return Err(TableError::TooMany { count: self.0.len() });
        }
        for (place, signal) in self.0.iter().enumerate() {
            check_one(place, signal)?;
            let is_twin = |other: &&Signal| other.name == signal.name;
            if self.0.iter().take(place).any(|other| is_twin(&other)) {
                return Err(TableError::Twice { name: signal.name });
            }
        }
        let bits = self.bits();
        if bits > FD_BITS {
            return Err(TableError::TooLong { bits, room: FD_BITS });
        }
        Ok(())
    }

    /// Returns the lines of a DBC file for the signals of a frame whose header has `header_bits`, for `receivers`.
    #[must_use]
    pub const fn dbc(self, header_bits: u32, receivers: &str) -> Dbc<'_> {
        Dbc { table: self, header_bits, receivers }
    }
}

fn check_one(place: usize, signal: &Signal) -> Result<(), TableError> {
    /// What tools that read DBC files take.
    const NAME_MAX: usize = 32;
    let Signal { name, kind, bits, signed, factor, offset, min, max, apart_max, .. } = *signal;
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !is_word || !begins_well || name.len() > NAME_MAX {
        return Err(TableError::Name { place, name });
    }
    if bits < if signed { 2 } else { 1 } || bits > BITS_MAX {
        return Err(TableError::Bits { name, bits });
    }
    if !factor.is_finite() || factor == 0.0 || !offset.is_finite() {
        return Err(TableError::Scale { name, factor, offset });
    }
    if !min.is_finite() || !max.is_finite() || min > max {
        return Err(TableError::Limits { name, min, max });
    }
    let [lowest, highest] = signal.range();
    for limit in [min, max] {
        let counts = signal.nearest_counts(limit).filter(|counts| (lowest..=highest).contains(counts));
        if counts.is_none() {
            return Err(TableError::Beyond { name, limit, bits, factor });
        }
    }
    let [factor, span] = signal.apart_range();
    if kind == Kind::Quantity && !(factor..=span).contains(&apart_max) {
        return Err(TableError::Apart { name, apart_max, factor, span });
    }
    Ok(())
}

/// The lines of a DBC file for the signals of a table.
#[derive(Clone, Copy, Debug)]
pub struct Dbc<'a> {
    table: Table,
    header_bits: u32,
    receivers: &'a str,
}

impl fmt::Display for Dbc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut start = self.header_bits;
        for Signal { name, unit, bits, signed, factor, offset, min, max, .. } in self.table.0 {
            let sign = if *signed { '-' } else { '+' };
            writeln!(
                f,
                " SG_ {name} : {start}|{bits}@1{sign} ({factor},{offset}) [{min}|{max}] \"{unit}\" {}",
                self.receivers
            )?;
            start = start.saturating_add(*bits);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString as _;

    pub(in crate::signals) const ANGLE: Signal = Signal {
        name: "Angle_rad",
        unit: "rad",
        kind: Kind::Quantity,
        bits: 16,
        signed: true,
        factor: 0.0001,
        offset: 0.0,
        min: -0.5,
        max: 0.5,
        apart_max: 0.1,
    };
    pub(in crate::signals) const GEAR: Signal = Signal {
        name: "Gear",
        unit: "",
        kind: Kind::Mode,
        bits: 3,
        signed: false,
        factor: 1.0,
        offset: 0.0,
        min: 0.0,
        max: 5.0,
        apart_max: 0.0,
    };

    fn refused(signals: &'static [Signal]) -> std::string::String {
        Table::of(signals).check().expect_err("it cannot be").to_string()
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        const fn angle(change: Signal) -> [Signal; 1] {
            [change]
        }
        static TWICE: [Signal; 2] = [ANGLE, ANGLE];
        static FLAT: [Signal; 1] = angle(Signal { factor: 0.0, ..ANGLE });
        static TURNED: [Signal; 1] = angle(Signal { min: 1.0, max: -1.0, ..ANGLE });
        static FAR: [Signal; 1] = angle(Signal { max: 4.0, ..ANGLE });
        static WIDE: [Signal; 1] = angle(Signal { bits: 33, ..ANGLE });
        static SIGN: [Signal; 1] = angle(Signal { bits: 1, ..ANGLE });
        static NAMELESS: [Signal; 1] = angle(Signal { name: "2 wheels", ..ANGLE });
        static NEAR: [Signal; 1] = angle(Signal { apart_max: 0.00001, ..ANGLE });
        static APART: [Signal; 1] = angle(Signal { apart_max: f64::NAN, ..ANGLE });
        static MANY: [Signal; 27] = [ANGLE; 27];
        for (signals, says) in [
            (&[][..], "write one at least"),
            (&TWICE[..], "two signals are called Angle_rad"),
            (&FLAT, "the factor 0"),
            (&TURNED, "from 1 to -1: write the smaller one first"),
            (&FAR, "the limit 4, which its 16 bits cannot carry"),
            (&WIDE, "33 bits: write 1 to 32"),
            (&SIGN, "1 bits"),
            (&NAMELESS, "signal 0 is called \"2 wheels\""),
            (&NEAR, "Angle_rad may be 0.00001 apart: write a number from 0.0001"),
            (&APART, "may be NaN apart"),
            (&MANY, "27 signals are too many"),
        ] {
            let said = refused(signals);
            assert!(said.contains(says), "{said}\nshould say\n{says}");
        }
        static NO_NUMBER: [Signal; 1] = [Signal { max: f64::NAN, ..ANGLE }];
        assert!(refused(&NO_NUMBER).contains("write the smaller one first"));
    }

    #[test]
    fn what_fits_into_32_bits_is_classic() {
        static TWO: [Signal; 2] = [ANGLE, Signal { name: "Second", ..ANGLE }];
        static THREE: [Signal; 3] = [ANGLE, Signal { name: "Second", ..ANGLE }, GEAR];
        assert!(Table::of(&TWO).is_classic() && Table::of(&TWO).check().is_ok());
        assert!(!Table::of(&THREE).is_classic() && Table::of(&THREE).check().is_ok());
    }

    #[test]
    fn counts_are_the_nearest_and_stay_within_the_limits() {
        assert_eq!(ANGLE.counts(-0.123_44), Some(-1234));
        assert_eq!((ANGLE.counts(0.5), ANGLE.counts(-0.5)), (Some(5000), Some(-5000)));
        for bad in [0.500_06, -0.500_06, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(ANGLE.counts(bad), None, "{bad}");
        }
        let falling = Signal { factor: -0.5, offset: 10.0, min: 0.0, max: 20.0, bits: 8, ..ANGLE };
        assert_eq!(
            (falling.counts_apart(2.0), falling.counts_apart(f64::NAN), falling.counts_apart(-1.0)),
            (4, 0, 0)
        );
        assert_eq!(GEAR.counts_apart(2.0), 0, "any difference of a mode is too far");
        assert_eq!((falling.limits(), falling.counts(0.0), falling.value(20)), ([-20, 20], Some(20), 0.0));
    }

    #[test]
    fn the_lines_of_a_dbc_file_follow_from_it() {
        static TWO: [Signal; 2] = [ANGLE, GEAR];
        assert_eq!(
            Table::of(&TWO).dbc(32, "GATE_0,GATE_1").to_string(),
            " SG_ Angle_rad : 32|16@1- (0.0001,0) [-0.5|0.5] \"rad\" GATE_0,GATE_1\n \
             SG_ Gear : 48|3@1+ (1,0) [0|5] \"\" GATE_0,GATE_1\n"
        );
    }
}
