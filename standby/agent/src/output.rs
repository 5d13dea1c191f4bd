//! What goes to the terminal, and how a command ends.

use std::fmt;
use std::process::ExitCode;
pub(crate) use twinhelm_linux::terminal::{one_line, print, tell};
use twinhelm_mission::image::{ImageError, Kind};

/// Why a command did not come to its end: one clear message, and whose business it is.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    message: String,
    code: u8,
}

impl Problem {
    /// Something that the user wrote.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// Something that this machine cannot, or that is not there.
    pub fn machine(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }

    /// Something that was looked at is not as it should be.
    pub fn found(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        match error.kind {
            Kind::Digest | Kind::Format | Kind::Unsafe | Kind::Limit | Kind::Platform => Self::found(error),
            Kind::Missing => Self::bad_input(error),
            Kind::Unreachable | Kind::Full | Kind::Busy | Kind::Unable => Self::machine(error),
        }
    }
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(value);
    print(text.map_err(|error| Problem::machine(format_args!("writing JSON: {error}")))?);
    Ok(())
}

/// Returns a number of bytes as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 0.1 { format!("{:.1} KiB", bytes as f64 / 1024.0) } else { format!("{mib:.1} MiB") }
}
