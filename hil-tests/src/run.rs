//! One run in virtual time, from a plan to its report.

use crate::check::{Checks, Promise, Violation};
use crate::fault::{Fault, Kind, Target};
use crate::recording::Recorder;
use crate::world::{AsDesigned, ORIGIN, Setup, Variant, World};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::term::Slot;
use twinhelm_standby::Config;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::analysis::{Setting, analyse};
use twinhelm_vehicle::report::log::{Event, Log, Observer as _};
use twinhelm_vehicle::report::{Report, Verdict};
use twinhelm_vehicle::sensors::SensorConfig;
use twinhelm_vehicle::signals::{Command, State};

/// Which standby a run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standby {
    /// None: the gate's own timeout stops the vehicle.
    None,
    /// A new process is started when a plain heartbeat notices.
    Fresh,
    /// Ours.
    #[default]
    Hot,
}

impl Standby {
    /// Returns the word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fresh => "fresh",
            Self::Hot => "hot",
        }
    }
}

/// The `fresh` baseline's plain heartbeat: sent this often,
pub const HEARTBEAT_EVERY: Duration = Duration::from_millis(100);
/// and missed for so long before somebody notices.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);
/// Modelled: from noticing to a process that runs,
pub const PROCESS_START: Duration = Duration::from_millis(100);
/// and from there to an open session and the first turn.
pub const SESSION_START: Duration = Duration::from_millis(50);

/// The World's notes of so long a time wait in memory for the recorder.
const RECORDED_AT_ONCE: Duration = Duration::from_secs(1);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan<L> {
    /// The timing.
    pub config: Config,
    /// The seed.
    pub seed: u64,
    /// The law.
    pub law: L,
    /// The course.
    pub course: Arc<Course>,
    /// The vehicle.
    pub plant: PlantConfig,
    /// The devices' sensors.
    pub sensors: SensorConfig,
    /// Which standby.
    pub standby: Standby,
    /// For how long.
    pub duration: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures, with the verdict.
    pub report: Report,
    /// Everything that happened.
    pub log: Log,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// What the figures were measured against.
    pub setting: Setting,
}

/// Returns what a run with `faults` promises about its output gap.
#[must_use]
pub fn promise_of(config: &Config, standby: Standby, faults: &[Fault]) -> Promise {
    let kept = standby == Standby::Hot && faults.iter().all(|fault| fault.kind.is_within_promise());
    let slips = faults.iter().any(|fault| matches!(fault.kind, Kind::ClockSlip { .. }));
    let switches = faults.iter().any(|fault| fault.kind.is_request());
    // Invariant 5: one margin more after a clock slip, or in a switchover that is hit by a fault.
    let is_wider = slips || (switches && faults.len() > 1);
    let margin = if is_wider { config.margin } else { Duration::ZERO };
    Promise { gap_max: kept.then(|| config.handover_gap_max() + margin), no_false_takeover: kept }
}

/// Runs `plan` in virtual time.
#[must_use]
pub fn simulate<L>(plan: &Plan<L>) -> Outcome
where
    L: Controller<State = State, Command = Command> + Clone,
{
    simulate_variant::<AsDesigned<L>>(plan)
}

/// Runs `plan` in virtual time, with the code that the variant names.
#[must_use]
pub fn simulate_variant<V: Variant>(plan: &Plan<V::Law>) -> Outcome {
    drive::<V>(plan, None)
}

/// Runs `plan` in virtual time and records what happens. The time zero and the report are left to the caller: a report
/// is recorded when it has been judged.
#[must_use]
pub fn simulate_recorded<L>(plan: &Plan<L>, recorder: &mut Recorder) -> Outcome
where
    L: Controller<State = State, Command = Command> + Clone,
{
    simulate_variant_recorded::<AsDesigned<L>>(plan, recorder)
}

/// Runs `plan` in virtual time with the code that the variant names, and records it like [`simulate_recorded`].
#[must_use]
pub fn simulate_variant_recorded<V: Variant>(plan: &Plan<V::Law>, recorder: &mut Recorder) -> Outcome {
    drive::<V>(plan, Some(recorder))
}

fn run_recorded<V: Variant>(world: &mut World<V>, duration: Duration, recorder: &mut Recorder) {
    world.keep_notes();
    let mut until = Duration::ZERO;
    while until < duration {
        until = (until + RECORDED_AT_ONCE).min(duration);
        world.run_until(until);
        for note in world.take_notes() {
            note.record(recorder);
        }
    }
}

fn drive<V: Variant>(plan: &Plan<V::Law>, mut recorder: Option<&mut Recorder>) -> Outcome {
    let promise = promise_of(&plan.config, plan.standby, &plan.faults);
    let boot = match plan.standby {
        Standby::None | Standby::Fresh => [Some(Duration::ZERO), None],
        Standby::Hot => [Some(Duration::ZERO), Some(Duration::from_millis(3))],
    };
    let setup = Setup {
        config: plan.config,
        seed: plan.seed,
        law: plan.law.clone(),
        course: plan.course.clone(),
        plant: plan.plant,
        sensors: plan.sensors,
        boot,
        jitter: plan.config.jitter.mul_f64(0.9),
        gates_from: Duration::ZERO,
        keep_log: true,
    };
    let mut world = World::<V>::new(setup, Checks::new(plan.config, promise));
    for fault in &plan.faults {
        world.inject(fault.clone());
    }
    let phases = fresh_phases(plan);
    if let [_, _, (_, started)] = phases.as_slice() {
        world.start_at(*started, Slot::RIGHT);
    }
    match &mut recorder {
        None => world.run_until(plan.duration),
        Some(recorder) => run_recorded(&mut world, plan.duration, recorder),
    }
    let (checks, mut log, two_senders) = world.finish();
    for (name, at) in phases {
        let event = Event::Phase { name: name.to_owned() };
        if let Some(recorder) = &mut recorder {
            recorder.event(ORIGIN + at, &event);
        }
        log.on(ORIGIN + at, &event);
    }
    log.sort();
    let setting = Setting {
        rig: "sim".to_owned(),
        seed: plan.seed,
        machine: "virtual time".to_owned(),
        standby: plan.standby.name().to_owned(),
        config: plan.config,
        zero: ORIGIN,
        end: ORIGIN + plan.duration,
        course_length_m: plan.course.length_m(),
        watcher_stall_ms: None,
        notes: Vec::new(),
    };
    let mut report = analyse(&log, &setting);
    let violations = checks.violations().to_vec();
    for violation in &violations {
        let t_s = violation.at.seconds_after(ORIGIN);
        report.broken.push(format!("invariant {} at {t_s:.4} s: {}", violation.invariant, violation.what));
    }
    if let Some(id) = two_senders {
        report.broken.push(format!("identifier {id:#x} has two senders"));
    }
    if !report.broken.is_empty() {
        report.verdict = Verdict::Fail;
    }
    Outcome { report, log, violations, setting }
}

/// Adds the bound of a run without a scenario: no deadline is missed, where the run promises it.
pub fn judge_by_default<L>(plan: &Plan<L>, report: &mut Report) {
    let promised = promise_of(&plan.config, plan.standby, &plan.faults).gap_max.is_some();
    if promised && report.missed_deadlines > 0 {
        report.broken.push(format!("{} deadlines missed", report.missed_deadlines));
        report.verdict = Verdict::Fail;
    }
}

/// Returns when the `fresh` baseline's steps are reached: the heartbeat of the left device is missed, a process is
/// started, its session is open. Steps after the end are not reached.
fn fresh_phases<L>(plan: &Plan<L>) -> Vec<(&'static str, Duration)> {
    if plan.standby != Standby::Fresh {
        return Vec::new();
    }
    let silences = plan.faults.iter().filter(|fault| {
        let silent = matches!(fault.kind, Kind::Kill | Kind::Exit | Kind::Power | Kind::Hang);
        let long = fault.lasts.is_none_or(|lasts| fault.at + lasts > noticed_at(fault.at));
        // Until the second process drives, the left device is the holder.
        silent && long && fault.target != Target::Right
    });
    let Some(fault) = silences.min_by_key(|fault| fault.at) else {
        return Vec::new();
    };
    let noticed = noticed_at(fault.at);
    let steps = [
        ("noticed", noticed),
        ("started (modelled)", noticed + PROCESS_START),
        ("session open (modelled)", noticed + PROCESS_START + SESSION_START),
    ];
    steps.into_iter().filter(|(_, at)| *at < plan.duration).collect()
}

/// Returns when a silence that begins at `at` is noticed: the last heartbeat was at a multiple of its period.
fn noticed_at(at: Duration) -> Duration {
    let beats = at.as_nanos() / HEARTBEAT_EVERY.as_nanos();
    HEARTBEAT_EVERY * u32::try_from(beats).unwrap_or(u32::MAX) + HEARTBEAT_TIMEOUT
}
