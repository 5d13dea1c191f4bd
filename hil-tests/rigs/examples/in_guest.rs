//! Runs a command as root of a guest kernel, with the files of this machine, and copies what it leaves in /mnt/out to a folder.
//!
//! `cargo run -p twinhelm-rigs --example in_guest -- FOLDER COMMAND...`

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use twinhelm_rigs::guest::Guest;

const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(folder) = words.next() else {
        eprintln!("usage: in_guest FOLDER COMMAND...");
        return ExitCode::from(2);
    };
    let words: Vec<OsString> = words.collect();
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    let mut copied = true;
    let take = |window: &Path| copied = copy(&window.join("out"), Path::new(&folder));
    match Guest::find().and_then(|guest| guest.run(&words, PATIENCE, take)) {
        Ok(verdict) => {
            print!("{}", verdict.log);
            if copied { ExitCode::from(u8::try_from(verdict.code).unwrap_or(3)) } else { ExitCode::from(3) }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

/// Copies the folder `from`, if there is one, into `to`; returns whether that went well.
fn copy(from: &Path, to: &Path) -> bool {
    if !from.exists() {
        return true;
    }
    let made = std::fs::create_dir_all(to).is_ok();
    made && Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status().is_ok_and(|status| status.success())
}
