//! The car's actuators: what they do when their gate closes, and what the simulated ones are told.
//!
//! It brakes to a standstill by itself and holds the wheels as they were: at speed, straightening them would be a lane change that
//! nobody asked for. Below walking speed they centre, slowly.

#[cfg(test)]
mod tests;

use crate::signals::{Command, STEERING};
use twinhelm_hal::actuator::{Action, Ramp, Release, SafeSignal, SafeState, Told};
use twinhelm_hal::signals::Command as _;
use twinhelm_hal::time::Duration;

/// How the safe state brakes, in counts of the drive's signal: 2 m/s².
pub const BRAKE_COUNTS: i64 = -2_000;
/// Below this speed the vehicle stands, in mm/s.
pub const STANDSTILL_MM_S: u16 = 20;
/// Below this speed the safe state centres the wheels, in mm/s: walking speed at 1:10.
pub const WALKING_MM_S: u16 = 500;
/// The car cannot lose its speed faster than this, in mm/s²: half as fast again as the safe state brakes.
pub const SLOWS_AT_MOST_MM_S2: u32 = 3_000;
/// How fast the safe state centres the wheels, in rad/s.
pub const CENTRING_RAD_PER_S: f64 = 0.5;

/// Returns the safe state of actuators whose drive brakes with `brake_counts`, until the vehicle stands; `at_latest`: it ends then,
/// whatever the speed.
#[must_use]
pub fn safe_state(brake_counts: i64, at_latest: Option<Duration>) -> SafeState {
    // A float cast saturates.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are constants, and positive")]
    let counts_per_s = Some(libm::round(CENTRING_RAD_PER_S / STEERING.factor) as u32);
    let release = |value| Release { value, slower_than_mm_s: STANDSTILL_MM_S, at_latest };
    SafeState::of(
        &[
            SafeSignal {
                delay: Duration::ZERO,
                action: Action::HoldUntilSlower(WALKING_MM_S, Ramp { to: 0, counts_per_s }),
                release: release(None),
            },
            SafeSignal {
                delay: Duration::ZERO,
                action: Action::Ramp(Ramp { to: brake_counts, counts_per_s: None }),
                release: release(Some(0)),
            },
        ],
        SLOWS_AT_MOST_MM_S2,
    )
}

/// What the simulated actuators are told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Setpoints {
    /// The front wheels' angle in rad, positive to the left.
    pub steering_rad: f64,
    /// The drive's acceleration in m/s², negative brakes.
    pub drive_mps2: f64,
}

impl Setpoints {
    /// Takes in what the actuators are told. Told nothing, the wheels stay as they are and the motor coasts.
    pub fn follow(&mut self, told: Told) {
        *self = match told {
            Told::Signals(signals) => {
                let Command { steering_rad, drive_mps2 } = Command::decode(&signals);
                Self { steering_rad, drive_mps2 }
            }
            Told::Rest => Self { drive_mps2: 0.0, ..*self },
        };
    }
}

/// Returns a speed in m/s as the actuators know it, in mm/s; `None` for what is no number.
#[must_use]
pub fn speed_mm_s(speed_mps: f64) -> Option<i16> {
    // A float cast saturates.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    speed_mps.is_finite().then(|| libm::round(speed_mps * 1_000.0) as i16)
}
