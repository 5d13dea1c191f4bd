//! What every bus of ours does, whoever implements it: one suite for the model, the userland bus and SocketCAN.
//!
//! An implementation stands behind [`BusUnderTest`]; each function here checks one fact and panics with the
//! sentence that does not hold. Time passes in [`BusUnderTest::settle`] only, so no fact depends on who was faster:
//! whatever is sent before it waits together.

use std::collections::VecDeque;
use twinhelm_hal::bus::{Arbiter, Cable, Offer, STATIONS, Station, frame_time};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::Received;
use twinhelm_hal::time::{Duration, Instant};

/// The lowest identifier of the suite: its frame is the first on an idle wire, and the others wait behind it.
const FIRST: u16 = 0x001;
/// A station that does not read may be sent this many frames without harm to others: more than any queue holds.
const UNREAD: u8 = 200;

/// What a bus is made of, where buses differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// A frame takes time, and of those that wait the one with the lowest identifier is next.
    pub has_wire: bool,
    /// A station's controller holds so many frames that cannot be called back.
    pub mailbox: usize,
    /// A frame behind a cut cable waits there; otherwise it is lost.
    pub waits_behind_a_cut: bool,
    /// The bus itself reports an identifier with two senders; otherwise it is for the devices to notice (V13).
    pub reports_two_senders: bool,
}

impl Medium {
    /// A bus that `hal`'s arbiter keeps.
    pub const ARBITER: Self =
        Self { has_wire: true, mailbox: 0, waits_behind_a_cut: true, reports_two_senders: true };
}

/// A bus, with a station's process behind each of its stations.
pub trait BusUnderTest {
    /// Returns what the bus is made of.
    fn medium(&self) -> Medium {
        Medium::ARBITER
    }

    /// Returns the bitrate in bits a second.
    fn bitrate(&self) -> u32;

    /// Returns the time by the clock of the bus.
    fn now(&self) -> Instant;

    /// Returns by how much the bus may be later than its bitrate says; `None` when real time sets no bound.
    fn lateness_max(&self) -> Option<Duration>;

    /// Starts a device at `station`: its queue towards the bus holds one frame.
    fn attach(&mut self, station: Station);

    /// Has `station` send `frame`; nobody hears it before [`BusUnderTest::settle`].
    fn send(&mut self, station: Station, frame: Frame);

    /// Lets the bus run until nothing is on the wire and nothing that could be waits.
    fn settle(&mut self);

    /// Returns the next frame that `station` has heard.
    fn receive(&mut self, station: Station) -> Option<Received>;

    /// Connects or cuts the station's cable.
    fn set_cable(&mut self, station: Station, cable: Cable);

    /// Ends the station's process without good-bye.
    fn kill(&mut self, station: Station);

    /// Returns the first identifier that had two senders: who sent on it first, and who else did.
    fn two_senders(&self) -> Option<(u16, Station, Station)>;
}

/// Checks all facts, each on a bus of its own.
pub fn check_all<B: BusUnderTest>(mut new: impl FnMut() -> B) {
    every_frame_reaches_every_station_in_one_order(new());
    if new().medium().has_wire {
        the_lower_identifier_goes_first_when_several_wait(new());
        frames_take_the_time_that_the_bitrate_says(new());
    }
    a_newer_frame_replaces_the_one_that_waits(new());
    a_station_whose_sending_is_cut_hears_and_is_not_heard(new());
    a_station_whose_hearing_is_cut_is_heard_and_hears_nothing(new());
    a_killed_station_disturbs_nobody_and_its_successor_takes_its_place(new());
    what_a_killed_station_had_waiting_dies_with_it(new());
    a_station_that_does_not_read_disturbs_nobody(new());
    if new().medium().reports_two_senders {
        an_identifier_with_two_senders_is_reported(new());
    }
}

/// Every station hears all frames of the others, none of its own, in the one order of the bus.
pub fn every_frame_reaches_every_station_in_one_order<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 4);
    for round in 0..5 {
        for station in &all {
            bus.send(*station, frame(id_of(*station), round));
        }
        bus.settle();
    }
    let heard: Vec<_> = all.iter().map(|station| frames(&mut bus, *station)).collect();
    for (hearer, its_frames) in all.iter().zip(&heard) {
        assert_eq!(its_frames.len(), 15, "{hearer:?} hears each frame of three others once");
        assert!(its_frames.iter().all(|frame| frame.id != id_of(*hearer)), "{hearer:?} does not hear itself");
        for (other, other_frames) in all.iter().zip(&heard) {
            let both_hear = |frame: &&Frame| ![id_of(*hearer), id_of(*other)].contains(&frame.id);
            let mine: Vec<_> = its_frames.iter().filter(both_hear).collect();
            let theirs: Vec<_> = other_frames.iter().filter(both_hear).collect();
            assert_eq!(mine, theirs, "{hearer:?} and {other:?} hear one order");
        }
    }
}

/// Of the frames that wait, the one with the lowest identifier is next, whoever sent first.
pub fn the_lower_identifier_goes_first_when_several_wait<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 5);
    bus.send(all[0], frame(FIRST, 0));
    for (station, id) in all[1..4].iter().zip([0x300, 0x100, 0x200]) {
        bus.send(*station, frame(id, 0));
    }
    bus.settle();
    let ids: Vec<_> = frames(&mut bus, all[4]).iter().map(|frame| frame.id).collect();
    assert_eq!(ids, [FIRST, 0x100, 0x200, 0x300], "the lower identifier goes first");
}

/// Frames that wait follow each other at the distance of one frame's time, and none is there early.
pub fn frames_take_the_time_that_the_bitrate_says<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 5);
    let began = bus.now();
    for station in &all[..4] {
        bus.send(*station, frame(id_of(*station), 0));
    }
    bus.settle();
    let one = frame_time(&frame(FIRST, 0), bus.bitrate());
    let heard: Vec<_> = std::iter::from_fn(|| bus.receive(all[4])).collect();
    assert_eq!(heard.len(), 4, "all four frames are heard");
    for (count, received) in (1..).zip(&heard) {
        let took = received.at.since(began);
        assert!(took >= one * count, "frame {count} was there after {took:?}, before its last bit");
        if let Some(lateness_max) = bus.lateness_max() {
            assert!(took <= one * count + lateness_max, "frame {count} took {took:?} on an idle bus");
        }
    }
    for pair in heard.windows(2) {
        assert_eq!(pair[1].at.since(pair[0].at), one, "frames that wait follow each other without a gap");
    }
}

/// What missed its cycle is dropped, not sent late: a device's queue holds one frame, its newest.
pub fn a_newer_frame_replaces_the_one_that_waits<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    bus.send(all[0], frame(FIRST, 0));
    for byte in 0..10 {
        bus.send(all[1], frame(0x100, byte));
    }
    bus.settle();
    let mut heard = vec![frame(FIRST, 0)];
    heard.extend((0..10).take(bus.medium().mailbox).map(|byte| frame(0x100, byte)));
    heard.push(frame(0x100, 9));
    assert_eq!(frames(&mut bus, all[2]), heard, "only the newest waits");
}

/// Cut towards the bus: the others do not hear the station, it hears them. Mended, its newest frame goes out.
pub fn a_station_whose_sending_is_cut_hears_and_is_not_heard<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    bus.set_cable(all[0], Cable { to_bus: false, from_bus: true });
    for byte in 0..3 {
        bus.send(all[0], frame(0x100, byte));
        bus.send(all[1], frame(0x101, byte));
        bus.settle();
    }
    let others = [0, 1, 2].map(|byte| frame(0x101, byte));
    assert_eq!(frames(&mut bus, all[0]), others, "it hears the others");
    assert_eq!(frames(&mut bus, all[2]), others, "it is not heard");
    bus.set_cable(all[0], Cable::WHOLE);
    bus.settle();
    let waited = if bus.medium().waits_behind_a_cut { vec![frame(0x100, 2)] } else { Vec::new() };
    assert_eq!(frames(&mut bus, all[2]), waited, "behind the cut its newest frame waited, and no other");
    bus.send(all[0], frame(0x100, 3));
    bus.settle();
    assert_eq!(frames(&mut bus, all[2]), [frame(0x100, 3)], "a mended cable carries again");
}

/// Cut from the bus: the station hears nothing, the others hear it. Mended, it hears what comes then.
pub fn a_station_whose_hearing_is_cut_is_heard_and_hears_nothing<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    bus.set_cable(all[0], Cable { to_bus: true, from_bus: false });
    bus.send(all[0], frame(0x100, 0));
    bus.send(all[1], frame(0x101, 0));
    bus.settle();
    assert_eq!(frames(&mut bus, all[0]), [], "it hears nothing");
    assert_eq!(frames(&mut bus, all[2]), [frame(0x100, 0), frame(0x101, 0)], "it is heard");
    bus.set_cable(all[0], Cable::WHOLE);
    bus.send(all[1], frame(0x101, 1));
    bus.settle();
    assert_eq!(frames(&mut bus, all[0]), [frame(0x101, 1)], "nothing of the past comes through a mended cable");
}

/// A station's death takes no frame of others and no place.
pub fn a_killed_station_disturbs_nobody_and_its_successor_takes_its_place<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    bus.send(all[0], frame(0x100, 0));
    bus.settle();
    assert_eq!(frames(&mut bus, all[2]), [frame(0x100, 0)], "a living station is heard");
    // It dies with frames unread, and with others' frames on their way.
    bus.send(all[1], frame(0x101, 0));
    bus.kill(all[0]);
    bus.settle();
    bus.send(all[1], frame(0x101, 1));
    bus.settle();
    assert_eq!(frames(&mut bus, all[2]), [frame(0x101, 0), frame(0x101, 1)], "a death takes no frame of others");

    bus.attach(all[0]);
    bus.settle();
    bus.send(all[0], frame(0x100, 1));
    bus.send(all[1], frame(0x101, 2));
    bus.settle();
    assert_eq!(frames(&mut bus, all[0]), [frame(0x101, 2)], "the successor hears what comes after it");
    assert_eq!(frames(&mut bus, all[2]), [frame(0x100, 1), frame(0x101, 2)], "the successor is heard");
    assert_eq!(bus.two_senders(), None, "a successor is no second sender");
}

/// A dead station sends nothing any more, even when the cable that held its frame back is mended.
pub fn what_a_killed_station_had_waiting_dies_with_it<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 2);
    bus.set_cable(all[0], Cable { to_bus: false, from_bus: true });
    bus.send(all[0], frame(0x100, 0));
    bus.settle();
    bus.kill(all[0]);
    bus.settle();
    bus.set_cable(all[0], Cable::WHOLE);
    bus.settle();
    assert_eq!(frames(&mut bus, all[1]), [], "the dead send nothing");
}

/// A station that sleeps misses frames of its own; the others hear all of theirs, and it hears again when it reads.
pub fn a_station_that_does_not_read_disturbs_nobody<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    for byte in 0..UNREAD {
        bus.send(all[1], frame(0x101, byte));
        bus.settle();
        assert_eq!(frames(&mut bus, all[2]), [frame(0x101, byte)], "a sleeper delays nobody");
    }
    let woken = frames(&mut bus, all[0]);
    assert!(woken.len() < usize::from(UNREAD), "a queue is bounded; this one held {}", woken.len());
    assert!((0..).zip(&woken).all(|(byte, heard)| *heard == frame(0x101, byte)), "what is kept is the oldest");
    bus.send(all[1], frame(0x101, UNREAD));
    bus.settle();
    assert_eq!(frames(&mut bus, all[0]), [frame(0x101, UNREAD)], "who reads hears again");
}

/// Two senders on one identifier are reported, by name, and stay reported.
pub fn an_identifier_with_two_senders_is_reported<B: BusUnderTest>(mut bus: B) {
    let all = attach(&mut bus, 3);
    bus.send(all[1], frame(0x100, 0));
    bus.settle();
    assert_eq!(bus.two_senders(), None, "one sender is none too many");
    bus.send(all[0], frame(0x100, 1));
    bus.settle();
    assert_eq!(bus.two_senders(), Some((0x100, all[1], all[0])), "two senders on one identifier");
    bus.send(all[1], frame(0x100, 2));
    bus.settle();
    assert_eq!(bus.two_senders(), Some((0x100, all[1], all[0])), "it stays reported");
}

/// Attaches the first `count` stations.
fn attach<B: BusUnderTest>(bus: &mut B, count: u8) -> Vec<Station> {
    let all: Vec<_> = (0..count).map_while(Station::new).collect();
    for station in &all {
        bus.attach(*station);
    }
    bus.settle();
    all
}

/// Returns the identifier that `station` sends on where each has one of its own.
fn id_of(station: Station) -> u16 {
    0x100 + u16::from(station.index().to_le_bytes()[0])
}

fn frame(id: u16, byte: u8) -> Frame {
    Frame { id, len: 8, data: [byte; 8] }
}

/// Returns what `station` has heard since the last call.
fn frames<B: BusUnderTest>(bus: &mut B, station: Station) -> Vec<Frame> {
    std::iter::from_fn(|| bus.receive(station)).map(|received| received.frame).collect()
}

/// The bus in virtual time: `hal`'s arbiter with a bounded mailbox a station.
#[derive(Clone, Debug)]
pub struct ModelBus {
    arbiter: Arbiter,
    bitrate: u32,
    now: Instant,
    mailboxes: [VecDeque<Received>; STATIONS],
    two_senders: Option<(u16, Station, Station)>,
}

impl ModelBus {
    /// How many frames a station that does not read keeps; what comes then is lost.
    const MAILBOX_MAX: usize = 64;

    /// Returns a bus of `bitrate` bits a second.
    #[must_use]
    pub fn new(bitrate: u32) -> Self {
        let mailboxes = std::array::from_fn(|_| VecDeque::new());
        Self { arbiter: Arbiter::new(bitrate), bitrate, now: Instant::ZERO, mailboxes, two_senders: None }
    }
}

impl BusUnderTest for ModelBus {
    fn bitrate(&self) -> u32 {
        self.bitrate
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn lateness_max(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn attach(&mut self, station: Station) {
        self.mailboxes[station.index()].clear();
        self.arbiter.attach(station, 1);
    }

    fn send(&mut self, station: Station, frame: Frame) {
        match self.arbiter.offer(self.now, station, frame) {
            Offer::Queued | Offer::Replaced(_) => {}
            Offer::TwoSenders { id, first } => {
                self.two_senders.get_or_insert((id, first, station));
            }
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.arbiter.next_event() {
            self.now = self.now.max(event);
            let Some(delivery) = self.arbiter.poll(self.now) else { continue };
            let received = Received { at: delivery.at, frame: delivery.frame };
            for station in (0..=u8::MAX).map_while(Station::new).filter(|station| delivery.is_heard_by(*station)) {
                let mailbox = &mut self.mailboxes[station.index()];
                if mailbox.len() < Self::MAILBOX_MAX {
                    mailbox.push_back(received);
                }
            }
        }
    }

    fn receive(&mut self, station: Station) -> Option<Received> {
        self.mailboxes[station.index()].pop_front()
    }

    fn set_cable(&mut self, station: Station, cable: Cable) {
        self.arbiter.set_cable(self.now, station, cable);
    }

    fn kill(&mut self, station: Station) {
        self.arbiter.detach(station);
    }

    fn two_senders(&self) -> Option<(u16, Station, Station)> {
        self.two_senders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_bus_conforms() {
        for bitrate in [125_000, 500_000, 1_000_000] {
            check_all(|| ModelBus::new(bitrate));
        }
    }
}
