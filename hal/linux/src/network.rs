//! Network namespaces: a network stack of its own for a thread, and for what that thread starts.
//!
//! A namespace made here has no name in the file system. It lives as long as somebody holds it open or lives in it, so a
//! program that is killed leaves none behind.
#![allow(unsafe_code)] // `unshare` is unsafe in rustix, because of its other flags.

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::thread;

/// The calling thread's own namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace that nobody lives in yet: only a loopback interface, which is down.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace. The calling thread stays where it is.
    ///
    /// # Errors
    /// The kernel's: `PermissionDenied` when `CAP_SYS_ADMIN` is missing.
    pub fn new() -> io::Result<Self> {
        let file = on_a_thread(|| {
            // SAFETY: only `FILES`, `FS` and the like can take something away that other code relies on; this thread does
            // nothing but open the namespace, and ends.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            File::open(OWN)
        })?;
        Ok(Self { file })
    }

    /// Returns where another process finds the namespace, as long as this value and this process live.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Runs `work` on a thread that lives in the namespace; the processes that it starts live there too.
    ///
    /// # Errors
    /// The kernel's, when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })
    }
}

/// Moves the calling thread into the network namespace at `path`; threads that it starts from now on live there. Sockets
/// that are open stay where they are.
///
/// # Errors
/// The kernel's: `NotFound` when whoever made the namespace is gone, `PermissionDenied` when `CAP_SYS_ADMIN` is missing.
pub fn enter(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A namespace is a property of a thread: what changes its own is done on one that ends with it.
fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number by which the kernel knows the calling thread's namespace.
    fn here() -> PathBuf {
        std::fs::read_link(OWN).expect("a thread has a namespace")
    }

    #[test]
    fn a_namespace_is_another_one_inside_and_the_same_from_outside() {
        let namespace = match Namespace::new() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                println!("skipped: making a network namespace needs root");
                return;
            }
            made => made.expect("a namespace"),
        };
        let outside = here();
        let inside = namespace.inside(here).expect("it can be entered");
        assert_ne!(inside, outside);
        let entered = on_a_thread(|| {
            enter(&namespace.path())?;
            Ok(here())
        });
        assert_eq!(entered.expect("it can be entered by its path"), inside);
        assert_eq!(here(), outside, "the caller stayed where it was");
    }

    #[test]
    fn a_namespace_whose_maker_is_gone_is_not_found() {
        let error = enter(Path::new("/proc/0/fd/3")).expect_err("there is no process 0");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
