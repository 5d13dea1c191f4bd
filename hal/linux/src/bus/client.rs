//! A device's end of the bus.

// What is read here came from another process.
#![deny(clippy::arithmetic_side_effects)]

use super::packet::{TO_CLIENT, ToClient, encode_frame, encode_hello};
use super::{QUEUE_BYTES, address};
use crate::clock::{now, sleep_until, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{connect, recv, send, socket_with, sockopt};
use std::os::fd::OwnedFd;
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Received};
use twinhelm_hal::time::{Duration, Instant};

/// Why a station is not on the bus.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name does not fit into an address.
    #[error("the bus name {name:?} is too long: at most 90 bytes")]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// Nobody owns a bus of this name.
    #[error("no vehicle process owns the bus {name:?}: start it first")]
    NoServer {
        /// The bus.
        name: String,
    },
    /// The station is taken.
    #[error("station {} is on the bus already: end its process, or use another station", station.index())]
    Taken {
        /// The station.
        station: Station,
    },
    /// The vehicle process ended.
    #[error("the vehicle process closed the bus")]
    Closed,
    /// The vehicle process did not answer in time.
    #[error("the vehicle process did not answer within {waited:?}")]
    Silent {
        /// How long it had.
        waited: Duration,
    },
    /// The kernel refused.
    #[error("connecting to the bus {name:?}")]
    System {
        /// The bus.
        name: String,
        /// What it said.
        #[source]
        source: Errno,
    },
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The server has not answered; what is sent waits for it.
    Asked,
    /// The station is attached.
    Attached,
    /// The station is another process's. Ends with the client.
    Taken,
    /// The server is gone. Ends with the client.
    Closed,
}

/// A station's access to the bus of this machine.
///
/// Frames carry the server's instant, which is an instant of ours too: both processes read the one monotonic clock
/// of their machine.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    station: Station,
    link: Link,
    lost: u64,
}

impl Client {
    /// Connects to bus `name` as `station`. Does not wait for the server's answer: [`Client::wait_attached`] does.
    ///
    /// # Errors
    /// [`ConnectError`] says what is missing.
    pub fn connect(name: &str, station: Station) -> Result<Self, ConnectError> {
        let system = |source| match source {
            Errno::NAMETOOLONG => ConnectError::NameTooLong { name: name.to_owned() },
            Errno::CONNREFUSED => ConnectError::NoServer { name: name.to_owned() },
            source => ConnectError::System { name: name.to_owned(), source },
        };
        let address = address(name).map_err(system)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(system)?;
        sockopt::set_socket_send_buffer_size(&socket, QUEUE_BYTES).map_err(system)?;
        connect(&socket, &address).map_err(system)?;
        send(&socket, &encode_hello(station), SendFlags::NOSIGNAL).map_err(system)?;
        Ok(Self { socket, station, link: Link::Asked, lost: 0 })
    }

    /// Waits until the server has attached the station, at most for `patience`. Frames heard since then are kept.
    ///
    /// # Errors
    /// [`ConnectError`] says why the station is not on the bus.
    pub fn wait_attached(&mut self, patience: Duration) -> Result<(), ConnectError> {
        let until = now() + patience;
        loop {
            match self.link {
                Link::Attached => return Ok(()),
                Link::Taken => return Err(ConnectError::Taken { station: self.station }),
                Link::Closed => return Err(ConnectError::Closed),
                Link::Asked if now() >= until => return Err(ConnectError::Silent { waited: patience }),
                Link::Asked => {}
            }
            self.wait(until);
            // The answer precedes all frames, so none is taken away here.
            let _answer = self.next_packet();
        }
    }

    /// Returns whether the server is there and has not refused the station, as of the last `send` or `receive`.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        match self.link {
            Link::Asked | Link::Attached => true,
            Link::Taken | Link::Closed => false,
        }
    }

    /// Returns how many frames found no place on their way to the server.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits until a frame is there or `until` has come.
    pub fn wait(&self, until: Instant) {
        if !self.is_connected() {
            // A dead socket would end the wait at once, and the caller's loop would spin.
            return sleep_until(until);
        }
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        // A signal ends the wait early, as a frame would.
        let _woken = poll(&mut sockets, Some(&timespec(until.since(now()))));
    }

    /// Takes the next packet and minds the server's answer; `None` when no packet is there.
    fn next_packet(&mut self) -> Option<ToClient> {
        loop {
            let mut packet = [0; TO_CLIENT];
            let length = match recv(&self.socket, &mut packet, RecvFlags::DONTWAIT) {
                Ok((_, length)) if length > 0 => length,
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => continue,
                // Nothing of no length is ever sent: the server is gone, with or without good-bye.
                Ok(_) | Err(_) => {
                    self.close();
                    return None;
                }
            };
            let heard = packet.get(..length).and_then(ToClient::decode);
            match heard {
                Some(ToClient::Welcome) => self.link = Link::Attached,
                Some(ToClient::Refused) => self.link = Link::Taken,
                Some(ToClient::Frame(_)) => {}
                // A server of another version; its silence would say as much.
                None => continue,
            }
            return heard;
        }
    }

    /// Takes down that the server is gone, unless the reason is known better.
    fn close(&mut self) {
        self.link = match self.link {
            Link::Asked | Link::Attached | Link::Closed => Link::Closed,
            Link::Taken => Link::Taken,
        };
    }
}

impl Bus for Client {
    /// Hands `frame` to the server; never blocks. When the server has not looked for long, the frame is lost.
    fn send(&mut self, frame: Frame) {
        match send(&self.socket, &encode_frame(&frame), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => self.lost = self.lost.saturating_add(1),
            Err(_) => self.close(),
        }
    }

    fn receive(&mut self) -> Option<Received> {
        loop {
            match self.next_packet()? {
                ToClient::Frame(received) => return Some(received),
                ToClient::Welcome | ToClient::Refused => {}
            }
        }
    }
}
