//! `mission-runner` from its caller's side: started, asked, listened to.

use mission_wire::{ContainerId, Exit, Request, Says, WireError, receive, send};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The runner has to be ready so long after its start: it may have to remove what an earlier life had left.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// An answer may take so long: a container that is made on a busy machine, or one whose processes have to be killed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The name of the program.
pub const PROGRAM: &str = "mission-runner";

/// Why the runner did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// There is no such program.
    #[error("starting {}: {source}; it is built and installed beside the program that calls it", program.display())]
    Start {
        /// Where it was looked for.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot work on this machine.
    #[error("mission-runner cannot work here: {why}")]
    Unable {
        /// Why, and what to do.
        why: String,
    },
    /// It is gone: it was killed, or has ended.
    #[error("mission-runner is gone, and its containers with it")]
    Gone,
    /// It does not answer.
    #[error("mission-runner did not answer within {} s", waited.as_secs())]
    Silent {
        /// How long it had.
        waited: Duration,
    },
    /// It refused.
    #[error("container {id}: {step}: {why}")]
    Refused {
        /// The container.
        id: ContainerId,
        /// What was asked.
        step: &'static str,
        /// What libcrun or the kernel said.
        why: String,
    },
    /// A message did not pass.
    #[error("speaking to mission-runner: {0}")]
    Wire(#[from] WireError),
}

/// What the runner says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerEvent {
    /// A container's first process has ended.
    Ended(ContainerId, Exit),
    /// The runner is gone, and its containers with it. Nothing comes after this.
    Gone,
}

/// A running `mission-runner`. When the last of these is dropped, it ends, and every container of its with it.
#[derive(Clone, Debug)]
pub struct Runner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    answers: Mutex<Receiver<Says>>,
    guard: Mutex<Child>,
    libcrun: String,
}

impl Runner {
    /// Starts `program`, which keeps what it knows in the folder `state`, and waits until it is ready. `tell` is called with
    /// what it says unasked, on a thread of its own.
    ///
    /// # Errors
    /// [`RunnerError`] says what is missing.
    pub fn start(
        program: &Path,
        state: &Path,
        tell: impl Fn(RunnerEvent) + Send + 'static,
    ) -> Result<Self, RunnerError> {
        let failed = |source: io::Error| RunnerError::Start { program: program.to_owned(), source };
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(|error| failed(error.into()))?;
        let heard = ours.try_clone().map_err(failed)?;
        let mut guard = Command::new(program);
        // No environment: no PATH either, on which a program `crun` could be found.
        guard.arg("guard").arg(state).env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
        // Ctrl-C on the terminal is for whoever wired this; the runner ends with its socket.
        std::os::unix::process::CommandExt::process_group(&mut guard, 0);
        let guard = guard.spawn().map_err(failed)?;
        let (send_answer, answers) = channel();
        thread::Builder::new()
            .name("runner-rx".to_owned())
            .spawn(move || listen(&heard, &send_answer, tell))
            .map_err(failed)?;
        let shared = match answers.recv_timeout(READY_WITHIN) {
            Ok(Says::Ready { libcrun }) => {
                Shared { socket: ours, answers: Mutex::new(answers), guard: guard.into(), libcrun }
            }
            Ok(Says::Unable { why }) => return Err(RunnerError::Unable { why }),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Err(RunnerError::Gone),
            Err(RecvTimeoutError::Timeout) => return Err(RunnerError::Silent { waited: READY_WITHIN }),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Returns the version of libcrun that the runner is linked with.
    #[must_use]
    pub fn libcrun(&self) -> &str {
        &self.0.libcrun
    }

    /// Returns the runner's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.guard.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Asks for something, with `files` beside the request, and waits for the answer.
    pub(crate) fn ask(&self, request: &Request, files: &[BorrowedFd<'_>]) -> Result<Says, RunnerError> {
        // One question at a time: the answers come in the order of the questions.
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match send(self.0.socket.as_fd(), request, files) {
            Ok(()) => {}
            Err(WireError::Closed) => return Err(RunnerError::Gone),
            Err(error) => return Err(error.into()),
        }
        match answers.recv_timeout(ANSWER_WITHIN) {
            Ok(Says::Failed { why }) => {
                Err(RunnerError::Refused { id: request.id().clone(), step: request.name(), why })
            }
            Ok(says) => Ok(says),
            Err(RecvTimeoutError::Disconnected) => Err(RunnerError::Gone),
            Err(RecvTimeoutError::Timeout) => {
                // Its answer would be taken for the next question's: this runner is not asked again, and ends.
                let _ = rustix::net::shutdown(&self.0.socket, rustix::net::Shutdown::Both);
                Err(RunnerError::Silent { waited: ANSWER_WITHIN })
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Its socket closes: it removes its containers, and ends. Who drops it wants them to be gone.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let guard = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ended = guard.wait();
    }
}

/// Finds the runner: beside the program that calls, or by the environment's `TWINHELM_RUNNER`.
///
/// # Errors
/// When the calling program cannot be found.
pub fn beside_this_program() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("TWINHELM_RUNNER").filter(|path| *path != OsString::new()) {
        return Ok(PathBuf::from(path));
    }
    let mut folder = std::env::current_exe()?;
    folder.pop();
    // A test stands one folder below the programs.
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder.join(PROGRAM))
}

fn listen(socket: &OwnedFd, answers: &Sender<Says>, tell: impl Fn(RunnerEvent)) {
    loop {
        match receive::<Says>(socket) {
            Ok((Says::Ended(id, exit), _)) => tell(RunnerEvent::Ended(id, exit)),
            Ok((says, _)) => {
                if answers.send(says).is_err() {
                    return;
                }
            }
            Err(WireError::Malformed(why)) => eprintln!("mission-runner says something that is no answer: {why}"),
            Err(_) => {
                tell(RunnerEvent::Gone);
                return;
            }
        }
    }
}
