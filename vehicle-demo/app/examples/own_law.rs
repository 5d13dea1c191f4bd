//! A law of one's own: pure pursuit, with a PI speed controller. It is an ordinary type; failover comes for free.

use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use vehicle_demo::control::Controller;
use vehicle_demo::control::pi::{Gains, Pi};
use vehicle_demo::model::course::Course;
use vehicle_demo::model::plant::WHEELBASE_M;
use vehicle_demo::model::signals::{Command, State};

const LOOK_AHEAD_M: f64 = 0.5;
const SPEED: Gains = Gains { proportional: 2.0, integral: 1.5, min: -4.0, max: 2.5 };
const OFFSET: Gains = Gains { proportional: 0.0, integral: 0.4, min: -0.2, max: 0.2 };

#[derive(Clone)]
struct PurePursuit {
    course: Arc<Course>,
    memory: Memory,
}

/// What the law remembers. It travels to the other device each cycle, so it is `Copy` and small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    s_m: Option<f64>,
    speed: Pi,
    offset: Pi,
}

impl Controller for PurePursuit {
    type State = State;
    type Command = Command;
    type Memory = Memory;

    fn step(&mut self, state: &State, period: Duration) -> Command {
        if !state.is_finite() {
            return Command::NAN; // refused before it reaches a frame; the memory stays as it is
        }
        let here = self.course.nearest(state.x_m, state.y_m, self.memory.s_m);
        self.memory.s_m = Some(here.s_m);
        let (x_m, y_m, _) = self.course.pose(here.s_m + LOOK_AHEAD_M);
        let bearing = libm::atan2(y_m - state.y_m, x_m - state.x_m) - state.yaw_rad;
        let curve = libm::atan2(2.0 * WHEELBASE_M * libm::sin(bearing), LOOK_AHEAD_M);
        let steering_rad = curve + self.memory.offset.step(-here.cross_track_m, period);
        let error_mps = 0.9 * self.course.speed_limit_mps(here.s_m) - state.speed_mps;
        let drive_mps2 = self.memory.speed.step(error_mps, period);
        Command { steering_rad: steering_rad.clamp(-0.5, 0.5), drive_mps2 }
    }

    fn standstill(&mut self, state: &State, period: Duration) -> Command {
        let drive_mps2 = if state.speed_mps > 0.05 { -1.5 } else { 0.0 };
        Command { drive_mps2, ..self.step(state, period) }
    }

    fn export(&self) -> Memory {
        self.memory
    }

    fn import(&mut self, memory: &Memory) {
        self.memory = *memory;
    }

    fn track(&mut self, _applied: &Command) {} // the memory alone makes the handover smooth enough here
}

fn main() -> ExitCode {
    vehicle_demo::run_with(|setup| PurePursuit {
        course: setup.course.clone(),
        memory: Memory { s_m: None, speed: Pi::new(SPEED), offset: Pi::new(OFFSET) },
    })
}
