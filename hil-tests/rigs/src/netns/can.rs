//! One CAN bus for the devices and the gates: a cable (vxcan) from each to this process's namespace, where the kernel's
//! gateway (can-gw) passes each frame to all the others. A direction of a device is cut by taking its routes away, both by
//! pulling its cable out of the hub: at once, or it would be two faults for a while.

use super::{CAN, NetworkError, batch};
use std::process::Command;
use twinhelm_hal::term::Slot;
use twinhelm_hil::fault::Cut;

/// The ends of the cables that the gateway joins: the devices' by slot, and the gates'.
const HUB: [&str; 3] = ["hub-left", "hub-right", "hub-gates"];
const GATES: usize = 2;
/// The interface that the gates listen on, and on which everything is heard.
pub(super) const GATES_END: &str = "can-gates";

/// The bus of one run.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// How many cuts there are in what each device sends, in what it receives, and in both together.
    tx_cuts: [u32; 2],
    rx_cuts: [u32; 2],
    pulled: [u32; 2],
    /// Which frames are passed on: from, to. What a device sends is cut towards the gates first: they decide.
    passed: [[bool; HUB.len()]; HUB.len()],
}

impl Routes {
    /// Lays the cables to the `devices`' namespaces, and joins them.
    pub fn lay(devices: [&std::path::Path; 2]) -> Result<Self, NetworkError> {
        for (hub, device) in HUB.into_iter().zip(devices) {
            let there = device.display();
            batch(&format!("link add {hub} type vxcan peer name {CAN} netns {there}\nlink set {hub} up"))?;
        }
        let hub = HUB[GATES];
        batch(&format!(
            "link add {hub} type vxcan peer name {GATES_END}\nlink set {hub} up\nlink set {GATES_END} up"
        ))?;
        let mut routes = Self::default();
        routes.pass_what_is_not_cut()?;
        Ok(routes)
    }

    /// Cuts (`on`) or heals what the device in `slot` sends, receives, or both.
    pub fn set_cut(&mut self, slot: Slot, cut: Cut, on: bool) -> Result<(), NetworkError> {
        let cuts = match cut {
            Cut::Tx => &mut self.tx_cuts,
            Cut::Rx => &mut self.rx_cuts,
            Cut::Both => &mut self.pulled,
        };
        let count = &mut cuts[slot.index().min(1)];
        *count = if on { *count + 1 } else { count.saturating_sub(1) };
        let is_cut = *count > 0;
        match cut {
            Cut::Tx | Cut::Rx => self.pass_what_is_not_cut(),
            Cut::Both => {
                let state = if is_cut { "down" } else { "up" };
                batch(&format!("link set {} {state}", HUB[slot.index().min(1)]))
            }
        }
    }

    fn pass_what_is_not_cut(&mut self) -> Result<(), NetworkError> {
        let is_cut = |cuts: &[u32; 2], end: usize| cuts.get(end).is_some_and(|cuts| *cuts > 0);
        for (from, ends) in self.passed.iter_mut().enumerate() {
            for (to, is_passed) in ends.iter_mut().enumerate().rev() {
                let wanted = from != to && !is_cut(&self.tx_cuts, from) && !is_cut(&self.rx_cuts, to);
                if wanted != *is_passed {
                    route(wanted, HUB[from], HUB[to])?;
                    *is_passed = wanted;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Routes {
    /// Takes the gates' cable away; the devices' end with their namespaces.
    fn drop(&mut self) {
        // A kernel that ends has taken it already.
        let _ = batch(&format!("link del {}", HUB[GATES]));
    }
}

/// Adds or removes the route between two ends of cables.
fn route(add: bool, from: &str, to: &str) -> Result<(), NetworkError> {
    // -i: the gateway compares interface numbers across namespaces, and drops what seems to go back where it came from.
    let words = [if add { "-A" } else { "-D" }, "-s", from, "-d", to, "-i"];
    let done = Command::new("cangw").args(words).output().map_err(NetworkError::NoGateway)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(NetworkError::Refused { told: format!("cangw {}", words.join(" ")), said })
}
