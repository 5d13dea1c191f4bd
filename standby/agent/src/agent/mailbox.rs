//! What an agent and its mission say to each other: a folder that both see, with a socket and a pipe in it.
//!
//! - `notify`: the mission says `READY=1` there when it is up, as to systemd (`sd_notify`, `NOTIFY_SOCKET`).
//! - `state`: the agent writes the last sample of the device that drove, and the mission continues from it
//!   (`MISSION_STATE`). What is written before the mission runs waits in the pipe.
//! - `plan.json`: what the mission is to do (`MISSION_PLAN`), where the agent has a plan.

use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use twinhelm_mission::bundle::{RUN, USER};

const PLAN: &str = "plan.json";

pub(super) struct Mailbox {
    folder: PathBuf,
    state: File,
}

impl Mailbox {
    /// Makes the folder below `run`, and calls `up` each time that the mission says that it is up.
    pub fn open(run: &Path, up: impl Fn() + Send + 'static) -> io::Result<Self> {
        let folder = run.join("mission");
        std::fs::create_dir_all(&folder)?;
        let [notify, state] = ["notify", "state"].map(|name| folder.join(name));
        for path in [&notify, &state] {
            match std::fs::remove_file(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let socket = UnixDatagram::bind(&notify)?;
        rustix::fs::mknodat(CWD, &state, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        for path in [&notify, &state] {
            chown(path, Some(USER), Some(USER))?;
        }
        // Both ends: so it stays open, and keeps what is in it, whoever comes and goes.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let state = File::options().read(true).write(true).custom_flags(nonblocking).open(&state)?;
        thread::Builder::new().name("notify".to_owned()).spawn(move || {
            let mut message = [0; 1024];
            while let Ok(length) = socket.recv(&mut message) {
                if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    up();
                }
            }
        })?;
        Ok(Self { folder, state })
    }

    /// Returns the folder, for the mission's [`RUN`].
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what tells the mission where they are.
    pub fn environment(&self) -> [String; 3] {
        let at = |variable: &str, name: &str| format!("{variable}={RUN}/{name}");
        [at("NOTIFY_SOCKET", "notify"), at("MISSION_STATE", "state"), at("MISSION_PLAN", PLAN)]
    }

    /// Has the plan there for the mission, or none.
    pub fn put_plan(&self, plan: Option<&[u8]>) -> io::Result<()> {
        let path = self.folder.join(PLAN);
        match plan {
            Some(bytes) => std::fs::write(path, bytes),
            None if path.exists() => std::fs::remove_file(path),
            None => Ok(()),
        }
    }

    /// Takes away what no mission has read.
    pub fn clear(&mut self) {
        let mut waste = [0; 4096];
        while self.state.read(&mut waste).is_ok_and(|length| length > 0) {}
    }

    /// Hands a state on, in place of one that was not read: its length in two bytes, and its bytes, as one write.
    pub fn hand(&mut self, state: &[u8]) {
        self.clear();
        let Ok(length) = u16::try_from(state.len()) else { return };
        // A write up to `PIPE_BUF` is whole or does not happen; a mission without it begins where it finds itself.
        let _ = self.state.write_all(&[&length.to_le_bytes(), state].concat());
    }
}
