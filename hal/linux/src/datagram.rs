//! Readings for the devices: small packets of which a reader takes the newest.
//!
//! Simulated sensors have no bus. On one machine each device has a mailbox of its own in Linux's abstract namespace; on the
//! rig of boards it is a UDP port. The vehicle process puts packets in without asking who is there. The bytes mean something
//! to others only.
//!
//! A full mailbox loses the *newer* packet, so a reader that was asleep finds old ones first. That is why each packet
//! carries the instant at which it was published: the reader sees the age of what it has. Between two machines that instant
//! says nothing, and the reader takes the one at which it looked: what the network takes is not seen.

// What is read here came from another process.
#![deny(clippy::arithmetic_side_effects)]

use crate::clock::now;
use crate::names::abstract_address;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, recv, sendto, socket_with};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};

/// How many bytes one packet may have, its instant not counted.
pub const BYTES_MAX: usize = 256;
/// The publisher's instant, in nanoseconds, in front of each packet.
const STAMP: usize = 8;
const PACKET_MAX: usize = STAMP + BYTES_MAX;
/// How many packets one call drains: more than a mailbox holds (`net.unix.max_dgram_qlen`, 10 or 512).
const PACKETS_PER_CALL: usize = 1024;

/// A packet that is older than the one before it by less was overtaken on its way; by more, its publisher has started again.
const OVERTAKEN_MAX: Duration = Duration::from_secs(1);

/// Why there is no mailbox or no publisher.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    /// Another process reads for this slot.
    #[error("the readings of slot {slot} of {name:?} are in use: end the other process, or choose another slot")]
    InUse {
        /// The vehicle.
        name: String,
        /// The slot.
        slot: Slot,
    },
    /// The name does not fit into an address.
    #[error("the name {name:?} is too long: at most 80 bytes")]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// The kernel refused.
    #[error("opening the readings of {name:?}")]
    System {
        /// The name.
        name: String,
        /// What it said.
        #[source]
        source: Errno,
    },
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Published {
    /// It lies in the mailbox.
    Delivered,
    /// Nobody reads for this slot.
    NobodyThere,
    /// The mailbox is full: its reader sleeps. The packet is dropped.
    Dropped,
}

/// The vehicle's side: puts packets into the devices' mailboxes.
#[derive(Debug)]
pub struct Publisher {
    socket: OwnedFd,
    mailboxes: Mailboxes,
}

#[derive(Debug)]
enum Mailboxes {
    Here(Box<[SocketAddrUnix; SLOTS as usize]>),
    /// Of left and right.
    Elsewhere([SocketAddr; 2]),
}

impl Publisher {
    /// Returns a publisher to the mailboxes of vehicle `name`, whether they exist already or not.
    ///
    /// # Errors
    /// [`ReadingsError`] says what stands against it.
    pub fn new(name: &str) -> Result<Self, ReadingsError> {
        let socket = datagram_socket().map_err(|source| error(name, None, source))?;
        // Each element is replaced at once; the address type has no empty value that it shows as such.
        let mut mailboxes = std::array::from_fn(|_| SocketAddrUnix::new_unnamed());
        for slot in (0..SLOTS).filter_map(Slot::new) {
            mailboxes[slot.index()] = mailbox(name, slot).map_err(|source| error(name, None, source))?;
        }
        Ok(Self { socket, mailboxes: Mailboxes::Here(Box::new(mailboxes)) })
    }

    /// Returns a publisher to the UDP ports of left and right.
    ///
    /// # Errors
    /// [`ReadingsError`] says what stands against it.
    pub fn to_boards(boards: [SocketAddr; 2]) -> Result<Self, ReadingsError> {
        let socket = udp_socket(boards[0]).map_err(|source| error(&boards[0].to_string(), None, source))?;
        Ok(Self { socket, mailboxes: Mailboxes::Elsewhere(boards) })
    }

    /// Puts `bytes`, published at `now`, into the mailbox of `slot`. Never blocks.
    ///
    /// # Panics
    /// When `bytes` are more than [`BYTES_MAX`]: what is published has a fixed form.
    pub fn publish(&mut self, now: Instant, slot: Slot, bytes: &[u8]) -> Published {
        assert!(bytes.len() <= BYTES_MAX, "readings of {} bytes exceed {BYTES_MAX}", bytes.len());
        let mut packet = [0; PACKET_MAX];
        packet[..STAMP].copy_from_slice(&now.as_nanos().to_le_bytes());
        let whole = STAMP.saturating_add(bytes.len());
        packet[STAMP..whole].copy_from_slice(bytes);
        let packet = &packet[..whole];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match &self.mailboxes {
            Mailboxes::Here(mailboxes) => sendto(&self.socket, packet, flags, &mailboxes[slot.index()]),
            Mailboxes::Elsewhere(boards) => match boards.get(slot.index()) {
                Some(board) => sendto(&self.socket, packet, flags, board),
                None => Err(Errno::CONNREFUSED),
            },
        };
        match sent {
            Ok(_) => Published::Delivered,
            Err(Errno::CONNREFUSED) => Published::NobodyThere,
            Err(_) => Published::Dropped,
        }
    }
}

/// A device's side: its mailbox.
#[derive(Debug)]
pub struct Readings {
    mailbox: OwnedFd,
    /// The publisher has another clock.
    is_elsewhere: bool,
    /// The publisher's instant of the newest packet taken. A network may bring an older one behind it.
    last: Option<Instant>,
    malformed: u64,
}

impl Readings {
    /// Opens the mailbox of `slot` of vehicle `name`. It is gone with this process, however that ends.
    ///
    /// # Errors
    /// [`ReadingsError`] says what stands against it.
    pub fn connect(name: &str, slot: Slot) -> Result<Self, ReadingsError> {
        let error = |source| error(name, Some(slot), source);
        let socket = datagram_socket().map_err(error)?;
        bind(&socket, &mailbox(name, slot).map_err(error)?).map_err(error)?;
        Ok(Self { mailbox: socket, is_elsewhere: false, last: None, malformed: 0 })
    }

    /// Opens a UDP port for readings of a vehicle on another machine.
    ///
    /// # Errors
    /// [`ReadingsError`] says what stands against it.
    pub fn listen(at: SocketAddr, slot: Slot) -> Result<Self, ReadingsError> {
        let error = |source| error(&at.to_string(), Some(slot), source);
        let socket = udp_socket(at).map_err(error)?;
        bind(&socket, &at).map_err(error)?;
        Ok(Self { mailbox: socket, is_elsewhere: true, last: None, malformed: 0 })
    }

    /// Empties the mailbox, writes the newest packet's bytes to `bytes`, and returns when it was published (by this
    /// machine's monotonic clock; from another machine: now) and how many bytes it has. `None` when nothing came since the last call.
    pub fn newest(&mut self, bytes: &mut [u8; BYTES_MAX]) -> Option<(Instant, usize)> {
        let mut newest = None;
        for _ in 0..PACKETS_PER_CALL {
            let mut packet = [0; PACKET_MAX];
            let Ok((_, length)) = recv(&self.mailbox, &mut packet, RecvFlags::DONTWAIT | RecvFlags::TRUNC) else {
                break;
            };
            let Some((stamp, content)) = packet.get(..length).and_then(<[u8]>::split_first_chunk::<STAMP>) else {
                self.malformed = self.malformed.saturating_add(1);
                continue;
            };
            let published = Instant::from_nanos(u64::from_le_bytes(*stamp));
            if self.last.is_some_and(|last| published <= last && last.since(published) < OVERTAKEN_MAX) {
                continue;
            }
            self.last = Some(published);
            bytes[..content.len()].copy_from_slice(content);
            newest = Some((if self.is_elsewhere { now() } else { published }, content.len()));
        }
        newest
    }

    /// Returns how many packets were no readings.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }
}

fn mailbox(name: &str, slot: Slot) -> Result<SocketAddrUnix, Errno> {
    abstract_address(format_args!("twinhelm/readings/{name}/{slot}"))
}

fn udp_socket(peer: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if peer.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::DGRAM, flags, None)
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

fn error(name: &str, slot: Option<Slot>, source: Errno) -> ReadingsError {
    let name = name.to_owned();
    match (source, slot) {
        (Errno::ADDRINUSE, Some(slot)) => ReadingsError::InUse { name, slot },
        (Errno::NAMETOOLONG, _) => ReadingsError::NameTooLong { name },
        (source, _) => ReadingsError::System { name, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(test: &str) -> String {
        format!("{test}-{}", std::process::id())
    }

    #[test]
    fn a_reader_takes_the_newest_and_then_nothing() {
        let name = name("newest");
        let mut publisher = Publisher::new(&name).unwrap();
        let mut readings = Readings::connect(&name, Slot::RIGHT).unwrap();
        let published = now();
        for byte in 0..5 {
            let at = published + Duration::from_nanos(u64::from(byte));
            assert_eq!(publisher.publish(at, Slot::RIGHT, &[byte; 3]), Published::Delivered);
        }
        assert_eq!(publisher.publish(published, Slot::LEFT, &[9]), Published::NobodyThere);
        let mut bytes = [0; BYTES_MAX];
        let (at, length) = readings.newest(&mut bytes).unwrap();
        assert_eq!((at.since(published).as_nanos(), &bytes[..length]), (4, [4; 3].as_slice()));
        assert_eq!(readings.newest(&mut bytes), None);
    }

    #[test]
    fn a_full_mailbox_loses_the_newer_packets_and_keeps_the_ages() {
        let name = name("full");
        let mut publisher = Publisher::new(&name).unwrap();
        let mut readings = Readings::connect(&name, Slot::LEFT).unwrap();
        let mut delivered = 0;
        while publisher.publish(Instant::from_nanos(delivered), Slot::LEFT, &[]) == Published::Delivered {
            delivered += 1;
        }
        let newest = readings.newest(&mut [0; BYTES_MAX]);
        assert_eq!(newest, Some((Instant::from_nanos(delivered - 1), 0)));
        assert_eq!(publisher.publish(Instant::ZERO, Slot::LEFT, &[]), Published::Delivered);
    }

    #[test]
    fn readings_of_another_machine_are_as_old_as_the_look_at_them() {
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut readings = Readings::listen(at, Slot::RIGHT).unwrap();
        let bound = rustix::net::getsockname(&readings.mailbox).unwrap();
        let bound = SocketAddr::try_from(bound).unwrap();
        let mut publisher = Publisher::to_boards([at, bound]).unwrap();
        assert_eq!(publisher.publish(Instant::ZERO, Slot::RIGHT, &[7]), Published::Delivered);
        let before = now();
        let mut bytes = [0; BYTES_MAX];
        let (published, length) = readings.newest(&mut bytes).unwrap();
        assert!(published >= before && bytes[..length] == [7]);
        let third = Slot::new(2).unwrap();
        assert_eq!(publisher.publish(Instant::ZERO, third, &[7]), Published::NobodyThere);
        let taken = Readings::listen(bound, Slot::RIGHT).unwrap_err();
        assert!(matches!(taken, ReadingsError::InUse { .. }), "{taken}");
    }

    #[test]
    fn a_packet_that_was_overtaken_is_dropped_and_a_publisher_that_started_again_is_not() {
        let name = name("overtaken");
        let mut publisher = Publisher::new(&name).unwrap();
        let mut readings = Readings::connect(&name, Slot::LEFT).unwrap();
        let mut bytes = [0; BYTES_MAX];
        let mut after = |ms: u64| {
            let at = Instant::from_nanos(ms * 1_000_000);
            assert_eq!(publisher.publish(at, Slot::LEFT, &ms.to_le_bytes()), Published::Delivered);
            readings.newest(&mut bytes).is_some()
        };
        assert!(after(5_000) && after(5_010));
        assert!(!after(5_005) && !after(5_010));
        assert!(after(5_020) && after(1_000) && after(1_010));
    }

    #[test]
    fn one_process_reads_for_a_slot_and_its_successor_may() {
        let name = name("successor");
        let first = Readings::connect(&name, Slot::LEFT).unwrap();
        let second = Readings::connect(&name, Slot::LEFT).unwrap_err();
        assert!(matches!(second, ReadingsError::InUse { .. }), "{second}");
        drop(first);
        Readings::connect(&name, Slot::LEFT).unwrap();
        let long = Readings::connect(&"x".repeat(100), Slot::LEFT).unwrap_err();
        assert!(matches!(long, ReadingsError::NameTooLong { .. }), "{long}");
    }

    #[test]
    fn foreign_packets_are_dropped_and_counted() {
        let name = name("foreign");
        let mut readings = Readings::connect(&name, Slot::LEFT).unwrap();
        let stranger = datagram_socket().unwrap();
        for length in [0, STAMP - 1, PACKET_MAX + 1] {
            let address = mailbox(&name, Slot::LEFT).unwrap();
            sendto(&stranger, &vec![0; length], SendFlags::DONTWAIT, &address).unwrap();
        }
        assert_eq!(readings.newest(&mut [0; BYTES_MAX]), None);
        assert_eq!(readings.malformed(), 3);
    }
}
