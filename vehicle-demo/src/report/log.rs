//! What a rig notes while a scenario runs: the same events on every rig, each with the rig's time.

use crate::plant::{Battery, Motion};
use serde::{Deserialize, Serialize};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::gate::{Drop, How, Verdict};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{NotReady, RoleName};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A gate acted on a command.
    Acted {
        /// Which gate.
        gate: u8,
        /// In which way.
        how: How,
        /// Who sent it.
        slot: Slot,
        /// The term that it was sent in.
        term: Term,
        /// The term that the gate has adopted now.
        adopted: Term,
        /// For which cycle.
        cycle: Cycle,
        /// What was asked of the actuators.
        signals: Signals,
        /// Since it was handed to the bus, where the rig knows.
        age: Option<Duration>,
    },
    /// A gate dropped a frame.
    Dropped {
        /// Which gate.
        gate: u8,
        /// Why.
        why: Drop,
    },
    /// A gate closed: safe state.
    Closed {
        /// Which gate.
        gate: u8,
    },
    /// A gate came up again and knows no term.
    Restarted {
        /// Which gate.
        gate: u8,
    },
    /// A gate's e-stop is latched from now on, by its line or by a device.
    EStopped {
        /// Which gate.
        gate: u8,
    },
    /// A gate adopted another gate's term.
    Followed {
        /// Which gate.
        gate: u8,
        /// The term.
        term: Term,
    },
    /// A device handed a frame to the bus.
    Offered {
        /// Who.
        slot: Slot,
        /// The term's low bits.
        term: u8,
        /// The cycle's low bits.
        cycle: u16,
        /// It is a probe.
        probe: bool,
        /// What it asks of the actuators.
        signals: Signals,
        /// When the turn that sent it began, where the rig knows.
        woke: Option<Instant>,
    },
    /// A device heard an open gate name a term on the bus.
    Told {
        /// Who.
        slot: Slot,
        /// The term's low bits.
        term: u8,
    },
    /// A device's role changed.
    Role {
        /// Who.
        slot: Slot,
        /// What it is now.
        role: RoleName,
    },
    /// A device's readiness changed.
    Ready {
        /// Who.
        slot: Slot,
        /// Whether it could take over, and if not, why.
        ready: Result<(), NotReady>,
    },
    /// A device is gone: killed, or not started yet.
    Down {
        /// Who.
        slot: Slot,
    },
    /// A fault begins, or something is requested.
    Fault {
        /// As it was written.
        label: String,
        /// Whom it hits.
        slot: Option<Slot>,
        /// It is a request, not a fault.
        request: bool,
    },
    /// A fault is over.
    FaultEnded {
        /// As it was written.
        label: String,
        /// Whom it hit.
        slot: Option<Slot>,
    },
    /// Where the vehicle is.
    Truth {
        /// Along x.
        x_m: f64,
        /// Along y.
        y_m: f64,
        /// Heading.
        yaw_rad: f64,
        /// Forward speed.
        speed_mps: f64,
        /// How it moves.
        motion: Motion,
        /// The battery.
        battery: Battery,
        /// Distance from the course, left positive.
        cross_track_m: f64,
        /// Way along the course since the start.
        travelled_m: f64,
    },
    /// A command was acted on that an unfaulted law would not have given.
    Wrong {
        /// Whose.
        slot: Slot,
        /// For which cycle.
        cycle: Cycle,
    },
    /// Something that measures, or that everything runs on, stood still: until now.
    Stalled {
        /// What.
        what: Stalled,
        /// Since when it should have run.
        since: Instant,
    },
    /// A step of the `fresh` baseline was reached.
    Phase {
        /// Which.
        name: String,
    },
}

impl Event {
    /// Returns the term that gate 0 has adopted, if the event tells of that.
    #[must_use]
    pub const fn adopted_by_gate_0(&self) -> Option<Term> {
        match self {
            Self::Acted { gate: 0, adopted: term, .. } | Self::Followed { gate: 0, term } => Some(*term),
            Self::Acted { .. }
            | Self::Followed { .. }
            | Self::Dropped { .. }
            | Self::Closed { .. }
            | Self::Restarted { .. }
            | Self::EStopped { .. }
            | Self::Offered { .. }
            | Self::Told { .. }
            | Self::Role { .. }
            | Self::Ready { .. }
            | Self::Down { .. }
            | Self::Fault { .. }
            | Self::FaultEnded { .. }
            | Self::Truth { .. }
            | Self::Wrong { .. }
            | Self::Stalled { .. }
            | Self::Phase { .. } => None,
        }
    }

    /// Returns whether the loop that measures noted it: where the gates are, and the vehicle.
    #[must_use]
    pub const fn is_of_the_vehicle(&self) -> bool {
        match self {
            Self::Acted { .. }
            | Self::Dropped { .. }
            | Self::Closed { .. }
            | Self::Restarted { .. }
            | Self::EStopped { .. }
            | Self::Followed { .. }
            | Self::Offered { .. }
            | Self::Told { .. }
            | Self::Truth { .. }
            | Self::Stalled { what: Stalled::Observer, .. } => true,
            Self::Role { .. }
            | Self::Ready { .. }
            | Self::Down { .. }
            | Self::Fault { .. }
            | Self::FaultEnded { .. }
            | Self::Wrong { .. }
            | Self::Stalled { what: Stalled::Machine, .. }
            | Self::Phase { .. } => false,
        }
    }
}

/// What stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stalled {
    /// The machine: a thread of the highest priority woke late.
    Machine,
    /// The vehicle's own loop, which is what measures: its turn came late.
    Observer,
}

/// What a gate was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateInput {
    /// It heard a frame.
    Frame(Frame),
    /// Time passed, and it closed.
    Tick,
    /// It came up anew.
    Restart,
    /// Its e-stop was pressed.
    Stop,
}

/// What a gate answered, and how it stands after that: enough to compare a replay with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// What it said of the frame; `None` when there was none.
    pub verdict: Option<Verdict>,
    /// It acts on commands.
    pub open: bool,
    /// The term that it has adopted.
    pub term: Option<Term>,
}

/// The events of a run, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// When, and what.
    pub events: Vec<(Instant, Event)>,
}

impl Log {
    /// Returns when the loop that measures, and in which the gates live, stood still: from when until when.
    pub fn observer_stalls(&self) -> impl Iterator<Item = (Instant, Instant)> {
        self.events.iter().filter_map(|(at, event)| {
            if let Event::Stalled { what: Stalled::Observer, since } = event { Some((*since, *at)) } else { None }
        })
    }

    /// Leaves out what happened after `end`, but for stalls of the machine, which are told when they are over. A stall of the loop that measures which had begun by then lasts to the end, and so does
    /// its silence: where nothing at all was noted for the last `silence_max` of the run, nobody looked at the gate.
    pub fn cut(&mut self, end: Instant, silence_max: Duration) {
        let is_stall_across = |at: Instant, event: &Event| matches!(event, Event::Stalled { what: Stalled::Observer, since } if *since < end && at > end);
        self.events.retain_mut(|(at, event)| {
            if is_stall_across(*at, event) {
                *at = end;
            }
            *at <= end || matches!(event, Event::Stalled { what: Stalled::Machine, .. })
        });
        let seen = |(at, event): &(Instant, Event)| event.is_of_the_vehicle().then_some(*at);
        if let Some(last) = self.events.iter().filter_map(seen).max()
            && end.since(last) > silence_max
        {
            self.events.push((end, Event::Stalled { what: Stalled::Observer, since: last }));
        }
        self.sort();
    }

    /// Sorts by time; events of one instant keep their order.
    pub fn sort(&mut self) {
        self.events.sort_by_key(|(at, _)| *at);
    }
}

/// Who wants to know.
pub trait Observer {
    /// Takes note of `event` at `at`.
    fn on(&mut self, at: Instant, event: &Event);

    /// Takes note of what `gate` was told and what it answered, so that it can be replayed. Nothing by default.
    fn judged(&mut self, at: Instant, gate: u8, input: &GateInput, answer: &GateAnswer) {
        let _ = (at, gate, input, answer);
    }
}

impl Observer for Log {
    fn on(&mut self, at: Instant, event: &Event) {
        self.events.push((at, event.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(30);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn stall(since: u64) -> Event {
        Event::Stalled { what: Stalled::Observer, since: at(since) }
    }

    fn cut(events: Vec<(u64, Event)>) -> Vec<(Instant, Event)> {
        let mut log = Log { events: events.into_iter().map(|(ms, event)| (at(ms), event)).collect() };
        log.cut(at(1_000), LEASE);
        log.events
    }

    #[test]
    fn a_stall_that_outlasts_the_run_lasts_to_its_end() {
        let events =
            cut(vec![(500, Event::Closed { gate: 0 }), (4_000, stall(505)), (4_001, Event::Closed { gate: 0 })]);
        assert_eq!(events, [(at(500), Event::Closed { gate: 0 }), (at(1_000), stall(505))]);
    }

    #[test]
    fn a_stall_that_never_ended_is_one() {
        let phase = Event::Phase { name: "noticed".to_owned() };
        let events = cut(vec![(500, Event::Closed { gate: 0 }), (990, phase)]);
        assert_eq!(events.last(), Some(&(at(1_000), stall(500))));
    }

    #[test]
    fn what_was_looked_at_to_the_end_is_left_as_it_is() {
        for last in [970, 1_000] {
            assert_eq!(cut(vec![(last, Event::Closed { gate: 0 }), (1_001, stall(1_000))]).len(), 1);
        }
    }
}
