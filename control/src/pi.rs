//! A PI controller with anti-windup by back-calculation and a memory of one number.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The gains and limits of a [`Pi`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// Output per unit of error.
    pub proportional: f64,
    /// Output per unit of error and second.
    pub integral: f64,
    /// The smallest output.
    pub min: f64,
    /// The largest output.
    pub max: f64,
}

/// A PI controller.
///
/// Anti-windup is back-calculation (Åström and Hägglund, Advanced PID Control, section 3.5): what the limits cut
/// off is taken out of the integrator, so that it leaves the limit at once when the error turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pi {
    gains: Gains,
    integral: f64,
}

impl Pi {
    /// Returns a controller with an empty integrator.
    #[must_use]
    pub const fn new(gains: Gains) -> Self {
        Self { gains, integral: 0.0 }
    }

    /// Returns the output for `error`, `period` after the last call. NaN in, NaN out, and the memory stays.
    pub fn step(&mut self, error: f64, period: Duration) -> f64 {
        let grown = self.integral + self.gains.integral * error * period.as_secs_f64();
        let wanted = self.gains.proportional * error + grown;
        if !wanted.is_finite() {
            return f64::NAN;
        }
        let output = wanted.clamp(self.gains.min, self.gains.max);
        self.integral = grown + (output - wanted);
        output
    }

    /// Returns the integrator, in units of the output.
    #[must_use]
    pub const fn integral(&self) -> f64 {
        self.integral
    }

    /// Sets the integrator; what is not finite is ignored.
    pub fn set_integral(&mut self, integral: f64) {
        if integral.is_finite() {
            self.integral = integral;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);
    const GAINS: Gains = Gains { proportional: 1.0, integral: 2.0, min: -1.0, max: 1.0 };

    #[test]
    fn the_integrator_does_not_wind_up_at_the_limit() {
        let mut pi = Pi::new(GAINS);
        for _ in 0..10_000 {
            let _ = pi.step(5.0, STEP);
        }
        // The error turns, and the output leaves its limit with the next step.
        assert!(pi.step(-0.5, STEP) < 1.0);
    }

    #[test]
    fn a_lasting_error_is_integrated_away() {
        let mut pi = Pi::new(GAINS);
        let mut value = 0.0;
        for _ in 0..5_000 {
            value += (pi.step(0.3 - value, STEP) - 0.1) * 0.01;
        }
        assert!((value - 0.3).abs() < 1e-3, "{value}");
        assert!((pi.integral() - 0.1).abs() < 1e-2);
    }

    #[test]
    fn nan_in_is_nan_out_and_leaves_the_memory_alone() {
        let mut pi = Pi::new(GAINS);
        let _ = pi.step(0.2, STEP);
        let before = pi.integral();
        assert!(pi.step(f64::NAN, STEP).is_nan());
        assert!((pi.integral() - before).abs() < f64::EPSILON);
    }
}
