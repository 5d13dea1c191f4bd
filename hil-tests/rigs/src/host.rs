//! The rigs of real processes: two controllers and the vehicle on one machine, in real time. Rig `host` joins them by
//! loopback, rig `netns` by cables between network namespaces; all else is the same. On rig `boards` the controllers are on
//! boards of their own, and the vehicle is here.
//!
//! The runner starts them (the calling program executes itself for its process roles), waits until the pair is
//! ready, injects the faults by signals, cables and lines, and puts the log together. It never looks into a device:
//! what counts is what the gate acted on.

pub mod addresses;
mod agents;
pub mod boards;
mod cables;
pub mod child;
pub mod collect;
mod conclude;
mod contained;
mod data;
pub mod glance;
mod inject;
mod migrations;
mod observe;
pub mod operator;
pub mod relay;
mod run;
pub mod spec;
mod timeline;

pub use cables::Cabling;
pub use conclude::judge_by_default;
pub use contained::Containers;

use crate::tape::Tape;
use boards::Boards;
use operator::Operator;
use run::Run;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use twinhelm_control::Controller;
use twinhelm_hil::fault::Kind;
use twinhelm_hil::run::{Outcome, Plan};
use twinhelm_linux::stalls::{Spinners, Watcher};
use twinhelm_linux::terminal::chain;
use twinhelm_vehicle::law::Tuning;
use twinhelm_vehicle::signals::{Command, State};

/// What is to be run on this machine.
#[derive(Clone, Debug)]
pub struct HostPlan<L> {
    /// What every rig needs.
    pub plan: Plan<L>,
    /// What the link between the devices is made of.
    pub cabling: Cabling,
    /// The program that has the process roles: usually the one that calls.
    pub program: PathBuf,
    /// The boards, where the devices are on such.
    pub boards: Option<Arc<Boards>>,
    /// How the devices are run in containers; `None`: as plain processes.
    pub containers: Option<Containers>,
    /// The demo law's gains, for the roles.
    pub tuning: Tuning,
    /// The first of three ports on 127.0.0.1, 0 for addresses of its own.
    pub port: u16,
    /// Signs of life in one link lease.
    pub keep_alive: u32,
    /// A line about the machine, for the report.
    pub machine: String,
    /// What the operator may ask to go wrong, besides the plan's faults: a device is made ready to fail so.
    pub announced: Vec<Kind>,
    /// It goes on until the operator ends it, at most for the plan's duration.
    pub open_ended: bool,
}

impl<L> HostPlan<L> {
    /// Returns how many spares wait to be recruited.
    fn spares(&self) -> u8 {
        self.containers.as_ref().map_or(0, |containers| containers.spares)
    }
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// What the user wrote does not work.
    #[error("{0}")]
    BadInput(String),
    /// This machine cannot run it.
    #[error("{0}")]
    Machine(String),
    /// The run was ended from outside.
    #[error("interrupted: all processes were ended, and there is no report")]
    Interrupted,
}

/// Runs `host` to its end, and records it on `tape`, if there is one.
///
/// To be called on the program's main thread: the processes that it starts die with the thread that started them.
///
/// # Errors
/// [`HostError`] says what is missing, and what to do.
pub fn run<L>(host: &HostPlan<L>, operator: &mut dyn Operator, tape: Option<&Tape>) -> Result<Outcome, HostError>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| machine("starting the runner", &error))?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(|error| machine("listening to signals", &error))?;
        let asked = AskedToEnd::default();
        let driving = drive(host, operator, tape, &asked);
        tokio::pin!(driving);
        loop {
            tokio::select! {
                biased;
                name = signals.next() => if !asked.end_with_report(name) {
                    return Err(HostError::Interrupted);
                },
                outcome = &mut driving => return outcome,
            }
        }
    })
}

/// The signals that end a run.
struct Signals([(Signal, &'static str); 3]);

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self([
            (signal(SignalKind::interrupt())?, "SIGINT"),
            (signal(SignalKind::terminate())?, "SIGTERM"),
            (signal(SignalKind::hangup())?, "SIGHUP"),
        ]))
    }

    /// Waits for the next one, and returns its name.
    async fn next(&mut self) -> &'static str {
        let [(interrupt, first), (terminate, second), (hang_up, third)] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => first,
            _ = terminate.recv() => second,
            _ = hang_up.recv() => third,
        }
    }
}

/// What is between the signals and the run.
#[derive(Debug, Default)]
struct AskedToEnd {
    /// There is something to report, and somebody who wants it.
    has_report: Cell<bool>,
    /// Which signal came.
    by: Cell<Option<&'static str>>,
}

impl AskedToEnd {
    /// Has the run end with its report, and returns whether it will: once, and only when there is one.
    fn end_with_report(&self, by: &'static str) -> bool {
        self.has_report.get() && self.by.replace(Some(by)).is_none()
    }
}

async fn drive<L>(
    host: &HostPlan<L>,
    operator: &mut dyn Operator,
    tape: Option<&Tape>,
    asked: &AskedToEnd,
) -> Result<Outcome, HostError>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let spinners = host.cabling.is_kept_awake().then(Spinners::start).transpose();
    let spinners = spinners.map_err(|error| machine("starting the spinners", &error))?;
    let watcher =
        Watcher::start(host.cabling.watch_period()).map_err(|error| machine("starting the watchers", &error))?;
    let wants_report = operator.wants_its_report();
    let mut run = Run::start(host, operator, tape).await?;
    run.wait_until_ready().await?;
    asked.has_report.set(wants_report);
    let end = run.follow(&asked.by).await?;
    let finished = run.finish(end).await?;
    let stalls = watcher.stop().map_err(|error| machine("stopping the watchers", &error))?;
    drop(spinners);
    let mut outcome = conclude::conclude(host, finished, &stalls, tape);
    if let Some(by) = asked.by.get() {
        let (drove, planned) = (end.since(outcome.setting.zero), host.plan.duration);
        let note = format!("ended by {by} after {:.1} s of {:.1} s", drove.as_secs_f64(), planned.as_secs_f64());
        outcome.report.notes.push(note);
    }
    Ok(outcome)
}

fn machine(doing: &str, error: &dyn std::error::Error) -> HostError {
    HostError::Machine(format!("{doing}: {}", chain(error)))
}
