//! Processes: a child that does not outlive its parent.

use rustix::io;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

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
