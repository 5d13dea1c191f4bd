//! A device's clock, which may slip and drift when the runner says so.

use super::changes;
use rtrb::{Consumer, Producer};
use twinhelm_hal::time::Instant;
use twinhelm_hil::clock::Clock;
use twinhelm_linux::clock::now;
use twinhelm_rigs::host::spec::ClockFault;

/// The clock by which a device lives: the machine's, unless the run makes clocks fail.
pub(crate) enum DeviceClock {
    /// The machine's.
    Machine,
    /// One that is off.
    Off {
        /// What happens to it.
        changes: Consumer<ClockFault>,
        /// How it runs now.
        clock: Clock,
    },
}

/// Returns the runner's end, and a clock that takes what is said there.
pub(crate) fn clock_faults() -> (Producer<ClockFault>, DeviceClock) {
    let (producer, changes) = changes();
    let born = now();
    (producer, DeviceClock::Off { changes, clock: Clock::new(born, born, 0.0) })
}

impl DeviceClock {
    /// Takes in what has happened to the clock by `at`, by the machine's clock.
    pub(crate) fn change(&mut self, at: Instant) {
        let Self::Off { changes, clock } = self else {
            return;
        };
        while let Ok(fault) = changes.pop() {
            match fault {
                ClockFault::Slip { by, forwards } => clock.slip(at, by, forwards),
                ClockFault::Drift(ppm) => clock.set_drift(at, ppm),
            }
        }
    }

    /// Returns what the device's clock shows when the machine's shows `at`.
    pub(crate) fn local(&self, at: Instant) -> Instant {
        match self {
            Self::Machine => at,
            Self::Off { clock, .. } => clock.local(at),
        }
    }

    /// Returns what the machine's clock shows when the device's shows `local`.
    pub(crate) fn at(&self, local: Instant) -> Instant {
        match self {
            Self::Machine => local,
            Self::Off { clock, .. } => clock.at(local),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_that_slips_shows_another_time_at_once() {
        let (mut runner, mut clock) = clock_faults();
        let at = now();
        let before = clock.local(at);
        runner.push(ClockFault::Slip { by: Duration::from_millis(9), forwards: false }).expect("room");
        clock.change(at);
        assert_eq!(before.since(clock.local(at)), Duration::from_millis(9));
    }
}
