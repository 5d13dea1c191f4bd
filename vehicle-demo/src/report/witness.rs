//! Whether a command that was acted on is one that an unfaulted law gives for what its sender published.

use crate::signals::{Command, State};
use twinhelm_control::Controller;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::signals::{Bounds, Command as _, Signals};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Duration;
use twinhelm_standby::{Published, Sample};

const WINDOW: usize = 64;

/// An independent instance of the law that repeats each published step.
#[derive(Clone, Debug)]
pub struct Witness<L> {
    law: L,
    period: Duration,
    bounds: Bounds,
    expected: [[Option<(Cycle, Signals)>; WINDOW]; SLOTS as usize],
}

impl<L: Controller<State = State, Command = Command>> Witness<L> {
    /// Returns a witness with an unfaulted `law` and the divergence `bounds`.
    pub const fn new(law: L, period: Duration, bounds: Bounds) -> Self {
        Self { law, period, bounds, expected: [[None; WINDOW]; SLOTS as usize] }
    }

    /// Takes in what a device published.
    pub fn on_sample(&mut self, sample: &Sample<State, L::Memory>) {
        if let Some(published) = &sample.published {
            let header = &sample.header;
            let expected = self.expected_of(published);
            self.expected[header.slot.index()][slot_of(header.cycle)] =
                expected.map(|signals| (header.cycle, signals));
        }
    }

    /// Returns the command that an unfaulted law gives for what was published; `None` when it has none.
    pub fn expected_of(&mut self, published: &Published<State, L::Memory>) -> Option<Signals> {
        self.law.import(&published.memory);
        let command = if published.standstill {
            self.law.standstill(&published.readings, self.period)
        } else {
            self.law.step(&published.readings, self.period)
        };
        command.encode()
    }

    /// Returns whether two commands are further apart than the bounds.
    #[must_use]
    pub fn is_apart(&self, signals: Signals, expected: Signals) -> bool {
        !self.bounds.allow(Command::LAYOUT.divergence(&signals, &expected, &self.bounds))
    }

    /// Returns whether `signals` of `slot` for `cycle` are further from the expected ones than the bounds; `None` when
    /// the inputs were not published, or an unfaulted law has no command for them.
    #[must_use]
    pub fn is_wrong(&self, slot: Slot, cycle: Cycle, signals: Signals) -> Option<bool> {
        let (at, expected) = self.expected[slot.index()][slot_of(cycle)]?;
        (at.to_wire() == cycle.to_wire()).then(|| self.is_apart(signals, expected))
    }
}

const fn slot_of(cycle: Cycle) -> usize {
    (cycle.number() % WINDOW as u64) as usize
}
