//! The watch of a device below `Shadow`: when nobody drives any more, its mission has to be started.
//!
//! Such a device cannot cover: no law of its runs. The gate's safe state acts first, and closes the gate; so what the watch
//! looks for is not a missed cycle but a closed gate. It decides nothing about who drives: the mission that is started
//! enters at `Joining`, and the protocol takes it from there.

use core::time::Duration;
use twinhelm_hal::frame::{GATES, StatusFrame};
use twinhelm_hal::ports::Received;
use twinhelm_hal::time::Instant;

/// What the watch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WatchEffect {
    /// Start the mission, or let it go on.
    Start,
}

/// Listens to the gates' statuses on the bus.
///
/// A gate is live when its status was heard within the gate lease. Every live gate reports that it is closed, and has done so
/// for one gate lease: [`WatchEffect::Start`], once, until a gate is open again. No live gate: nothing, because a device that hears
/// nobody may be the one that is cut off.
#[derive(Clone, Debug)]
pub struct Watch {
    gate_lease: Duration,
    gates: [Option<Heard>; GATES as usize],
    has_started: bool,
}

/// What was heard of a gate.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    /// Since when each status said that it is closed; `None` when the last one said that it is open.
    closed_since: Option<Instant>,
}

impl Watch {
    /// Returns a watch that has heard nothing.
    #[must_use]
    pub const fn new(gate_lease: Duration) -> Self {
        Self { gate_lease, gates: [None; GATES as usize], has_started: false }
    }

    /// Takes in a frame; what is no gate's status tells it nothing.
    pub fn hear(&mut self, received: &Received) {
        let Ok(status) = StatusFrame::decode(&received.frame) else { return };
        let Some(gate) = self.gates.get_mut(usize::from(status.gate)) else { return };
        let at = received.at;
        // A gate that was silent meanwhile may have been open meanwhile.
        let before = gate.filter(|heard| at.since(heard.at) <= self.gate_lease);
        let closed_since = (!status.open).then(|| before.and_then(|heard| heard.closed_since).unwrap_or(at));
        *gate = Some(Heard { at, closed_since });
    }

    /// Looks at `now` what is to be done.
    pub fn step(&mut self, now: Instant) -> Option<WatchEffect> {
        let lease = self.gate_lease;
        let mut live = self.gates.iter().flatten().filter(|heard| now.since(heard.at) <= lease).peekable();
        live.peek()?;
        let for_a_lease = |heard: &Heard| heard.closed_since.is_some_and(|since| now.since(since) >= lease);
        if live.clone().any(|heard| heard.closed_since.is_none()) {
            self.has_started = false;
        }
        if self.has_started || !live.all(for_a_lease) {
            return None;
        }
        self.has_started = true;
        Some(WatchEffect::Start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::frame::StatusFrame;

    const LEASE: Duration = Duration::from_millis(30);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn status(gate: u8, open: bool, ms: u64) -> Received {
        let frame = StatusFrame {
            gate,
            term: 0,
            cycle: 0,
            open,
            term_known: false,
            safe_state: !open,
            estop: false,
            echo: None,
            speed_mm_s: 0,
        };
        Received { at: at(ms), frame: frame.encode() }
    }

    /// Hears one status a period of 10 ms from gate 0, from `from` on for `count` periods; returns when it asked for a start.
    fn starts(watch: &mut Watch, open: bool, from: u64, count: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        for ms in (from..from + 10 * count).step_by(10) {
            watch.hear(&status(0, open, ms));
            starts.extend(watch.step(at(ms)).map(|WatchEffect::Start| ms));
        }
        starts
    }

    #[test]
    fn a_gate_that_was_closed_for_a_lease_asks_for_a_start_once() {
        let mut watch = Watch::new(LEASE);
        assert_eq!(starts(&mut watch, true, 0, 10), []);
        assert_eq!(starts(&mut watch, false, 100, 20), [130]);
        assert_eq!(starts(&mut watch, true, 300, 1), []);
        assert_eq!(starts(&mut watch, false, 310, 10), [340]);
    }

    #[test]
    fn one_open_gate_is_enough_to_stay_quiet() {
        let mut watch = Watch::new(LEASE);
        for ms in (0..200).step_by(10) {
            watch.hear(&status(0, false, ms));
            watch.hear(&status(1, true, ms));
            assert_eq!(watch.step(at(ms)), None);
        }
        // The open one falls silent: only the closed one is live.
        assert_eq!(starts(&mut watch, false, 200, 10), [230]);
    }

    #[test]
    fn silence_is_no_closed_gate() {
        let mut watch = Watch::new(LEASE);
        watch.hear(&status(0, false, 0));
        for ms in 0..500 {
            if ms > 30 {
                assert_eq!(watch.step(at(ms)), None, "nobody is heard");
            }
        }
        let mut deaf = Watch::new(LEASE);
        assert_eq!(deaf.step(at(1_000)), None, "nobody was ever heard");
    }

    #[test]
    fn a_gate_that_was_silent_counts_from_when_it_is_heard_again() {
        let mut watch = Watch::new(LEASE);
        watch.hear(&status(0, false, 0));
        watch.hear(&status(0, false, 100));
        assert_eq!(watch.step(at(100)), None);
        assert_eq!(starts(&mut watch, false, 110, 5), [130]);
    }
}
