//! The numbers that the law is tuned by.

use crate::ranges::{self, OutOfRange};
use serde::{Deserialize, Serialize};
use twinhelm_control::stanley::Stanley;

/// How the law is tuned. The default fits the model car at 2 to 3 m/s and 100 Hz.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Steering per heading error, in rad/rad.
    pub heading_gain: f64,
    /// Stanley's gain on the cross-track error, in 1/s.
    pub cross_track_gain_per_s: f64,
    /// Softens Stanley's correction at low speed, in m/s.
    pub soft_mps: f64,
    /// How fast the steering integral grows, in rad per m and s.
    pub steering_integral: f64,
    /// The steering integral's limit, in rad.
    pub steering_integral_max_rad: f64,
    /// How far ahead the curvature is taken, as a time at the present speed, in s: what the servo lags behind.
    pub preview_s: f64,
    /// Acceleration per speed error, in 1/s.
    pub speed_gain_per_s: f64,
    /// How fast the drive integral grows, in 1/s².
    pub drive_integral_per_s2: f64,
    /// How hard the speed reference rises and falls, in m/s².
    pub ramp_mps2: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            heading_gain: 0.8,
            cross_track_gain_per_s: 1.2,
            soft_mps: 0.6,
            steering_integral: 0.8,
            steering_integral_max_rad: 0.2,
            preview_s: 0.06,
            speed_gain_per_s: 4.0,
            drive_integral_per_s2: 3.0,
            ramp_mps2: 1.6,
        }
    }
}

impl Tuning {
    /// Returns the lateral law's gains.
    pub(super) const fn stanley(&self) -> Stanley {
        Stanley {
            heading_gain: self.heading_gain,
            cross_track_gain_per_s: self.cross_track_gain_per_s,
            soft_mps: self.soft_mps,
        }
    }

    /// Checks that every field is a number that a law can have.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        ranges::check(&[
            ("heading_gain", self.heading_gain, 0.0, 5.0),
            ("cross_track_gain_per_s", self.cross_track_gain_per_s, 0.0, 20.0),
            ("soft_mps", self.soft_mps, 0.05, 5.0),
            ("steering_integral", self.steering_integral, 0.0, 10.0),
            ("steering_integral_max_rad", self.steering_integral_max_rad, 0.0, 0.5),
            ("preview_s", self.preview_s, 0.0, 1.0),
            ("speed_gain_per_s", self.speed_gain_per_s, 0.0, 20.0),
            ("drive_integral_per_s2", self.drive_integral_per_s2, 0.0, 50.0),
            ("ramp_mps2", self.ramp_mps2, 0.1, 4.0),
        ])
    }
}
