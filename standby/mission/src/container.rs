//! A container as a value: what it may be asked depends on how it stands, and a state that is left is gone.
//!
//! ```text
//!   create ──► Container<Created> ──start──► Container<Running> ◄──resume── Container<Paused>
//!                     │                          │      └─────────pause────────►  │
//!                     └───────────────────── delete ──────────────────────────────┘
//! ```
//!
//! Dropping one removes nothing: its runner does that, when it ends. An end that nobody asked for is told by
//! [`RunnerEvent::Ended`](crate::runner::RunnerEvent); what is asked of a container that has ended is refused.

use crate::bundle::Bundle;
use crate::runner::{Runner, RunnerError};
use mission_wire::{ContainerId, Request, Says, Signal, Status};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

/// It waits to be started: everything is there but the mission's first instruction.
#[derive(Debug)]
pub enum Created {}
/// It runs.
#[derive(Debug)]
pub enum Running {}
/// It is frozen between two instructions.
#[derive(Debug)]
pub enum Paused {}

/// A container in state `S`.
#[derive(Debug)]
#[must_use = "a container that nobody holds is one that nobody removes before its runner ends"]
pub struct Container<S> {
    runner: Runner,
    id: ContainerId,
    pid: u32,
    state: PhantomData<S>,
}

/// A step that failed, and the container that it was asked of, as it was before: it can still be asked how it stands,
/// or be removed.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Failed<S> {
    /// The container.
    pub container: Container<S>,
    /// Why.
    pub source: RunnerError,
}

impl Container<Created> {
    /// Makes a container of `bundle`, with `stdio` as its standard input, output and error.
    ///
    /// # Errors
    /// libcrun's or the kernel's; then nothing is left of it.
    pub fn create(
        runner: &Runner,
        id: ContainerId,
        bundle: &Bundle,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Self, RunnerError> {
        let request = Request::Create {
            id: id.clone(),
            bundle: bundle.folder.clone(),
            config: bundle.config.clone(),
            cgroup: bundle.cgroup.clone(),
            realtime_us: bundle.realtime_us,
        };
        let says = runner.ask(&request, &stdio)?;
        let Says::Created { pid } = says else { return Err(unexpected(&id, "create", &says)) };
        Ok(Self { runner: runner.clone(), id, pid, state: PhantomData })
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// libcrun's or the kernel's.
    pub fn start(self) -> Result<Container<Running>, Failed<Created>> {
        self.moved("start", Request::Start)
    }
}

impl Container<Running> {
    /// Freezes it.
    ///
    /// # Errors
    /// libcrun's or the kernel's.
    pub fn pause(self) -> Result<Container<Paused>, Failed<Running>> {
        self.moved("pause", Request::Pause)
    }

    /// Sends a signal to its first process.
    ///
    /// # Errors
    /// libcrun's or the kernel's.
    pub fn kill(&self, signal: Signal) -> Result<(), RunnerError> {
        self.done("kill", &Request::Kill(self.id.clone(), signal))
    }
}

impl Container<Paused> {
    /// Lets it go on.
    ///
    /// # Errors
    /// libcrun's or the kernel's.
    pub fn resume(self) -> Result<Container<Running>, Failed<Paused>> {
        self.moved("resume", Request::Resume)
    }
}

impl<S> Container<S> {
    /// Returns its name.
    pub const fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Returns its first process, as this machine counts.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks how it stands.
    ///
    /// # Errors
    /// libcrun's or the kernel's.
    pub fn status(&self) -> Result<Status, RunnerError> {
        let says = self.runner.ask(&Request::State(self.id.clone()), &[])?;
        if let Says::State(status) = says { Ok(status) } else { Err(unexpected(&self.id, "state", &says)) }
    }

    /// Kills what runs of it, and removes all that is left.
    ///
    /// # Errors
    /// libcrun's or the kernel's; its runner tries again when it ends.
    pub fn delete(self) -> Result<(), RunnerError> {
        self.done("delete", &Request::Delete(self.id.clone()))
    }

    fn moved<T>(self, step: &'static str, request: fn(ContainerId) -> Request) -> Result<Container<T>, Failed<S>> {
        match self.done(step, &request(self.id.clone())) {
            Ok(()) => {
                let Self { runner, id, pid, state: PhantomData } = self;
                Ok(Container { runner, id, pid, state: PhantomData })
            }
            Err(source) => Err(Failed { container: self, source }),
        }
    }

    fn done(&self, step: &'static str, request: &Request) -> Result<(), RunnerError> {
        let says = self.runner.ask(request, &[])?;
        if says == Says::Done { Ok(()) } else { Err(unexpected(&self.id, step, &says)) }
    }
}

fn unexpected(id: &ContainerId, step: &'static str, says: &Says) -> RunnerError {
    RunnerError::Refused { id: id.clone(), step, why: format!("the runner answers {says:?}") }
}
