//! The network of the rig `netns`: each device in a network namespace of its own, and cables that can be cut.
//!
//! ```text
//!   left  pair0 ───────────────── pair0  right        the link between the devices: what faults cut
//!         desk0 ──── left0  desk  right0 ──── desk0   to the runner's observer, beside the link
//!         can0 ───── CAN bus ───────────── can0    rig `guest` alone: with the gates, in a kernel that has CAN
//! ```
//!
//! A cut link is silent, as behind a dead switch: the sender writes to an address that nobody has, so nobody is told, and one
//! direction can be cut alone. Power is another thing: the device's interfaces go down, its peer's loses the carrier,
//! and what comes back is a device that remembers no connection. The namespaces have no names: they end with the run,
//! however it ends.

mod can;

use can::{GATES_END, Routes};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::term::Slot;
use twinhelm_hil::fault::Cut;
use twinhelm_hil::world::other;
use twinhelm_linux::network::Namespace;

/// A device's cable to its peer, and the one to the observer.
const PAIR: &str = "pair0";
const DESK: &str = "desk0";
/// A device's end of the CAN bus, where there is one.
const CAN: &str = "can0";
/// Locally administered, and nobody's.
const NOBODY: &str = "02:00:00:00:00:00";

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Root is missing.
    #[error("making a network namespace needs root (CAP_SYS_ADMIN): call with sudo, or use `--rig host`")]
    Rights,
    /// The kernel refuses.
    #[error("making a network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// The program `ip` is not there, or cannot be run.
    #[error("running `ip`: {0}; install the package iproute2, or use `--rig host`")]
    NoIp(#[source] io::Error),
    /// There is no gateway for CAN.
    #[error("running `cangw`: {0}; install the package can-utils, or use `--rig host`")]
    NoGateway(#[source] io::Error),
    /// It did not do what it was asked for.
    #[error("the kernel refused ({said}) when it was told:\n{told}")]
    Refused {
        /// The lines that it was told.
        told: String,
        /// Its answer.
        said: String,
    },
}

/// The network of one run. It is gone when it is dropped and its processes have ended.
#[derive(Debug)]
pub struct Network {
    devices: [Namespace; 2],
    desk: Arc<Namespace>,
    /// The CAN bus between the devices and the vehicle, in a kernel that has one.
    can: Option<Routes>,
    /// How many cuts there are in what each device sends.
    cuts: [u32; 2],
}

impl Network {
    /// Makes the namespaces and lays the cables; with `has_can` a CAN bus, too, for the devices and for the vehicle, which
    /// stays in the namespace of this process.
    ///
    /// # Errors
    /// [`NetworkError`] says what is missing.
    pub fn build(has_can: bool) -> Result<Self, NetworkError> {
        let mut network = Self { devices: [namespace()?, namespace()?], desk: desk()?, can: None, cuts: [0; 2] };
        if has_can {
            let [left, right] = &network.devices;
            network.can = Some(Routes::lay([&left.path(), &right.path()])?);
        }
        let [left, right] = &network.devices;
        ip(left, &format!("link add {PAIR} type veth peer name {PAIR} netns {}", right.path().display()))?;
        ip(&network.desk, "link set lo up")?;
        for slot in [Slot::LEFT, Slot::RIGHT] {
            let (near, device) = (desk_name(slot), network.device(slot).path());
            ip(
                &network.desk,
                &format!(
                    "link add {near} type veth peer name {DESK} netns {}\naddr add {}/30 dev {near}\nlink set {near} up",
                    device.display(),
                    desk_address(slot)
                ),
            )?;
            network.plug_in(slot)?;
        }
        Ok(network)
    }

    /// Returns where the device in `slot` lives.
    #[must_use]
    pub fn namespace(&self, slot: Slot) -> PathBuf {
        self.device(slot).path()
    }

    /// Returns the interface of a device on the CAN bus, if there is one.
    #[must_use]
    pub fn device_can(&self) -> Option<&'static str> {
        self.can.as_ref().map(|_| CAN)
    }

    /// Returns the interface of the gates on the CAN bus, if there is one.
    #[must_use]
    pub fn gates_can(&self) -> Option<&'static str> {
        self.can.as_ref().map(|_| GATES_END)
    }

    /// Cuts (`on`) or heals the CAN cable of the device in `slot`: what it sends, what it receives, or both. Without a CAN
    /// bus there is none to cut.
    ///
    /// # Errors
    /// When `cangw` refuses.
    pub fn set_can(&mut self, slot: Slot, cut: Cut, on: bool) -> Result<(), NetworkError> {
        self.can.as_mut().map_or(Ok(()), |can| can.set_cut(slot, cut, on))
    }

    /// Returns where the observer lives.
    #[must_use]
    pub fn desk(&self) -> PathBuf {
        self.desk.path()
    }

    /// Cuts (`on`) or heals the link of the device in `slot`: what it sends, what it receives, or both.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn set_link(&mut self, slot: Slot, cut: Cut, on: bool) -> Result<(), NetworkError> {
        let senders: &[Slot] = match cut {
            Cut::Tx => &[slot],
            Cut::Rx => &[other(slot)],
            Cut::Both => &[slot, other(slot)],
        };
        for sender in senders {
            let cuts = &mut self.cuts[sender.index().min(1)];
            *cuts = if on { *cuts + 1 } else { cuts.saturating_sub(1) };
            match (on, *cuts) {
                (true, 1) => self.mute(*sender)?,
                (false, 0) => ip(self.device(*sender), &format!("neigh del {} dev {PAIR}", peer_address(*sender)))?,
                // Another cut was there before, or goes on.
                (true | false, _) => {}
            }
        }
        Ok(())
    }

    fn mute(&self, sender: Slot) -> Result<(), NetworkError> {
        let to = peer_address(sender);
        ip(self.device(sender), &format!("neigh replace {to} lladdr {NOBODY} dev {PAIR} nud permanent"))
    }

    /// Lets the cables of the device in `slot` go dead.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn cut_power(&self, slot: Slot) -> Result<(), NetworkError> {
        let can = self.device_can().map_or_else(String::new, |near| format!("\nlink set {near} down"));
        ip(self.device(slot), &format!("link set {PAIR} down\nlink set {DESK} down{can}"))
    }

    /// Plugs the cables of the device in `slot` into a network stack that has just come up. What the old one still held
    /// of its connections stays there, without a cable.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn restore_power(&mut self, slot: Slot) -> Result<(), NetworkError> {
        let booted = namespace()?;
        let path = booted.path();
        let path = path.display();
        let can = self.device_can().map_or_else(String::new, |near| format!("\nlink set {near} netns {path}"));
        let moved = format!("link set {PAIR} netns {path}\nlink set {DESK} netns {path}{can}");
        ip(self.device(slot), &moved)?;
        self.devices[slot.index().min(1)] = booted;
        self.plug_in(slot)?;
        // What the new stack does not know of is still cut.
        if self.cuts[slot.index().min(1)] > 0 { self.mute(slot) } else { Ok(()) }
    }

    fn plug_in(&self, slot: Slot) -> Result<(), NetworkError> {
        let (link, service) = (link_address(slot), service_address(slot));
        let can = self.device_can().map_or_else(String::new, |near| format!("\nlink set {near} up"));
        ip(
            self.device(slot),
            &format!(
                "link set lo up\naddr add {link}/30 dev {PAIR}\naddr add {service}/30 dev {DESK}\n\
                 link set {PAIR} up\nlink set {DESK} up{can}"
            ),
        )
    }

    fn device(&self, slot: Slot) -> &Namespace {
        &self.devices[slot.index().min(1)]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for slot in [Slot::LEFT, Slot::RIGHT] {
            // The kernel takes it away with the device's namespace, sometime; the next run has one of the same name.
            let _ = ip(&self.desk, &format!("link del {}", desk_name(slot)));
        }
    }
}

/// Returns the desk, which is the same for all runs of this process: a library that the observer uses may have one set of threads for
/// the process (Zenoh has), and they live where its first session was opened.
fn desk() -> Result<Arc<Namespace>, NetworkError> {
    static DESK: Mutex<Option<Arc<Namespace>>> = Mutex::new(None);
    let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(desk) = &*desk {
        return Ok(Arc::clone(desk));
    }
    Ok(Arc::clone(desk.insert(Arc::new(namespace()?))))
}

/// Returns where the device in `slot` is found by its peer.
#[must_use]
pub fn link_address(slot: Slot) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 1 + slot.number())
}

fn peer_address(slot: Slot) -> Ipv4Addr {
    link_address(other(slot))
}

/// Returns where the device in `slot` is found by the observer.
#[must_use]
pub fn service_address(slot: Slot) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1 + slot.number(), 2)
}

fn desk_address(slot: Slot) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1 + slot.number(), 1)
}

/// Returns the name of the desk's end of the cable to the device in `slot`.
const fn desk_name(slot: Slot) -> &'static str {
    if slot.index() == 0 { "left0" } else { "right0" }
}

fn namespace() -> Result<Namespace, NetworkError> {
    Namespace::new().map_err(|error| {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        if is_forbidden { NetworkError::Rights } else { NetworkError::Namespace(error) }
    })
}

/// Has `ip` do what `lines` say, inside `namespace`.
fn ip(namespace: &Namespace, lines: &str) -> Result<(), NetworkError> {
    namespace.inside(|| batch(lines)).map_err(NetworkError::Namespace)?
}

/// Has `ip` do what `lines` say, where this thread is.
fn batch(lines: &str) -> Result<(), NetworkError> {
    let run = || {
        let pipes = [Stdio::piped(), Stdio::piped()];
        let [input, errors] = pipes;
        let mut child =
            Command::new("ip").args(["-batch", "-"]).stdin(input).stdout(Stdio::null()).stderr(errors).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(lines.as_bytes())?;
            input.write_all(b"\n")?;
        }
        child.wait_with_output()
    };
    let done = run().map_err(NetworkError::NoIp)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ");
    Err(NetworkError::Refused { told: lines.to_owned(), said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    fn network() -> Option<Network> {
        match Network::build(false) {
            Err(NetworkError::Rights) => {
                println!("skipped: {}", NetworkError::Rights);
                None
            }
            built => Some(built.expect("a network")),
        }
    }

    /// Says something from one device to the other, and returns whether it came.
    fn arrives(network: &Network, from: Slot) -> bool {
        let to = other(from);
        let ear = network.device(to).inside(|| UdpSocket::bind((link_address(to), 7_400))).expect("inside");
        let ear = ear.expect("its own address");
        // Far longer than a datagram takes on one machine; a cut is waited for in full.
        ear.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mouth = network.device(from).inside(|| UdpSocket::bind((link_address(from), 7_400))).expect("inside");
        // A cable without carrier may say so at once.
        let _ = mouth.expect("its own address").send_to(b"there?", (link_address(to), 7_400));
        ear.recv(&mut [0; 8]).is_ok()
    }

    #[test]
    fn a_direction_is_cut_alone_and_healed() {
        let Some(mut network) = network() else {
            return;
        };
        assert!(arrives(&network, Slot::LEFT) && arrives(&network, Slot::RIGHT), "laid");
        network.set_link(Slot::LEFT, Cut::Tx, true).expect("cut");
        assert!(!arrives(&network, Slot::LEFT) && arrives(&network, Slot::RIGHT), "left cannot send");
        network.set_link(Slot::LEFT, Cut::Tx, false).expect("healed");
        network.set_link(Slot::LEFT, Cut::Rx, true).expect("cut");
        assert!(arrives(&network, Slot::LEFT) && !arrives(&network, Slot::RIGHT), "left cannot receive");
        network.set_link(Slot::LEFT, Cut::Rx, false).expect("healed");
        network.set_link(Slot::RIGHT, Cut::Both, true).expect("cut");
        assert!(!arrives(&network, Slot::LEFT) && !arrives(&network, Slot::RIGHT), "nobody can send");
        network.set_link(Slot::RIGHT, Cut::Both, false).expect("healed");
        assert!(arrives(&network, Slot::LEFT) && arrives(&network, Slot::RIGHT), "healed");
    }

    #[test]
    fn a_link_that_was_cut_twice_heals_with_the_second_repair() {
        let Some(mut network) = network() else {
            return;
        };
        for on in [true, true, false, false] {
            network.set_link(Slot::LEFT, Cut::Both, on).expect("cut and healed");
        }
        network.set_link(Slot::LEFT, Cut::Tx, true).expect("cut");
        network.cut_power(Slot::LEFT).expect("off");
        network.restore_power(Slot::LEFT).expect("on");
        // The new network stack is cut as the old one was.
        network.set_link(Slot::LEFT, Cut::Tx, false).expect("healed");
    }

    #[test]
    fn without_power_no_farewell_is_heard_and_the_cables_work_again_behind_it() {
        let Some(mut network) = network() else {
            return;
        };
        let listen = || TcpListener::bind((link_address(Slot::RIGHT), 7_447));
        let listener = network.device(Slot::RIGHT).inside(listen).expect("inside").expect("its own address");
        let connect = || TcpStream::connect((link_address(Slot::RIGHT), 7_447));
        let left = network.device(Slot::LEFT).inside(connect).expect("inside").expect("connected");
        let (right, _) = listener.accept().expect("a connection");
        right.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        network.cut_power(Slot::LEFT).expect("off");
        // The kernel of a process that dies says good-bye for it; here nobody hears that.
        drop(left);
        assert!(io::Read::read(&mut &right, &mut [0]).is_err(), "neither an end nor data: a time-out");
        network.restore_power(Slot::LEFT).expect("on");
        assert!(arrives(&network, Slot::LEFT) && arrives(&network, Slot::RIGHT));
        // Not even now: the connection stayed in the stack that is gone.
        assert!(io::Read::read(&mut &right, &mut [0]).is_err());
    }
}
