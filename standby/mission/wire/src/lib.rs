//! What is said between a device's agent and its `mission-runner`: typed requests and answers, one packet of JSON each,
//! over a pair of `SOCK_SEQPACKET` sockets.
//!
//! A crate of its own, because the runner is linked with libcrun and its callers must not be.

#![forbid(unsafe_code)]

mod packet;

pub use packet::{PACKET_MAX, WireError, receive, send};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A container's name: it stands in paths of cgroups and of the runner's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A name that cannot be a container's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a container: write 1 to 64 letters, digits and dashes")]
pub struct BadId(String);

impl ContainerId {
    /// Checks `name`.
    ///
    /// # Errors
    /// It is empty, too long, or has letters that mean something in a path.
    pub fn new(name: impl Into<String>) -> Result<Self, BadId> {
        let name = name.into();
        let fits = (1..=64).contains(&name.len());
        if fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            Ok(Self(name))
        } else {
            Err(BadId(name))
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = BadId;

    fn try_from(name: String) -> Result<Self, BadId> {
        Self::new(name)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signal for a container's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGTERM: end by yourself.
    Term,
    /// SIGKILL.
    Kill,
}

/// What the agent asks. The container's standard input, output and error travel beside [`Request::Create`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Make a container that waits to be started.
    Create {
        /// Its name.
        id: ContainerId,
        /// The bundle's folder.
        bundle: PathBuf,
        /// The configuration of the OCI runtime specification, as JSON.
        config: String,
        /// Its cgroup, below each hierarchy's root, made beforehand.
        cgroup: String,
        /// So many microseconds of each second for its real-time threads.
        realtime_us: u32,
    },
    /// Let a created container begin.
    Start(ContainerId),
    /// Freeze a running container.
    Pause(ContainerId),
    /// Let a frozen container go on.
    Resume(ContainerId),
    /// Send a signal to its first process.
    Kill(ContainerId, Signal),
    /// Kill what runs of it, and remove all that is left.
    Delete(ContainerId),
    /// How does it stand?
    State(ContainerId),
}

impl Request {
    /// Returns the request in a word, for messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Start(_) => "start",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Kill(..) => "kill",
            Self::Delete(_) => "delete",
            Self::State(_) => "state",
        }
    }

    /// Returns the container that it is about.
    #[must_use]
    pub const fn id(&self) -> &ContainerId {
        match self {
            Self::Create { id, .. }
            | Self::Start(id)
            | Self::Pause(id)
            | Self::Resume(id)
            | Self::Kill(id, _)
            | Self::Delete(id)
            | Self::State(id) => id,
        }
    }
}

/// How a container stands, in the words of the OCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits to be started.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

/// How a container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it ended with status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal} ended it"),
        }
    }
}

/// What the runner says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// It runs, and has removed what an earlier life had left; the version of libcrun that it is linked with.
    Ready {
        /// As `1.8.1`.
        libcrun: String,
    },
    /// It cannot work on this machine, and ends.
    Unable {
        /// Why, and what to do.
        why: String,
    },
    /// The answer to a request: done.
    Done,
    /// The answer to [`Request::Create`]: the container's first process, as the runner counts.
    Created {
        /// Its number.
        pid: u32,
    },
    /// The answer to [`Request::State`].
    State(Status),
    /// The answer to a request: it could not be done.
    Failed {
        /// What libcrun or the kernel said.
        why: String,
    },
    /// Unasked: a container's first process has ended.
    Ended(ContainerId, Exit),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_something_in_a_path_is_refused() {
        for name in ["", "..", "a/b", "a.b", &"a".repeat(65)] {
            assert_eq!(ContainerId::new(name), Err(BadId(name.to_owned())));
        }
        assert!(serde_json::from_str::<ContainerId>("\"../x\"").is_err());
        assert_eq!(ContainerId::new("left-1").map(|id| id.to_string()), Ok("left-1".to_owned()));
    }
}
