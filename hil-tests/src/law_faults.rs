//! Faults of a control law, as a wrapper around the user's own: NaN, a stuck output, an output out of range, lateness.
//!
//! Only the law that drives is wrapped. The second instance that checks it stays as the user wrote it, and the
//! device program knows nothing of all this.

use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_vehicle::signals::{Command, State};

/// What is wrong with a law.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum LawFault {
    /// It returns NaN.
    Nan,
    /// It returns the same command for ever.
    Stuck,
    /// It returns a steering angle that no wheel can reach.
    OutOfRange,
    /// It takes so much longer.
    Late(Duration),
}

/// Who says what is wrong now, and lets time pass: the World in virtual time, a rig in real time.
pub trait Stage {
    /// Returns what is wrong with the law now.
    fn fault(&mut self) -> Option<LawFault>;

    /// Lets `extra` pass before the law's output.
    fn take(&mut self, extra: Duration);
}

/// A law with faults.
#[derive(Clone, Debug)]
pub struct Faulty<L, S> {
    law: L,
    stage: S,
    stuck: Option<Command>,
}

impl<L, S> Faulty<L, S> {
    /// Wraps `law`.
    pub const fn new(law: L, stage: S) -> Self {
        Self { law, stage, stuck: None }
    }
}

impl<L, S> Faulty<L, S>
where
    L: Controller<State = State, Command = Command>,
    S: Stage,
{
    fn distort(&mut self, command: Command) -> Command {
        let fault = self.stage.fault();
        let stuck = self.stuck.take();
        match fault {
            None => command,
            Some(LawFault::Nan) => Command::NAN,
            Some(LawFault::OutOfRange) => Command { steering_rad: 9.9, ..command },
            Some(LawFault::Stuck) => *self.stuck.insert(stuck.unwrap_or(command)),
            Some(LawFault::Late(extra)) => {
                self.stage.take(extra);
                command
            }
        }
    }
}

impl<L, S> Controller for Faulty<L, S>
where
    L: Controller<State = State, Command = Command>,
    S: Stage,
{
    type State = State;
    type Command = Command;
    type Memory = L::Memory;

    fn step(&mut self, state: &State, period: Duration) -> Command {
        let command = self.law.step(state, period);
        self.distort(command)
    }

    fn standstill(&mut self, state: &State, period: Duration) -> Command {
        let command = self.law.standstill(state, period);
        self.distort(command)
    }

    fn export(&self) -> L::Memory {
        self.law.export()
    }

    fn import(&mut self, memory: &L::Memory) {
        self.law.import(memory);
    }

    fn track(&mut self, applied: &Command) {
        self.law.track(applied);
    }
}
