//! The sockets of a bus: who sits at which station, who is at the door, what they have sent.
//!
//! Nothing here knows what a frame means or when it is on the bus; no call blocks but [`Seats::wait`].

// What is read here came from another process.
#![deny(clippy::arithmetic_side_effects)]

use super::packet::{TO_CLIENT, TO_SERVER, ToClient, decode_frame, decode_hello};
use super::{QUEUE_BYTES, address};
use crate::clock::{now, timespec};
use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{accept_with, bind, listen, recv, send, socket_with, sockopt};
use std::os::fd::{BorrowedFd, OwnedFd};
use twinhelm_hal::bus::{STATIONS, Station};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::time::{Duration, Instant};

/// How many connections may be open that have not said who they are. One more, and the oldest has to go.
const NEWCOMERS_MAX: usize = STATIONS;
/// How many packets one call takes from a client: all that fit into its queue ([`QUEUE_BYTES`]), with room to spare,
/// so that what is returned is its newest frame.
const PACKETS_PER_CALL: usize = 256;
/// And one that is the owner's.
const SOCKETS_MAX: usize = 1 + NEWCOMERS_MAX + STATIONS + 1;

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

/// What a client had to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// Nothing, or nobody is there.
    Nothing,
    /// Its newest frame.
    Newest(Frame),
    /// It is gone, and its seat is free.
    Gone,
}

/// The seats of one bus, and its door.
#[derive(Debug)]
pub struct Seats {
    listener: OwnedFd,
    seats: [Seat; STATIONS],
    newcomers: ArrayVec<OwnedFd, NEWCOMERS_MAX>,
    /// What the sockets lost; the bus adds what it lost itself.
    pub counters: Counters,
}

impl Seats {
    /// Opens the door of bus `name`.
    ///
    /// # Errors
    /// [`BindError`] says what stands against it.
    pub fn bind(name: &str) -> Result<Self, BindError> {
        let system = |source| match source {
            Errno::NAMETOOLONG => BindError::NameTooLong { name: name.to_owned() },
            Errno::ADDRINUSE => BindError::NameInUse { name: name.to_owned() },
            source => BindError::System { name: name.to_owned(), source },
        };
        let address = address(name).map_err(system)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(system)?;
        bind(&listener, &address).map_err(system)?;
        listen(&listener, i32::try_from(SOCKETS_MAX).unwrap_or(i32::MAX)).map_err(system)?;
        let seats = std::array::from_fn(|_| Seat::Free);
        Ok(Self { listener, seats, newcomers: ArrayVec::new(), counters: Counters::default() })
    }

    /// Gives `station` to the owner. A client that was there loses its connection.
    pub fn take_local(&mut self, station: Station) {
        self.seats[station.index()] = Seat::Local;
    }

    /// Returns whether somebody is at `station`.
    pub const fn is_taken(&self, station: Station) -> bool {
        match self.seats[station.index()] {
            Seat::Free => false,
            Seat::Local | Seat::Remote(_) => true,
        }
    }

    /// Opens the door, seats those who say who they are, and returns the stations that have a new client.
    pub fn admit(&mut self) -> ArrayVec<Station, NEWCOMERS_MAX> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..NEWCOMERS_MAX {
            let Ok(socket) = accept_with(&self.listener, flags) else { break };
            if self.newcomers.is_full() {
                self.newcomers.remove(0);
                self.counters.malformed = self.counters.malformed.saturating_add(1);
            }
            self.newcomers.push(socket);
        }
        let mut seated = ArrayVec::new();
        let mut index = 0;
        while index < self.newcomers.len() {
            let mut packet = [0; TO_SERVER];
            let answer = recv(&self.newcomers[index], &mut packet, RecvFlags::DONTWAIT);
            if matches!(answer, Err(Errno::AGAIN | Errno::INTR)) {
                index = index.saturating_add(1);
                continue;
            }
            let socket = self.newcomers.remove(index);
            let length = answer.map_or(0, |(_, length)| length);
            match packet.get(..length).and_then(decode_hello) {
                Some(station) => seated.extend(self.seat(station, socket)),
                None => self.counters.malformed = self.counters.malformed.saturating_add(1),
            }
        }
        seated
    }

    /// Gives `station` to the client behind `socket`, unless somebody is there, and returns the station then.
    fn seat(&mut self, station: Station, socket: OwnedFd) -> Option<Station> {
        let seat = &mut self.seats[station.index()];
        let is_free = match seat {
            Seat::Free => true,
            Seat::Local => false,
            // A successor need not wait until its predecessor's end is noticed by itself.
            Seat::Remote(predecessor) => is_dead(predecessor),
        };
        if !is_free {
            self.counters.refused = self.counters.refused.saturating_add(1);
            // Whether it hears the reason or not, its socket closes.
            let _ = send_now(&socket, &ToClient::Refused.encode());
            return None;
        }
        // Without the bound a client that sleeps would hold more of the past; the kernel's default is as good a bus.
        let _ = sockopt::set_socket_send_buffer_size(&socket, QUEUE_BYTES);
        // The first packet in an empty queue has room; a client that died meanwhile is found by `collect`.
        let _ = send_now(&socket, &ToClient::Welcome.encode());
        *seat = Seat::Remote(socket);
        Some(station)
    }

    /// Reads all that the client at `station` has sent.
    pub fn collect(&mut self, station: Station) -> Collected {
        let Seat::Remote(socket) = &self.seats[station.index()] else { return Collected::Nothing };
        let mut newest = None;
        for _ in 0..PACKETS_PER_CALL {
            let mut packet = [0; TO_SERVER];
            let length = match recv(socket, &mut packet, RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => length,
                Err(Errno::AGAIN | Errno::INTR) => break,
                // Nothing of no length is ever sent: the client is gone, with or without good-bye.
                Ok(_) | Err(_) => {
                    self.seats[station.index()] = Seat::Free;
                    return Collected::Gone;
                }
            };
            match packet.get(..length).and_then(decode_frame) {
                Some(frame) => {
                    let replaced = u64::from(newest.replace(frame).is_some());
                    self.counters.replaced = self.counters.replaced.saturating_add(replaced);
                }
                None => self.counters.malformed = self.counters.malformed.saturating_add(1),
            }
        }
        newest.map_or(Collected::Nothing, Collected::Newest)
    }

    /// Sends `packet` to the client at `station`, if there is one and it has room.
    pub fn send(&mut self, station: Station, packet: &[u8; TO_CLIENT]) {
        let Seat::Remote(socket) = &self.seats[station.index()] else { return };
        // A dead client, any other error, is found by `collect`.
        let is_unread = send_now(socket, packet) == Err(Errno::AGAIN);
        self.counters.unread = self.counters.unread.saturating_add(u64::from(is_unread));
    }

    /// Waits until somebody has sent something, or is gone, or at the door, or `other` is readable, or `until` has come.
    pub fn wait(&self, until: Instant, other: Option<BorrowedFd<'_>>) {
        let mut sockets = ArrayVec::<PollFd<'_>, SOCKETS_MAX>::new();
        sockets.push(PollFd::new(&self.listener, PollFlags::IN));
        sockets.extend(self.newcomers.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        for seat in &self.seats {
            match seat {
                Seat::Free | Seat::Local => {}
                Seat::Remote(socket) => sockets.push(PollFd::new(socket, PollFlags::IN)),
            }
        }
        sockets.extend(other.as_ref().map(|other| PollFd::new(other, PollFlags::IN)));
        // A signal ends the wait early, as a packet would.
        let _woken = poll(&mut sockets, Some(&timespec(until.since(now()))));
    }
}

/// Returns whether the other end of `socket` is closed.
fn is_dead(socket: &OwnedFd) -> bool {
    let mut state = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut state, Some(&timespec(Duration::ZERO))).is_ok()
        && state[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

fn send_now(socket: &OwnedFd, packet: &[u8]) -> Result<(), Errno> {
    send(socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}
