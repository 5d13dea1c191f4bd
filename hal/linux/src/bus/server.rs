//! The vehicle's end of the bus: the arbiter, the sockets of the stations, and the owner's own stations.
//!
//! No thread of its own: its owner calls [`Server::poll`], takes all of [`Server::next_delivery`], and
//! [`Server::wait`]s. Between those calls nothing happens on the bus. None of the three allocates.

use super::packet::{TO_SERVER, ToClient, decode_frame, decode_hello};
use super::{QUEUE_BYTES, address};
use crate::clock::{now, timespec};
use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{accept_with, bind, listen, recv, send, socket_with, sockopt};
use std::os::fd::OwnedFd;
use twinhelm_hal::bus::{Arbiter, Cable, Delivery, Offer, QUEUE_MAX, STATIONS, Station};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::Received;
use twinhelm_hal::time::Instant;

/// How many connections may be open that have not said who they are. One more, and the oldest has to go.
const NEWCOMERS_MAX: usize = STATIONS;
/// How many packets of one client a poll takes: all that fit into its queue ([`QUEUE_BYTES`]), with room to spare,
/// so that what goes to the arbiter is its newest frame.
const PACKETS_PER_POLL: usize = 256;
/// A device's queue towards the bus holds one frame: what missed its cycle is not sent late.
const CLIENT_DEPTH: usize = 1;
/// Every frame that the arbiter can hold, waiting and on the wire.
const DELIVERIES_MAX: usize = STATIONS * QUEUE_MAX + 1;
const SOCKETS_MAX: usize = 1 + NEWCOMERS_MAX + STATIONS;

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process owns the bus.
    #[error("the bus name {name:?} is in use: end the other vehicle process, or choose another name")]
    NameInUse {
        /// The name.
        name: String,
    },
    /// The name does not fit into an address.
    #[error("the bus name {name:?} is too long: at most 90 bytes")]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// The kernel refused.
    #[error("opening the bus {name:?}")]
    System {
        /// The name.
        name: String,
        /// What it said.
        #[source]
        source: Errno,
    },
}

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

/// What did not get through, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that a newer one of the same station replaced before they were on the wire.
    pub replaced: u64,
    /// Frames that a station did not hear because it had not read those before.
    pub unread: u64,
    /// Packets that are no frame, and connections that did not say who they are.
    pub malformed: u64,
    /// Connections for a station that was taken.
    pub refused: u64,
    /// Deliveries that the owner did not take.
    pub untaken: u64,
}

/// Who is at a station.
#[derive(Debug)]
enum Seat {
    Free,
    /// The owner itself.
    Local,
    /// Another process.
    Remote(OwnedFd),
}

/// What a client's socket had to give.
struct Letters {
    /// The newest frame.
    newest: Option<Frame>,
    /// The other end is still there.
    is_open: bool,
}

/// The bus of one vehicle.
///
/// # Invariants
/// Whatever was over the wire by `now` is delivered before anything is offered at `now`.
#[derive(Debug)]
pub struct Server {
    listener: OwnedFd,
    arbiter: Arbiter,
    seats: [Seat; STATIONS],
    newcomers: ArrayVec<OwnedFd, NEWCOMERS_MAX>,
    delivered: ArrayVec<Delivery, DELIVERIES_MAX>,
    two_senders: Option<TwoSenders>,
    counters: Counters,
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
        let system = |source| match source {
            Errno::NAMETOOLONG => BindError::NameTooLong { name: name.to_owned() },
            Errno::ADDRINUSE => BindError::NameInUse { name: name.to_owned() },
            source => BindError::System { name: name.to_owned(), source },
        };
        let address = address(name).map_err(system)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(system)?;
        // A socket that was accepted has its listener's buffer size.
        sockopt::set_socket_send_buffer_size(&listener, QUEUE_BYTES).map_err(system)?;
        bind(&listener, &address).map_err(system)?;
        listen(&listener, i32::try_from(SOCKETS_MAX).unwrap_or(i32::MAX)).map_err(system)?;
        Ok(Self {
            listener,
            arbiter: Arbiter::new(bitrate),
            seats: std::array::from_fn(|_| Seat::Free),
            newcomers: ArrayVec::new(),
            delivered: ArrayVec::new(),
            two_senders: None,
            counters: Counters::default(),
        })
    }

    /// Attaches a station of the owner, with a queue of `depth` frames towards the bus. Whoever was there is detached.
    pub fn attach_local(&mut self, station: Station, depth: usize) {
        self.seats[station.index()] = Seat::Local;
        self.arbiter.attach(station, depth);
    }

    /// Takes a frame from a station of the owner.
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
        let mut waiting = ArrayVec::<(u16, Station, Frame), STATIONS>::new();
        self.admit();
        for station in stations() {
            let frame = self.collect(station).and_then(|frame| tap(station, frame));
            waiting.extend(frame.map(|frame| (frame.id, station, frame)));
        }
        waiting.sort_unstable_by_key(|(id, station, _)| (*id, *station));
        for (_, station, frame) in waiting {
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
        let until = self.next_event().map_or(until, |event| event.min(until));
        let mut sockets = ArrayVec::<PollFd<'_>, SOCKETS_MAX>::new();
        sockets.push(PollFd::new(&self.listener, PollFlags::IN));
        sockets.extend(self.newcomers.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        for seat in &self.seats {
            match seat {
                Seat::Free | Seat::Local => {}
                Seat::Remote(socket) => sockets.push(PollFd::new(socket, PollFlags::IN)),
            }
        }
        // A signal ends the wait early, as a packet would.
        let _woken = poll(&mut sockets, Some(&timespec(until.since(now()))));
    }

    /// Returns whether `station` is attached, by a client or by the owner.
    #[must_use]
    pub const fn is_attached(&self, station: Station) -> bool {
        match self.seats[station.index()] {
            Seat::Free => false,
            Seat::Local | Seat::Remote(_) => true,
        }
    }

    /// Returns the first identifier that had two senders, once there was one.
    #[must_use]
    pub const fn two_senders(&self) -> Option<TwoSenders> {
        self.two_senders
    }

    /// Returns what did not get through.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends what was over the wire by `now` to the clients that hear it, and keeps it for the owner.
    fn deliver(&mut self, now: Instant) {
        while let Some(delivery) = self.arbiter.poll(now) {
            let packet = ToClient::Frame(Received { at: delivery.at, frame: delivery.frame }).encode();
            for station in stations().filter(|station| delivery.is_heard_by(*station)) {
                let Seat::Remote(socket) = &self.seats[station.index()] else { continue };
                match send_now(socket, &packet) {
                    Err(Errno::AGAIN) => self.counters.unread += 1,
                    // A dead client is found when its letters are collected.
                    Ok(()) | Err(_) => {}
                }
            }
            if self.delivered.is_full() {
                self.delivered.remove(0);
                self.counters.untaken += 1;
            }
            self.delivered.push(delivery);
        }
    }

    fn offer(&mut self, now: Instant, station: Station, frame: Frame) {
        match self.arbiter.offer(now, station, frame) {
            Offer::Queued => {}
            Offer::Replaced(_) => self.counters.replaced += 1,
            Offer::TwoSenders { id, first } => {
                self.two_senders.get_or_insert(TwoSenders { id, first, second: station });
            }
        }
    }

    /// Accepts connections and seats those that have said who they are.
    fn admit(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..NEWCOMERS_MAX {
            let Ok(socket) = accept_with(&self.listener, flags) else { break };
            if self.newcomers.is_full() {
                self.newcomers.remove(0);
                self.counters.malformed += 1;
            }
            self.newcomers.push(socket);
        }
        let mut index = 0;
        while index < self.newcomers.len() {
            let mut packet = [0; TO_SERVER];
            let answer = recv(&self.newcomers[index], &mut packet, RecvFlags::DONTWAIT);
            if matches!(answer, Err(Errno::AGAIN | Errno::INTR)) {
                index += 1;
                continue;
            }
            let socket = self.newcomers.remove(index);
            let length = answer.map_or(0, |(_, length)| length);
            match packet.get(..length).and_then(decode_hello) {
                Some(station) => self.seat(station, socket),
                None => self.counters.malformed += 1,
            }
        }
    }

    /// Gives `station` to the client behind `socket`, unless somebody is there.
    fn seat(&mut self, station: Station, socket: OwnedFd) {
        self.detach_if_dead(station);
        if self.is_attached(station) {
            self.counters.refused += 1;
            // Whether it hears the reason or not, its socket closes.
            drop(send_now(&socket, &ToClient::Refused.encode()));
            return;
        }
        // The first packet in an empty queue has room; a client that died meanwhile is found by `collect`.
        drop(send_now(&socket, &ToClient::Welcome.encode()));
        self.seats[station.index()] = Seat::Remote(socket);
        self.arbiter.attach(station, CLIENT_DEPTH);
    }

    /// Frees the seat of a client that is gone, so that its successor need not wait for the next poll.
    fn detach_if_dead(&mut self, station: Station) {
        let Seat::Remote(socket) = &self.seats[station.index()] else { return };
        let mut state = [PollFd::new(socket, PollFlags::empty())];
        let is_dead = poll(&mut state, Some(&timespec(std::time::Duration::ZERO))).is_ok()
            && state[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
        if is_dead {
            self.detach(station);
        }
    }

    /// Returns the newest frame of the client at `station`, and detaches it when it is gone.
    fn collect(&mut self, station: Station) -> Option<Frame> {
        let Seat::Remote(socket) = &self.seats[station.index()] else { return None };
        let letters = read_letters(socket, &mut self.counters);
        if letters.is_open {
            return letters.newest;
        }
        self.detach(station);
        None
    }

    /// Frees a seat; what waited for the wire is gone, what is on the wire goes on.
    fn detach(&mut self, station: Station) {
        self.seats[station.index()] = Seat::Free;
        self.arbiter.detach(station);
    }
}

/// Reads all that a client has sent.
fn read_letters(socket: &OwnedFd, counters: &mut Counters) -> Letters {
    let mut newest = None;
    for _ in 0..PACKETS_PER_POLL {
        let mut packet = [0; TO_SERVER];
        let length = match recv(socket, &mut packet, RecvFlags::DONTWAIT) {
            Ok((_, length)) if length > 0 => length,
            Err(Errno::AGAIN | Errno::INTR) => break,
            // Nothing of no length is ever sent: the client is gone, with or without good-bye.
            Ok(_) | Err(_) => return Letters { newest: None, is_open: false },
        };
        match packet.get(..length).and_then(decode_frame) {
            Some(frame) => counters.replaced += u64::from(newest.replace(frame).is_some()),
            None => counters.malformed += 1,
        }
    }
    Letters { newest, is_open: true }
}

fn send_now(socket: &OwnedFd, packet: &[u8]) -> Result<(), Errno> {
    send(socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}

fn stations() -> impl Iterator<Item = Station> {
    (0..=u8::MAX).map_while(Station::new)
}
