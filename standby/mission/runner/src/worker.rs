//! The worker: one request after the other, and the ends of containers in between.

use crate::{cgroups, journal, library};
use mission_wire::{ContainerId, Exit, Request, Says, WireError, receive, send};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, set_child_subreaper, waitid};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Does what is asked until the agent, or the guard, is gone; then removes every container.
pub fn run(state: &Path) -> ExitCode {
    let mut worker = Worker { state: state.to_owned(), alive: Vec::new() };
    let result = journal::lock(state, "worker").and_then(|lock| {
        let served = worker.serve().map_err(|error| error.to_string());
        journal::remove_all(state);
        drop(lock);
        served
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mission-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Worker {
    state: PathBuf,
    /// The first process of each container that runs.
    alive: Vec<(ContainerId, OwnedFd)>,
}

impl Worker {
    fn serve(&mut self) -> Result<(), WireError> {
        // Then a container's first process is a child of this one, and its status can be had.
        set_child_subreaper(Some(getpid()))?;
        journal::remove_all(&self.state);
        let agent = rustix::stdio::stdin();
        send(agent, &Says::Ready { libcrun: libcrun_sys::VERSION.to_owned() }, &[])?;
        loop {
            let ready = self.wait()?;
            if ready.guard_is_gone {
                return Ok(());
            }
            self.tell_ends()?;
            if !ready.request {
                continue;
            }
            let (request, files) = match receive::<Request>(agent) {
                Ok(received) => received,
                Err(WireError::Closed) => return Ok(()),
                Err(WireError::Malformed(why)) => {
                    send(agent, &Says::Failed { why: format!("the request is none: {why}") }, &[])?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let answer = self.answer(&request, files).unwrap_or_else(|why| Says::Failed { why });
            send(agent, &answer, &[])?;
        }
    }

    fn wait(&self) -> Result<Ready, WireError> {
        let (agent, guard) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let mut ends = vec![PollFd::new(&agent, PollFlags::IN), PollFd::new(&guard, PollFlags::empty())];
        ends.extend(self.alive.iter().map(|(_, process)| PollFd::new(process, PollFlags::IN)));
        match poll(&mut ends, None) {
            // A signal ended the wait: nothing is ready, and it is looked at again.
            Err(rustix::io::Errno::INTR) => return Ok(Ready { request: false, guard_is_gone: false }),
            result => result?,
        };
        Ok(Ready { request: !ends[0].revents().is_empty(), guard_is_gone: !ends[1].revents().is_empty() })
    }

    fn answer(&mut self, request: &Request, files: Vec<OwnedFd>) -> Result<Says, String> {
        let state = &self.state;
        match request {
            Request::Create { id, bundle, config, cgroup, realtime_us } => {
                journal::begin(state, id, cgroup).map_err(|error| format!("noting the container: {error}"))?;
                match self.create(id, bundle, config, cgroup, *realtime_us, files) {
                    Ok(pid) => Ok(Says::Created { pid }),
                    // What is half made is removed; if it cannot be, the journal keeps it.
                    Err(why) => Err(match journal::remove(&self.state, id) {
                        Ok(()) => why,
                        Err(left) => format!("{why}; and removing what is half made: {left}"),
                    }),
                }
            }
            Request::Start(id) => library::start(state, id).map(|()| Says::Done),
            Request::Pause(id) => library::pause(state, id).map(|()| Says::Done),
            Request::Resume(id) => library::resume(state, id).map(|()| Says::Done),
            Request::Kill(id, signal) => library::kill(state, id, *signal).map(|()| Says::Done),
            Request::Delete(id) => {
                // Whoever removes a container does not want to hear of its end.
                self.alive.retain(|(other, _)| other != id);
                journal::remove(state, id).map(|()| Says::Done)
            }
            Request::State(id) => library::status(state, id).map(Says::State),
        }
    }

    fn create(
        &mut self,
        id: &ContainerId,
        bundle: &Path,
        config: &str,
        cgroup: &str,
        realtime_us: u32,
        files: Vec<OwnedFd>,
    ) -> Result<u32, String> {
        cgroups::grant_realtime(cgroup, realtime_us)
            .map_err(|error| format!("granting {realtime_us} us of real time: {error}"))?;
        let stdio = Stdio::exchange(files)?;
        let made = library::create(&self.state, id, bundle, config);
        let pid = stdio.restore().and(made)?;
        let process = Pid::from_raw(pid.cast_signed()).ok_or("libcrun names no process")?;
        let process =
            pidfd_open(process, PidfdFlags::empty()).map_err(|error| format!("watching process {pid}: {error}"))?;
        self.alive.push((id.clone(), process));
        Ok(pid)
    }

    /// Tells which containers' first processes have ended.
    fn tell_ends(&mut self) -> Result<(), WireError> {
        let mut ended = Vec::new();
        self.alive.retain(|(id, process)| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::PidFd(process.as_fd()), options) {
                Ok(None) => true,
                Ok(Some(status)) => {
                    let by_signal = status.terminating_signal().map(Exit::Signal);
                    let exit = by_signal.or_else(|| status.exit_status().map(Exit::Status));
                    ended.push((id.clone(), exit.unwrap_or(Exit::Status(-1))));
                    false
                }
                // Not a child of ours yet: the process that libcrun forked to make it is still there.
                Err(_) => true,
            }
        });
        for (id, exit) in ended {
            send(rustix::stdio::stdin(), &Says::Ended(id, exit), &[])?;
        }
        Ok(())
    }
}

/// What the worker has to look at.
struct Ready {
    request: bool,
    guard_is_gone: bool,
}

/// The worker's own standard input, output and error, while a container is made with others in their places.
struct Stdio {
    own: [OwnedFd; 3],
}

impl Stdio {
    fn exchange(files: Vec<OwnedFd>) -> Result<Self, String> {
        let files: [OwnedFd; 3] =
            files.try_into().map_err(|files: Vec<_>| format!("3 files are needed, not {}", files.len()))?;
        let keep = |error: rustix::io::Errno| format!("putting the container's files in place: {error}");
        let copy = |fd: rustix::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(keep);
        let own = [copy(rustix::stdio::stdin())?, copy(rustix::stdio::stdout())?, copy(rustix::stdio::stderr())?];
        let stdio = Self { own };
        place(&files).map_err(keep)?;
        Ok(stdio)
    }

    fn restore(self) -> Result<(), String> {
        place(&self.own).map_err(|error| format!("putting the runner's own files back: {error}"))
    }
}

fn place(files: &[OwnedFd; 3]) -> Result<(), rustix::io::Errno> {
    rustix::stdio::dup2_stdin(&files[0])?;
    rustix::stdio::dup2_stdout(&files[1])?;
    rustix::stdio::dup2_stderr(&files[2])
}
