//! A device's clock as the World keeps it: an origin of its own, a drift, and slips.

use twinhelm_hal::time::{Duration, Instant};

/// A clock that is off.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// True time at which the clock was last set.
    anchor: Instant,
    /// What it showed then.
    shown: Instant,
    /// How much faster than true time it runs, in parts per million.
    drift_ppm: f64,
}

impl Clock {
    /// Returns a clock that shows `shown` at true time `anchor` and drifts by `drift_ppm`.
    #[must_use]
    pub const fn new(anchor: Instant, shown: Instant, drift_ppm: f64) -> Self {
        Self { anchor, shown, drift_ppm }
    }

    /// Returns what the clock shows at true time `at`.
    #[must_use]
    pub fn local(&self, at: Instant) -> Instant {
        self.shown + at.since(self.anchor).mul_f64(1.0 + self.drift_ppm * 1e-6)
    }

    /// Returns the true time at which the clock shows `local`.
    #[must_use]
    pub fn at(&self, local: Instant) -> Instant {
        // A microsecond more, so that rounding never wakes a device before its time.
        self.anchor + local.since(self.shown).div_f64(1.0 + self.drift_ppm * 1e-6) + Duration::from_nanos(100)
    }

    /// Lets the clock jump at true time `at`, forwards or backwards.
    pub fn slip(&mut self, at: Instant, by: Duration, forwards: bool) {
        let shown = self.local(at);
        self.shown = if forwards { shown + by } else { shown.before(by) };
        self.anchor = at;
    }

    /// Lets the clock drift by `drift_ppm` from true time `at` on.
    pub fn set_drift(&mut self, at: Instant, drift_ppm: f64) {
        self.shown = self.local(at);
        self.anchor = at;
        self.drift_ppm = drift_ppm;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_wakes_nobody_before_its_time() {
        for ppm in [-200.0, 0.0, 200.0] {
            let clock = Clock::new(Instant::from_nanos(5_000), Instant::from_nanos(77), ppm);
            for ms in 1..2_000_u64 {
                let local = Instant::from_nanos(77 + ms * 1_000_003);
                assert!(clock.local(clock.at(local)) >= local, "{ppm} {ms}");
            }
        }
    }
}
