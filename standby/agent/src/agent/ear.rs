//! What an agent hears on the bus of its vehicle: which devices are there, and which term the gates have adopted.
//!
//! A thread of ordinary priority empties the seat now and then; what waits there a moment is as true as before.

use crate::config::Config;
use crate::output::Problem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::{GATES, StatusFrame, commanding_slot};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::listener::{BusPlace, Listener};

/// The seat is emptied so often.
const EMPTY_EVERY: Duration = Duration::from_millis(20);
/// A device that was not heard for so long is not on the bus: a standby's probe comes five times as often at 100 Hz.
const THERE_FOR: Duration = Duration::from_secs(1);
/// A bus that is not there is looked for so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(super) struct BusEar {
    own: Slot,
    is_userland: bool,
    heard: Arc<Mutex<BusHeard>>,
}

#[derive(Debug, Default)]
struct BusHeard {
    is_on: bool,
    /// When the last frame came.
    last: Option<Instant>,
    devices: [Option<Instant>; SLOTS as usize],
    /// When each gate named an adopted term as an open one, and that term's part on the wire.
    gates: [Option<(Instant, u8)>; GATES as usize],
    /// The term that a gate knew last, open or closed: its part on the wire.
    known_term: Option<(Instant, u8)>,
    /// Since when every status said that its gate is in the safe state, without a pause of [`THERE_FOR`]; and when the last came.
    closed: Option<(Instant, Instant)>,
}

impl BusEar {
    /// Starts to listen.
    ///
    /// # Errors
    /// There is no thread for it: an agent without an ear would take every bus for an empty one.
    pub fn start(config: &Config) -> Result<Self, Problem> {
        let heard = Arc::new(Mutex::new(BusHeard::default()));
        let (own, place, to) = (config.slot, config.bus.clone(), Arc::clone(&heard));
        let listen = move || {
            // It ends when the agent does.
            loop {
                if let Ok(mut bus) = Listener::open(&place, Station::of_ear(own)) {
                    while bus.is_connected() {
                        hear(&mut bus, &to);
                        sleep_until(now() + EMPTY_EVERY);
                    }
                }
                locked(&to).is_on = false;
                sleep_until(now() + LOOK_EVERY);
            }
        };
        thread::Builder::new().name("ear".to_owned()).spawn(listen).map_err(|error| {
            Problem::machine(format_args!("starting the thread that listens on the bus: {error}"))
        })?;
        Ok(Self { own, is_userland: matches!(config.bus, BusPlace::Userland(_)), heard })
    }

    /// Returns whether this device hears the bus. Of a cable that leads nowhere an interface does not tell: there, somebody has to be
    /// heard; gates are, a hundred times a second.
    pub fn is_on_the_bus(&self, at: Instant) -> bool {
        let heard = locked(&self.heard);
        let is_heard = heard.last.is_some_and(|last| at.since(last) < THERE_FOR);
        heard.is_on && (self.is_userland || is_heard)
    }

    /// Returns whether the device in `slot` was heard lately.
    pub fn hears(&self, slot: Slot, at: Instant) -> bool {
        locked(&self.heard).devices[slot.index()].is_some_and(|heard| at.since(heard) < THERE_FOR)
    }

    /// Returns how many other devices were.
    pub fn others(&self, at: Instant) -> usize {
        self.others_heard(at).len()
    }

    /// Returns the slots of the other devices that were heard lately.
    pub fn others_heard(&self, at: Instant) -> Vec<Slot> {
        let slots = (0..SLOTS).filter_map(Slot::new).filter(|slot| *slot != self.own);
        slots.filter(|slot| self.hears(*slot, at)).collect()
    }

    /// Returns the slot of the term that an open gate named lately.
    pub fn holder(&self, at: Instant) -> Option<Slot> {
        let heard = locked(&self.heard);
        let fresh = |(heard, _): &&(Instant, u8)| at.since(*heard) < THERE_FOR;
        let newest = heard.gates.iter().flatten().filter(fresh).max_by_key(|(heard, _)| *heard);
        // The slot is the term's lowest bits, on the wire as in full.
        newest.and_then(|(_, wire)| Slot::new(wire % SLOTS))
    }

    /// Returns the low bits of the term that a gate knows, open or closed.
    pub fn known_term(&self, at: Instant) -> Option<u8> {
        let known = locked(&self.heard).known_term;
        known.filter(|(heard, _)| at.since(*heard) < THERE_FOR).map(|(_, term)| term)
    }

    /// Returns since when every gate that is heard is in the safe state, and none is stopped by its e-stop.
    pub fn closed_since(&self, at: Instant) -> Option<Instant> {
        let closed = locked(&self.heard).closed;
        closed.filter(|(_, last)| at.since(*last) < THERE_FOR).map(|(since, _)| since)
    }

    /// Returns whether an open gate named `term` within `lease`.
    pub fn is_adopted(&self, term: Term, at: Instant, lease: Duration) -> bool {
        let heard = locked(&self.heard);
        let is_it = |(heard, wire): &(Instant, u8)| {
            at.since(*heard) < lease.max(2 * EMPTY_EVERY) && *wire == term.to_wire()
        };
        heard.gates.iter().flatten().any(is_it)
    }
}

fn hear(bus: &mut Listener, to: &Mutex<BusHeard>) {
    let mut heard = locked(to);
    heard.is_on = true;
    while let Some(received) = bus.receive() {
        heard.last = Some(received.at);
        let frame = &received.frame;
        if let Some(slot) = commanding_slot(frame.id) {
            heard.devices[slot.index()] = Some(received.at);
        } else if let Ok(status) = StatusFrame::decode(frame)
            && let Some(gate) = heard.gates.get_mut(usize::from(status.gate))
        {
            *gate = (status.open && status.term_known).then_some((received.at, status.term));
            let at = received.at;
            if status.term_known {
                heard.known_term = Some((at, status.term));
            }
            let before = heard.closed.filter(|(_, last)| at.since(*last) < THERE_FOR).map(|(since, _)| since);
            heard.closed = (!status.open && !status.estop).then(|| (before.unwrap_or(at), at));
        }
    }
}

fn locked(heard: &Mutex<BusHeard>) -> std::sync::MutexGuard<'_, BusHeard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
