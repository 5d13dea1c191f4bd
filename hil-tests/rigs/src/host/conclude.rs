//! From what a run left behind to its report.

use super::{Cabling, HostPlan};
use crate::tape::Tape;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::check::{Checks, Promise};
use twinhelm_hil::run::{Outcome, Plan, Standby};
use twinhelm_linux::stalls::Stalls;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::analysis::{Setting, analyse};
use twinhelm_vehicle::report::log::{Event, Log, Observer as _, Stalled};
use twinhelm_vehicle::report::{Migration, Quantiles, Verdict};

/// So many handovers are needed before the share of those that a stall disturbed can make a run invalid.
const HANDOVERS_MIN: usize = 5;
/// The invariant that a gate closes by itself when no command comes.
const TIMEOUT: u8 = 6;

/// What a run leaves behind.
pub(super) struct Finished {
    pub log: Log,
    pub zero: Instant,
    pub end: Instant,
    pub died: Vec<String>,
    pub migrations: Vec<Migration>,
    pub lost_bytes: Option<u64>,
}

/// Computes the report and looks at the invariants that hold on a real machine too.
pub(super) fn conclude<L>(host: &HostPlan<L>, finished: Finished, stalls: &Stalls, tape: Option<&Tape>) -> Outcome {
    let Finished { mut log, zero, end, died, migrations, lost_bytes } = finished;
    for stall in stalls.stalls() {
        let (at, event) = (stall.to, Event::Stalled { what: Stalled::Machine, since: stall.from });
        log.on(at, &event);
        if let Some(tape) = tape {
            tape.note(move |recorder| recorder.event(at, &event));
        }
    }
    log.sort();
    let setting = Setting {
        rig: host.cabling.rig().to_owned(),
        seed: host.plan.seed,
        machine: host.machine.clone(),
        standby: host.plan.standby.name().to_owned(),
        config: host.plan.config,
        zero,
        end,
        course_length_m: host.plan.course.length_m(),
        watcher_stall_ms: Some(Quantiles::with(stalls.wakes(), Some(stalls.max_ms()), |part| {
            stalls.lateness_ms(part)
        })),
        notes: notes(host.cabling, stalls),
    };
    let mut report = analyse(&log, &setting);
    report.broken.extend(died);
    report.migrations = migrations;
    report.mission_data_lost_bytes = lost_bytes;
    if let Some(lost) = lost_bytes.filter(|lost| *lost > 0) {
        report.broken.push(format!("invariant 10: {lost} bytes of acknowledged mission data are gone"));
    }
    let mut checks = Checks::new(host.plan.config, Promise { gap_max: None, no_false_takeover: false });
    for (at, event) in &log.events {
        checks.on(*at, event);
    }
    let stood_still: Vec<_> = log.observer_stalls().collect();
    for violation in checks.violations() {
        // A gate closes by its own clock, and this one stood still together with the loop that it lives in.
        let at_rest = stood_still.iter().any(|(since, until)| (*since..=*until).contains(&violation.at));
        if violation.invariant == TIMEOUT && at_rest {
            continue;
        }
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
fn notes(cabling: Cabling, stalls: &Stalls) -> Vec<String> {
    let mut notes = Vec::new();
    if cabling.is_kept_awake() {
        notes.push("threads of the lowest priority kept the cores awake while it was measured".to_owned());
    }
    if let Err(missing) = stalls.scheduling() {
        notes.push(format!("the watchers of the machine's stalls had no real-time scheduling: {missing}"));
    }
    if stalls.lost() > 0 {
        notes.push(format!("{} stalls found no place in the record", stalls.lost()));
    }
    notes
}

/// Adds the bound of a run without a scenario: the course is completed, when the run is long enough for it.
pub fn judge_by_default<L>(plan: &Plan<L>, outcome: &mut Outcome) {
    let Outcome { report, setting, .. } = outcome;
    let long_enough = setting.end.since(setting.zero) >= nominal_lap(&plan.course);
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
