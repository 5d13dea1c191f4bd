//! The real-time loop: a thread that calls a closure, sleeps until the instant it names, and calls it again.
//!
//! It runs by `SCHED_FIFO`, with locked memory and absolute sleeps, where the machine allows that. Where it does
//! not, the loop runs all the same, and [`RealTimeThread::rights`] says what is missing.

use crate::clock::{now, sleep_until};
use crate::scheduling::{Priority, lock_memory, run_at, sleep_exactly};
use std::fmt;
use std::hint::black_box;
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use twinhelm_hal::time::Instant;

/// How much stack a turn may use without meeting a page for the first time. Turns use a few KiB.
const STACK_PREFAULTED: usize = 256 * 1024;
const PAGE: usize = 4096;

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Another turn at this instant; at once when it is over.
    At(Instant),
    /// None: the thread ends.
    Stop,
}

/// What the thread was allowed. What was not is said in words, for one line on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Real-time scheduling.
    pub scheduling: Result<(), String>,
    /// Locked memory.
    pub memory: Result<(), String>,
}

impl Rights {
    /// Takes what the calling thread is allowed: scheduling at `priority`, memory locked.
    fn take(priority: Priority) -> Self {
        let missing = |error| format!("no real-time scheduling: {error} (CAP_SYS_NICE or ulimit -r)");
        Self { scheduling: run_at(priority).map_err(missing), memory: lock_memory() }
    }

    /// Returns whether nothing is missing.
    #[must_use]
    pub fn are_complete(&self) -> bool {
        self.scheduling.is_ok() && self.memory.is_ok()
    }
}

impl fmt::Display for Rights {
    /// Writes what is missing, or that nothing is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.scheduling, &self.memory) {
            (Ok(()), Ok(())) => f.write_str("real-time scheduling and locked memory"),
            (Err(missing), Ok(())) | (Ok(()), Err(missing)) => f.write_str(missing),
            (Err(scheduling), Err(memory)) => write!(f, "{scheduling}; {memory}"),
        }
    }
}

/// A running real-time loop. Dropping it lets the loop go on.
#[derive(Debug)]
pub struct RealTimeThread {
    thread: JoinHandle<()>,
    rights: Rights,
}

impl RealTimeThread {
    /// Returns what the thread was allowed.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Waits until a turn returns [`Next::Stop`].
    ///
    /// # Panics
    /// When a turn panicked, with what it said: a broken loop does not end quietly.
    pub fn join(self) {
        if let Err(what_it_said) = self.thread.join() {
            std::panic::resume_unwind(what_it_said);
        }
    }

    /// Returns whether the loop has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a thread called `name` that calls `turn` with the time, sleeps until the instant it returns, and so on.
///
/// Nothing is allocated, locked or logged between two turns. The call returns when the rights are known.
///
/// # Errors
/// The kernel's, when no thread can be started. Missing rights are no error.
pub fn spawn<F>(name: &str, priority: Priority, mut turn: F) -> io::Result<RealTimeThread>
where
    F: FnMut(Instant) -> Next + Send + 'static,
{
    let (tell, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let rights = Rights::take(priority);
        sleep_exactly();
        prefault_stack();
        // `spawn` listens until this arrives.
        let _ = tell.send(rights);
        drop(tell);
        while let Next::At(next) = turn(now()) {
            sleep_until(next);
        }
    })?;
    let rights = told.recv().map_err(|_| io::Error::other(format!("thread {name} ended before its first turn")))?;
    Ok(RealTimeThread { thread, rights })
}

/// Touches the stack that turns will use, so that its pages are there when a turn comes.
#[inline(never)]
fn prefault_stack() {
    let mut pages = [0u8; STACK_PREFAULTED];
    for byte in pages.iter_mut().step_by(PAGE) {
        *black_box(byte) = 1;
    }
    black_box(&pages);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use twinhelm_hal::time::Duration;

    #[test]
    fn the_loop_runs_until_stop_and_no_turn_comes_early() {
        let turns = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&turns);
        let mut due = None;
        let thread = spawn("test-loop", Priority::CONTROL, move |now| {
            assert!(due.is_none_or(|due| now >= due), "a turn came early");
            let next = now + Duration::from_millis(1);
            due = Some(next);
            if counted.fetch_add(1, Ordering::Relaxed) == 9 { Next::Stop } else { Next::At(next) }
        });
        let thread = thread.unwrap();
        let rights = thread.rights().clone();
        thread.join();
        assert_eq!(turns.load(Ordering::Relaxed), 10);
        assert_eq!(rights.are_complete(), rights.scheduling.is_ok() && rights.memory.is_ok());
    }

    #[test]
    fn missing_rights_are_said_in_words() {
        let missing = |what: &str| Err(what.to_owned());
        let rights = Rights { scheduling: missing("no scheduling"), memory: missing("no memory") };
        assert_eq!(rights.to_string(), "no scheduling; no memory");
        let rights = Rights { scheduling: Ok(()), ..rights };
        assert_eq!(rights.to_string(), "no memory");
        assert!(!rights.are_complete());
    }

    #[test]
    #[should_panic(expected = "the turn's own words")]
    fn a_panic_in_a_turn_reaches_whoever_joins() {
        spawn("test-panic", Priority::CONTROL, |_| panic!("the turn's own words")).unwrap().join();
    }
}
