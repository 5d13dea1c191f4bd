//! A station's socket on a CAN interface.

// What is read here came over the bus, or from the kernel.
#![deny(clippy::arithmetic_side_effects)]

use super::confinement;
use super::outbox::Outbox;
use crate::clock::{now, sleep_until, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use socketcan::id::{CAN_EFF_FLAG, CAN_RTR_FLAG, ERR_MASK_ALL};
use socketcan::{
    CanAddr, CanAnyFrame, CanDataFrame, CanError, CanFdFrame, CanFdSocket, CanFilter, EmbeddedFrame as _,
    Frame as _, Socket as _, SocketOptions as _, StandardId,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;
use twinhelm_hal::frame::{COMMAND_ID, COUNTERS_ID, Frame, STATUS_ID};
use twinhelm_hal::ports::{Bus, Confinement, Received};
use twinhelm_hal::time::{Duration, Instant};

/// How many bytes of frames, as the kernel counts them, may wait for a station that does not look: some 80 frames.
const QUEUE_BYTES: usize = 32 * 1024;
/// An interface that is gone is looked for so often.
const LOOK_FOR_IT_EVERY: Duration = Duration::from_millis(100);
/// A frame is not older than this when it is read: a stamp that says so was taken by another date.
const AGE_MAX: Duration = Duration::from_secs(1);
/// Four identifiers in a row: of the four slots, of the four gates.
const FOUR_IN_A_ROW: u32 = 0x7FC;

/// What a station is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A device: commands and statuses.
    Device,
    /// The gate with this number: commands, statuses, and its own counters, which come back when they are on the wire.
    Gate(u8),
    /// Everything.
    All,
}

impl Wants {
    fn filters(self) -> Vec<CanFilter> {
        // With these two in the mask, extended and remote frames do not pass.
        let plain = CAN_EFF_FLAG | CAN_RTR_FLAG;
        let four = |id: u16| CanFilter::new(id.into(), FOUR_IN_A_ROW | plain);
        let driving = [four(COMMAND_ID), four(STATUS_ID)];
        match self {
            Self::Device => driving.to_vec(),
            Self::Gate(number) => {
                let counters = CanFilter::new((COUNTERS_ID + u16::from(number)).into(), 0x7FF | plain);
                [driving.as_slice(), &[counters]].concat()
            }
            Self::All => vec![CanFilter::new(0, plain)],
        }
    }
}

/// Why a station is not on the bus.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel cannot do CAN.
    #[error("this kernel has no CAN: load its modules (modprobe can-raw vcan), or use the userland bus")]
    NoCan,
    /// There is no such interface.
    #[error(
        "there is no CAN interface {interface:?}: `ip link show type can` lists what is there; for one without hardware: \
         ip link add {interface} type vcan"
    )]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The kernel refused.
    #[error("opening the CAN interface {interface}")]
    System {
        /// Its name.
        interface: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What did not get through, since the station was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Own frames that were replaced by newer ones, or had missed their cycle.
    pub dropped: u64,
    /// Own frames that the kernel did not take: its queue was full, or the interface down.
    pub refused: u64,
    /// Error frames heard.
    pub errors: u64,
    /// Frames that are not ours: longer than 8 bytes.
    pub foreign: u64,
}

/// A station's access to a CAN interface.
///
/// Frames carry the instant at which the kernel's driver saw them. A station does not hear itself.
#[derive(Debug)]
pub struct CanBus {
    interface: String,
    wants: Wants,
    fd: bool,
    /// `None` while the interface is gone.
    socket: Option<CanFdSocket>,
    outbox: Outbox,
    confinement: Confinement,
    /// When it was told to be off the bus; what was heard before says nothing about it.
    off_since: Instant,
    look_at: Instant,
    counters: Counters,
}

impl CanBus {
    /// Opens `interface` for a station that wants `wants`, with room for `depth` frames towards the bus, each of which is
    /// worth sending for `holds`. With `fd` its frames go out as CAN FD; both sorts are heard in any case.
    ///
    /// An interface that is down is no error: the station is off the bus until it comes up.
    ///
    /// # Errors
    /// [`OpenError`] says what is missing.
    pub fn open(interface: &str, wants: Wants, depth: usize, holds: Duration, fd: bool) -> Result<Self, OpenError> {
        let socket = open(interface, wants)?;
        Ok(Self {
            interface: interface.to_owned(),
            wants,
            fd,
            socket: Some(socket),
            outbox: Outbox::new(depth, holds),
            confinement: Confinement::Active,
            off_since: now(),
            look_at: now(),
            counters: Counters::default(),
        })
    }

    /// Returns what did not get through.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters { dropped: self.outbox.dropped, ..self.counters }
    }

    /// Returns whether a frame of its own is not on the wire yet, as of the last `receive`.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        self.outbox.is_busy()
    }

    /// Returns what becomes readable when something is there; `None` while the interface is gone.
    #[must_use]
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Waits until something is there to receive, or `until` has come.
    pub fn wait(&self, until: Instant) {
        let Some(socket) = &self.socket else {
            return sleep_until(until);
        };
        let mut sockets = [PollFd::new(socket, PollFlags::IN)];
        // A signal ends the wait early, as a frame would.
        let _woken = poll(&mut sockets, Some(&timespec(until.since(now()))));
    }

    /// Hands `frame` to the kernel, which never blocks here.
    fn write(&mut self, frame: &Frame) {
        let Some(socket) = &self.socket else {
            return self.outbox.refused();
        };
        let bytes = frame.data.get(..usize::from(frame.len)).unwrap_or(&frame.data);
        let written = StandardId::new(frame.id).and_then(|id| {
            Some(if self.fd {
                socket.write_frame(&CanFdFrame::new(id, bytes)?)
            } else {
                socket.write_frame(&CanDataFrame::new(id, bytes)?)
            })
        });
        // What is no frame on a bus is refused here, as the kernel would.
        if let Err(error) = written.unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into())) {
            self.counters.refused = self.counters.refused.saturating_add(1);
            self.outbox.refused();
            self.on_refusal(&error);
        }
    }

    /// Takes in why the kernel did not take a frame.
    fn on_refusal(&mut self, error: &io::Error) {
        match Errno::from_io_error(error) {
            Some(Errno::NETDOWN) => self.goes_off(now()),
            Some(Errno::NODEV | Errno::NXIO) => self.loses_interface(),
            // A full queue says nothing about the controller.
            Some(_) | None => {}
        }
    }

    fn loses_interface(&mut self) {
        self.goes_off(now());
        self.socket = None;
    }

    const fn goes_off(&mut self, at: Instant) {
        self.confinement = Confinement::Off;
        self.off_since = at;
    }

    /// Looks for an interface that was gone.
    fn look_for_it(&mut self) {
        if self.socket.is_some() {
            return;
        }
        let at = now();
        if at >= self.look_at {
            self.look_at = at + LOOK_FOR_IT_EVERY;
            self.socket = open(&self.interface, self.wants).ok();
        }
    }

    /// Takes in one frame; `None` when it is nothing that the station hears.
    fn take(&mut self, frame: CanAnyFrame, stamp: Option<SystemTime>) -> Option<Received> {
        let at = instant_of(stamp);
        let frame = match frame {
            CanAnyFrame::Normal(frame) => plain(frame.raw_id(), frame.data())?,
            CanAnyFrame::Fd(frame) => {
                let ours = plain(frame.raw_id(), frame.data());
                self.counters.foreign = self.counters.foreign.saturating_add(u64::from(ours.is_none()));
                ours?
            }
            CanAnyFrame::Error(frame) => {
                self.counters.errors = self.counters.errors.saturating_add(1);
                match confinement::told_by(&CanError::from(frame)) {
                    Some(Confinement::Off) => self.goes_off(at),
                    Some(stands) => self.confinement = stands,
                    None => {}
                }
                return None;
            }
            CanAnyFrame::Remote(_) => return None,
        };
        if self.confinement == Confinement::Off && at > self.off_since {
            // Whoever is off the bus hears nothing on it.
            self.confinement = Confinement::Active;
        }
        if self.outbox.is_ours(&frame) {
            if let Some(next) = self.outbox.next(now()) {
                self.write(&next);
            }
            return None;
        }
        Some(Received { at, frame })
    }
}

impl Bus for CanBus {
    fn send(&mut self, mut frame: Frame) {
        // What lies behind its length is not sent, and does not come back: by it the own frame would not be known again.
        frame.data.iter_mut().skip(frame.len.into()).for_each(|byte| *byte = 0);
        if let Some(frame) = self.outbox.offer(now(), frame) {
            self.write(&frame);
        }
    }

    fn receive(&mut self) -> Option<Received> {
        loop {
            self.look_for_it();
            match self.socket.as_ref()?.read_frame_with_timestamps() {
                Ok((frame, stamps)) => {
                    if let Some(received) = self.take(frame, stamps.socket) {
                        return Some(received);
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return None,
                    Some(Errno::INTR) => {}
                    // The kernel tells of it once, before what came earlier.
                    Some(Errno::NETDOWN) => self.goes_off(now()),
                    // Nothing more comes from this socket.
                    Some(_) | None => self.loses_interface(),
                },
            }
        }
    }

    fn confinement(&self) -> Confinement {
        self.confinement
    }
}

fn open(interface: &str, wants: Wants) -> Result<CanFdSocket, OpenError> {
    let refused = |source: io::Error| {
        let interface = interface.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => OpenError::NoCan,
            Some(Errno::NODEV | Errno::NXIO) => OpenError::NoInterface { interface },
            Some(_) | None => OpenError::System { interface, source },
        }
    };
    // Without an interface bound the kernel would say nothing of a kernel without CAN, so the socket comes first.
    let address = CanAddr::from_iface(interface);
    let socket = match address {
        Ok(address) => CanFdSocket::open_addr(&address).map_err(refused)?,
        Err(missing) => {
            let any = CanFdSocket::open_addr(&CanAddr::new(0)).map_err(refused);
            return Err(any.map_or_else(|error| error, |_| refused(missing)));
        }
    };
    let set = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_filters(&wants.filters())?;
        socket.set_error_filter(ERR_MASK_ALL)?;
        // So the station learns when its frame is on the wire.
        socket.set_recv_own_msgs(true)?;
        socket.set_recv_timestamp(true)?;
        sockopt::set_socket_recv_buffer_size(&socket, QUEUE_BYTES)?;
        Ok(())
    };
    set().map_err(refused)?;
    Ok(socket)
}

/// Returns a frame of at most 8 bytes as ours.
fn plain(id: u32, bytes: &[u8]) -> Option<Frame> {
    let mut data = [0; 8];
    data.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(Frame { id: u16::try_from(id).ok()?, len: u8::try_from(bytes.len()).ok()?, data })
}

/// Returns the kernel's stamp, which is a date, by the monotonic clock. The date may be set at any moment: a stamp that
/// cannot be is answered by now.
fn instant_of(stamp: Option<SystemTime>) -> Instant {
    let (now, date) = (now(), SystemTime::now());
    let age = stamp.and_then(|stamp| date.duration_since(stamp).ok()).filter(|age| *age <= AGE_MAX);
    now - age.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_becomes_an_instant_of_the_monotonic_clock() {
        let stamp = SystemTime::now() - Duration::from_millis(5);
        let age = now().since(instant_of(Some(stamp)));
        assert!(age >= Duration::from_millis(5) && age < AGE_MAX, "{age:?}");
    }

    #[test]
    fn a_date_that_was_set_meanwhile_makes_no_frame_old_or_new() {
        for stamp in [SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(86_400)] {
            assert!(now().since(instant_of(Some(stamp))) < AGE_MAX);
        }
    }

    #[test]
    fn what_is_longer_than_eight_bytes_is_not_ours() {
        assert_eq!(plain(0x100, &[7; 9]), None);
        assert_eq!(plain(0x100, &[7; 3]), Some(Frame { id: 0x100, len: 3, data: [7, 7, 7, 0, 0, 0, 0, 0] }));
    }
}
