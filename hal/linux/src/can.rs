//! A CAN bus of the kernel: SocketCAN, classic and FD.
//!
//! [`CanBus`] is a station's access to it. The kernel wakes a station only for the identifiers that it wants, says when each
//! frame came, hands its own frames back when they are on the wire (so the queue towards the bus holds one frame, and
//! what missed its cycle is replaced, not sent late), and tells what the controller thinks of itself.
//! [`Interface`] is the other half, which needs the right to administer the network: bitrate, up, restart after bus-off.

mod bus;
mod confinement;
mod interface;
mod keeper;
mod outbox;

pub use bus::{CanBus, Counters, OpenError, Wants};
pub use interface::{Interface, InterfaceError, Setup};
pub use keeper::keep;
