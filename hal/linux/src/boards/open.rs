//! Why a port cannot be opened, with what to do about it.

use rppal::system::DeviceInfo;
use std::io;
use std::path::{Path, PathBuf};
use twinhelm_hal::ports::Backend;

/// Checks that this machine has what `backend` needs. rppal itself would open another board's I2C without a word.
pub(super) fn check(backend: Backend) -> Result<(), OpenError> {
    match backend {
        Backend::Linux => Ok(()),
        Backend::RaspberryPi => DeviceInfo::new().map(drop).map_err(|_| OpenError::NoRaspberryPi),
    }
}

/// Why a port is not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The backend is for another machine.
    #[error("this machine is no Raspberry Pi that rppal knows: write backend = \"linux\", which every board has")]
    NoRaspberryPi,
    /// There is no such device file.
    #[error("there is no {}: {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// How it comes to be there.
        remedy: &'static str,
    },
    /// The file may not be opened.
    #[error(
        "no permission for {}: `usermod -a -G {group} $USER` and a new login; if the file's group is another one \
         (`ls -l {}`), that one, or a udev rule: SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\"",
        path.display(), path.display()
    )]
    Permission {
        /// The file.
        path: PathBuf,
        /// Who usually may.
        group: &'static str,
        /// As udev calls it.
        subsystem: &'static str,
    },
    /// Somebody else has the line.
    #[error(
        "line {offset} of {} is in use by {consumer:?}: stop that program; if it is a driver of the kernel, remove its \
         overlay from the boot configuration, or choose another line (`gpioinfo` lists them)",
        chip.display()
    )]
    Busy {
        /// The chip.
        chip: PathBuf,
        /// The line's number on it.
        offset: u32,
        /// Who has it, by its own name.
        consumer: String,
    },
    /// The chip has no such line.
    #[error("{} has no line {offset}: `gpioinfo` lists its lines", chip.display())]
    NoLine {
        /// The chip.
        chip: PathBuf,
        /// The number.
        offset: u32,
    },
    /// The port has no such setting.
    #[error("{what} cannot be: {instead}")]
    Setting {
        /// What was asked for.
        what: String,
        /// What there is.
        instead: &'static str,
    },
    /// The kernel refused.
    #[error("opening {}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A kind of device file: who may open it, and how it comes to be there.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) subsystem: &'static str,
    pub(super) remedy: &'static str,
}

impl Kind {
    /// Returns what an error of opening `path` means.
    pub(super) fn explain(self, path: &Path, source: io::Error) -> OpenError {
        let path = path.to_owned();
        let Self { group, subsystem, remedy } = self;
        if source.kind() == io::ErrorKind::NotFound {
            OpenError::Missing { path, remedy }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            OpenError::Permission { path, group, subsystem }
        } else {
            OpenError::System { path, source }
        }
    }
}
