//! The pilot: the law that drives, and a second instance that checks it.
//!
//! Each cycle the second instance is loaded with the memory and the readings that the first one used; it must give
//! the same command, or the command is not sent. The same second instance repeats the peer's step when its
//! state is taken over: what does not reproduce is not adopted.

use crate::input::Readings;
use crate::sample::Published;
use core::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::signals::Command;

/// A reading that is the same, bit for bit, for so many cycles comes from a sensor that sticks.
const STUCK_CYCLES: u8 = 4;

/// The law, its check, and the health of the own sensors.
#[derive(Clone, Debug)]
pub struct Pilot<L, C = L>
where
    L: Controller,
    C: Controller<State = L::State, Command = L::Command, Memory = L::Memory>,
{
    law: L,
    check: C,
    period: Duration,
    last_reading: Option<L::State>,
    same_for: u8,
}

/// What came of asking the law.
#[derive(Clone, Copy, Debug)]
pub struct Computed<S, M> {
    /// What is told to the peer; `None` when there were no readings.
    pub published: Option<Published<S, M>>,
    /// Whose readings it was computed from.
    pub readings: Readings,
    /// The second instance gave the same command.
    pub checked: bool,
}

impl<L, C> Pilot<L, C>
where
    L: Controller,
    C: Controller<State = L::State, Command = L::Command, Memory = L::Memory>,
{
    /// Returns a pilot with a law and a second, independent instance of it.
    pub const fn new(law: L, check: C, period: Duration) -> Self {
        Self { law, check, period, last_reading: None, same_for: 0 }
    }

    /// Asks the law for a command from the own reading, or from the peer's when the own sensor fails.
    pub fn compute(
        &mut self,
        own: Option<L::State>,
        peer: Option<L::State>,
        standstill: bool,
    ) -> Computed<L::State, L::Memory> {
        let alive = own.filter(|own| self.is_moving(own));
        // With nobody to ask, a reading that does not move is still the best there is: the vehicle may stand.
        let Some(readings) = alive.or(peer).or(own) else {
            return Computed { published: None, readings: Readings::Missing, checked: true };
        };
        let whose = if alive.is_none() && peer.is_some() { Readings::Peers } else { Readings::Own };
        let memory = self.law.export();
        let command = drive(&mut self.law, &readings, self.period, standstill);
        let signals = command.encode();
        self.check.import(&memory);
        let again = drive(&mut self.check, &readings, self.period, standstill).encode();
        let own_readings = alive.is_some();
        Computed {
            published: Some(Published { memory, readings, own_readings, standstill, signals }),
            readings: whose,
            checked: again == signals,
        }
    }

    /// Takes over the state of the device that drove: its memory after its step, and the command acted on.
    /// Returns `false` when its step does not reproduce here; then nothing is adopted.
    #[must_use]
    pub fn adopt(&mut self, driver: &Published<L::State, L::Memory>) -> bool {
        self.check.import(&driver.memory);
        let again = drive(&mut self.check, &driver.readings, self.period, driver.standstill).encode();
        let (Some(signals), true) = (driver.signals, again == driver.signals) else {
            return false;
        };
        self.law.import(&self.check.export());
        self.law.track(&L::Command::decode(&signals));
        true
    }

    /// Returns whether the own sensor is alive: a reading that never changes comes from one that sticks.
    fn is_moving(&mut self, own: &L::State) -> bool {
        let same = self.last_reading.as_ref() == Some(own);
        self.same_for = if same { self.same_for.saturating_add(1) } else { 0 };
        self.last_reading = Some(*own);
        self.same_for < STUCK_CYCLES
    }
}

fn drive<L: Controller>(law: &mut L, readings: &L::State, period: Duration, standstill: bool) -> L::Command {
    if standstill { law.standstill(readings, period) } else { law.step(readings, period) }
}
