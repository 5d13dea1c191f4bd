//! Work that may wait: its threads give way to everything else, until somebody needs what they do.
//!
//! The lowest priority is not *never*: a thread that gives way still gets a share (see
//! [`Effort::low`]), and [`Effort::raise`] gives all of its threads their creator's priority back while they work. Threads
//! inherit their priority from who starts them, so each thread of the work [enters](Effort::enter) at its beginning: then it
//! is known, and one that was started just before a raise is raised, too.

use crate::scheduling::{give_way, nice, stop_giving_way};
use rustix::process::Pid;
use rustix::thread::gettid;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How hard a piece of work goes about it, on however many threads.
#[derive(Debug)]
pub struct Effort {
    /// The `nice` of who wants the work done.
    ordinary: i32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    gives_way: bool,
    threads: Vec<Pid>,
}

/// A thread that does part of the work, for as long as this lives.
#[derive(Debug)]
pub struct Entered<'a>(&'a Effort, Pid);

impl Effort {
    /// Returns the effort of work that nobody waits for: `nice` 19, and the last in the disk's queue.
    #[must_use]
    pub fn low() -> Self {
        Self::new(true)
    }

    /// Returns the effort of work that is waited for.
    #[must_use]
    pub fn ordinary() -> Self {
        Self::new(false)
    }

    fn new(gives_way: bool) -> Self {
        Self { ordinary: nice(), state: Mutex::new(State { gives_way, threads: Vec::new() }) }
    }

    /// Makes the calling thread one of those that do the work. Where the kernel refuses another priority, it keeps its own.
    #[must_use]
    pub fn enter(&self) -> Entered<'_> {
        let thread = gettid();
        let mut state = self.state();
        if state.gives_way {
            let _ = give_way();
        } else if nice() != self.ordinary {
            // Its parent had given way when it started it.
            let _ = stop_giving_way(thread, self.ordinary);
        }
        state.threads.push(thread);
        Entered(self, thread)
    }

    /// Has the work go on at the ordinary priority, and returns whether it had given way until now.
    pub fn raise(&self) -> bool {
        let mut state = self.state();
        for thread in &state.threads {
            // Where the kernel refuses, it still gets its share.
            let _ = stop_giving_way(*thread, self.ordinary);
        }
        std::mem::replace(&mut state.gives_way, false)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.state().threads.retain(|thread| *thread != self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// Lowering is everybody's right, raising is root's.
    fn may_raise() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_raise_reaches_every_thread_of_the_work_and_those_that_they_start() {
        let before = nice();
        let effort = Effort::low();
        let (low, raised) = (Barrier::new(3), Barrier::new(3));
        let work = || {
            let entered = effort.enter();
            let lowered = nice();
            low.wait();
            raised.wait();
            let after = nice();
            // Started by one that has given way, or had.
            let child = thread::scope(|scope| scope.spawn(|| (effort.enter(), nice()).1).join().unwrap());
            drop(entered);
            (lowered, after, child)
        };
        thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            low.wait();
            assert!(effort.raise(), "it had given way");
            assert!(!effort.raise(), "it does not any more");
            raised.wait();
            for thread in threads {
                let (lowered, after, child) = thread.join().unwrap();
                assert_eq!(lowered, 19);
                if may_raise() {
                    assert_eq!((after, child), (before, before));
                }
            }
        });
        assert!(effort.state().threads.is_empty(), "who has left is not raised: its number may be another's");
    }

    #[test]
    fn what_somebody_waits_for_gives_way_to_nobody_and_the_rest_of_the_process_is_left_alone() {
        let before = nice();
        thread::scope(|scope| {
            let low = Effort::low();
            scope.spawn(move || (low.enter(), assert_eq!(nice(), 19)).1).join().unwrap();
            let ordinary = Effort::ordinary();
            let seen = scope.spawn(move || (ordinary.enter(), nice()).1).join().unwrap();
            assert_eq!(seen, before);
        });
        assert_eq!(nice(), before);
    }
}
