//! A law that does nothing: the search is about who drives, not where to.

use serde::{Deserialize, Serialize};
use twinhelm_control::Controller;
use twinhelm_hal::signals::{self, Signals};
use twinhelm_hal::time::Duration;

/// What is measured: that there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Reading;

/// What the law remembers: nothing.
pub(crate) type Memory = ();

/// What is asked of the actuators: the right thing, something wrong, or no number at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked(Option<i16>);

/// The first signal of a command that an unfaulted law does not give.
pub(crate) const WRONG: i16 = 1;

impl signals::Command for Asked {
    fn encode(&self) -> Option<Signals> {
        self.0.map(|first| Signals { first, second: 0 })
    }

    fn decode(signals: Signals) -> Self {
        Self(Some(signals.first))
    }
}

/// What is wrong with the law that drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trick {
    /// It gives no number.
    Nan,
    /// It gives another command than a second instance of it.
    Wrong,
}

/// The law.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub(crate) trick: Option<Trick>,
}

impl Controller for Plain {
    type State = Reading;
    type Command = Asked;
    type Memory = Memory;

    fn step(&mut self, _state: &Reading, _period: Duration) -> Asked {
        match self.trick {
            None => Asked(Some(0)),
            Some(Trick::Wrong) => Asked(Some(WRONG)),
            Some(Trick::Nan) => Asked(None),
        }
    }

    fn standstill(&mut self, state: &Reading, period: Duration) -> Asked {
        self.step(state, period)
    }

    fn export(&self) -> Memory {}

    fn import(&mut self, _memory: &Memory) {}

    fn track(&mut self, _applied: &Asked) {}
}
