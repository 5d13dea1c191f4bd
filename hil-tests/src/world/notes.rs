//! Who looks at what happens in the World: the checkers, the witness of the law, the log, and a recording.

use super::Variant;
use super::device::Device;
use crate::check::Checks;
use crate::recording::{Recorder, Step};
use serde::Serialize;
use twinhelm_control::Controller;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::{Effects, Input, Sample};
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput, Log, Observer};
use twinhelm_vehicle::report::witness::Witness;
use twinhelm_vehicle::signals::{Command, State};

pub(super) struct Notes<L: Controller> {
    pub(super) checks: Checks,
    witness: Witness<L>,
    pub(super) log: Option<Log>,
    /// What a recording wants, if there is one.
    pub(super) kept: Option<Vec<Note<L::Memory>>>,
}

/// One thing that a recording wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Note<M> {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What<M>,
}

/// What a recording wants. `M` is the law's memory.
#[derive(Clone, Debug, PartialEq)]
pub enum What<M> {
    /// Something happened.
    Event(Event),
    /// A gate was told something and answered.
    Judged(u8, GateInput, GateAnswer),
    /// A node was told something and answered: whose, in which of its lives, when by its clock.
    Step(Slot, u32, Instant, Input, Effects),
    /// A device published something.
    Sample(Sample<State, M>),
}

impl<M: Serialize> Note<M> {
    /// Hands the note to `recorder`.
    pub fn record(&self, recorder: &mut Recorder) {
        let at = self.at;
        match &self.what {
            What::Event(event) => recorder.event(at, event),
            What::Judged(gate, input, answer) => recorder.judged(at, *gate, input, answer),
            What::Step(slot, life, now, input, effects) => recorder.step(at, *slot, *life, *now, input, effects),
            What::Sample(sample) => recorder.sample(at, sample),
        }
    }
}

impl<L: Controller<State = State, Command = Command>> Notes<L> {
    pub(super) fn new(checks: Checks, witness: Witness<L>, keep_log: bool) -> Self {
        Self { checks, witness, log: keep_log.then(Log::default), kept: None }
    }

    pub(super) fn on_sample(&mut self, at: Instant, sample: &Sample<State, L::Memory>) {
        self.witness.on_sample(sample);
        if let Some(kept) = &mut self.kept {
            kept.push(Note { at, what: What::Sample(*sample) });
        }
    }

    /// Takes over the steps of a device's last turn.
    pub(super) fn keep_steps<V: Variant<Law = L>>(&mut self, device: &mut Device<V>) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        let (slot, life, steps) = device.take_steps();
        kept.extend(steps.map(|Step { at, now, input, effects }| Note {
            at,
            what: What::Step(slot, life, now, input, effects),
        }));
    }
}

impl<L: Controller<State = State, Command = Command>> Observer for Notes<L> {
    fn on(&mut self, at: Instant, event: &Event) {
        self.checks.on(at, event);
        if let Some(log) = &mut self.log {
            log.on(at, event);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(Note { at, what: What::Event(event.clone()) });
        }
        if let Event::Acted { gate: 0, slot, cycle, signals, .. } = event {
            // A command whose inputs were never published is none that an unfaulted law gave.
            if self.witness.is_wrong(*slot, *cycle, *signals).unwrap_or(true) {
                self.on(at, &Event::Wrong { slot: *slot, cycle: *cycle });
            }
        }
    }

    fn judged(&mut self, at: Instant, gate: u8, input: &GateInput, answer: &GateAnswer) {
        if let Some(kept) = &mut self.kept {
            kept.push(Note { at, what: What::Judged(gate, *input, *answer) });
        }
    }
}
