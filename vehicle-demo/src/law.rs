//! The law that keeps the vehicle on its course.
//!
//! Sideways: the course's curvature as feed-forward, Stanley's correction of heading and cross-track error (Hoffmann
//! et al., ACC 2007), and an integral that learns what the vehicle's own skewness costs. Along: a PI controller on
//! the speed limit, approached by a ramp. What the two integrals have learned is what a handover must not lose.
//!
//! Use, once a cycle, on both devices: `step`; then, if it was the other device's command that was acted on,
//! `import` of that device's memory after its own `step`; then `track` of the command that was acted on.

#[cfg(test)]
mod tests;
mod tuning;

use crate::course::{Course, wrap_angle};
use crate::plant::WHEELBASE_M;
use crate::signals::{Command, DRIVE, STEERING, State};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinhelm_control::Controller;
use twinhelm_control::pi::{Gains, Pi};
use twinhelm_control::trim::Trim;

pub use tuning::Tuning;

/// The drive that the law asks for at most, in m/s²: less than the mechanics allow.
const DRIVE_MIN_MPS2: f64 = -3.0;
const DRIVE_MAX_MPS2: f64 = 2.5;
/// How long a trim takes to fade to a third.
const TRIM_FADING: Duration = Duration::from_secs(1);
/// The largest trims: beyond them two devices do not differ by their sensors alone.
const STEERING_TRIM_MAX_RAD: f64 = 0.2;
const DRIVE_TRIM_MAX_MPS2: f64 = 2.0;
/// The speed reference runs ahead of a vehicle that stands at most so far, in m/s, so that it does not leap when the
/// gate opens.
const REFERENCE_AHEAD_MAX_MPS: f64 = 0.6;
/// Asked for a standstill, the reference falls to this, in m/s: below zero, so that the brakes hold.
const REFERENCE_AT_STANDSTILL_MPS: f64 = -0.5;
/// Half a count, and the rounding of the arithmetic around it: what a frame does to one's own command.
const QUANTUM: f64 = 0.5 + 1e-6;

/// What the law remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// What the steering has learned of the vehicle's skewness, in rad.
    pub steering_integral_rad: f64,
    /// What the drive has learned of rolling and drag, in m/s².
    pub drive_integral_mps2: f64,
    /// What the steering still owes to the command before a handover, in rad.
    pub steering_trim: Trim,
    /// What the drive still owes to it, in m/s².
    pub drive_trim: Trim,
    /// The ramp towards the speed limit, in m/s; `None` before the first step.
    pub speed_reference_mps: Option<f64>,
    /// Where on the course the vehicle is, in m; `None` before the first step.
    pub progress_m: Option<f64>,
}

impl Memory {
    fn is_finite(&self) -> bool {
        self.steering_integral_rad.is_finite()
            && self.drive_integral_mps2.is_finite()
            && self.steering_trim.offset().is_finite()
            && self.drive_trim.offset().is_finite()
            && self.speed_reference_mps.is_none_or(f64::is_finite)
            && self.progress_m.is_none_or(f64::is_finite)
    }
}

/// The part of the last step's answer that does not depend on the memory, for `track`.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Feed-forward and Stanley's correction, in rad.
    steering_rad: f64,
    /// The measured speed, in m/s.
    speed_mps: f64,
}

/// What the law is asked for.
#[derive(Clone, Copy, Debug)]
enum Aim {
    Drive,
    Stop,
}

/// The law.
#[derive(Clone, Debug)]
pub struct CourseLaw {
    course: Arc<Course>,
    tuning: Tuning,
    memory: Memory,
    /// `None` before the first step, and after one that could not be computed.
    seen: Option<Seen>,
}

impl CourseLaw {
    /// Returns the law for `course` with an empty memory and the default tuning.
    #[must_use]
    pub fn new(course: Arc<Course>) -> Self {
        Self::with_tuning(course, Tuning::default())
    }

    /// Returns the law for `course` with an empty memory.
    #[must_use]
    pub fn with_tuning(course: Arc<Course>, tuning: Tuning) -> Self {
        Self { course, tuning, memory: Memory::default(), seen: None }
    }

    /// Returns the course.
    #[must_use]
    pub fn course(&self) -> &Course {
        &self.course
    }

    fn pi(&self) -> Pi {
        let mut pi = Pi::new(Gains {
            proportional: self.tuning.speed_gain_per_s,
            integral: self.tuning.drive_integral_per_s2,
            min: DRIVE_MIN_MPS2,
            max: DRIVE_MAX_MPS2,
        });
        pi.set_integral(self.memory.drive_integral_mps2);
        pi
    }

    /// Returns the ramp's next value towards `limit_mps`.
    fn ramp(&self, limit_mps: f64, speed_mps: f64, period: Duration) -> f64 {
        let step = self.tuning.ramp_mps2 * period.as_secs_f64();
        // A law that starts while the vehicle drives takes it from there.
        let last = self.memory.speed_reference_mps.unwrap_or(speed_mps);
        limit_mps.clamp(last - step, last + step).min(speed_mps + REFERENCE_AHEAD_MAX_MPS)
    }

    /// Returns the steering integral after `period` of `cross_track_m`; it stops where it would only push the wheels
    /// further against their stop.
    fn integrate(&self, cross_track_m: f64, steering_rad: f64, period: Duration) -> f64 {
        let before = self.memory.steering_integral_rad;
        let growth = -self.tuning.steering_integral * cross_track_m * period.as_secs_f64();
        let wanted = steering_rad + before + growth;
        if wanted.abs() > STEERING.max && wanted * growth > 0.0 {
            return before;
        }
        let max = self.tuning.steering_integral_max_rad;
        (before + growth).clamp(-max, max)
    }

    /// Returns the command for `state`, `period` after the last, on the course in any case.
    fn advance(&mut self, state: &State, period: Duration, aim: Aim) -> Command {
        self.seen = None;
        if !state.is_finite() {
            return Command::NAN;
        }
        let on = self.course.nearest(state.x_m, state.y_m, self.memory.progress_m);
        let speed = state.speed_mps.max(0.0);
        let curvature = self.course.curvature_per_m(on.s_m + self.tuning.preview_s * speed);
        let heading_error_rad = wrap_angle(on.heading_rad - state.yaw_rad);
        let steering_rad = libm::atan(WHEELBASE_M * curvature)
            + self.tuning.stanley().steering_rad(heading_error_rad, on.cross_track_m, speed);
        let seen = Seen { steering_rad, speed_mps: state.speed_mps };

        let aimed = match aim {
            Aim::Drive => self.course.speed_limit_mps(on.s_m),
            Aim::Stop => REFERENCE_AT_STANDSTILL_MPS,
        };
        let reference = self.ramp(aimed, speed, period);
        let mut pi = self.pi();
        // A standing vehicle teaches nothing about rolling and drag.
        let learning = if reference > 0.0 { period } else { Duration::ZERO };
        let drive = pi.step(reference - state.speed_mps, learning);
        let mut memory = Memory {
            steering_integral_rad: self.integrate(on.cross_track_m, steering_rad, period),
            drive_integral_mps2: pi.integral(),
            speed_reference_mps: Some(reference),
            progress_m: Some(on.s_m),
            ..self.memory
        };
        let _ = memory.steering_trim.step(period, TRIM_FADING);
        let _ = memory.drive_trim.step(period, TRIM_FADING);
        // Readings far beyond any course are numbers that give none.
        if !(memory.is_finite() && steering_rad.is_finite() && drive.is_finite()) {
            return Command::NAN;
        }
        self.memory = memory;
        self.seen = Some(seen);
        self.output(&seen)
    }

    /// Returns the command for what was seen, with the memory as it is.
    ///
    /// `step` ends with this and `track` begins with it: that both say the same is what makes tracking one's own
    /// command change nothing.
    fn output(&self, seen: &Seen) -> Command {
        let steering = seen.steering_rad + self.memory.steering_integral_rad + self.memory.steering_trim.offset();
        let reference = self.memory.speed_reference_mps.unwrap_or(seen.speed_mps);
        let drive = self.tuning.speed_gain_per_s * (reference - seen.speed_mps)
            + self.memory.drive_integral_mps2
            + self.memory.drive_trim.offset();
        Command {
            steering_rad: steering.clamp(STEERING.min, STEERING.max),
            drive_mps2: drive.clamp(DRIVE_MIN_MPS2, DRIVE_MAX_MPS2),
        }
    }
}

impl Controller for CourseLaw {
    type State = State;
    type Command = Command;
    type Memory = Memory;

    fn step(&mut self, state: &State, period: Duration) -> Command {
        self.advance(state, period, Aim::Drive)
    }

    fn standstill(&mut self, state: &State, period: Duration) -> Command {
        self.advance(state, period, Aim::Stop)
    }

    fn export(&self) -> Memory {
        self.memory
    }

    fn import(&mut self, memory: &Memory) {
        // The peer's nonsense is not adopted.
        if memory.is_finite() {
            self.memory = *memory;
        }
    }

    fn track(&mut self, applied: &Command) {
        let Some(seen) = self.seen else {
            return;
        };
        let own = self.output(&seen);
        let steering_rad = applied.steering_rad - own.steering_rad;
        let drive_mps2 = applied.drive_mps2 - own.drive_mps2;
        if steering_rad.abs() > QUANTUM * STEERING.factor {
            self.memory.steering_trim.take_up(steering_rad, STEERING_TRIM_MAX_RAD);
        }
        if drive_mps2.abs() > QUANTUM * DRIVE.factor {
            self.memory.drive_trim.take_up(drive_mps2, DRIVE_TRIM_MAX_MPS2);
        }
    }
}
