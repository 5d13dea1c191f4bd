//! What a rig notes while a scenario runs: the same events on every rig, each with the rig's time.

use serde::{Deserialize, Serialize};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::gate::{Drop, How};
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
        /// Forward speed.
        speed_mps: f64,
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
    /// The machine stalled: a thread of the highest priority woke late by so much.
    Stalled {
        /// Since when it should have run.
        since: Instant,
    },
    /// A step of the `fresh` baseline was reached.
    Phase {
        /// Which.
        name: String,
    },
}

/// The events of a run, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// When, and what.
    pub events: Vec<(Instant, Event)>,
}

impl Log {
    /// Sorts by time; events of one instant keep their order.
    pub fn sort(&mut self) {
        self.events.sort_by_key(|(at, _)| *at);
    }
}

/// Who wants to know.
pub trait Observer {
    /// Takes note of `event` at `at`.
    fn on(&mut self, at: Instant, event: &Event);
}

impl Observer for Log {
    fn on(&mut self, at: Instant, event: &Event) {
        self.events.push((at, event.clone()));
    }
}
