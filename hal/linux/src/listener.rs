//! Somebody who listens on a vehicle's bus and never sends, whichever bus it is.

use crate::bus::{Client, ConnectError};
use crate::can::{CanBus, OpenError, Wants};
use twinhelm_hal::bus::Station;
use twinhelm_hal::ports::{Bus as _, Confinement, Received};
use twinhelm_hal::time::{Duration, Instant};

/// How long the userland bus may take to seat somebody.
const SEAT_WITHIN: Duration = Duration::from_secs(5);
/// Nothing is sent.
const DEPTH: usize = 1;

/// Where a vehicle's bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusPlace {
    /// Between the processes of this machine, by its name.
    Userland(String),
    /// A CAN interface of the kernel, by its name.
    Can(String),
}

impl BusPlace {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Userland(name) | Self::Can(name) => name,
        }
    }
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The userland bus does not seat it.
    #[error(transparent)]
    Userland(#[from] ConnectError),
    /// The interface cannot be opened.
    #[error(transparent)]
    Can(#[from] OpenError),
    /// The interface is down.
    #[error("the CAN interface {interface} is down: ip link set {interface} up type can bitrate 500000")]
    Down {
        /// Its name.
        interface: String,
    },
}

/// A listener on a bus.
#[derive(Debug)]
pub enum Listener {
    /// On the one between the processes of this machine.
    Userland(Client),
    /// On the kernel's.
    Can(Box<CanBus>),
}

impl Listener {
    /// Takes a seat at `place`; on the userland bus it is `station`'s.
    ///
    /// # Errors
    /// [`ListenError`] says what is in the way.
    pub fn open(place: &BusPlace, station: Station) -> Result<Self, ListenError> {
        match place {
            BusPlace::Userland(name) => {
                let mut bus = Client::connect(name, station)?;
                bus.wait_attached(SEAT_WITHIN)?;
                Ok(Self::Userland(bus))
            }
            BusPlace::Can(interface) => {
                let mut bus = CanBus::open(interface, Wants::Device, DEPTH, SEAT_WITHIN, false)?;
                // Of an interface that is down the kernel tells with the first look.
                let _ = bus.receive();
                if bus.confinement() == Confinement::Off {
                    return Err(ListenError::Down { interface: interface.clone() });
                }
                Ok(Self::Can(Box::new(bus)))
            }
        }
    }

    /// Returns whether it hears the bus, as of the last `receive`.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Userland(bus) => bus.is_connected(),
            Self::Can(bus) => bus.confinement() != Confinement::Off,
        }
    }

    /// Waits until a frame is there, or `until` has come.
    pub fn wait(&self, until: Instant) {
        match self {
            Self::Userland(bus) => bus.wait(until),
            Self::Can(bus) => bus.wait(until),
        }
    }

    /// Returns the next frame, `None` when none is there.
    pub fn receive(&mut self) -> Option<Received> {
        match self {
            Self::Userland(bus) => bus.receive(),
            Self::Can(bus) => bus.receive(),
        }
    }
}
