//! A law that does nothing: the search is about who drives, not where to.

use serde::{Deserialize, Serialize};
use twinhelm_control::Controller;
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::signals::{self, Layout, Signals};
use twinhelm_hal::time::Duration;

/// What is measured: that there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Reading;

/// What the law remembers: nothing.
pub(crate) type Memory = ();

/// What is asked of the actuators: the right thing, something wrong, or no number at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked(f64);

/// The first signal of a command that an unfaulted law does not give.
const WRONG: f64 = 1.0;

/// Returns whether an unfaulted law does not give this.
pub(crate) fn is_wrong(signals: &Signals) -> bool {
    <Asked as signals::Command>::decode(signals) == Asked(WRONG)
}

impl signals::Command for Asked {
    // Two of 16 bits, as the car has them: what is found is recorded, and replayed as if it were the car's.
    const TABLE: Table =
        Table::of(&[Signal::of_counts("First", [i16::MIN, i16::MAX]), Signal::of_counts("Second", [0, 0])]);

    fn values(&self, values: &mut [f64]) {
        values.copy_from_slice(&[self.0, 0.0]);
    }

    fn from_values(values: &[f64]) -> Self {
        Self(values.first().copied().unwrap_or(f64::NAN))
    }
}

/// How a frame carries its commands.
pub(crate) const LAYOUT: &Layout = <Asked as signals::Command>::LAYOUT;

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
            None => Asked(0.0),
            Some(Trick::Wrong) => Asked(WRONG),
            Some(Trick::Nan) => Asked(f64::NAN),
        }
    }

    fn standstill(&mut self, state: &Reading, period: Duration) -> Asked {
        self.step(state, period)
    }

    fn export(&self) -> Memory {}

    fn import(&mut self, _memory: &Memory) {}

    fn track(&mut self, _applied: &Asked) {}
}
