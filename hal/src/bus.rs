//! The bus as every rig of ours keeps it: one order for all stations, the lower identifier first, time by bitrate.
//!
//! [`Arbiter`] is the idea of a CAN bus without wires: stations offer frames, it says which frame is over the
//! wire when, and who hears it. The simulator calls it in virtual time, the userland bus of `twinhelm-linux` in
//! real time. It is not CAN: no bit errors, no error frames, no acknowledgement.

#[cfg(feature = "canon")]
mod canon;

use crate::frame::{Frame, GATES};
use crate::term::{SLOTS, Slot};
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;

/// How many stations fit on one bus: each slot's device, each gate, and two of each slot's agent.
pub const STATIONS: usize = (3 * SLOTS + GATES) as usize;
/// How many frames a station may have waiting for the wire.
pub const QUEUE_MAX: usize = 4;
/// How many identifiers a bus can keep apart.
const IDENTIFIERS_MAX: usize = 32;

/// A station's place on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Station(u8);

impl Station {
    /// Returns station `number`, or `None` when it is not below [`STATIONS`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < STATIONS { Some(Self(number)) } else { None }
    }

    /// Returns the station of the device in `slot`.
    #[must_use]
    pub const fn of_device(slot: Slot) -> Self {
        Self(slot.number())
    }

    /// Returns the station of gate `number`, behind those of the devices.
    ///
    /// # Panics
    /// When `number` is not below [`GATES`].
    #[must_use]
    pub const fn of_gate(number: u8) -> Self {
        assert!(number < GATES, "a gate's number is 0 to 3");
        Self(SLOTS + number)
    }

    /// Returns the station of the agent of the device in `slot`, behind those of the gates. It listens, and sends nothing:
    /// on a real bus it would be a second socket of the same controller.
    #[must_use]
    pub const fn of_agent(slot: Slot) -> Self {
        Self(SLOTS + GATES + slot.number())
    }

    /// Returns the station by which the agent in `slot` knows who is on the bus. It has time; the other one has none.
    #[must_use]
    pub const fn of_ear(slot: Slot) -> Self {
        Self(2 * SLOTS + GATES + slot.number())
    }

    /// Returns the station's number as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A station's connection to the bus, direction by direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cable {
    /// What the station sends reaches the bus.
    pub to_bus: bool,
    /// What is on the bus reaches the station.
    pub from_bus: bool,
}

impl Cable {
    /// Both directions work.
    pub const WHOLE: Self = Self { to_bus: true, from_bus: true };
}

/// A frame that has just been over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When its last bit was sent.
    pub at: Instant,
    /// Who sent it.
    pub from: Station,
    /// The frame.
    pub frame: Frame,
    heard_by: [bool; STATIONS],
}

impl Delivery {
    /// Returns whether `station` hears the frame. A sender does not hear itself.
    #[must_use]
    pub const fn is_heard_by(&self, station: Station) -> bool {
        self.heard_by[station.index()]
    }

    /// Lets `station` miss the frame: a rig loses frames at single receivers so.
    pub const fn lose_at(&mut self, station: Station) {
        self.heard_by[station.index()] = false;
    }
}

/// What became of a frame that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// It waits for the wire.
    Queued,
    /// It waits for the wire; the oldest waiting one had to go.
    Replaced(Frame),
    /// Another station has sent on this identifier. The run cannot be trusted any more: on a real bus this would
    /// be bit errors.
    TwoSenders {
        /// The identifier.
        id: u16,
        /// Who sent on it first.
        first: Station,
    },
}

/// One bus.
#[derive(Clone, Debug)]
pub struct Arbiter {
    bitrate: u32,
    /// A frame that waited longer than this is not sent any more; `None`: it waits for ever.
    holds: Option<Duration>,
    stations: [Port; STATIONS],
    wire: Option<OnWire>,
    idle_since: Instant,
    owners: ArrayVec<(u16, Station), IDENTIFIERS_MAX>,
}

#[derive(Clone, Debug)]
struct Port {
    attached: bool,
    cable: Cable,
    depth: usize,
    queue: ArrayVec<(Instant, Frame), QUEUE_MAX>,
}

#[derive(Clone, Copy, Debug)]
struct OnWire {
    from: Station,
    frame: Frame,
    ends: Instant,
}

impl Arbiter {
    /// Returns a bus of `bitrate` bits a second without stations.
    ///
    /// # Panics
    /// When `bitrate` is zero.
    #[must_use]
    pub fn new(bitrate: u32) -> Self {
        assert!(bitrate > 0, "a bus needs a bitrate");
        let port = Port { attached: false, cable: Cable::WHOLE, depth: 1, queue: ArrayVec::new_const() };
        Self {
            bitrate,
            holds: None,
            stations: core::array::from_fn(|_| port.clone()),
            wire: None,
            idle_since: Instant::ZERO,
            owners: ArrayVec::new_const(),
        }
    }

    /// Returns the same bus, on which a frame is worth sending for `holds`: a period, as a station on a CAN bus has it.
    ///
    /// Without this the last claim of a device that gave way behind a cut cable waits there until that device sends again. It
    /// counted on while the closed gates did not, so they can take it, a lease and some periods later, for a command of now.
    #[must_use]
    pub fn holding(self, holds: Duration) -> Self {
        Self { holds: Some(holds), ..self }
    }

    /// Attaches `station`, with a queue of `depth` frames towards the bus: one for a device, a few for a gate.
    pub fn attach(&mut self, station: Station, depth: usize) {
        let port = &mut self.stations[station.index()];
        port.attached = true;
        port.depth = depth.clamp(1, QUEUE_MAX);
        port.queue.clear();
    }

    /// Detaches `station`; what it had waiting is gone.
    pub fn detach(&mut self, station: Station) {
        let port = &mut self.stations[station.index()];
        port.attached = false;
        port.queue.clear();
    }

    /// Connects or cuts the station's cable. A frame that waits behind a cut cable goes out when it is mended, if it is still worth
    /// sending.
    pub fn set_cable(&mut self, now: Instant, station: Station, cable: Cable) {
        self.stations[station.index()].cable = cable;
        self.start(now);
    }

    /// Takes `frame` into the station's queue at `now`.
    ///
    /// A full queue drops its oldest frame: what missed its cycle is not sent late.
    pub fn offer(&mut self, now: Instant, station: Station, frame: Frame) -> Offer {
        match self.owners.iter().find(|(id, _)| *id == frame.id) {
            Some((id, first)) if *first != station => {
                return Offer::TwoSenders { id: *id, first: *first };
            }
            Some(_) => {}
            // A bus that has seen too many identifiers goes on without watching the new ones.
            None => drop(self.owners.try_push((frame.id, station))),
        }
        let port = &mut self.stations[station.index()];
        let replaced = if port.queue.len() >= port.depth { Some(port.queue.remove(0).1) } else { None };
        port.queue.push((now, frame));
        self.start(now);
        replaced.map_or(Offer::Queued, Offer::Replaced)
    }

    /// Returns the next frame that was over the wire by `now`, oldest first. To be called until it returns `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Delivery> {
        let Some(wire) = self.wire.filter(|wire| wire.ends <= now) else {
            // What was offered while a frame that had ended was not polled yet still waits.
            self.start(now);
            return None;
        };
        self.wire = None;
        self.idle_since = wire.ends;
        let mut heard_by = [false; STATIONS];
        for (index, (heard, port)) in heard_by.iter_mut().zip(&self.stations).enumerate() {
            *heard = port.attached && port.cable.from_bus && index != wire.from.index();
        }
        self.start(wire.ends);
        Some(Delivery { at: wire.ends, from: wire.from, frame: wire.frame, heard_by })
    }

    /// Returns when the frame on the wire will be over, or `None` when the bus is idle.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.wire.map(|wire| wire.ends)
    }

    /// Puts the waiting frame with the lowest identifier on an idle wire.
    fn start(&mut self, now: Instant) {
        if self.wire.is_some() {
            return;
        }
        if let Some(holds) = self.holds {
            self.stations.iter_mut().for_each(|port| port.queue.retain(|(since, _)| now.since(*since) <= holds));
        }
        let winner = self
            .stations
            .iter()
            .enumerate()
            .filter(|(_, port)| port.attached && port.cable.to_bus)
            .filter_map(|(index, port)| port.queue.first().map(|(offered, frame)| (frame.id, index, *offered)))
            .filter(|(_, _, offered)| *offered <= now)
            .min();
        let Some((_, index, offered)) = winner else {
            return;
        };
        let (_, frame) = self.stations[index].queue.remove(0);
        let starts = now.max(self.idle_since).max(offered);
        let ends = starts + frame_time(&frame, self.bitrate);
        let from = Station(index.to_le_bytes()[0]);
        self.wire = Some(OnWire { from, frame, ends });
    }
}

/// Returns the longest time that `frame` takes on a bus of `bitrate` bits a second.
#[must_use]
pub fn frame_time(frame: &Frame, bitrate: u32) -> Duration {
    Duration::from_nanos(u64::from(frame.bits_max()) * 1_000_000_000 / u64::from(bitrate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_offered_before_the_last_one_was_polled_is_not_forgotten() {
        let mut bus = Arbiter::new(500_000);
        let [a, b] = [0, 1].map(|number| Station::new(number).expect("a station"));
        bus.attach(a, 1);
        bus.attach(b, 1);
        let at = |us: u64| Instant::from_nanos(us * 1_000);
        let frame = |id| Frame { id, len: 8, data: [0; 8] };
        assert_eq!(bus.offer(at(0), a, frame(1)), Offer::Queued);
        assert_eq!(bus.offer(at(400), b, frame(2)), Offer::Queued);
        assert!(bus.poll(at(400)).is_some_and(|delivery| delivery.from == a));
        assert!(bus.poll(at(400)).is_none());
        assert_eq!(bus.next_event(), Some(at(670)));
        assert!(bus.poll(at(670)).is_some_and(|delivery| delivery.from == b));
    }

    /// Returns what `b` hears from `a` when the cable of `a`, behind which it had something to say at 0, is mended at `mended`.
    fn heard_behind_a_cut(mut bus: Arbiter, mended: Instant) -> Option<Frame> {
        let [a, b] = [0, 1].map(|number| Station::new(number).expect("a station"));
        bus.attach(a, 1);
        bus.attach(b, 1);
        bus.set_cable(Instant::ZERO, a, Cable { to_bus: false, from_bus: true });
        assert_eq!(bus.offer(Instant::ZERO, a, Frame { id: 1, len: 8, data: [0; 8] }), Offer::Queued);
        bus.set_cable(mended, a, Cable::WHOLE);
        let over = bus.next_event()?;
        bus.poll(over).filter(|delivery| delivery.is_heard_by(b)).map(|delivery| delivery.frame)
    }

    #[test]
    fn what_missed_its_cycle_behind_a_cut_cable_is_not_sent_late() {
        let ms = Duration::from_millis;
        let bus = || Arbiter::new(500_000).holding(ms(10));
        assert!(heard_behind_a_cut(bus(), Instant::ZERO + ms(10)).is_some(), "it is still worth sending");
        assert_eq!(heard_behind_a_cut(bus(), Instant::ZERO + ms(10) + Duration::from_nanos(1)), None);
        assert!(heard_behind_a_cut(Arbiter::new(500_000), Instant::ZERO + ms(3_600_000)).is_some());
    }
}
