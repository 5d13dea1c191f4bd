//! The boards of the rig `boards`: how each is reached, and what switches its power.
//!
//! A command there is a command here that runs it, `ssh` most times: its input, its output and its end are the command's.

use super::spec::WatchdogSpec;
use super::{HostError, machine};
use rustix::process::Signal;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use twinhelm_hal::term::Slot;
use twinhelm_linux::clock::now;
use twinhelm_standby::file_error::Document;

/// An annotated example.
pub const EXAMPLE: &str = include_str!("../../boards.toml");

/// Where a board listens for sensor readings: the port behind Zenoh's usual one.
const READINGS_PORT: u16 = 7448;
/// A board that was given its power back answers within so long.
const BOOT_WITHIN: Duration = Duration::from_secs(180);
/// So often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A command there that is not over by then is given up: a board that hangs does not hold the runner up.
const COMMAND_WITHIN: Duration = Duration::from_secs(10);

/// The boards of one run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boards {
    /// The CAN interface of this machine, where the gates are.
    pub can: String,
    left: Board,
    right: Board,
}

/// One controller board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The words that run a command there.
    pub reach: Vec<String>,
    /// Its address.
    pub address: IpAddr,
    /// Its CAN interface.
    pub can: String,
    /// The program there.
    pub program: String,
    /// What takes its power, here.
    #[serde(default)]
    pub power_off: Vec<String>,
    /// What gives it back.
    #[serde(default)]
    pub power_on: Vec<String>,
    watchdog: Option<BoardWatchdog>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardWatchdog {
    path: PathBuf,
    timeout_s: u32,
}

impl Boards {
    /// Reads `text`, which is called `name` in messages.
    ///
    /// # Errors
    /// What cannot be, where, and what to write instead.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let document = Document::parse(name, text).map_err(|error| error.to_string())?;
        let boards: Self = document.read().map_err(|error| error.to_string())?;
        for (device, board) in [("left", &boards.left), ("right", &boards.right)] {
            if board.reach.is_empty() {
                let message = format!("{device}.reach is empty: write [\"ssh\", \"pi@{}\"]", board.address);
                return Err(document.about(&message));
            }
            if board.power_off.is_empty() != board.power_on.is_empty() {
                let message = "has one of power_off and power_on: write both, or neither";
                return Err(document.about(&format!("{device} {message}")));
            }
        }
        if boards.left.address.is_ipv4() != boards.right.address.is_ipv4() {
            let message = "left has one kind of address and right another: write two of IPv4, or of IPv6";
            return Err(document.about(message));
        }
        if boards.left.address == boards.right.address {
            return Err(document.about("left and right have one address: write each device's own"));
        }
        Ok(boards)
    }

    /// Returns the board of the device in `slot`.
    #[must_use]
    pub fn of(&self, slot: Slot) -> &Board {
        if slot == Slot::LEFT { &self.left } else { &self.right }
    }

    /// Returns where the boards listen for readings.
    #[must_use]
    pub fn readings(&self) -> [SocketAddr; 2] {
        [&self.left, &self.right].map(|board| board.at(READINGS_PORT))
    }
}

impl Board {
    /// Returns one of its ports.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    /// Returns the watchdog that its device feeds, if it has one.
    pub(super) fn watchdog(&self) -> Option<WatchdogSpec> {
        let BoardWatchdog { path, timeout_s } = self.watchdog.as_ref()?;
        Some(WatchdogSpec { path: path.clone(), timeout: Duration::from_secs((*timeout_s).into()) })
    }

    /// Returns where it listens for readings.
    #[must_use]
    pub fn readings(&self) -> SocketAddr {
        self.at(READINGS_PORT)
    }

    /// Returns whether its power can be switched.
    #[must_use]
    pub fn has_power_switch(&self) -> bool {
        !self.power_off.is_empty()
    }

    /// Returns the command that runs `line` there, by the shell of whoever is reached.
    pub(super) fn command(&self, line: &str) -> Result<Command, HostError> {
        let mut command = command(&self.reach)?;
        command.arg(line);
        Ok(command)
    }

    /// Sends a signal to process `pid` there, and waits until it is sent.
    ///
    /// # Errors
    /// The board does not answer, or refuses: whether the signal arrived is not known then.
    pub(super) async fn signal(&self, pid: u32, signal: Signal) -> Result<(), HostError> {
        // A process that has ended by itself needs no signal.
        let line = format!("kill -{} {pid} || ! kill -0 {pid}", signal.as_raw());
        run_in_time(self.command(&line)?, &format!("`{}` at {}", line, self.address)).await
    }

    /// Gives the board its power (`on`) or takes it, and waits until it answers again.
    pub(super) async fn set_power(&self, on: bool) -> Result<(), HostError> {
        let words = if on { &self.power_on } else { &self.power_off };
        run_in_time(command(words)?, &format!("`{}`", words.join(" "))).await?;
        if on { self.wait_until_it_answers().await } else { Ok(()) }
    }

    async fn wait_until_it_answers(&self) -> Result<(), HostError> {
        let until = now() + BOOT_WITHIN;
        while now() < until {
            let mut command = self.command("true")?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            if let Ok(Ok(status)) = tokio::time::timeout(COMMAND_WITHIN, command.status()).await
                && status.success()
            {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let reach = self.reach.join(" ");
        Err(HostError::Machine(format!(
            "`{reach} true` does not answer {} s after power-on",
            BOOT_WITHIN.as_secs()
        )))
    }
}

fn command(words: &[String]) -> Result<Command, HostError> {
    let (program, rest) = words.split_first().ok_or_else(|| {
        HostError::BadInput("a board is without the words that reach it, or switch it".to_owned())
    })?;
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

/// Runs `command`, which is called `name` in messages, to its end.
async fn run_in_time(mut command: Command, name: &str) -> Result<(), HostError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(COMMAND_WITHIN, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HostError::Machine(format!("{name}: {status}"))),
        Ok(Err(error)) => Err(machine(&format!("running {name}"), &error)),
        Err(_) => Err(HostError::Machine(format!("{name} is not over after {} s", COMMAND_WITHIN.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        Boards::parse("boards.toml", &EXAMPLE.replacen(from, to, 1)).expect_err("it cannot be")
    }

    #[test]
    fn the_example_is_two_boards() {
        let boards = Boards::parse("boards.toml", EXAMPLE).expect("it can be read");
        assert_eq!(boards.readings().map(|address| address.to_string()), ["10.0.0.1:7448", "10.0.0.2:7448"]);
        assert!(boards.of(Slot::RIGHT).reach.last().is_some_and(|word| word == "pi@10.0.0.2"));
        assert!(!boards.of(Slot::LEFT).has_power_switch() && boards.of(Slot::LEFT).watchdog().is_none());
        let fed = Boards::parse("boards.toml", &EXAMPLE.replace("#watchdog", "watchdog")).expect("it can be read");
        let timeout = fed.of(Slot::LEFT).watchdog().map(|watchdog| watchdog.timeout);
        assert_eq!(timeout, Some(Duration::from_secs(10)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (from, to, says) in [
            ("\"10.0.0.2\"\ncan", "\"10.0.0.1\"\ncan", "left and right have one address"),
            ("#power_off", "power_off", "left has one of power_off and power_on: write both, or neither"),
            ("can = \"can0\"\n\n[left]", "canbus = 1\n\n[left]", "unknown key `canbus`; write `can`"),
            ("address = \"10.0.0.1\"", "address = \"pi\"", "invalid IP address"),
            ("address = \"10.0.0.1\"", "address = \"fd00::1\"", "write two of IPv4, or of IPv6"),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with("boards.toml:") && error.contains(says), "{error}\nshould say\n{says}");
        }
        let empty = EXAMPLE.lines().map(|line| if line.starts_with("reach") { "reach = []" } else { line });
        let error = Boards::parse("boards.toml", &empty.collect::<Vec<_>>().join("\n")).expect_err("it cannot be");
        assert!(error.contains("left.reach is empty: write [\"ssh\", \"pi@10.0.0.1\"]"), "{error}");
    }
}
