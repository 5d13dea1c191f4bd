//! Stanley's lateral law: steer by the heading error, and towards the line by the cross-track error.
//!
//! Hoffmann, Tomlin, Montemerlo, Thrun: Autonomous Automobile Trajectory Tracking for Off-Road Driving, ACC 2007,
//! equation 5: δ = ψ − atan(k·e / (v + s)), here with a gain on the heading. `libm` gives the same bits on every
//! platform.

use serde::{Deserialize, Serialize};

/// The gains of Stanley's law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stanley {
    /// Steering per heading error, rad per rad.
    pub heading_gain: f64,
    /// k: how fast the cross-track error is to vanish, per second.
    pub cross_track_gain_per_s: f64,
    /// s: keeps the correction soft at low speed, in m/s, above 0.
    pub soft_mps: f64,
}

impl Stanley {
    /// Returns the steering angle in rad, left positive.
    ///
    /// `heading_error_rad` is the line's heading less the vehicle's, `cross_track_m` the distance from the line with
    /// left positive, `speed_mps` the forward speed. NaN in, NaN out.
    #[must_use]
    pub fn steering_rad(&self, heading_error_rad: f64, cross_track_m: f64, speed_mps: f64) -> f64 {
        self.heading_gain * heading_error_rad
            - libm::atan2(self.cross_track_gain_per_s * cross_track_m, speed_mps + self.soft_mps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAW: Stanley = Stanley { heading_gain: 1.0, cross_track_gain_per_s: 2.0, soft_mps: 0.5 };

    #[test]
    fn a_vehicle_left_of_the_line_steers_right() {
        assert!(LAW.steering_rad(0.0, 0.1, 2.0) < 0.0);
        assert!(LAW.steering_rad(0.0, -0.1, 2.0) > 0.0);
    }

    #[test]
    fn the_correction_is_smaller_at_speed() {
        assert!(LAW.steering_rad(0.0, 0.1, 3.0) > LAW.steering_rad(0.0, 0.1, 1.0));
    }

    #[test]
    fn on_the_line_the_heading_error_alone_counts() {
        assert!((LAW.steering_rad(0.2, 0.0, 2.0) - 0.2).abs() < 1e-12);
        assert!(LAW.steering_rad(f64::NAN, 0.0, 2.0).is_nan());
    }
}
