//! The process roles: what the runner starts when it executes this program again.

use crate::stage::{Surroundings, law_faults};
use crate::{Setup, device, vehicle};
use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hil::law_faults::Faulty;
use twinhelm_linux::process::die_with_parent;
use twinhelm_linux::realtime::Rights;
use twinhelm_linux::terminal::chain;
use twinhelm_rigs::host::spec::{DeviceSpec, Role, Says};
use twinhelm_vehicle::plan::Plan;
use twinhelm_vehicle::signals::{Command, State};

/// The environment's word for where its agent has put the plan.
const MISSION_PLAN: &str = "MISSION_PLAN";

/// Why a role cannot go on.
pub(crate) struct Failure {
    why: String,
    bad_input: bool,
}

impl Failure {
    pub(crate) fn bad_input(why: &dyn Display) -> Self {
        Self { why: why.to_string(), bad_input: true }
    }

    pub(crate) fn machine(why: &dyn Display) -> Self {
        Self { why: why.to_string(), bad_input: false }
    }

    /// What the machine does not allow, with each of the causes.
    pub(crate) fn caused(error: &dyn Error) -> Self {
        Self::machine(&chain(error))
    }

    /// What cannot be asked for, with each of the causes.
    pub(crate) fn caused_by_input(error: &dyn Error) -> Self {
        Self::bad_input(&chain(error))
    }
}

/// Reads who this process is, from `spec` or else from its input, and is that until it is told to end: by a signal, or for
/// what the runner started by the end of its input.
pub(crate) fn run<L, F>(spec: Option<&Path>, factory: &F) -> ExitCode
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    let read = match spec {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            let mut first = String::new();
            std::io::stdin().read_line(&mut first).map(|_| first).map_err(|error| error.to_string())
        }
    };
    let role = read.and_then(|text| serde_json::from_str::<Role>(&text).map_err(|error| error.to_string()));
    let result = match role {
        Ok(Role::Device(device)) => {
            tied(device.common.parent).and_then(|()| be_device(&device, factory, spec.is_none()))
        }
        Ok(Role::Vehicle(spec)) => tied(spec.common.parent).and_then(|()| vehicle::run(&spec)),
        Err(error) => {
            eprintln!("`role` is for the runner, which tells the process who it is: {error}; call `run` instead");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { why, bad_input }) => {
            say(&Says::Failed { why, bad_input });
            ExitCode::from(3)
        }
    }
}

fn tied(parent: Option<u32>) -> Result<(), Failure> {
    parent.map_or(Ok(()), die_with_parent).map_err(|error| Failure::caused(&error))
}

fn be_device<L, F>(spec: &DeviceSpec, factory: &F, ends_with_input: bool) -> Result<(), Failure>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    let mission = match &spec.mission {
        Some(mission) => mission.clone(),
        None => handed_plan()?,
    };
    let setup = Setup { course: Arc::new(mission.course), tuning: mission.tuning };
    let (law, check) = (factory(&setup), factory(&setup));
    if !spec.fallible.law {
        return device::run(spec, law, check, Surroundings::of(spec, None), ends_with_input);
    }
    let (faults, stage) = law_faults();
    device::run(spec, Faulty::new(law, stage), check, Surroundings::of(spec, Some(faults)), ends_with_input)
}

/// Returns the plan that the device's agent has put there.
fn handed_plan() -> Result<Plan, Failure> {
    let path = std::env::var(MISSION_PLAN).map_err(|_| {
        Failure::bad_input(&format!("it was given no plan, and {MISSION_PLAN} names no file with one"))
    })?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::bad_input(&format!("{path}: {error}; its agent has no plan: write data.plan")))?;
    serde_json::from_str(&text).map_err(|error| Failure::bad_input(&format!("{path}: {error}")))
}

/// Says a line to the runner. A runner that is gone hears nothing, and its death ends this process.
pub(crate) fn say(says: &Says) {
    let mut out = std::io::stdout().lock();
    if let Ok(line) = serde_json::to_string(says) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// How often a thread that writes looks for what a real-time thread has left for it, which must not wake anybody.
pub(crate) const WRITE_EVERY: Duration = Duration::from_millis(20);

/// Says how many notes for the recording were lost since the last call, if any.
pub(crate) fn say_unrecorded(lost: &AtomicU64) {
    match lost.swap(0, Ordering::Relaxed) {
        0 => {}
        count => say(&Says::Unrecorded(count)),
    }
}

/// Says that the role runs, and what it was not allowed.
pub(crate) fn say_ready(rights: &Rights) {
    let missing = (!rights.are_complete()).then(|| rights.to_string());
    say(&Says::Ready { missing, pid: std::process::id() });
}
