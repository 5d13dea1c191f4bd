//! The vehicle's end of the bus: the arbiter, the stations of other processes, and the owner's own stations.
//!
//! No thread of its own: its owner calls [`Server::poll`], takes all of [`Server::next_delivery`], and
//! [`Server::wait`]s. Between those calls nothing happens on the bus. None of the three allocates.

// What is read here came from another process.
#![deny(clippy::arithmetic_side_effects)]

use super::packet::ToClient;
use super::seats::{BindError, Collected, Counters, Seats};
use arrayvec::ArrayVec;
use std::os::fd::BorrowedFd;
use twinhelm_hal::bus::{Arbiter, Cable, Delivery, Offer, QUEUE_MAX, STATIONS, Station};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::Received;
use twinhelm_hal::time::{Duration, Instant};

/// A device's queue towards the bus holds one frame: what missed its cycle is not sent late.
const CLIENT_DEPTH: usize = 1;
/// Every frame that the arbiter can hold, waiting and on the wire.
const DELIVERIES_MAX: usize = STATIONS * QUEUE_MAX + 1;

/// An identifier on which two stations have sent. The run cannot be trusted: on a real bus this is bit errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoSenders {
    /// The identifier.
    pub id: u16,
    /// Who sent on it first.
    pub first: Station,
    /// Who else did.
    pub second: Station,
}

/// Who misses a frame that is over the wire: a rig loses frames there, by [`Delivery::lose_at`].
pub trait Losses {
    /// Takes the receivers away that do not hear `delivery`.
    fn apply(&mut self, delivery: &mut Delivery);
}

/// Everybody hears everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLosses;

impl Losses for NoLosses {
    fn apply(&mut self, _delivery: &mut Delivery) {}
}

/// The bus of one vehicle.
///
/// # Invariants
/// Whatever was over the wire by `now` is delivered before anything is offered at `now`.
#[derive(Debug)]
pub struct Server<L: Losses = NoLosses> {
    seats: Seats,
    arbiter: Arbiter,
    delivered: ArrayVec<Delivery, DELIVERIES_MAX>,
    two_senders: Option<TwoSenders>,
    losses: L,
}

impl Server {
    /// Opens bus `name` with `bitrate` bits a second. It is gone with this process, however that ends.
    ///
    /// # Errors
    /// [`BindError`] says what stands against it.
    ///
    /// # Panics
    /// When `bitrate` is zero.
    pub fn bind(name: &str, bitrate: u32) -> Result<Self, BindError> {
        let arbiter = Arbiter::new(bitrate);
        let seats = Seats::bind(name)?;
        Ok(Self { seats, arbiter, delivered: ArrayVec::new(), two_senders: None, losses: NoLosses })
    }

    /// Returns the same bus, on which a frame is worth sending for `holds`: a period, as a station on a CAN bus has it.
    #[must_use]
    pub fn holding(self, holds: Duration) -> Self {
        Self { arbiter: self.arbiter.holding(holds), ..self }
    }

    /// Returns the same bus, on which frames are lost by `losses`.
    #[must_use]
    pub fn with_losses<L: Losses>(self, losses: L) -> Server<L> {
        let Self { seats, arbiter, delivered, two_senders, losses: NoLosses } = self;
        Server { seats, arbiter, delivered, two_senders, losses }
    }
}

impl<L: Losses> Server<L> {
    /// Returns what loses frames.
    pub const fn losses_mut(&mut self) -> &mut L {
        &mut self.losses
    }

    /// Attaches a station of the owner, with a queue of `depth` frames towards the bus. Whoever was there is detached.
    pub fn attach_local(&mut self, station: Station, depth: usize) {
        self.seats.take_local(station);
        self.arbiter.attach(station, depth);
    }

    /// Takes a frame from a station of the owner, or once more in the name of a client, when a rig has held it back.
    pub fn offer_local(&mut self, now: Instant, station: Station, frame: Frame) {
        self.deliver(now);
        self.offer(now, station, frame);
    }

    /// Connects or cuts a station's cable. The station need not be attached: a cable stays as it is.
    pub fn set_cable(&mut self, now: Instant, station: Station, cable: Cable) {
        self.deliver(now);
        self.arbiter.set_cable(now, station, cable);
    }

    /// Takes what the clients have sent: attaches new ones, detaches dead ones, offers each one's newest frame.
    ///
    /// What is taken in one call waits together, so the lower identifier goes first. `tap` may change or swallow what
    /// a client offers; a rig injects the faults of a bus there.
    pub fn poll<T: FnMut(Station, Frame) -> Option<Frame>>(&mut self, now: Instant, mut tap: T) {
        self.deliver(now);
        for station in self.seats.admit() {
            self.arbiter.attach(station, CLIENT_DEPTH);
        }
        let mut waiting = ArrayVec::<(Station, Frame), STATIONS>::new();
        for station in stations() {
            match self.seats.collect(station) {
                Collected::Nothing => {}
                Collected::Newest(frame) => waiting.extend(tap(station, frame).map(|frame| (station, frame))),
                // What waited for the wire is gone, what is on the wire goes on.
                Collected::Gone => self.arbiter.detach(station),
            }
        }
        waiting.sort_unstable_by_key(|(station, frame)| (frame.id, *station));
        for (station, frame) in waiting {
            self.offer(now, station, frame);
        }
    }

    /// Returns the next frame that was over the wire by `now`, oldest first. To be called until it returns `None`.
    ///
    /// The clients have been sent it already; the owner looks whether its own stations hear it.
    pub fn next_delivery(&mut self, now: Instant) -> Option<Delivery> {
        self.deliver(now);
        self.delivered.pop_at(0)
    }

    /// Returns when the frame on the wire will be over, or `None` when the bus is idle.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.arbiter.next_event()
    }

    /// Waits until a client has something, the frame on the wire is over, or `until` has come.
    pub fn wait(&self, until: Instant) {
        self.wait_also(until, None);
    }

    /// The same, or until `other` is readable: the owner's other wire.
    pub fn wait_also(&self, until: Instant, other: Option<BorrowedFd<'_>>) {
        self.seats.wait(self.next_event().map_or(until, |event| event.min(until)), other);
    }

    /// Returns whether `station` is attached, by a client or by the owner.
    #[must_use]
    pub const fn is_attached(&self, station: Station) -> bool {
        self.seats.is_taken(station)
    }

    /// Returns the first identifier that had two senders, once there was one.
    #[must_use]
    pub const fn two_senders(&self) -> Option<TwoSenders> {
        self.two_senders
    }

    /// Returns what did not get through.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.seats.counters
    }

    /// Sends what was over the wire by `now` to the clients that hear it, and keeps it for the owner.
    fn deliver(&mut self, now: Instant) {
        while let Some(mut delivery) = self.arbiter.poll(now) {
            self.losses.apply(&mut delivery);
            let packet = ToClient::Frame(Received { at: delivery.at, frame: delivery.frame }).encode();
            for station in stations().filter(|station| delivery.is_heard_by(*station)) {
                self.seats.send(station, &packet);
            }
            if self.delivered.is_full() {
                self.delivered.remove(0);
                self.seats.counters.untaken = self.seats.counters.untaken.saturating_add(1);
            }
            self.delivered.push(delivery);
        }
    }

    fn offer(&mut self, now: Instant, station: Station, frame: Frame) {
        match self.arbiter.offer(now, station, frame) {
            Offer::Queued => {}
            Offer::Replaced(_) => self.seats.counters.replaced = self.seats.counters.replaced.saturating_add(1),
            Offer::TwoSenders { id, first } => {
                self.two_senders.get_or_insert(TwoSenders { id, first, second: station });
            }
        }
    }
}

fn stations() -> impl Iterator<Item = Station> {
    (0..=u8::MAX).map_while(Station::new)
}
