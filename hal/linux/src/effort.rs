//! Work that may wait: its threads give way to everything else, until somebody needs what they do.
//!
//! The lowest priorities are not *never*: a thread that gives way still gets a share (see [`Effort::low`]), and
//! [`Effort::raise`] gives all of its threads their creator's priority back. A thread hands its `nice` on to whatever it starts,
//! a library's threads too, which nobody could ask to report. So each such work has a `nice` that nothing else in the process
//! has: it marks the work's threads, and a raise finds them by it.

use crate::scheduling::{nice, nice_of, set_nice};
use rustix::process::Pid;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

/// Which work: a process has one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A pull, and what belongs to it: a share of 18 beside each ordinary thread's 1024.
    Pull,
    /// The upload of what was recorded: a share of 15.
    Upload,
}

impl Work {
    /// The mark of its threads, of the kernel's two lowest.
    const fn nice(self) -> i32 {
        match self {
            Self::Pull => 18,
            Self::Upload => 19,
        }
    }
}

/// How hard a piece of work goes about it, on however many threads.
#[derive(Debug)]
pub struct Effort {
    work: Work,
    /// The `nice` of who wants the work done.
    ordinary: i32,
    gives_way: Mutex<bool>,
}

impl Effort {
    /// Returns the effort of work that nobody waits for: it is the last in the queues for the processor and the disk.
    /// (`SCHED_IDLE` and the disk's class `idle` may get nothing at all for as long as others are busy.)
    #[must_use]
    pub fn low(work: Work) -> Self {
        Self { work, ordinary: nice(), gives_way: Mutex::new(true) }
    }

    /// Returns the effort of work that is waited for.
    #[must_use]
    pub fn ordinary(work: Work) -> Self {
        Self { gives_way: Mutex::new(false), ..Self::low(work) }
    }

    /// Has the calling thread do the work, and with it whatever it starts from now on. Where the kernel refuses another
    /// priority, it keeps its own.
    pub fn enter(&self) {
        if *self.gives_way() {
            let _ = set_nice(None, self.work.nice());
        }
    }

    /// Has the work go on at the ordinary priority, and returns whether it had given way until now.
    ///
    /// A thread may be about to start another one just now: for as long as the work lasts, raise it again and again.
    pub fn raise(&self) -> bool {
        let mut gives_way = self.gives_way();
        // What a marked thread has started meanwhile is in the next list.
        while self.raise_marked().is_ok_and(|raised| raised > 0) {}
        std::mem::replace(&mut gives_way, false)
    }

    /// Returns how many threads it raised; what the kernel refuses still gets its share.
    fn raise_marked(&self) -> io::Result<usize> {
        let mark = self.work.nice();
        if self.ordinary >= mark {
            return Ok(0);
        }
        let mut raised = 0;
        for entry in fs::read_dir("/proc/self/task")?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(thread) = number.and_then(Pid::from_raw) else { continue };
            if nice_of(thread) == Some(mark) && set_nice(Some(thread), self.ordinary).is_ok() {
                raised += 1;
            }
        }
        Ok(raised)
    }

    fn gives_way(&self) -> MutexGuard<'_, bool> {
        self.gives_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// The mark is the process's: one test at a time.
    static ONE: Mutex<()> = Mutex::new(());

    /// Lowering is everybody's right, raising is root's.
    fn may_raise() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_raise_reaches_every_thread_of_the_work_and_those_of_libraries() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = nice();
        let effort = Effort::low(Work::Pull);
        let (low, raised) = (Barrier::new(5), Barrier::new(5));
        // Knows nothing of any effort.
        let library = || {
            let lowered = nice();
            low.wait();
            raised.wait();
            (lowered, nice())
        };
        let work = || {
            effort.enter();
            let child = thread::scope(|scope| {
                let child = scope.spawn(library);
                let own = library();
                [own, child.join().unwrap()]
            });
            (child, thread::scope(|scope| scope.spawn(nice).join().unwrap()))
        };
        thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            low.wait();
            assert!(effort.raise(), "it had given way");
            assert!(!effort.raise(), "it does not any more");
            raised.wait();
            for thread in threads {
                let (seen, later) = thread.join().unwrap();
                for (lowered, after) in seen {
                    assert_eq!(lowered, 18);
                    if may_raise() {
                        assert_eq!(after, before);
                    }
                }
                if may_raise() {
                    assert_eq!(later, before, "what is started after a raise");
                }
            }
        });
    }

    /// Its parent had read its own priority before the raise: the child is found by the next one.
    #[test]
    fn a_thread_that_a_raise_could_not_see_is_found_by_the_next_one() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if !may_raise() {
            return;
        }
        let before = nice();
        let effort = Effort::low(Work::Pull);
        assert!(effort.raise());
        let (low, raised) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let late = scope.spawn(|| {
                set_nice(None, 18).unwrap();
                low.wait();
                raised.wait();
                nice()
            });
            low.wait();
            assert!(!effort.raise());
            raised.wait();
            assert_eq!(late.join().unwrap(), before);
        });
    }

    #[test]
    fn what_somebody_waits_for_gives_way_to_nobody_and_the_rest_of_the_process_is_left_alone() {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = nice();
        let seen =
            |effort: Effort| thread::scope(|scope| scope.spawn(|| (effort.enter(), nice()).1).join().unwrap());
        assert_eq!(seen(Effort::low(Work::Pull)), 18);
        assert_eq!(seen(Effort::ordinary(Work::Pull)), before);
        let (low, raised) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                Effort::low(Work::Upload).enter();
                low.wait();
                raised.wait();
                nice()
            });
            low.wait();
            Effort::low(Work::Pull).raise();
            raised.wait();
            assert_eq!(other.join().unwrap(), 19);
        });
        assert_eq!(nice(), before);
    }
}
