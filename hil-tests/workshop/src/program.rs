//! Calling other programs: how a call reads, where its output goes, and what is said when it fails.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why something did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// A program ended with something else than 0.
    #[error("{call} failed{}", .log.as_ref().map_or_else(String::new, |log| format!(": its output is in {}", log.display())))]
    Program {
        /// How it was called.
        call: String,
        /// Where its output is, if it was kept.
        log: Option<PathBuf>,
    },
    /// Stages that failed, by name.
    #[error("failed: {}", .0.join("; "))]
    Stages(Vec<String>),
    /// Something came out wrong, though every program ended well.
    #[error("{0}")]
    Wrong(String),
    /// This machine cannot do it.
    #[error("{0}")]
    Machine(String),
}

/// A program, and what it is told.
#[derive(Debug)]
pub(crate) struct Call {
    command: Command,
    shown: String,
    log: Option<PathBuf>,
}

impl Call {
    /// Begins a call: the program and its first words, separated by spaces.
    pub(crate) fn new(words: &str) -> Self {
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.stdin(Stdio::null());
        let call = Self { shown: command.get_program().to_string_lossy().into_owned(), command, log: None };
        call.args(words)
    }

    /// Adds words, each as it is.
    pub(crate) fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        for word in words {
            self.shown.push(' ');
            self.shown.push_str(&word.as_ref().to_string_lossy());
            self.command.arg(word);
        }
        self
    }

    /// Adds a word.
    pub(crate) fn arg(self, word: impl AsRef<OsStr>) -> Self {
        self.args([word])
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it run in `folder`.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Keeps what it says in `file` instead of showing it.
    pub(crate) fn into_log(mut self, file: &Path) -> Result<Self, Failed> {
        let opened = File::options().create(true).append(true).open(file);
        let opened = opened.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = opened.map_err(|error| Failed::Machine(format!("{}: {error}", file.display())))?;
        self.command.stdout(out).stderr(err);
        self.log = Some(file.to_owned());
        Ok(self)
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<(), Failed> {
        let status = self.command.status().map_err(|error| not_started(&self.shown, &error))?;
        if status.success() { Ok(()) } else { Err(Failed::Program { call: self.shown, log: self.log }) }
    }

    /// Runs it to its end, and returns its exit code; `None` when a signal ended it.
    pub(crate) fn code(mut self) -> Result<Option<i32>, Failed> {
        Ok(self.command.status().map_err(|error| not_started(&self.shown, &error))?.code())
    }

    /// Runs it to its end, and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String, Failed> {
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| not_started(&self.shown, &error))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Failed::Program { call: self.shown, log: None })
        }
    }
}

fn not_started(call: &str, error: &std::io::Error) -> Failed {
    Failed::Machine(format!("{call}: {error}; `./dev setup` installs what is missing"))
}

/// Says on a line of its own what begins.
pub(crate) fn say(what: impl fmt::Display) {
    println!("\n\u{1b}[1m{what}\u{1b}[0m");
}

/// Returns whether this is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
