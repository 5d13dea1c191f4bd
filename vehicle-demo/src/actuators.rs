//! The actuator node: the gate, and behind it what the actuators are told.
//!
//! While the gate is open the setpoints are the last command acted on. When it closes, whoever or whatever closed
//! it, the node brakes the vehicle to standstill by itself and holds the wheels as they were: at speed, straightening
//! them would be a lane change that nobody asked for. Below walking speed they centre, slowly.

#[cfg(test)]
mod tests;

use crate::signals::{Command, LIMITS};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::gate::rules::{AsDesigned, GateRules};
use twinhelm_hal::gate::{DROPS, Gate, Timing, Verdict};
use twinhelm_hal::signals::Command as _;
use twinhelm_hal::time::{Duration, Instant};

/// How the safe state brakes, in m/s².
pub const SAFE_DRIVE_MPS2: f64 = -2.0;
/// Below this speed the vehicle stands, in m/s.
pub const STANDSTILL_MPS: f64 = 0.02;
/// Below this speed the safe state centres the wheels, in m/s: walking speed at 1:10.
pub const WALKING_MPS: f64 = 0.5;
/// How fast the safe state centres the wheels, in rad/s.
pub const CENTRING_RAD_PER_S: f64 = 0.5;
/// How far apart the frames with the drop counters are.
pub const COUNTERS_EVERY: Duration = Duration::from_millis(100);
/// How many groups the drop counters come in, three to a frame.
const COUNTER_GROUPS: u8 = (DROPS / 3) as u8;
const _: () = assert!(DROPS.is_multiple_of(3) && DROPS / 3 <= 4, "vehicle.dbc names four groups of three counters");

/// What the actuators are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setpoints {
    /// The front wheels' angle in rad, positive to the left.
    pub steering_rad: f64,
    /// The drive's acceleration in m/s², negative brakes.
    pub drive_mps2: f64,
}

/// The actuator node.
///
/// # Invariants
/// A command is followed only while the gate is open.
#[derive(Clone, Debug)]
pub struct ActuatorNode<R: GateRules = AsDesigned> {
    gate: Gate<R>,
    steering: Steering,
    /// The drive's acceleration of the last command acted on, in m/s².
    drive_mps2: f64,
    counters_at: Option<Instant>,
    group: u8,
}

/// The angle that the wheels are told, in rad.
#[derive(Clone, Copy, Debug)]
struct Steering(f64);

impl Steering {
    /// Centres by as much as `dt` allows.
    fn centre(&mut self, dt: Duration) {
        let step = CENTRING_RAD_PER_S * dt.as_secs_f64();
        self.0 -= self.0.clamp(-step, step);
    }
}

impl<R: GateRules> ActuatorNode<R> {
    /// Returns the node with gate `number`, closed, its wheels centred.
    ///
    /// # Panics
    /// When `number` is not below 4, as [`Gate::new`].
    #[must_use]
    pub fn new(number: u8, timing: Timing) -> Self {
        Self {
            gate: Gate::new(number, timing, LIMITS),
            steering: Steering(0.0),
            drive_mps2: 0.0,
            counters_at: None,
            group: 0,
        }
    }

    /// Judges a frame that was heard at `now`; what is acted on becomes the setpoints.
    pub fn on_frame(&mut self, now: Instant, frame: &Frame) -> Verdict {
        let verdict = self.gate.on_frame(now, frame);
        match verdict {
            Verdict::Acted { signals, .. } => {
                let command = Command::decode(signals);
                self.steering = Steering(command.steering_rad);
                self.drive_mps2 = command.drive_mps2;
            }
            Verdict::Dropped { .. }
            | Verdict::Probe { .. }
            | Verdict::Followed { .. }
            | Verdict::EStopped { .. }
            | Verdict::Ignored => {}
        }
        verdict
    }

    /// Presses the e-stop (G8).
    pub fn stop(&mut self) {
        self.gate.stop();
    }

    /// Lets time pass. Returns `true` when the gate closed by the command timeout.
    pub fn on_tick(&mut self, now: Instant) -> bool {
        self.gate.on_tick(now)
    }

    /// Returns when [`ActuatorNode::on_tick`] or a status is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: Instant) -> Instant {
        self.gate.next_tick(now)
    }

    /// Returns what the actuators are told, `dt` after the last call, at the vehicle's speed in m/s.
    ///
    /// Whoever wants to learn of a timeout calls [`ActuatorNode::on_tick`] first; this call never follows a command
    /// that is older, ticked or not.
    #[must_use]
    pub fn setpoints(&mut self, now: Instant, speed_mps: f64, dt: Duration) -> Setpoints {
        let _ = self.gate.on_tick(now);
        if self.gate.is_open() {
            return Setpoints { steering_rad: self.steering.0, drive_mps2: self.drive_mps2 };
        }
        // A speed that is no number counts as driving: it brakes and holds.
        if speed_mps.abs() < WALKING_MPS {
            self.steering.centre(dt);
        }
        let drive_mps2 = if speed_mps.abs() < STANDSTILL_MPS { 0.0 } else { SAFE_DRIVE_MPS2 };
        Setpoints { steering_rad: self.steering.0, drive_mps2 }
    }

    /// Returns whether a status has to go out.
    #[must_use]
    pub fn is_status_due(&self, now: Instant) -> bool {
        self.gate.is_status_due(now)
    }

    /// Returns the status frame with the vehicle's speed in m/s, and notes that it was sent.
    #[must_use]
    pub fn status(&mut self, now: Instant, speed_mps: f64) -> Frame {
        // A float cast saturates, and makes NaN 0.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let speed_mm_s = libm::round(speed_mps * 1_000.0) as i16;
        self.gate.status(now, speed_mm_s)
    }

    /// Returns whether a frame with drop counters has to go out: ten a second.
    #[must_use]
    pub fn is_counters_due(&self, now: Instant) -> bool {
        self.counters_at.is_none_or(|last| now.since(last) >= COUNTERS_EVERY)
    }

    /// Returns the next group of drop counters, and notes that it was sent.
    #[must_use]
    pub fn counters(&mut self, now: Instant) -> Frame {
        let frame = self.gate.counters(self.group);
        self.group = (self.group + 1) % COUNTER_GROUPS;
        self.counters_at = Some(now);
        frame
    }

    /// Returns the gate.
    #[must_use]
    pub const fn gate(&self) -> &Gate<R> {
        &self.gate
    }
}
