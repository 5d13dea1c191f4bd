//! The board's watchdog: it restarts a board whose control loop no longer feeds it.
//!
//! Linux's interface (Documentation/watchdog/watchdog-api.rst): opening starts it, each write feeds it, and closing stops it
//! only when the last byte written was `V`. So a process that dies, or a `Watchdog` that is dropped, lets it bite;
//! [`Watchdog::stop`] alone does not.
#![allow(unsafe_code)] // rustix has no safe call for an ioctl of a driver.

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use twinhelm_hal::time::Duration;

/// Feeds; anything but the magic byte would do.
const FOOD: &[u8] = b"\0";
/// Written last, it says that closing is meant.
const MAGIC_CLOSE: &[u8] = b"V";

/// Why there is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// There is no such file.
    #[error("there is no {}: modprobe the board's watchdog, or softdog where it has none", .0.display())]
    Missing(PathBuf),
    /// The file may not be opened.
    #[error(
        "no permission for {}: call as root, or write a udev rule: SUBSYSTEM==\"watchdog\", GROUP=\"twinhelm\", \
         MODE=\"0660\"",
        .0.display()
    )]
    Permission(PathBuf),
    /// Another program has it.
    #[error(
        "{} is in use: another program feeds it. `fuser -v {}` names it; if it is systemd, write RuntimeWatchdogSec=0 \
         in /etc/systemd/system.conf",
        .0.display(), .0.display()
    )]
    Busy(PathBuf),
    /// The timeout is no whole number of seconds above zero.
    #[error("a watchdog's timeout is a whole number of seconds from 1, not {0:?}")]
    Timeout(Duration),
    /// The driver did not take the timeout.
    #[error("setting {} to {timeout_s} s: is it a watchdog, and can it wait for so long?", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The timeout that was asked for.
        timeout_s: i32,
        /// What the driver said.
        #[source]
        source: io::Error,
    },
    /// The driver took a shorter one.
    #[error("{} bites after {taken_s} s at the latest, not after {timeout_s}: write a timeout that it can do", path.display())]
    Shorter {
        /// The file.
        path: PathBuf,
        /// The timeout that was asked for.
        timeout_s: i32,
        /// The one that it can do.
        taken_s: i32,
    },
    /// The kernel refused.
    #[error("{doing} {}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A watchdog that runs.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    path: PathBuf,
}

impl Watchdog {
    /// Opens the watchdog at `path`, which starts it, and has it bite after `timeout` without food.
    ///
    /// # Errors
    /// [`WatchdogError`] says what to do. The watchdog is stopped again then.
    pub fn start(path: &Path, timeout: Duration) -> Result<Self, WatchdogError> {
        let whole = timeout.subsec_nanos() == 0 && timeout.as_secs() > 0;
        let timeout_s = i32::try_from(timeout.as_secs()).ok().filter(|_| whole);
        let timeout_s = timeout_s.ok_or(WatchdogError::Timeout(timeout))?;
        let file = OpenOptions::new().write(true).open(path).map_err(|source| {
            let path = path.to_owned();
            match Errno::from_io_error(&source) {
                Some(Errno::NOENT | Errno::NODEV) => WatchdogError::Missing(path),
                Some(Errno::ACCESS | Errno::PERM) => WatchdogError::Permission(path),
                Some(Errno::BUSY) => WatchdogError::Busy(path),
                Some(_) | None => WatchdogError::System { path, doing: "opening", source },
            }
        })?;
        // The driver may take another timeout, the next one that it can do, and says so.
        let taken_s = match set_timeout(&file, timeout_s) {
            Ok(taken_s) => taken_s,
            Err(source) => {
                // It runs since it was opened, with a timeout that nobody chose.
                let _ = write(&file, MAGIC_CLOSE);
                return Err(WatchdogError::Refused { path: path.to_owned(), timeout_s, source });
            }
        };
        if taken_s < timeout_s {
            // What was asked for is what the safe state needs.
            let _ = write(&file, MAGIC_CLOSE);
            return Err(WatchdogError::Shorter { path: path.to_owned(), timeout_s, taken_s });
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Feeds it: one write of one byte, which does not block.
    ///
    /// # Errors
    /// The kernel's. What to do is the caller's to say; the watchdog bites if it stays so.
    pub fn feed(&mut self) -> Result<(), WatchdogError> {
        write(&self.file, FOOD).map_err(|source| self.failed("feeding", source))
    }

    /// Stops it, because the program ends on purpose. A kernel with `nowayout` lets it run on.
    ///
    /// # Errors
    /// The kernel's; then it runs on.
    pub fn stop(self) -> Result<(), WatchdogError> {
        write(&self.file, MAGIC_CLOSE).map_err(|source| self.failed("stopping", source))
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> WatchdogError {
        WatchdogError::System { path: self.path.clone(), doing, source }
    }
}

fn write(file: &File, byte: &[u8]) -> io::Result<()> {
    match rustix::io::write(file, byte)? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

/// Sets the timeout, and returns the one that the driver took, in seconds.
fn set_timeout(file: impl AsFd, timeout_s: i32) -> io::Result<i32> {
    /// `WDIOC_SETTIMEOUT` of linux/watchdog.h: `_IOWR('W', 6, int)`.
    const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);
    let mut taken_s = timeout_s;
    // SAFETY: the opcode says that the driver reads and writes one `int`, and `taken_s` is one that outlives the call.
    let request = unsafe { Updater::<SET_TIMEOUT, i32>::new(&mut taken_s) };
    // SAFETY: as above; a file that is no watchdog answers ENOTTY and touches nothing.
    unsafe { ioctl(file, request) }?;
    Ok(taken_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// A watchdog on a pipe, and what arrives at its other end.
    fn on_a_pipe() -> (Watchdog, File) {
        let (end, file) = rustix::pipe::pipe().unwrap();
        (Watchdog { file: file.into(), path: PathBuf::from("/dev/watchdog") }, end.into())
    }

    fn written(mut end: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        end.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn feeding_writes_one_byte_and_a_stop_writes_the_magic_one_last() {
        let (mut watchdog, end) = on_a_pipe();
        watchdog.feed().unwrap();
        watchdog.feed().unwrap();
        watchdog.stop().unwrap();
        assert_eq!(written(end), b"\0\0V");
    }

    #[test]
    fn a_watchdog_that_is_dropped_bites() {
        let (mut watchdog, end) = on_a_pipe();
        watchdog.feed().unwrap();
        drop(watchdog);
        assert_eq!(written(end), b"\0");
    }

    #[test]
    fn a_panic_bites_too() {
        let (mut watchdog, end) = on_a_pipe();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            watchdog.feed().unwrap();
            panic!("the loop broke");
        }));
        assert!(panicked.is_err());
        assert_eq!(written(end), b"\0");
    }

    #[test]
    fn a_file_that_is_no_watchdog_is_refused_by_its_name_and_left_stopped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Watchdog::start(file.path(), Duration::from_secs(2)).unwrap_err();
        let WatchdogError::Refused { source, .. } = &error else { panic!("{error}") };
        assert_eq!(Errno::from_io_error(source), Some(Errno::NOTTY));
        let name = file.path().display().to_string();
        assert!(error.to_string().starts_with(&format!("setting {name} to 2 s")), "{error}");
        assert_eq!(std::fs::read(file.path()).unwrap(), b"V");
    }

    #[test]
    fn an_absent_watchdog_and_an_impossible_timeout_say_what_to_do() {
        let error = Watchdog::start(Path::new("/dev/no-such-watchdog"), Duration::from_secs(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no /dev/no-such-watchdog: modprobe the board's watchdog, or softdog where it has none"
        );
        let error = Watchdog::start(Path::new("/dev/null"), Duration::from_millis(1_500)).unwrap_err();
        assert_eq!(error.to_string(), "a watchdog's timeout is a whole number of seconds from 1, not 1.5s");
    }

    #[test]
    fn a_watchdog_that_cannot_be_fed_says_so() {
        let (mut watchdog, end) = on_a_pipe();
        drop(end);
        let error = watchdog.feed().unwrap_err();
        assert_eq!(error.to_string(), "feeding /dev/watchdog");
    }
}
