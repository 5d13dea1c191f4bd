//! A CAN bus between the processes of one machine: sockets for wires, `hal`'s arbiter for the order.
//!
//! The process that plays the vehicle owns the [`Server`] and drives it on its own real-time thread; each device
//! process is a [`Client`]. The sockets have names in Linux's abstract namespace, so a SIGKILL leaves no file
//! behind. What is on the bus and when, the arbiter says; the server only carries frames to it and away from it.
//!
//! It is not CAN: a frame meets no bit errors, and a client's frame reaches the arbiter when the server looks.

mod client;
mod packet;
mod seats;
mod server;

pub use client::{Client, ConnectError};
pub use seats::{BindError, Counters};
pub use server::{Losses, NoLosses, Server, TwoSenders};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

/// How many bytes of packets, as the kernel counts them, may wait in one direction: some 80 frames.
///
/// Linux bounds such a queue by its sender's buffer (`SO_SNDBUF`); `SO_RCVBUF` has no effect here (unix(7)).
const QUEUE_BYTES: usize = 32 * 1024;

/// Returns the address of bus `name`.
fn address(name: &str) -> Result<SocketAddrUnix, Errno> {
    crate::names::abstract_address(format_args!("twinhelm/bus/{name}"))
}
