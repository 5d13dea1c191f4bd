//! The guard: prepares what the worker lives in, starts it, and removes what it leaves behind.

use crate::{cgroups, journal};
use mission_wire::{Says, send};
use rustix::process::set_child_subreaper;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Runs a worker to its end, and then removes every container that it knew.
pub fn run(state: &Path) -> ExitCode {
    match prepare(state).and_then(|lock| start(state).map(|()| drop(lock))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // An agent that is gone hears nothing.
            let _ = send(rustix::stdio::stdin(), &Says::Unable { why }, &[]);
            ExitCode::FAILURE
        }
    }
}

/// Prepares the process, and returns the lock of its folder: an earlier life may still be removing what it had.
fn prepare(state: &Path) -> Result<File, String> {
    std::fs::create_dir_all(state).map_err(|error| format!("making {}: {error}", state.display()))?;
    let lock = journal::lock(state, "guard")?;
    // Containers whose worker is gone become the guard's children, and it can wait for them.
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("becoming a subreaper: {error}"))?;
    cgroups::live_apart().map_err(|error| {
        format!(
            "preparing the cgroups in a mount namespace of its own: {error}; containers need root (CAP_SYS_ADMIN)"
        )
    })?;
    Ok(lock)
}

fn start(state: &Path) -> Result<(), String> {
    // As it was called: what is executed is a copy that libcrun's constructor has made, without a name.
    let program = std::env::args_os().next().ok_or("this program was called without its name")?;
    let socket =
        rustix::stdio::stdin().try_clone_to_owned().map_err(|error| format!("taking the socket: {error}"))?;
    // The worker's standard output says nothing: when nobody reads it any more, the guard is gone.
    let mut worker = Command::new(program)
        .arg("worker")
        .arg(state)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("starting the worker: {error}"))?;
    // The agent has to see when the worker's end of the socket closes: this one gives its own away.
    let nothing = File::open("/dev/null").map_err(|error| format!("opening /dev/null: {error}"))?;
    rustix::stdio::dup2_stdin(nothing.as_fd()).map_err(|error| format!("giving the socket away: {error}"))?;
    // However it ended, what it left is removed.
    let _ended = worker.wait();
    journal::remove_all(state);
    Ok(())
}
