//! The two raw signals of a command, and their limits.
//!
//! What the signals mean, their names and scales, belongs to the vehicle (for the demo: its DBC file). This
//! room carries them and refuses what lies outside the limits.

pub mod table;

use serde::{Deserialize, Serialize};

/// The two signals of a command, as the frame carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signals {
    /// Bytes 4 and 5 of the frame; the demo's steering angle.
    pub first: i16,
    /// Bytes 6 and 7 of the frame; the demo's drive acceleration.
    pub second: i16,
}

impl Signals {
    /// Returns how far the two commands are apart, signal by signal.
    #[must_use]
    pub const fn distance(self, other: Self) -> Span {
        Span { first: self.first.abs_diff(other.first), second: self.second.abs_diff(other.second) }
    }
}

/// A distance between two commands, or a bound for one, in raw counts of each signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Counts of the first signal.
    pub first: u16,
    /// Counts of the second signal.
    pub second: u16,
}

impl Span {
    /// Returns whether both signals stay within `bound`.
    #[must_use]
    pub const fn is_within(self, bound: Self) -> bool {
        self.first <= bound.first && self.second <= bound.second
    }
}

/// The range that each signal of a command must keep. Both ends are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The smallest allowed values.
    pub min: Signals,
    /// The largest allowed values.
    pub max: Signals,
}

impl Limits {
    /// Returns whether `signals` lie within the range.
    #[must_use]
    pub const fn allow(self, signals: Signals) -> bool {
        self.min.first <= signals.first
            && signals.first <= self.max.first
            && self.min.second <= signals.second
            && signals.second <= self.max.second
    }
}

/// A vehicle's command: what is asked of the actuators, in the vehicle's own units.
pub trait Command: Copy {
    /// Returns the signals that carry this command, or `None` when it is not finite or out of range.
    ///
    /// `None` is how NaN from a control law is stopped on the device, before it can reach a frame.
    fn encode(&self) -> Option<Signals>;

    /// Returns the command that `signals` carry.
    fn decode(signals: Signals) -> Self;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_include_both_ends() {
        let limits = Limits { min: Signals { first: -5, second: -7 }, max: Signals { first: 5, second: 7 } };
        assert!(limits.allow(limits.min) && limits.allow(limits.max));
        assert!(!limits.allow(Signals { first: 6, second: 0 }));
        assert!(!limits.allow(Signals { first: 0, second: -8 }));
    }
}
