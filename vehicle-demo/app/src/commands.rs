//! What the subcommands do.

mod cloud;
mod containers;
mod failover;
mod gate;
mod guest;
mod ladder;
mod link;
mod replay;
mod report;
mod run;

pub(crate) use cloud::cloud;
pub(crate) use failover::failover;
pub(crate) use gate::gate;
pub(crate) use ladder::ladder;
pub(crate) use link::link;
pub(crate) use replay::replay;
pub(crate) use report::{check, report, scenarios};
pub(crate) use run::run;

use crate::cli::{Rig, Vehicle};
use crate::output;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use twinhelm_control::Controller;
use twinhelm_hil::run::Plan;
use twinhelm_linux::terminal::chain;
use twinhelm_rigs::host::boards::{Boards, EXAMPLE};
use twinhelm_rigs::host::{Cabling, HostError, HostPlan};
use twinhelm_standby::Config;
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::report::{Report, Verdict};
use twinhelm_vehicle::signals::{Command, State};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Ran, and its bounds hold.
    Holds,
    /// Ran, and a bound was broken; the reports are written.
    Broken,
    /// Bad input.
    BadInput,
    /// This machine cannot run it.
    Machine,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Holds => 0,
            Self::Broken => 1,
            Self::BadInput => 2,
            Self::Machine => 3,
        })
    }
}

/// Why a command did not come to its end: one clear message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) is_bad_input: bool,
}

impl Problem {
    pub(crate) fn bad_input(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), is_bad_input: true }
    }

    pub(crate) fn machine(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), is_bad_input: false }
    }

    /// What this machine cannot, with each of the causes.
    pub(crate) fn caused(error: &dyn std::error::Error) -> Self {
        Self::machine(chain(error))
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        match error {
            HostError::BadInput(_) => Self::bad_input(error),
            HostError::Machine(_) | HostError::Interrupted => Self::machine(error),
        }
    }
}

/// Reads the settings that the command line names.
fn settings_of(vehicle: &Vehicle) -> Result<Settings, Problem> {
    // The one core of a guest is everybody's.
    let slow = (vehicle.rig == Rig::Guest).then_some("25hz");
    settings_named(vehicle.config.as_deref(), vehicle.profile.as_deref().or(slow))
}

/// Reads the settings out of a file, or else the built-in ones of a profile.
fn settings_named(config: Option<&Path>, profile: Option<&str>) -> Result<Settings, Problem> {
    if let Some(path) = config {
        return Settings::parse(&path.display().to_string(), &output::read(path)?).map_err(Problem::bad_input);
    }
    profile.map_or_else(|| Ok(Settings::default()), Settings::profile).map_err(Problem::bad_input)
}

/// Two devices with different laws do not stand by for each other: the law's name is part of the digest (FNV-1a).
fn of_law<L>(config: &Config) -> Result<Config, Problem> {
    let mut parameters = **config;
    let name = std::any::type_name::<L>().bytes();
    parameters.digest =
        name.fold(parameters.digest, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Config::new(parameters).map_err(Problem::bad_input)
}

/// Reads where the boards are, on the rig that has them.
fn boards_of(vehicle: &Vehicle) -> Result<Option<Arc<Boards>>, Problem> {
    match (&vehicle.boards, vehicle.rig) {
        (Some(path), Rig::Boards) => {
            let boards = Boards::parse(&path.display().to_string(), &output::read(path)?);
            Ok(Some(Arc::new(boards.map_err(Problem::bad_input)?)))
        }
        (None, Rig::Boards) => Err(Problem::bad_input(format!(
            "--rig boards needs --boards FILE, which says where they are; to start from:\n\n{EXAMPLE}"
        ))),
        (Some(_), _) => Err(Problem::bad_input("--boards is for --rig boards: add that, or leave it out")),
        (None, _) => Ok(None),
    }
}

/// Returns `plan` as one for real processes, which run this very program.
fn host_plan<L>(
    plan: Plan<L>,
    settings: &Settings,
    cabling: Cabling,
    boards: Option<Arc<Boards>>,
) -> Result<HostPlan<L>, Problem>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    if cabling == Cabling::Guest && !guest::is_inside() {
        return Err(Problem::bad_input("only `run` knows --rig guest: use --rig host or --rig netns"));
    }
    let program =
        std::env::current_exe().map_err(|error| Problem::machine(format!("finding this program: {error}")))?;
    let link = settings.link();
    Ok(HostPlan {
        plan,
        cabling,
        program,
        boards,
        containers: None,
        tuning: settings.tuning(),
        port: link.port,
        keep_alive: link.keep_alive,
        machine: crate::machine::describe(),
        announced: Vec::new(),
        open_ended: false,
    })
}

fn exit_of(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Pass => Exit::Holds,
        Verdict::Fail | Verdict::Invalid => Exit::Broken,
    }
}

/// Returns `path` with another ending, for what lies beside it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}
