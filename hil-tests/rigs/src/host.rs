//! The host rig: two controllers and the vehicle as processes of their own, on one machine, in real time.
//!
//! The runner starts them (the calling program executes itself for its process roles), waits until the pair is ready,
//! injects the faults by signals, cables and lines, and puts the log together. It never looks into a device: what
//! counts is what the gate acted on.

pub mod addresses;
pub mod child;
pub mod collect;
mod inject;
mod observe;
pub mod relay;
pub mod spec;

use addresses::{Addresses, endpoint};
use child::{Process, Said, Who};
use collect::Collector;
use inject::{Action, Agenda};
use observe::{Observation, Watch};
use relay::Relay;
use spec::{Common, DeviceSpec, Role, Says, VehicleLine, VehicleSpec};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use twinhelm_control::Controller;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_hil::check::{Checks, Promise};
use twinhelm_hil::run::{HEARTBEAT_TIMEOUT, Outcome, Plan, Standby};
use twinhelm_hil::scenario::host_can;
use twinhelm_linux::clock::now;
use twinhelm_linux::stalls::{Spinners, Watcher};
use twinhelm_standby::RoleName;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::Tuning;
use twinhelm_vehicle::report::analysis::{Setting, analyse};
use twinhelm_vehicle::report::log::{Event, Log, Observer as _, Stalled};
use twinhelm_vehicle::report::witness::Witness;
use twinhelm_vehicle::report::{Quantiles, Report, Verdict, device_name};
use twinhelm_vehicle::signals::{Command, State};

/// The pair has to be ready so long after the processes were started.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// The vehicle has to be silent so long after it was told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// So many handovers are needed before the share of those that a stall disturbed can make a run invalid.
const HANDOVERS_MIN: usize = 5;

/// What is to be run on this machine.
#[derive(Clone, Debug)]
pub struct HostPlan<L> {
    /// What every rig needs.
    pub plan: Plan<L>,
    /// The program that has the process roles: usually the one that calls.
    pub program: PathBuf,
    /// The demo law's gains, for the roles.
    pub tuning: Tuning,
    /// The first of three ports on 127.0.0.1, 0 for addresses of its own.
    pub port: u16,
    /// Signs of life in one link lease.
    pub keep_alive: u32,
    /// A line about the machine, for the report.
    pub machine: String,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// This rig cannot do that.
    #[error("the host rig cannot inject `{0}`; use --rig sim")]
    CannotInject(String),
    /// What the user wrote does not work.
    #[error("{0}")]
    BadInput(String),
    /// This machine cannot run it.
    #[error("{0}")]
    Machine(String),
    /// The run was ended from outside.
    #[error("interrupted: all processes were ended, nothing was written")]
    Interrupted,
}

/// What people are told while a run lasts.
pub trait Progress {
    /// Something worth a line happened, so many seconds after the start of the run, or before it (`None`).
    fn line(&mut self, t_s: Option<f64>, text: &str);

    /// So much of the run is over.
    fn passed(&mut self, passed: Duration, of: Duration);
}

/// Runs `host` to its end.
///
/// To be called on the program's main thread: the processes that it starts die with the thread that started them.
///
/// # Errors
/// [`HostError`] says what is missing, and what to do.
pub fn run<L>(host: &HostPlan<L>, progress: &mut dyn Progress) -> Result<Outcome, HostError>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    if let Some(fault) = host.plan.faults.iter().find(|fault| !host_can(&fault.kind)) {
        return Err(HostError::CannotInject(fault.label.clone()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| HostError::Machine(format!("starting the runner: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(HostError::Interrupted),
            outcome = drive(host, progress) => outcome,
        }
    })
}

async fn drive<L>(host: &HostPlan<L>, progress: &mut dyn Progress) -> Result<Outcome, HostError>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let spinners = Spinners::start().map_err(|error| machine("starting the spinners", &error))?;
    let watcher = Watcher::start().map_err(|error| machine("starting the watchers", &error))?;
    let mut run = Run::start(host).await?;
    run.wait_until_ready(progress).await?;
    run.follow(progress).await?;
    let finished = run.finish().await?;
    let stalls = watcher.stop().map_err(|error| machine("stopping the watchers", &error))?;
    spinners.stop();
    Ok(conclude(host, finished, &stalls))
}

/// The processes of a run, and what is known of them.
struct Run<'a, L: Controller> {
    host: &'a HostPlan<L>,
    addresses: Addresses,
    vehicle: Process,
    devices: [Option<Process>; 2],
    lives: [u32; 2],
    /// Stopped by a signal: what still arrives of it was sent before.
    stopped: [bool; 2],
    /// Devices that ended without being told to, in words.
    died: Vec<String>,
    relay: Option<Relay>,
    watch: Watch<L::Memory>,
    said: mpsc::Receiver<Said>,
    says: mpsc::Sender<Said>,
    collector: Collector<L>,
    zero: Instant,
    /// The run has begun.
    is_driving: bool,
    /// What the machine does not allow, in words.
    missing: Option<String>,
    /// The vehicle has written everything down.
    vehicle_is_done: bool,
    /// The `fresh` baseline has not started its second process yet.
    fresh_waits: bool,
}

/// One thing that the runner waits for.
enum Next<M> {
    Said(Said),
    Seen(Observation<M>),
    Time,
}

impl<'a, L> Run<'a, L>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    async fn start(host: &'a HostPlan<L>) -> Result<Self, HostError> {
        let addresses = Addresses::of(std::process::id(), host.port);
        let (says, said) = mpsc::channel(4096);
        let config = host.plan.config;
        let common = common(host, &addresses);
        let spec = VehicleSpec { common, plant: host.plan.plant, sensors: host.plan.sensors, seed: host.plan.seed };
        let vehicle = Process::start(&host.program, Who::Vehicle, &Role::Vehicle(spec), says.clone())
            .await
            .map_err(|error| machine("starting the vehicle process", &error))?;
        let relay = Relay::start(addresses.relay, addresses.right).await.map_err(|error| {
            HostError::BadInput(format!(
                "listening on {}: {error}; write another port in [link], or 0 for ports of its own",
                addresses.relay
            ))
        })?;
        let watch = Watch::start(&addresses, config.link_lease, host.keep_alive).map_err(HostError::Machine)?;
        let witness = Witness::new(host.plan.law.clone(), config.period, config.divergence_max);
        let mut run = Self {
            host,
            addresses,
            vehicle,
            devices: [None, None],
            lives: [0, 0],
            stopped: [false; 2],
            died: Vec::new(),
            relay: Some(relay),
            watch,
            said,
            says,
            collector: Collector::new(witness),
            zero: now(),
            is_driving: false,
            missing: None,
            vehicle_is_done: false,
            fresh_waits: host.plan.standby == Standby::Fresh,
        };
        run.wait_for_vehicle().await?;
        run.start_device(Slot::LEFT).await?;
        Ok(run)
    }

    async fn wait_for_vehicle(&mut self) -> Result<(), HostError> {
        let until = now() + READY_WITHIN;
        loop {
            match self.next(until).await {
                Next::Said(Said { who: Who::Vehicle, says: Some(Says::Ready { missing }) }) => {
                    // What the machine does not allow is the same for each process: the vehicle says it for all.
                    self.missing = missing;
                    return Ok(());
                }
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(_) => {}
                Next::Time => return Err(HostError::Machine("the vehicle process did not start".to_owned())),
            }
        }
    }

    async fn start_device(&mut self, slot: Slot) -> Result<(), HostError> {
        let index = slot.index();
        self.lives[index] += 1;
        let config = self.host.plan.config;
        let (listen, connect) = if slot == Slot::LEFT {
            (self.addresses.left, Some(self.addresses.relay))
        } else {
            (self.addresses.right, None)
        };
        let spec = DeviceSpec {
            common: common(self.host, &self.addresses),
            slot,
            tuning: self.host.tuning,
            listen: vec![endpoint(listen)],
            connect: connect.map(endpoint).into_iter().collect(),
            link_lease: config.link_lease,
            keep_alive: self.host.keep_alive,
            law_can_fail: self.host.plan.faults.iter().any(|fault| inject::is_of_a_law(&fault.kind)),
        };
        let who = Who::Device(index, self.lives[index]);
        let process = Process::start(&self.host.program, who, &Role::Device(spec), self.says.clone())
            .await
            .map_err(|error| machine("starting a device process", &error))?;
        self.devices[index] = Some(process);
        Ok(())
    }

    async fn wait_until_ready(&mut self, progress: &mut dyn Progress) -> Result<(), HostError> {
        if let Some(missing) = &self.missing {
            progress.line(None, missing);
        }
        let until = now() + READY_WITHIN;
        let hot = self.host.plan.standby == Standby::Hot;
        while self.collector.first_acted().is_none() || (hot && !self.collector.is_protected()) {
            match self.next(until).await {
                Next::Said(said) => {
                    self.on_said(said)?;
                    // Once the left device holds the wheel: so it is the left one in each run.
                    if hot && self.lives[Slot::RIGHT.index()] == 0 && self.collector.first_acted().is_some() {
                        self.start_device(Slot::RIGHT).await?;
                    }
                }
                Next::Seen(seen) => self.on_seen(seen, progress),
                Next::Time => {
                    let why = self.collector.why_not().map_or_else(String::new, |why| format!(": {why}"));
                    let what = format!("the pair was not ready within {} s{why}", READY_WITHIN.as_secs());
                    return Err(HostError::Machine(what));
                }
            }
        }
        self.zero = now();
        self.is_driving = true;
        progress.line(Some(0.0), if hot { "the pair is ready" } else { "the vehicle drives, without a standby" });
        Ok(())
    }

    /// Follows the run to its end, and does what the agenda says.
    async fn follow(&mut self, progress: &mut dyn Progress) -> Result<(), HostError> {
        let mut agenda = Agenda::new(self.zero, &self.host.plan.faults);
        let end = self.zero + self.host.plan.duration;
        loop {
            let due = agenda.next_at().map_or(end, |at| at.min(end));
            let tick = due.min(now() + Duration::from_millis(100));
            match self.next(tick).await {
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(seen) => self.on_seen(seen, progress),
                Next::Time => {}
            }
            if now() >= end {
                return Ok(());
            }
            progress.passed(now().since(self.zero), self.host.plan.duration);
            while let Some(action) = agenda.take_due(now()) {
                self.act(action, &mut agenda, progress).await?;
            }
            if self.fresh_waits && self.heartbeat_is_missed() {
                self.fresh_waits = false;
                self.note_phase("noticed", progress);
                self.start_device(Slot::RIGHT).await?;
                self.note_phase("started", progress);
            }
        }
    }

    /// The `fresh` baseline's plain heartbeat: whatever the left device publishes.
    fn heartbeat_is_missed(&self) -> bool {
        let heard = self.collector.heard_at(Slot::LEFT).unwrap_or(self.zero).max(self.zero);
        now().since(heard) > HEARTBEAT_TIMEOUT
    }

    fn note_phase(&mut self, name: &str, progress: &mut dyn Progress) {
        let at = now();
        progress.line(Some(at.seconds_after(self.zero)), name);
        self.collector.on_event(at, &Event::Phase { name: name.to_owned() });
    }

    async fn act(
        &mut self,
        action: Action,
        agenda: &mut Agenda,
        progress: &mut dyn Progress,
    ) -> Result<(), HostError> {
        let Action { index, begins } = action;
        let fault = self.host.plan.faults[index].clone();
        let slot = agenda.target(index, self.collector.holder());
        let at = now();
        let label = fault.label.clone();
        if begins {
            let request = fault.kind.is_request();
            self.collector.on_event(at, &Event::Fault { label: label.clone(), slot: Some(slot), request });
            let verb = if request { "is asked of" } else { "hits" };
            progress.line(Some(at.seconds_after(self.zero)), &format!("{label} {verb} {}", device_name(slot)));
        }
        self.inject(&fault.kind, slot, begins).await?;
        if !begins {
            self.collector.on_event(now(), &Event::FaultEnded { label: label.clone(), slot: Some(slot) });
            progress.line(Some(at.seconds_after(self.zero)), &format!("{label} is over"));
        }
        Ok(())
    }

    async fn next(&mut self, until: Instant) -> Next<L::Memory> {
        let wait = until.since(now());
        tokio::select! {
            biased;
            Some(said) = self.said.recv() => Next::Said(said),
            Some(seen) = self.watch.next() => Next::Seen(seen),
            () = tokio::time::sleep(wait) => Next::Time,
        }
    }

    fn on_said(&mut self, said: Said) -> Result<(), HostError> {
        match said.says {
            Some(Says::Happened(at, event)) => self.collector.on_event(at, &event),
            Some(Says::Ready { .. }) => {
                if said.who == Who::Device(1, 1) && self.host.plan.standby == Standby::Fresh {
                    let name = "session open".to_owned();
                    self.collector.on_event(now(), &Event::Phase { name });
                }
            }
            Some(Says::TwoSenders { id }) => {
                return Err(HostError::Machine(format!(
                    "identifier {id:#x} had two senders: the run means nothing"
                )));
            }
            Some(Says::Lost(count)) => {
                return Err(HostError::Machine(format!(
                    "{count} events of the gate were lost: the run means nothing"
                )));
            }
            Some(Says::Failed { why, bad_input: true }) => return Err(HostError::BadInput(why)),
            Some(Says::Failed { why, bad_input: false }) => return Err(HostError::Machine(why)),
            Some(Says::Done) => self.vehicle_is_done = true,
            None => match said.who {
                Who::Vehicle => return Err(HostError::Machine("the vehicle process has ended".to_owned())),
                Who::Device(index, life) => self.on_device_gone(index, life),
            },
        }
        Ok(())
    }

    fn on_seen(&mut self, seen: Observation<L::Memory>, progress: &mut dyn Progress) {
        match seen {
            Observation::Sample { at, sample } => {
                // A sample that was under way when its sender was killed says nothing about now.
                let index = sample.header.slot.index();
                let runs = self.devices.get(index).is_some_and(Option::is_some);
                if !runs || self.stopped[index] {
                    return;
                }
                if let Some((slot, role)) = self.collector.on_sample(at, &sample) {
                    let t_s = self.is_driving.then(|| at.seconds_after(self.zero));
                    if role != RoleName::Joining {
                        progress.line(t_s, &format!("{} is {role}", device_name(slot)));
                    }
                }
            }
            Observation::Refused { slot, refusal } => {
                let t_s = now().seconds_after(self.zero);
                progress.line(Some(t_s), &format!("{} refuses: {refusal}", device_name(slot)));
            }
        }
    }

    /// Notes the end of a device that nobody ended.
    fn on_device_gone(&mut self, index: usize, life: u32) {
        let slot = if index == Slot::LEFT.index() { Slot::LEFT } else { Slot::RIGHT };
        if life == self.lives[index] && self.devices[index].take().is_some() {
            self.collector.on_down(now(), slot);
            self.died.push(format!("the {} device's process ended by itself", device_name(slot)));
        }
    }

    /// Ends the processes, and returns what happened.
    async fn finish(mut self) -> Result<Finished, HostError> {
        let end = now() + STOP_WITHIN;
        // A vehicle that does not listen any more is noticed by its silence below.
        let _ = self.vehicle.tell(&VehicleLine::Stop).await;
        loop {
            match self.next(end).await {
                Next::Said(Said { who: Who::Vehicle, says: None }) if self.vehicle_is_done => break,
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(_) => {}
                Next::Time => return Err(HostError::Machine("the vehicle process does not stop".to_owned())),
            }
        }
        for device in self.devices.into_iter().flatten() {
            device.kill().await;
        }
        self.vehicle.kill().await;
        drop(self.relay.take());
        let end = self.zero + self.host.plan.duration;
        let mut log = self.collector.finish();
        log.events.retain(|(at, _)| *at <= end);
        Ok(Finished { log, zero: self.zero, died: self.died })
    }
}

/// What a run leaves behind.
struct Finished {
    log: Log,
    zero: Instant,
    died: Vec<String>,
}

fn common<L>(host: &HostPlan<L>, addresses: &Addresses) -> Common {
    Common {
        parameters: *host.plan.config,
        course: (*host.plan.course).clone(),
        bus: addresses.bus.clone(),
        readings: addresses.readings.clone(),
        parent: std::process::id(),
    }
}

fn machine(doing: &str, error: &dyn std::fmt::Display) -> HostError {
    HostError::Machine(format!("{doing}: {error}"))
}

/// Computes the report and looks at the invariants that hold on a real machine too.
fn conclude<L>(host: &HostPlan<L>, finished: Finished, stalls: &twinhelm_linux::stalls::Stalls) -> Outcome {
    let Finished { mut log, zero, died } = finished;
    for stall in stalls.stalls() {
        log.on(stall.to, &Event::Stalled { what: Stalled::Machine, since: stall.from });
    }
    log.sort();
    let setting = Setting {
        rig: "host".to_owned(),
        seed: host.plan.seed,
        machine: host.machine.clone(),
        standby: host.plan.standby.name().to_owned(),
        config: host.plan.config,
        zero,
        end: zero + host.plan.duration,
        course_length_m: host.plan.course.length_m(),
        watcher_stall_ms: Some(Quantiles {
            p50: stalls.lateness_ms(0.5),
            p99: stalls.lateness_ms(0.99),
            max: stalls.max_ms(),
        }),
        notes: notes(stalls),
    };
    let mut report = analyse(&log, &setting);
    report.broken.extend(died);
    let mut checks = Checks::new(host.plan.config, Promise { gap_max: None, no_false_takeover: false });
    for (at, event) in &log.events {
        checks.on(*at, event);
    }
    for violation in checks.violations() {
        let t_s = violation.at.seconds_after(zero);
        report.broken.push(format!("invariant {} at {t_s:.4} s: {}", violation.invariant, violation.what));
    }
    let aside = report.handovers.iter().filter(|handover| handover.stalled).count();
    if !report.broken.is_empty() {
        report.verdict = Verdict::Fail;
    } else if report.handovers.len() >= HANDOVERS_MIN && aside * 5 > report.handovers.len() {
        report.verdict = Verdict::Invalid;
    }
    Outcome { report, log, violations: checks.violations().to_vec(), setting }
}

/// Returns what a reader has to know of how it was measured.
fn notes(stalls: &twinhelm_linux::stalls::Stalls) -> Vec<String> {
    let mut notes = vec!["threads of the lowest priority kept the cores awake while it was measured".to_owned()];
    if let Err(missing) = stalls.scheduling() {
        notes.push(format!("the watchers of the machine's stalls had no real-time scheduling: {missing}"));
    }
    if stalls.lost() > 0 {
        notes.push(format!("{} stalls found no place in the record", stalls.lost()));
    }
    notes
}

/// Adds the bound of a run without a scenario: the course is completed, when the run is long enough for it.
pub fn judge_by_default<L>(plan: &Plan<L>, report: &mut Report) {
    let long_enough = plan.duration >= nominal_lap(&plan.course);
    if plan.standby == Standby::Hot && long_enough && !report.course_completed {
        report.broken.push("the course was not completed".to_owned());
        report.verdict = Verdict::Fail;
    }
}

/// Returns how long the vehicle needs once around, with time to get going.
fn nominal_lap(course: &Course) -> Duration {
    let mut lap_s = 0.0;
    let mut s_m = 0.0;
    while s_m < course.length_m() {
        lap_s += 0.1 / course.speed_limit_mps(s_m).max(0.1);
        s_m += 0.1;
    }
    Duration::from_secs_f64(lap_s * 1.1 + 2.0)
}
