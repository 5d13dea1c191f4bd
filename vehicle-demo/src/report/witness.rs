//! Whether a command that was acted on is one that an unfaulted law gives for what its sender published.

use crate::signals::{Command, State};
use twinhelm_control::Controller;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::signals::{Command as _, Signals, Span};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Duration;
use twinhelm_standby::Sample;

const WINDOW: usize = 64;

/// An independent instance of the law that repeats each published step.
#[derive(Clone, Debug)]
pub struct Witness<L> {
    law: L,
    period: Duration,
    bound: Span,
    expected: [[Option<(Cycle, Signals)>; WINDOW]; SLOTS as usize],
}

impl<L: Controller<State = State, Command = Command>> Witness<L> {
    /// Returns a witness with an unfaulted `law` and the divergence `bound`.
    pub const fn new(law: L, period: Duration, bound: Span) -> Self {
        Self { law, period, bound, expected: [[None; WINDOW]; SLOTS as usize] }
    }

    /// Takes in what a device published.
    pub fn on_sample(&mut self, sample: &Sample<State, L::Memory>) {
        let Some(published) = sample.published else {
            return;
        };
        self.law.import(&published.memory);
        let command = if published.standstill {
            self.law.standstill(&published.readings, self.period)
        } else {
            self.law.step(&published.readings, self.period)
        };
        let header = &sample.header;
        let place = &mut self.expected[header.slot.index()][slot_of(header.cycle)];
        *place = command.encode().map(|signals| (header.cycle, signals));
    }

    /// Returns whether `signals` of `slot` for `cycle` are further from the expected ones than the bound; `None` when
    /// the inputs were not published, or an unfaulted law has no command for them.
    #[must_use]
    pub fn is_wrong(&self, slot: Slot, cycle: Cycle, signals: Signals) -> Option<bool> {
        let (at, expected) = self.expected[slot.index()][slot_of(cycle)]?;
        (at.to_wire() == cycle.to_wire()).then(|| !signals.distance(expected).is_within(self.bound))
    }
}

const fn slot_of(cycle: Cycle) -> usize {
    (cycle.number() % WINDOW as u64) as usize
}
