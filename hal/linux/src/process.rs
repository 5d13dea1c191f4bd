//! Processes: a child that does not outlive its parent, and one that a limit on files does not kill.

use crate::terminal;
use rustix::fs::Mode;
use rustix::io;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::sync::Arc;

/// Why a process cannot be tied to its parent.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// The parent was gone before the tie was made.
    #[error("the process {parent} that started this one is gone")]
    Gone {
        /// Who should have been the parent.
        parent: u32,
    },
    /// The kernel refused.
    #[error("tying this process to its parent's life")]
    System(#[source] io::Errno),
}

/// Has the kernel kill this process when the thread that started it ends, by whatever cause.
///
/// `parent` is the id of the process that started this one, as it told us itself: it may have died before the call,
/// and then nobody would ever kill us. The kernel watches the parent's *thread*: whoever starts processes does it
/// on a thread that lives as long as they shall.
///
/// # Errors
/// [`ParentError::Gone`] when the parent has died already: the caller ends.
pub fn die_with_parent(parent: u32) -> Result<(), ParentError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(ParentError::System)?;
    let is_ours = |pid: Pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent);
    if getppid().is_some_and(is_ours) { Ok(()) } else { Err(ParentError::Gone { parent }) }
}

/// Ends the process when any of its threads panics, with what the thread said, and with the exit code of a machine that cannot: one
/// that goes on without a thread looks alive, and is not. Libraries panic where they get no thread, memory or file.
pub fn end_with_any_thread() {
    #[expect(unsafe_code, reason = "the standard library has no exit that waits for nobody")]
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name").to_owned();
        terminal::tell(format_args!("error: the thread {name} cannot go on: {panic}"));
        terminal::tell("(if this machine has no room for one more thread, file or page: see `ulimit -a`)");
        // SAFETY: it ends the process at once, and reads nothing. What runs at an ordinary exit may wait for the thread that is here.
        unsafe { libc::_exit(CANNOT) }
    }));
}

/// The exit code of a program that this machine cannot run.
const CANNOT: i32 = 3;

/// Has what this process makes be readable for others, unless it says otherwise: its missions are other users, whatever the `umask` of
/// whoever started it.
pub fn make_readable_files() {
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
}

/// Has a write beyond the largest file that may be (`ulimit -f`) fail like any other, so that it is told of. By default it kills the
/// process.
pub fn outlive_file_limits() {
    // One that could not be asked for is as it was.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_not_ours_is_gone() {
        let ours = u32::try_from(getppid().unwrap().as_raw_nonzero().get()).unwrap();
        assert!(matches!(die_with_parent(ours + 1), Err(ParentError::Gone { .. })));
        set_parent_process_death_signal(None).unwrap();
    }
}
