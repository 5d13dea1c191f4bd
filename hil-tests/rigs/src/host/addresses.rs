//! Names and addresses that belong to one run on this machine alone.
//!
//! All of 127.0.0.0/8 is loopback: a run takes addresses that are made from its process id, so that two runs at one
//! time never share a port. The bus and the sensors live in the abstract socket namespace, where a process that is
//! killed leaves nothing behind.

use std::net::{Ipv4Addr, SocketAddr};
use twinhelm_hal::term::Slot;

/// Where everything of one run is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The name of the bus.
    pub bus: String,
    /// The name of the sensors.
    pub readings: String,
    /// Where the left device's session listens, for observers.
    pub left: SocketAddr,
    /// Where the right device's session listens.
    pub right: SocketAddr,
    /// Where the relay between them listens.
    pub relay: SocketAddr,
    /// Where the spares' sessions listen, when they were recruited.
    pub spares: [SocketAddr; 2],
    /// Where the devices' agents listen by slot, when there are any.
    pub agents: [SocketAddr; 4],
    /// Where the page of the cloud application is, when there is one.
    pub page: SocketAddr,
    /// Where its router listens.
    pub cloud: SocketAddr,
}

impl Addresses {
    /// Returns the addresses of the run of process `pid`; `port` 0 means ports of its own, any other number the
    /// first of eleven consecutive ports on 127.0.0.1.
    #[must_use]
    pub fn of(pid: u32, port: u16) -> Self {
        let [low, middle, high, _] = pid.to_le_bytes();
        let own = |last: u8| SocketAddr::from((Ipv4Addr::new(127, middle, low, last), 7_447 + u16::from(high)));
        let fixed = |offset: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port.saturating_add(offset)));
        let numbers: [u8; 11] = std::array::from_fn(|index| index as u8);
        let all = numbers.map(|number| if port == 0 { own(number + 1) } else { fixed(number.into()) });
        let [left, right, relay, left_agent, right_agent, second, third, second_agent, third_agent, page, cloud] =
            all;
        Self {
            bus: format!("twinhelm-{pid}-bus"),
            readings: format!("twinhelm-{pid}-readings"),
            left,
            right,
            relay,
            spares: [second, third],
            agents: [left_agent, right_agent, second_agent, third_agent],
            page,
            cloud,
        }
    }

    /// Returns where the session of the device in `slot` listens.
    #[must_use]
    pub fn session(&self, slot: Slot) -> SocketAddr {
        let [second, third] = self.spares;
        [self.left, self.right, second, third][slot.index()]
    }
}

/// Returns `address` as Zenoh writes it.
#[must_use]
pub fn endpoint(address: SocketAddr) -> String {
    format!("tcp/{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_share_no_address() {
        let (a, b) = (Addresses::of(300, 0), Addresses::of(301, 0));
        assert!(a.left != b.left && a.relay != b.relay && a.bus != b.bus);
        assert!(a.left.ip().is_loopback() && a.left != a.right);
        assert_eq!(Addresses::of(1, 9_000).relay.to_string(), "127.0.0.1:9002");
    }
}
