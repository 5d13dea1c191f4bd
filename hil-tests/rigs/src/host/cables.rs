//! The link between the two devices, as the runner lays it and cuts it: a relay on loopback, or cables between network
//! namespaces.

use super::addresses::{Addresses, endpoint};
use super::boards::Boards;
use super::relay::Relay;
use super::{HostError, machine};
use crate::netns::{Network, NetworkError, link_address, service_address};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use twinhelm_hal::term::Slot;
use twinhelm_hil::fault::Cut;
use twinhelm_linux::stalls::WATCH_PERIOD;

/// Where a device's session listens in its own namespace: Zenoh's usual port.
const PORT: u16 = 7447;

/// What the rig `boards` says of faults of cables.
pub(super) const NO_CABLES: &str = "needs cables that can be cut, and those of boards are nobody's here: pull them by hand, or use --rig netns or guest";

/// What the link between the devices is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cabling {
    /// Loopback, with a relay in the link that can stop forwarding: rig `host`.
    #[default]
    Loopback,
    /// A network namespace for each device, joined by cables that can be cut: rig `netns`.
    Namespaces,
    /// The same in a guest kernel, where the bus is CAN: rig `guest`.
    Guest,
    /// Real boards on a real network and a real CAN bus: rig `boards`.
    Boards,
}

impl Cabling {
    /// Returns the rig's name.
    #[must_use]
    pub const fn rig(self) -> &'static str {
        match self {
            Self::Loopback => "host",
            Self::Namespaces => "netns",
            Self::Guest => "guest",
            Self::Boards => "boards",
        }
    }

    /// Returns whether spinners keep the cores awake. A guest's core is not a core.
    pub(super) const fn is_kept_awake(self) -> bool {
        match self {
            Self::Loopback | Self::Namespaces | Self::Boards => true,
            Self::Guest => false,
        }
    }

    /// Returns how often the machine's own stalls are looked for. In a guest a wake takes a tenth of a millisecond, from
    /// everybody.
    pub(super) const fn watch_period(self) -> Duration {
        match self {
            Self::Loopback | Self::Namespaces | Self::Boards => WATCH_PERIOD,
            Self::Guest => Duration::from_millis(10),
        }
    }
}

/// The link of one run.
pub(super) enum Cables {
    /// Loopback.
    Loopback {
        /// The relay between the devices.
        relay: Relay,
        /// Where both listen.
        addresses: Box<Addresses>,
    },
    /// Namespaces.
    Namespaces(Arc<Mutex<Network>>),
    /// Boards, whose cables are nobody's here.
    Boards(Arc<Boards>),
}

/// Where a session listens and connects, and the namespace that it lives in.
pub(super) struct Plug {
    pub listen: Vec<String>,
    pub connect: Vec<String>,
    pub network: Option<PathBuf>,
    pub can: Option<String>,
}

impl Cables {
    /// Lays the cables.
    pub async fn lay(
        cabling: Cabling,
        addresses: &Addresses,
        boards: Option<&Arc<Boards>>,
    ) -> Result<Self, HostError> {
        match cabling {
            Cabling::Boards => boards.cloned().map(Self::Boards).ok_or_else(|| {
                HostError::BadInput(
                    "the rig boards needs the file that says where they are: --boards FILE".to_owned(),
                )
            }),
            Cabling::Loopback => {
                let relay = Relay::start(addresses.relay, addresses.right).await.map_err(|error| {
                    HostError::BadInput(format!(
                        "listening on {}: {error}; write another port in [link], or 0 for ports of its own",
                        addresses.relay
                    ))
                })?;
                Ok(Self::Loopback { relay, addresses: Box::new(addresses.clone()) })
            }
            Cabling::Namespaces => Ok(Self::Namespaces(Arc::new(Mutex::new(Network::build(false)?)))),
            Cabling::Guest => Ok(Self::Namespaces(Arc::new(Mutex::new(Network::build(true)?)))),
        }
    }

    /// Returns how the device in `slot` is plugged in. The left one connects, the right one waits.
    pub fn plug(&self, slot: Slot) -> Plug {
        match self {
            Self::Loopback { addresses, .. } if slot == Slot::LEFT => Plug {
                listen: vec![endpoint(addresses.left)],
                connect: vec![endpoint(addresses.relay)],
                network: None,
                can: None,
            },
            Self::Loopback { addresses, .. } => {
                // A spare finds those that were there before it.
                let before = (0..slot.number()).filter_map(Slot::new).filter(|_| slot > Slot::RIGHT);
                let connect = before.map(|before| endpoint(addresses.session(before))).collect();
                Plug { listen: vec![endpoint(addresses.session(slot))], connect, network: None, can: None }
            }
            Self::Namespaces(network) => {
                let network = locked(network);
                let at = |address| endpoint(SocketAddr::from((address, PORT)));
                let peer = at(link_address(Slot::RIGHT));
                Plug {
                    listen: vec![at(link_address(slot)), at(service_address(slot))],
                    connect: if slot == Slot::LEFT { vec![peer] } else { Vec::new() },
                    network: Some(network.namespace(slot)),
                    can: network.device_can().map(str::to_owned),
                }
            }
            Self::Boards(boards) => {
                let at = |slot| endpoint(boards.of(slot).at(PORT));
                let peer = if slot == Slot::LEFT { vec![at(Slot::RIGHT)] } else { Vec::new() };
                Plug {
                    listen: vec![at(slot)],
                    connect: peer,
                    network: None,
                    can: Some(boards.of(slot).can.clone()),
                }
            }
        }
    }

    /// Returns how the runner's observer is plugged in: it finds all devices, whatever is cut between them.
    pub fn desk(&self, spares: u8) -> Plug {
        let (connect, network) = match self {
            Self::Loopback { addresses, .. } => {
                let connect = (0..2 + spares).filter_map(Slot::new).map(|slot| endpoint(addresses.session(slot)));
                return Plug { listen: Vec::new(), connect: connect.collect(), network: None, can: None };
            }
            Self::Namespaces(network) => {
                let at = |slot| SocketAddr::from((service_address(slot), PORT));
                ([Slot::LEFT, Slot::RIGHT].map(at), Some(locked(network).desk()))
            }
            Self::Boards(boards) => ([Slot::LEFT, Slot::RIGHT].map(|slot| boards.of(slot).at(PORT)), None),
        };
        Plug { listen: Vec::new(), connect: connect.map(endpoint).to_vec(), network, can: None }
    }

    /// Returns the gates' interface on the CAN bus; none where the bus is a userland bus.
    pub fn gates_can(&self) -> Option<String> {
        match self {
            Self::Loopback { .. } => None,
            Self::Namespaces(network) => locked(network).gates_can().map(str::to_owned),
            Self::Boards(boards) => Some(boards.can.clone()),
        }
    }

    /// Cuts (`on`) or heals the CAN cable of the device in `slot`. A userland bus has cables of its own.
    pub fn set_can(&self, slot: Slot, cut: Cut, on: bool) -> Result<(), HostError> {
        match self {
            Self::Loopback { .. } => Ok(()),
            Self::Namespaces(network) => Ok(locked(network).set_can(slot, cut, on)?),
            Self::Boards(_) => Err(HostError::BadInput(NO_CABLES.to_owned())),
        }
    }

    /// Cuts (`on`) or heals the link of the device in `slot`.
    pub fn set_link(&self, slot: Slot, cut: Cut, on: bool) -> Result<(), HostError> {
        match self {
            Self::Loopback { relay, .. } => {
                if cut != Cut::Rx {
                    relay.set_cut(slot, on);
                }
                if cut != Cut::Tx {
                    relay.set_cut(twinhelm_hil::world::other(slot), on);
                }
            }
            Self::Namespaces(network) => locked(network).set_link(slot, cut, on)?,
            Self::Boards(_) => return Err(HostError::BadInput(NO_CABLES.to_owned())),
        }
        Ok(())
    }

    /// Lets the cables of the device in `slot` go dead (`on` is false), or brings them back. On loopback the cable to
    /// the observer stays: what it sees there is no device's business.
    ///
    /// Another program moves cables to another namespace, which takes it some 50 ms and on a busy machine longer, so this is done beside.
    pub fn set_power(&self, slot: Slot, on: bool) -> JoinHandle<Result<(), HostError>> {
        match self {
            Self::Loopback { .. } => {
                let done = self.set_link(slot, Cut::Both, !on);
                tokio::spawn(async move { done })
            }
            Self::Namespaces(network) => {
                let network = Arc::clone(network);
                tokio::task::spawn_blocking(move || {
                    let mut network = locked(&network);
                    let done = if on { network.restore_power(slot) } else { network.cut_power(slot) };
                    Ok(done?)
                })
            }
            Self::Boards(boards) => {
                let boards = Arc::clone(boards);
                tokio::spawn(async move { boards.of(slot).set_power(on).await })
            }
        }
    }
}

fn locked(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<NetworkError> for HostError {
    fn from(error: NetworkError) -> Self {
        machine("the network of the run", &error)
    }
}
