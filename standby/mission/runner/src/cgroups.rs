//! The cgroups of containers: where libcrun looks for them, and the real-time budget that has to be there first.
#![allow(unsafe_code)] // `unshare` is unsafe in rustix, because of its other flags.

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";
/// Killed processes have to be gone so long after.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Moves this process into a mount namespace of its own, in which libcrun accepts the machine's cgroups.
///
/// libcrun refuses a machine whose cgroup v1 hierarchies have a cgroup2 beside them that offers controllers ("hybrid
/// mode"). Nobody here needs those; so the file that names them is covered by an empty one, for this process alone.
pub fn live_apart() -> Result<(), Errno> {
    // SAFETY: only `FILES`, `FS` and the like can take something away that other code relies on; a mount namespace of its
    // own starts with the same mounts.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let offered = Path::new(ROOT).join("unified/cgroup.controllers");
    let offers = fs::read_to_string(&offered).is_ok_and(|names| !names.trim().is_empty());
    if offers { mount_bind("/dev/null", &offered) } else { Ok(()) }
}

/// Makes the cpu cgroup with a budget for real-time threads, before libcrun moves the container there: the kernel admits
/// no real-time thread to a group without one, and a new group has none.
pub fn grant_realtime(cgroup: &str, realtime_us: u32) -> io::Result<()> {
    let group = below(Path::new(ROOT).join("cpu"), cgroup);
    let budget = group.join("cpu.rt_runtime_us");
    if !Path::new(ROOT).join("cpu/cpu.rt_runtime_us").exists() {
        // A kernel without CONFIG_RT_GROUP_SCHED, or cgroup v2: no budget is needed.
        return Ok(());
    }
    fs::create_dir_all(&group)?;
    fs::write(&budget, realtime_us.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", budget.display())))
}

/// Gives the real-time budget of a group without processes back. The kernel frees a removed group only later, and until then
/// its budget would be missing to the next one.
pub fn return_realtime(cgroup: &str) {
    // Where there is no such file there was no budget.
    let _ = fs::write(below(Path::new(ROOT).join("cpu"), cgroup).join("cpu.rt_runtime_us"), "0");
}

/// Kills every process in `cgroup`, and waits until they are gone.
pub fn kill_all(cgroup: &str) -> Result<(), String> {
    let until = Instant::now() + GONE_WITHIN;
    let mut killed = HashSet::new();
    loop {
        let mut alive = HashSet::<Pid>::new();
        for group in groups(cgroup) {
            // What is frozen dies when it thaws.
            let _ = fs::write(group.join("freezer.state"), "THAWED");
            let _ = fs::write(group.join("cgroup.freeze"), "0");
            for pid in processes(&group) {
                alive.insert(pid);
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for pid in alive.iter().chain(&killed) {
            // Those that are no children of this process are waited for by whoever has them.
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
        let count = alive.len();
        killed.extend(alive);
        match count {
            0 => return Ok(()),
            _ if Instant::now() >= until => return Err(format!("{count} processes in cgroup {cgroup} do not die")),
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// Removes what is left of `cgroup` in each hierarchy.
pub fn remove(cgroup: &str) -> Result<(), String> {
    let until = Instant::now() + GONE_WITHIN;
    for group in groups(cgroup) {
        loop {
            match fs::remove_dir(&group) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                // The kernel is still busy with the last process.
                Err(_) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Err(error) => return Err(format!("removing {}: {error}", group.display())),
            }
        }
    }
    Ok(())
}

/// Returns where `cgroup` is: in the one hierarchy of v2, or in each of v1.
fn groups(cgroup: &str) -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from(ROOT)];
    if let Ok(entries) = fs::read_dir(ROOT) {
        roots.extend(entries.flatten().map(|entry| entry.path()));
    }
    roots.into_iter().map(|root| below(root, cgroup)).filter(|group| group.join("cgroup.procs").exists()).collect()
}

fn below(root: PathBuf, cgroup: &str) -> PathBuf {
    root.join(cgroup.trim_start_matches('/'))
}

fn processes(group: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)).collect()
}
