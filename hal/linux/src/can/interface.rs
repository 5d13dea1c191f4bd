//! A CAN interface as an administrator sees it: bitrate, up and down, restart after bus-off. By netlink.

// What is read here came over the bus, or from the kernel.
#![deny(clippy::arithmetic_side_effects)]

use rustix::io::Errno;
use socketcan::nl::{CanState, InterfaceCanParams};
use socketcan::{CanCtrlMode, CanInterface, Error};
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::time::{Duration, Instant};

/// The first pause before a controller that left the bus is started anew, and the longest.
const RESTART_AFTER: Duration = Duration::from_millis(100);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(5);
/// A controller that stayed on the bus for so long begins with the first pause again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);

/// Why an interface was not set up.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is no such interface.
    #[error("there is no interface {0:?}: `ip link` lists what is there")]
    Missing(String),
    /// The right is missing.
    #[error(
        "setting up {0} needs the right to administer the network (CAP_NET_ADMIN): call as root, or set it up with \
             `ip link set {0} up type can bitrate 500000`"
    )]
    Rights(String),
    /// The kernel refused.
    #[error("{doing} {interface}: {why}")]
    Refused {
        /// Its name.
        interface: String,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        why: String,
    },
}

/// How an interface is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// In bits a second; `None` for one that has none (vcan), or where it stays as it is.
    pub bitrate: Option<u32>,
    /// The bitrate of the data phase of CAN FD; `None` for classic CAN.
    pub data_bitrate: Option<u32>,
}

/// A CAN interface.
#[derive(Debug)]
pub struct Interface {
    name: String,
    interface: CanInterface,
}

impl Interface {
    /// Finds the interface `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Self, InterfaceError> {
        let interface = CanInterface::open(name).map_err(|_| InterfaceError::Missing(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), interface })
    }

    /// Sets the interface up, and brings it up. One that is up already with this bitrate is left alone.
    ///
    /// # Errors
    /// [`InterfaceError`] says what stands against it.
    pub fn bring_up(&self, setup: Setup) -> Result<(), InterfaceError> {
        let details = self.interface.details().map_err(|error| self.refused("reading", &error))?;
        let has = details.can.bit_timing.as_ref().map(|timing| timing.bitrate);
        if details.is_up && (setup.bitrate.is_none() || setup.bitrate == has) {
            return Ok(());
        }
        if let Some(bitrate) = setup.bitrate {
            // A controller takes another bitrate only while it is down.
            self.interface.bring_down().map_err(|error| self.refused("bringing down", &error))?;
            let set = self.interface.set_bitrate(bitrate, None);
            set.map_err(|error| self.refused("setting the bitrate of", &error))?;
        }
        if let Some(bitrate) = setup.data_bitrate {
            let set = self.interface.set_ctrlmode(CanCtrlMode::Fd, true);
            set.map_err(|error| self.refused("switching CAN FD on at", &error))?;
            let set = self.interface.set_data_bitrate(bitrate, None);
            set.map_err(|error| self.refused("setting the data bitrate of", &error))?;
        }
        self.interface.bring_up().map_err(|error| self.refused("bringing up", &error))
    }

    /// Returns what the controller says of itself, for people: bitrate, state, error counters. Empty for a vcan.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn describe(&self) -> Result<String, InterfaceError> {
        let can = self.interface.details().map_err(|error| self.refused("reading", &error))?.can;
        let bitrate = can.bit_timing.map(|timing| format!("{} bit/s", timing.bitrate));
        let state = can.state.map(|state| format!("{state:?}"));
        let counters = can.berr_counter.map(|errors| format!("error counters {}/{}", errors.rxerr, errors.txerr));
        Ok([bitrate, state, counters].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    /// Returns how the controller stands; active where it has no words for it, as a vcan.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn confinement(&self) -> Result<Confinement, InterfaceError> {
        let details = self.interface.details().map_err(|error| self.refused("reading", &error))?;
        Ok(if details.is_up { stands(&details.can) } else { Confinement::Off })
    }

    /// Returns whether the controller has taken itself off the bus, and waits to be started anew.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn is_bus_off(&self) -> Result<bool, InterfaceError> {
        let details = self.interface.details().map_err(|error| self.refused("reading", &error))?;
        Ok(details.is_up && details.can.state == Some(CanState::BusOff))
    }

    /// Starts a controller anew that has left the bus.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn restart(&self) -> Result<(), InterfaceError> {
        self.interface.restart().map_err(|error| self.refused("restarting", &error))
    }

    fn refused(&self, doing: &'static str, error: &Error) -> InterfaceError {
        let interface = self.name.clone();
        let errno = match error {
            Error::Nl(error) => error.errno(),
            Error::Io(error) => error.raw_os_error(),
            Error::Can(_) => None,
        };
        match errno.map(Errno::from_raw_os_error) {
            Some(Errno::PERM) => InterfaceError::Rights(interface),
            Some(Errno::NODEV) => InterfaceError::Missing(interface),
            Some(_) | None => InterfaceError::Refused { interface, doing, why: error.to_string() },
        }
    }
}

fn stands(params: &InterfaceCanParams) -> Confinement {
    match params.state {
        None | Some(CanState::ErrorActive | CanState::ErrorWarning) => Confinement::Active,
        Some(CanState::ErrorPassive) => Confinement::Passive,
        Some(CanState::BusOff | CanState::Stopped | CanState::Sleeping) => Confinement::Off,
    }
}

/// When a controller that keeps leaving the bus is started anew: after longer and longer pauses. A controller that shouts
/// into a bus at the wrong bitrate disturbs the others each time.
#[derive(Clone, Copy, Debug)]
pub struct Restarter {
    pause: Duration,
    off_since: Option<Instant>,
    restarted_at: Option<Instant>,
}

impl Default for Restarter {
    fn default() -> Self {
        Self { pause: RESTART_AFTER, off_since: None, restarted_at: None }
    }
}

impl Restarter {
    /// Takes in whether the controller is off the bus at `at`, and returns whether it is to be started anew now.
    #[must_use]
    pub fn is_due(&mut self, at: Instant, is_off: bool) -> bool {
        if !is_off {
            self.off_since = None;
            if self.restarted_at.is_none_or(|restarted| at.since(restarted) >= FORGIVEN_AFTER) {
                self.pause = RESTART_AFTER;
            }
            return false;
        }
        let since = *self.off_since.get_or_insert(at);
        let due = at.since(since) >= self.pause;
        if due {
            self.pause = self.pause.saturating_mul(2).min(RESTART_AFTER_MAX);
            self.off_since = None;
            self.restarted_at = Some(at);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms.saturating_mul(1_000_000))
    }

    #[test]
    fn a_controller_that_stays_off_is_restarted_after_longer_and_longer_pauses() {
        let mut restarter = Restarter::default();
        let due: Vec<u64> = (0..20_000).filter(|at| restarter.is_due(ms(*at), true)).collect();
        assert_eq!(due[..4], [100, 301, 702, 1_503]);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] <= 5_001), "{due:?}");
    }

    #[test]
    fn one_that_stayed_on_the_bus_begins_with_the_first_pause() {
        let mut restarter = Restarter::default();
        let _ = (0..=301).filter(|at| restarter.is_due(ms(*at), true)).count();
        assert!(!restarter.is_due(ms(1_000), false));
        assert!(!restarter.is_due(ms(2_000), true));
        assert!(!restarter.is_due(ms(2_100), true), "it left the bus soon again");
        assert!(!restarter.is_due(ms(12_000), false));
        assert!(!restarter.is_due(ms(12_001), true));
        assert!(restarter.is_due(ms(12_101), true));
    }
}
