//! `run --rig guest`: the same command once more, in a guest kernel that has CAN.
//!
//! The guest sees this machine's files and cannot write them; what the run writes goes through a window, and is copied from
//! there to where it was asked for.

use super::{Exit, Problem};
use crate::cli::RunArgs;
use crate::output;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinhelm_rigs::guest::{Guest, GuestError, WINDOW};

/// Tells the program that it runs in the guest.
const INSIDE: &str = "TWINHELM_GUEST";
/// What a guest takes beside the run itself: to boot, and until the pair is ready, on a busy machine.
const BESIDE: Duration = Duration::from_secs(120);
/// A run that was not told how long takes so long.
const RUN_MAX: Duration = Duration::from_secs(60);

/// Returns whether this program runs in the guest.
pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Has the guest drive what the command line says.
pub(super) fn run(args: &RunArgs) -> Result<Exit, Problem> {
    let guest = Guest::find().map_err(problem)?;
    let program =
        std::env::current_exe().map_err(|error| Problem::machine(format!("finding this program: {error}")))?;
    let outputs = Outputs::of(args);
    let mut words: Vec<OsString> = ["/usr/bin/env".into(), format!("{INSIDE}=1").into(), program.into()].into();
    words.extend(outputs.renamed(std::env::args_os().skip(1)));
    let command: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    let patience = args.duration.unwrap_or(RUN_MAX) + BESIDE;
    let mut copied = Ok(());
    let verdict = guest.run(&command, patience, |window| copied = outputs.copy_from(window)).map_err(problem)?;
    output::print(format_args!("{}", outputs.named_as_asked(verdict.log.trim_end())));
    output::print(format_args!("  (from the guest's boot to its end: {:.1} s)", verdict.took.as_secs_f64()));
    copied?;
    match verdict.code {
        0 => Ok(Exit::Holds),
        1 => Ok(Exit::Broken),
        // It has said why, and that was printed.
        2 => Err(Problem::bad_input("the run in the guest was refused; see above")),
        code => Err(Problem::machine(format!("the run in the guest ended with {code}; see above"))),
    }
}

fn problem(error: GuestError) -> Problem {
    match error {
        GuestError::Missing { .. } | GuestError::NoGpio | GuestError::Processor => {
            Problem::machine(format!("{error}; or use --rig host"))
        }
        GuestError::Start(_) | GuestError::Silent { .. } | GuestError::NoVerdict { .. } => {
            Problem::machine(error.to_string())
        }
    }
}

/// What the run writes: where it is asked for, and how it is called in the window.
struct Outputs(Vec<(PathBuf, String)>);

impl Outputs {
    fn of(args: &RunArgs) -> Self {
        let asked = [&args.json, &args.record, &args.out].into_iter().flatten();
        Self(asked.enumerate().map(|(index, path)| (path.clone(), format!("output{index}"))).collect())
    }

    /// Returns the command line with the window's names.
    fn renamed(&self, words: impl Iterator<Item = OsString>) -> Vec<OsString> {
        let rename = |word: OsString| {
            for (path, name) in &self.0 {
                let there = format!("{WINDOW}/{name}");
                if word == path.as_os_str() {
                    return there.into();
                }
                let text = word.to_string_lossy();
                if let Some((option, value)) = text.split_once('=')
                    && option.starts_with("--")
                    && Path::new(value) == path
                {
                    return format!("{option}={there}").into();
                }
            }
            word
        };
        words.map(rename).collect()
    }

    /// Returns what was said in the guest with the names that were asked for.
    fn named_as_asked(&self, said: &str) -> String {
        self.0.iter().fold(said.to_owned(), |said, (path, name)| {
            said.replace(&format!("{WINDOW}/{name}"), &path.display().to_string())
        })
    }

    /// Copies what the run has written; a run that failed early has written nothing.
    fn copy_from(&self, window: &Path) -> Result<(), Problem> {
        for (path, name) in &self.0 {
            let there = window.join(name);
            let copied = if there.is_dir() { copy_folder(&there, path) } else { copy_file(&there, path) };
            copied.map_err(|error| Problem::bad_input(format!("writing {}: {error}", path.display())))?;
        }
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.exists() { fs::copy(from, to).map(|_bytes| ()) } else { Ok(()) }
}
