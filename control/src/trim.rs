//! Bumpless transfer: an offset that makes a law's output continue what was acted on, and fades away.
//!
//! Two devices read the same vehicle with sensors of their own; the same law gives commands that differ by
//! noise and bias. At a handover that difference would be a step at the actuators. The trim takes it up at
//! the moment of tracking and lets it go over its fading time, so that the actuators move smoothly.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A fading offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trim {
    offset: f64,
}

impl Trim {
    /// Returns the offset for this step, `period` after the last, fading towards zero with time constant `fading`.
    pub fn step(&mut self, period: Duration, fading: Duration) -> f64 {
        self.offset *= 1.0 - (period.as_secs_f64() / fading.as_secs_f64()).min(1.0);
        self.offset
    }

    /// Takes up the difference between what was acted on and the own output of the same cycle.
    pub fn take_up(&mut self, difference: f64, max: f64) {
        if difference.is_finite() {
            self.offset = (self.offset + difference).clamp(-max, max);
        }
    }

    /// Returns the offset as it is.
    #[must_use]
    pub const fn offset(&self) -> f64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_up_fades() {
        let mut trim = Trim::default();
        trim.take_up(0.2, 0.5);
        assert!((trim.offset() - 0.2).abs() < 1e-12);
        let mut last = 0.0;
        for _ in 0..100 {
            last = trim.step(Duration::from_millis(10), Duration::from_secs(1));
        }
        assert!(last > 0.07 && last < 0.075, "{last}");
    }

    #[test]
    fn nonsense_and_excess_are_kept_out() {
        let mut trim = Trim::default();
        trim.take_up(f64::NAN, 0.5);
        assert!(trim.offset().abs() < f64::EPSILON);
        trim.take_up(3.0, 0.5);
        assert!((trim.offset() - 0.5).abs() < 1e-12);
    }
}
