//! What the vehicle is told and what it tells: the table of its signals, the command, the measured state.
//!
//! The table is the one place where scales and limits stand; `vehicle.dbc` has the lines that follow from it, which `tests/dbc.rs` checks. A
//! command's fields are plain numbers, so that a law's NaN can travel as far as `encode`, which is where it is stopped.

use serde::{Deserialize, Serialize};
use twinhelm_hal::signals::Layout;
use twinhelm_hal::signals::table::{Kind, Signal, Table};

/// The front wheels' angle, positive to the left.
pub const STEERING: Signal = Signal {
    name: "Steering_rad",
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

/// The drive's acceleration, negative brakes.
pub const DRIVE: Signal = Signal {
    name: "Drive_mps2",
    unit: "m/s^2",
    kind: Kind::Quantity,
    bits: 16,
    signed: true,
    factor: 0.001,
    offset: 0.0,
    min: -6.0,
    max: 4.0,
    apart_max: 2.0,
};

/// The signals of a command, in the order in which its frame carries them.
pub const SIGNALS: Table = Table::of(&[STEERING, DRIVE]);

/// How a frame carries them, and what the mechanics allow: the gate refuses what lies outside.
pub const LAYOUT: &Layout = <Command as twinhelm_hal::signals::Command>::LAYOUT;

/// What is asked of the actuators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The front wheels' angle in rad, positive to the left, −0.5 to 0.5.
    pub steering_rad: f64,
    /// The drive's acceleration in m/s², negative brakes, −6 to 4.
    pub drive_mps2: f64,
}

impl Command {
    /// A command that no frame can carry: the answer of a law that cannot compute one.
    pub const NAN: Self = Self { steering_rad: f64::NAN, drive_mps2: f64::NAN };
}

impl twinhelm_hal::signals::Command for Command {
    const TABLE: Table = SIGNALS;

    fn values(&self, values: &mut [f64]) {
        let Self { steering_rad, drive_mps2 } = *self;
        values.copy_from_slice(&[steering_rad, drive_mps2]);
    }

    fn from_values(values: &[f64]) -> Self {
        let mut values = values.iter().copied();
        let mut next = || values.next().unwrap_or(f64::NAN);
        Self { steering_rad: next(), drive_mps2: next() }
    }
}

/// What a device measures: the middle of the rear axle, in the course's axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Forward along the course's x axis, in m.
    pub x_m: f64,
    /// Along its y axis, in m.
    pub y_m: f64,
    /// Heading in rad, counter-clockwise from x; wraps nowhere.
    pub yaw_rad: f64,
    /// Speed in m/s; never negative but for noise.
    pub speed_mps: f64,
}

impl State {
    /// Returns whether all of it are numbers.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.x_m.is_finite() && self.y_m.is_finite() && self.yaw_rad.is_finite() && self.speed_mps.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::signals::{Command as _, Signals};

    #[test]
    fn a_command_comes_back_within_half_a_count() {
        let command = Command { steering_rad: -0.123_44, drive_mps2: 1.234_4 };
        let signals = command.encode().expect("in range");
        assert_eq!(signals, Signals::of_16_bits([-1234, 1234]));
        let back = Command::decode(&signals);
        assert!((back.steering_rad - command.steering_rad).abs() <= 0.5 * STEERING.factor);
        assert!((back.drive_mps2 - command.drive_mps2).abs() <= 0.5 * DRIVE.factor);
        assert_eq!(back.encode(), Some(signals));
    }

    #[test]
    fn what_is_not_finite_or_out_of_reach_is_not_encoded() {
        let good = Command { steering_rad: 0.5, drive_mps2: -6.0 };
        assert_eq!(good.encode(), Some(Signals::of_16_bits([5000, -6000])));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5002, -0.5002] {
            assert_eq!(Command { steering_rad: bad, ..good }.encode(), None, "{bad}");
        }
        for bad in [f64::NAN, 4.001, -6.001, 1e300] {
            assert_eq!(Command { drive_mps2: bad, ..good }.encode(), None, "{bad}");
        }
        assert_eq!(Command::NAN.encode(), None);
    }

    #[test]
    fn the_limits_are_those_of_the_mechanics() {
        let limits: Vec<_> = LAYOUT.fields().iter().map(|field| field.limits()).collect();
        assert_eq!(limits, [[-5000, 5000], [-6000, 4000]]);
    }
}
