//! Probes: how a device that does not drive proves that its commands would reach each gate (V11). A device that
//! drove a moment ago has better proof: its commands were acted on.

#[cfg(feature = "canon")]
mod canon;

use crate::config::{PROBE_PERIODS, PROBE_PROOF};
use core::time::Duration;
use twinhelm_hal::frame::{CommandFrame, Frame, GATES, PROBE_RANGE};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Probe {
    slot: Slot,
    next_at: Instant,
    number: u8,
    sent_at: [Option<Instant>; PROBE_RANGE as usize],
    /// The number of ours that each gate shows. It shows it until somebody's next probe arrives, which proves nothing.
    shown: [Option<u8>; GATES as usize],
    proven: [Option<Instant>; GATES as usize],
}

impl Probe {
    pub(super) const fn new(slot: Slot) -> Self {
        Self {
            slot,
            next_at: Instant::ZERO,
            number: 0,
            sent_at: [None; PROBE_RANGE as usize],
            shown: [None; GATES as usize],
            proven: [None; GATES as usize],
        }
    }

    /// Returns the next probe when it is due.
    pub(super) fn due(&mut self, now: Instant, period: Duration) -> Option<Frame> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + period * PROBE_PERIODS;
        self.number = next(self.number);
        // An echo that is shown already would prove this probe without its ever arriving.
        while self.shown.contains(&Some(self.number)) {
            self.number = next(self.number);
        }
        self.sent_at[usize::from(self.number)] = Some(now);
        let frame = CommandFrame {
            slot: self.slot,
            term: self.slot.number(),
            cycle: self.number.into(),
            probe: true,
            estop: false,
            signals: Signals::default(),
        };
        Some(frame.encode())
    }

    /// Takes in which of our numbers `gate` shows now.
    pub(super) fn on_echo(&mut self, gate: usize, number: Option<u8>) {
        if let Some(number) = number.filter(|_| self.shown[gate] != number) {
            let sent = self.sent_at[usize::from(number % PROBE_RANGE)];
            self.proven[gate] = self.proven[gate].max(sent);
        }
        self.shown[gate] = number;
    }

    /// Forgets what was proven: a device that lost the wheel, or slept, proves its way to the gates anew, because that
    /// way may be what failed.
    pub(super) fn forget(&mut self) {
        self.proven = [None; GATES as usize];
        self.sent_at = [None; PROBE_RANGE as usize];
        self.next_at = Instant::ZERO;
    }

    /// Takes note that `gate` acted on a command of this device at `at`.
    pub(super) fn on_acted(&mut self, gate: usize, at: Instant) {
        self.proven[gate] = self.proven[gate].max(Some(at));
    }

    /// Returns whether each of `gates` echoed a probe that was sent within the last second; without gates, nothing
    /// is proven.
    pub(super) fn is_proven(&self, now: Instant, gates: impl Iterator<Item = usize>) -> bool {
        let mut any = false;
        for gate in gates {
            any = true;
            if self.proven[gate].is_none_or(|sent| now.since(sent) > PROBE_PROOF) {
                return false;
            }
        }
        any
    }
}

/// Returns the number after `number`; 0 means "none" in the echo.
const fn next(number: u8) -> u8 {
    number % (PROBE_RANGE - 1) + 1
}
