//! Names of sockets in Linux's abstract namespace: no file, gone with the process, one namespace a network.

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::fmt;
use std::io::Write as _;

/// The length of `sockaddr_un`'s path without the zero byte that makes the name abstract.
const NAME_MAX: usize = 107;

/// Returns the address in the abstract namespace that `name` writes out to, or `NAMETOOLONG`.
pub(crate) fn abstract_address(name: fmt::Arguments<'_>) -> Result<SocketAddrUnix, Errno> {
    let mut bytes = [0u8; NAME_MAX];
    let mut rest = bytes.as_mut_slice();
    rest.write_fmt(name).map_err(|_| Errno::NAMETOOLONG)?;
    let left = rest.len();
    SocketAddrUnix::new_abstract_name(&bytes[..bytes.len() - left])
}
