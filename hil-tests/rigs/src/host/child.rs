//! The processes of a run: started, spoken to, stopped, killed.

use super::boards::Board;
use super::spec::{Role, Says};
use super::{HostError, machine};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// A process that was asked to end has so long; an agent that removes its container on a busy machine takes a while.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The vehicle.
    Vehicle,
    /// The device in slot 0 or 1, and which of its lives.
    Device(usize, u32),
}

/// Something that a process said; `None` when it has closed its output.
#[derive(Debug)]
pub struct Said {
    /// Who.
    pub who: Who,
    /// What.
    pub says: Option<Says>,
}

/// A running process. It is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: ChildStdin,
    /// What is to be hit when the device is: its mission's process in a container, instead of the agent's.
    mission: Option<u32>,
    /// The board that it is on, and its process id there, once it is known.
    board: Option<(Board, Option<u32>)>,
}

impl Process {
    /// Starts the role of `program`, and hands what it says to `said`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn start(program: &Path, who: Who, role: &Role, said: mpsc::Sender<Said>) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("role");
        let mut process = Self::spawn(command, who, said)?;
        process.tell(role).await?;
        Ok(process)
    }

    /// Starts the device's role on `board`, in the same manner.
    ///
    /// # Errors
    /// When nothing can be started here. What goes wrong there is the process's end.
    pub async fn start_on(
        board: &Board,
        who: Who,
        role: &Role,
        said: mpsc::Sender<Said>,
    ) -> Result<Self, HostError> {
        let command = board.command(&format!("exec {} role", board.program))?;
        let failure = |error| machine(&format!("reaching the board {}", board.address), &error);
        let mut process = Self::spawn(command, who, said).map_err(failure)?;
        process.board = Some((board.clone(), None));
        process.tell(role).await.map_err(failure)?;
        Ok(process)
    }

    /// Starts the agent `program` with its configuration, and hands what its mission says to `said`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_agent(program: &Path, config: &Path, who: Who, said: mpsc::Sender<Said>) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("agent").arg("--config").arg(config).arg("--parent").arg(std::process::id().to_string());
        Self::spawn(command, who, said)
    }

    fn spawn(mut command: Command, who: Who, said: mpsc::Sender<Said>) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C on the terminal is for the runner alone, which ends its processes in order.
            .process_group(0)
            .spawn()?;
        let missing = || std::io::Error::other("a pipe to the process is missing");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // A line that is not ours is somebody's debug print; it is shown, and means nothing.
                match serde_json::from_str(&line) {
                    Ok(says) => {
                        if said.send(Said { who, says: Some(says) }).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => eprintln!("{line}"),
                }
            }
            // Nobody listens any more when the run is over.
            let _ = said.send(Said { who, says: None }).await;
        });
        Ok(Self { child, input, mission: None, board: None })
    }

    /// Takes note of the mission's process in its container.
    pub const fn has_mission(&mut self, pid: Option<u32>) {
        self.mission = pid;
    }

    /// Takes note of the process id on its board.
    pub const fn is_known_as(&mut self, pid: u32) {
        if let Some((_, known)) = &mut self.board {
            *known = Some(pid);
        }
    }

    /// Takes note that its board has no power any more: nothing can be sent there.
    pub fn has_lost_its_board(&mut self) {
        if let Some((_, known)) = &mut self.board {
            *known = None;
        }
    }

    /// Sends the process a line.
    ///
    /// # Errors
    /// When the process has closed its input.
    pub async fn tell<T: Serialize>(&mut self, line: &T) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::other)?;
        text.push(b'\n');
        self.input.write_all(&text).await?;
        self.input.flush().await
    }

    /// Sends a signal to the device's process: to the mission's, if it is in a container; to the one on its board, which
    /// takes as long as reaching that takes.
    ///
    /// # Errors
    /// The board does not answer. Here nothing fails.
    pub async fn signal(&self, signal: Signal) -> Result<(), HostError> {
        match &self.board {
            None => send(self.mission.or_else(|| self.child.id()), signal),
            Some((board, Some(pid))) => return board.signal(*pid, signal).await,
            Some((_, None)) => {}
        }
        Ok(())
    }

    /// Asks the process to end by itself, and waits for it; one that does not is killed.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub async fn end(mut self) -> Result<(), HostError> {
        if self.board.is_some() {
            self.signal(Signal::TERM).await?;
        } else {
            send(self.child.id(), Signal::TERM);
        }
        if tokio::time::timeout(END_WITHIN, self.child.wait()).await.is_err() {
            return self.kill().await;
        }
        Ok(())
    }

    /// Kills the process and waits until it is gone.
    ///
    /// # Errors
    /// Its board does not answer: the process may be running there.
    pub async fn kill(mut self) -> Result<(), HostError> {
        // First the one that drives. Its container goes when nobody keeps it any more.
        let killed =
            if self.mission.is_some() || self.board.is_some() { self.signal(Signal::KILL).await } else { Ok(()) };
        // It may have ended already; either way it is waited for.
        let _ = self.child.kill().await;
        killed
    }
}

fn send(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // A process that has ended by itself needs no signal.
        let _ = kill_process(pid, signal);
    }
}
