//! Points in time and spans of time, which are never one type.
//!
//! An [`Instant`] belongs to the clock of one machine and never goes on a wire. A span is
//! [`core::time::Duration`], re-exported here so that a reader finds both in one place. A sum that no instant can hold is the last
//! one that there is.

// Spans come from files, and instants of other processes from packets.
#![deny(clippy::arithmetic_side_effects)]

use core::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;

/// A point in time on one machine's monotonic clock, in nanoseconds since an origin that is not known.
///
/// Instants of two clocks cannot be told apart by the type; a rig that compares them says why it may.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// Returns the instant that lies `ns` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Returns the nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the span from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `span` before `self`, the origin when that would lie before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Returns the seconds from `zero` to `self`, negative when `zero` is later. For reports.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a report shows microseconds, not nanoseconds of a century")]
    pub fn seconds_after(self, zero: Self) -> f64 {
        let seconds = self.0.abs_diff(zero.0) as f64 * 1e-9;
        if self >= zero { seconds } else { -seconds }
    }
}

/// Returns the nanoseconds of `span`, capped at 584 years.
#[must_use]
pub const fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos() as u64)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        self.before(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_to_an_earlier_instant_is_zero() {
        let early = Instant::from_nanos(5);
        let late = Instant::from_nanos(9);
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.before(Duration::from_secs(1)), Instant::ZERO);
    }
}
