//! What a thread asks of the scheduler: its class and priority, its core, memory that is never paged out.
//!
//! Each call concerns the calling thread, except [`lock_memory`], which concerns the process.
#![allow(unsafe_code)] // rustix has no call that sets a scheduling class.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Pid, Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{
    CapabilitySet, CpuSet, capabilities, sched_getaffinity, sched_setaffinity, set_current_timer_slack,
};
use std::io;
use std::num::NonZeroU64;
use std::sync::OnceLock;

/// A real-time priority, 1 to 99. The higher one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// A control loop: above all that is not real-time, and above nothing that it waits for.
    pub const CONTROL: Self = Self(60);
    /// The bus and the vehicle behind it: as the hardware they stand for, they do not wait for a device.
    pub const VEHICLE: Self = Self(70);
    /// The watchers of stalls: above whatever they measure, below the kernel's own threads at 99.
    pub const WATCHER: Self = Self(90);

    /// Returns priority `level`, or `None` when it is not 1 to 99.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 99 { Some(Self(level)) } else { None }
    }

    /// Returns the priority's level, 1 to 99.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

/// A core of this machine, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Core(pub usize);

/// Returns the cores that this thread may run on, lowest first.
///
/// # Errors
/// The kernel's, when it does not say.
pub fn cores() -> io::Result<Vec<Core>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).map(Core).collect())
}

/// Keeps the calling thread on `core`.
///
/// # Errors
/// The kernel's, when there is no such core or it may not be used.
pub fn pin_to_core(core: Core) -> io::Result<()> {
    if core.0 >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a core of this number cannot exist"));
    }
    let mut only = CpuSet::new();
    only.set(core.0);
    Ok(sched_setaffinity(None, &only)?)
}

/// Runs the calling thread by `SCHED_FIFO` at `priority`; what it starts does not inherit that.
///
/// # Errors
/// The kernel's, when the right is missing (`CAP_SYS_NICE`, or `ulimit -r`).
pub fn run_at(priority: Priority) -> io::Result<()> {
    set_class(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority.0)
}

/// Runs the calling thread only when its core has nothing else to do.
///
/// # Errors
/// The kernel's.
pub fn lower_to_idle() -> io::Result<()> {
    set_class(libc::SCHED_IDLE, 0)
}

/// Has the calling thread's files be read and written after those of others, but never put off for good.
///
/// # Errors
/// The kernel's.
pub fn queue_last_at_the_disk() -> io::Result<()> {
    set_io(0, IO_BEST_EFFORT | IO_LOWEST)
}

/// Sets the `nice` of a thread (none: the calling one), and its place in the disk's queue: the last for one that gives way.
///
/// # Errors
/// The kernel's: the right is missing (`CAP_SYS_NICE`), or there is no such thread any more.
pub(crate) fn set_nice(thread: Option<Pid>, nice: i32) -> io::Result<()> {
    setpriority_process(thread, nice)?;
    let thread = thread.map_or(0, |thread| thread.as_raw_nonzero().get());
    set_io(thread, if nice < GIVES_WAY { 0 } else { IO_BEST_EFFORT | IO_LOWEST })
}

/// Returns the `nice` of the calling thread; the ordinary one where the kernel does not say.
pub(crate) fn nice() -> i32 {
    getpriority_process(None).unwrap_or(0)
}

/// Returns the `nice` of a thread; `None` where there is none any more.
pub(crate) fn nice_of(thread: Pid) -> Option<i32> {
    getpriority_process(Some(thread)).ok()
}

/// Who is so nice, of 19 at most, is last at the disk, too.
const GIVES_WAY: i32 = 18;
/// `IOPRIO_CLASS_BE` of the kernel's `ioprio.h`, and the lowest level in it.
const IO_BEST_EFFORT: libc::c_int = 2 << 13;
const IO_LOWEST: libc::c_int = 7;

fn set_io(thread: libc::c_int, class: libc::c_int) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: three numbers, and the kernel changes nothing but the thread's priority.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, thread, class) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_class(class: libc::c_int, level: u8) -> io::Result<()> {
    let level = libc::c_int::from(level);
    // By number: musl's own `sched_setscheduler` refuses everything (POSIX means processes, Linux threads).
    // SAFETY: the kernel reads one `int` there, its `struct sched_param`, and nothing else.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, class, &raw const level) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel end this thread's sleeps as exactly as it can. Without `SCHED_FIFO` it would take 50 µs of leave.
pub(crate) fn sleep_exactly() {
    // Where the kernel refuses, sleeps stay 50 µs less exact, which the watchers see.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Locks the process's memory, present and future, once; later calls return the first one's outcome.
///
/// # Errors
/// Says in words what was not allowed.
pub fn lock_memory() -> Result<(), String> {
    static OUTCOME: OnceLock<Result<(), String>> = OnceLock::new();
    OUTCOME.get_or_init(try_to_lock_memory).clone()
}

fn try_to_lock_memory() -> Result<(), String> {
    let may_lock_all = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !may_lock_all && let Some(bytes) = raised_lock_limit() {
        // With a limit, locking succeeds while the process is small, and then its next allocation fails.
        return Err(format!("memory is not locked: the limit is {} KiB (ulimit -l unlimited)", bytes / 1024));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .map_err(|error| format!("memory is not locked: {error}"))
}

/// Returns the limit of locked memory in bytes, raised as far as the process may; `None` when there is none.
fn raised_lock_limit() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Memlock);
    // What cannot be raised stays as it is, and is what the caller reads.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Memlock).current
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_thread_is_pinned_to_each_core_that_it_may_use() {
        for core in cores().unwrap() {
            let seen = thread::spawn(move || {
                pin_to_core(core).unwrap();
                cores().unwrap()
            });
            assert_eq!(seen.join().unwrap(), [core]);
        }
        assert!(pin_to_core(Core(usize::MAX)).is_err());
    }

    #[test]
    fn priorities_have_the_kernels_range() {
        assert_eq!(Priority::new(0), None);
        assert_eq!(Priority::new(100), None);
        assert_eq!(Priority::new(99).map(Priority::level), Some(99));
    }

    #[test]
    fn any_thread_may_lower_itself_to_idle() {
        thread::spawn(|| lower_to_idle().unwrap()).join().unwrap();
    }
}
