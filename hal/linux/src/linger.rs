//! Sockets that hold up whoever closes them.
//!
//! With `SO_LINGER` on, the thread that closes a TCP socket waits in the kernel until the other end has taken everything, or
//! for the time that was asked for: a peer without power takes nothing. The same happens to a child process that has copies
//! of the sockets between its start and its program, when the parent closes its own meanwhile: the child's is the last one.
//!
//! Without it, closing returns at once, and the kernel goes on sending what was not sent yet.
#![allow(unsafe_code)] // rustix wants a descriptor that stays open meanwhile; these are other threads'.

use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;

/// The calling process's open files, by number.
const OPEN_FILES: &str = "/proc/self/fd";

/// Has closing not wait any more, for each socket of this process, and returns for how many that is new.
///
/// It may be called while other threads open and close sockets: one that is closed meanwhile needs it no more, and one that
/// takes its number loses at most its own lingering.
///
/// # Errors
/// The kernel's, when there is no `/proc`.
pub fn linger_no_more() -> io::Result<usize> {
    Ok(lingering()?.into_iter().filter(|socket| set(*socket, NEVER)).count())
}

/// Returns this process's sockets whose closing may wait.
///
/// # Errors
/// The kernel's, when there is no `/proc`.
pub fn lingering() -> io::Result<Vec<RawFd>> {
    let open = std::fs::read_dir(OPEN_FILES)?;
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.filter(|number| waits(*number)).collect())
}

const NEVER: libc::linger = libc::linger { l_onoff: 0, l_linger: 0 };
const BYTES: libc::socklen_t = size_of::<libc::linger>() as libc::socklen_t;

/// Returns whether the file is a socket, and lingers.
fn waits(file: RawFd) -> bool {
    let (mut value, mut bytes) = (NEVER, BYTES);
    // SAFETY: the kernel writes one `struct linger` there and how long it is; what is no socket it refuses.
    let answer = unsafe {
        libc::getsockopt(file, libc::SOL_SOCKET, libc::SO_LINGER, (&raw mut value).cast(), &raw mut bytes)
    };
    answer == 0 && value.l_onoff != 0
}

/// Returns whether the file is a socket that lingers so from now on.
fn set(socket: RawFd, value: libc::linger) -> bool {
    // SAFETY: the kernel reads one `struct linger` there; what is no socket it refuses.
    let answer =
        unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const value).cast(), BYTES) };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_socket_that_lingers_is_found_among_the_others_and_lingers_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let connect = || TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (patient, other) = (connect(), connect());
        let long = libc::linger { l_onoff: 1, l_linger: 10 };
        assert!(set(patient.as_raw_fd(), long));
        let found = lingering().expect("/proc");
        assert!(found.contains(&patient.as_raw_fd()) && !found.contains(&other.as_raw_fd()), "{found:?}");
        assert_eq!(linger_no_more().expect("/proc"), 1);
        assert!(!waits(patient.as_raw_fd()));
        assert_eq!(linger_no_more().expect("/proc"), 0, "they know already");
    }

    #[test]
    fn what_is_no_socket_does_not_linger() {
        let file = tempfile::tempfile().expect("a file");
        assert!(!waits(file.as_raw_fd()) && !waits(-1));
    }
}
