//! From the log to the figures. Each figure is defined in docs/glossary.md.

mod orders;
mod recovery;

use super::log::{Event, Log};
use super::rest::rest_of;
use super::stalls::{ObserverStalls, Stalls, ms_if_any};
use super::{CommandStep, Handover, Phase, Quantiles, Report, SCHEMA, Verdict, device_name};
use crate::signals::Command;
use std::collections::{BTreeMap, BTreeSet};
use twinhelm_control::deadline::missed;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::gate::How;
use twinhelm_hal::signals::{Command as _, Signals};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::{Duration, Instant, nanos};
use twinhelm_standby::Config;
use twinhelm_standby::config::bus_time;

/// What the figures are measured against.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `sim`, `host` or `netns`.
    pub rig: String,
    /// The seed.
    pub seed: u64,
    /// The machine, in a line.
    pub machine: String,
    /// `none`, `fresh` or `hot`.
    pub standby: String,
    /// The timing.
    pub config: Config,
    /// When the run began.
    pub zero: Instant,
    /// When it ended.
    pub end: Instant,
    /// The length of the course.
    pub course_length_m: f64,
    /// How late the watchers woke; `None` in virtual time.
    pub watcher_stall_ms: Option<Quantiles>,
    /// What a reader has to know of how it was measured.
    pub notes: Vec<String>,
}

/// A stall of this length between fault and first command sets the sample aside.
const STALL_COUNTED: Duration = Duration::from_millis(1);

/// One command that gate 0 acted on.
#[derive(Clone, Copy, Debug)]
struct Act {
    at: Instant,
    how: How,
    slot: Slot,
    signals: Signals,
}

/// Computes the report of a run. `broken` starts empty unless no command was acted on, and the verdict as pass unless the
/// instrument itself failed; whoever knows the run's bounds adds to them.
#[must_use]
pub fn analyse(log: &Log, setting: &Setting) -> Report {
    let log = &*orders::with_orders(log, &setting.config);
    let acts = acts_of_gate_0(log);
    let stalls = Stalls::of(log);
    let counts = Counts::of(log, &stalls, setting);
    let readiness = Readiness::of(log);
    let period = setting.config.period;
    let gaps: Vec<(Instant, Instant)> = spans(&acts, setting.end);
    let missed = gaps.iter().flat_map(|(from, to)| missed_in(*from, *to, period));
    let missed: Vec<Instant> = missed.take(MISSED_MAX).collect();
    let uncovered = missed.iter().filter(|at| readiness.ready_before(**at, &acts)).count();
    let milliseconds = |(from, to): &(Instant, Instant)| to.since(*from).as_secs_f64() * 1e3;
    let handovers = handovers(log, &acts, setting);
    let (without, restored) = readiness.without_redundancy(log, setting.end);
    let truth = truth(log);
    let observer = ObserverStalls::of(log, &setting.config);
    let broken: Vec<String> = acts.is_empty().then(|| NOTHING_ACTED_ON.to_owned()).into_iter().collect();
    let mut notes = setting.notes.clone();
    notes.extend(observer.note());
    let followed = log.events.iter().filter(|(_, event)| matches!(event, Event::Followed { gate: 0, .. })).count();
    let takeovers = (acts.iter().filter(|act| act.how == How::Takeover).count() + followed) as u64;
    Report {
        schema: SCHEMA,
        rig: setting.rig.clone(),
        seed: setting.seed,
        machine: setting.machine.clone(),
        twinhelm: env!("CARGO_PKG_VERSION").to_owned(),
        standby: setting.standby.clone(),
        period_ms: period.as_secs_f64() * 1e3,
        cycles: acts.first().map_or(0, |first| nanos(setting.end.since(first.at)) / nanos(period)),
        missed_deadlines: missed.len() as u64,
        uncovered: uncovered as u64,
        covers: acts.iter().filter(|act| act.how == How::Cover).count() as u64,
        takeovers,
        false_takeovers: counts.false_takeovers,
        stall_takeovers: counts.stall_takeovers,
        stale_accepted: counts.stale,
        double_accepted: counts.double,
        split_owner_cycles: counts.split,
        wrong_command_cycles: counts.wrong,
        output_gap_ms: Quantiles::of(gaps.iter().map(milliseconds).collect()),
        handovers_set_aside: handovers.iter().filter(|handover| handover.stalled).count() as u64,
        handovers,
        phases: phases(log, setting),
        // Who has agents adds them.
        migrations: Vec::new(),
        mission_data_lost_bytes: None,
        ftti_ms: setting.config.ftti.as_secs_f64() * 1e3,
        cross_track_error_max_m: truth.cross_track_max_m,
        course_completed: truth.travelled_m >= setting.course_length_m,
        time_without_redundancy_s: without,
        redundancy_back_periods: recovery::back_after(log, &readiness.changes)
            .map(|after| after.as_secs_f64() / period.as_secs_f64()),
        redundancy_restored: restored,
        watcher_stall_ms: setting.watcher_stall_ms,
        observer_stalls: observer.count,
        observer_stall_max_ms: observer.max_ms(),
        stalled_in_one_lease_ms: ms_if_any(stalls.in_one_lease(&setting.config)),
        notes,
        dropped: counts.dropped,
        verdict: if !broken.is_empty() {
            Verdict::Fail
        } else if observer.disturbs {
            Verdict::Invalid
        } else {
            Verdict::Pass
        },
        broken,
    }
}

/// The bound without which the others say nothing.
const NOTHING_ACTED_ON: &str = "gate 0 acted on no command: there is nothing to measure";

fn acts_of_gate_0(log: &Log) -> Vec<Act> {
    let act = |(at, event): &(Instant, Event)| {
        let Event::Acted { gate: 0, how, slot, signals, .. } = event else {
            return None;
        };
        Some(Act { at: *at, how: *how, slot: *slot, signals: *signals })
    };
    log.events.iter().filter_map(act).collect()
}

/// Returns the spans between two commands acted on, the one that lasts to the end included.
fn spans(acts: &[Act], end: Instant) -> Vec<(Instant, Instant)> {
    let mut spans: Vec<_> = acts.windows(2).map(|pair| (pair[0].at, pair[1].at)).collect();
    if let Some(last) = acts.last() {
        spans.push((last.at, end.max(last.at)));
    }
    spans
}

/// So many missed deadlines are counted: at 1 kHz, almost three hours without a command. What a changed recording says of its
/// times can be centuries.
const MISSED_MAX: usize = 10_000_000;

/// Returns the deadlines missed in a gap, each with its time.
fn missed_in(from: Instant, to: Instant, period: Duration) -> impl Iterator<Item = Instant> {
    let missed = u32::try_from(missed(to.since(from), period)).unwrap_or(u32::MAX);
    (0..missed).map(move |count| from + period.saturating_mul(count.saturating_add(2)))
}

#[derive(Default)]
struct Counts {
    false_takeovers: u64,
    stall_takeovers: u64,
    stale: u64,
    double: u64,
    split: u64,
    wrong: u64,
    dropped: BTreeMap<String, u64>,
}

impl Counts {
    fn of(log: &Log, stalls: &Stalls, setting: &Setting) -> Self {
        let mut counts = Self::default();
        let mut gates = [const { GateMemory::new() }; 4];
        let mut faults: Vec<(String, Option<Instant>)> = Vec::new();
        for (at, event) in &log.events {
            match event {
                Event::Acted { gate, how, term, adopted, cycle, age, .. } => {
                    let memory = &mut gates[usize::from(*gate)];
                    let superseded = memory.adopted.is_some_and(|before| *term < before);
                    let old = age.is_some_and(|age| age > setting.config.command_timeout);
                    counts.stale += u64::from(superseded || old);
                    if *how == How::Opening {
                        memory.cycles.clear();
                    }
                    counts.double += u64::from(!memory.cycles.insert(*cycle));
                    memory.adopted = Some(*adopted);
                    if *how == How::Takeover && *gate == 0 {
                        counts.classify(*at, &faults, stalls, setting);
                    }
                    counts.split += split_owners(&mut gates, *at, setting);
                }
                Event::Followed { gate, term } => {
                    gates[usize::from(*gate)].adopted = Some(*term);
                    if *gate == 0 {
                        counts.classify(*at, &faults, stalls, setting);
                    }
                }
                Event::Restarted { gate } | Event::Closed { gate } => {
                    let memory = &mut gates[usize::from(*gate)];
                    memory.cycles.clear();
                    if matches!(event, Event::Restarted { .. }) {
                        memory.adopted = None;
                    }
                }
                Event::Dropped { why, .. } => *counts.dropped.entry(why.name().to_owned()).or_default() += 1,
                Event::Fault { label, request, .. } => faults.push((label.clone(), request.then_some(*at))),
                Event::FaultEnded { label, .. } => {
                    if let Some(fault) = faults.iter_mut().find(|(name, over)| name == label && over.is_none()) {
                        fault.1 = Some(*at);
                    }
                }
                Event::Wrong { .. } => counts.wrong += 1,
                Event::EStopped { .. }
                | Event::Offered { .. }
                | Event::Told { .. }
                | Event::Role { .. }
                | Event::Ready { .. }
                | Event::Down { .. }
                | Event::Truth { .. }
                | Event::Stalled { .. }
                | Event::Phase { .. } => {}
            }
        }
        counts
    }
}

impl Counts {
    /// Counts a new term at gate 0 by what brought it about.
    fn classify(&mut self, at: Instant, faults: &[(String, Option<Instant>)], stalls: &Stalls, setting: &Setting) {
        let rest = rest_of(&setting.config);
        if faults.iter().any(|(_, over)| over.is_none_or(|over| over + rest >= at)) {
            // Caused.
        } else if stalls.explain_a_takeover(at, &setting.config) {
            self.stall_takeovers += 1;
        } else {
            self.false_takeovers += 1;
        }
    }
}

struct GateMemory {
    adopted: Option<Term>,
    /// The cycles acted on since the gate opened; empty while it is closed.
    cycles: BTreeSet<Cycle>,
    split_since: Option<Instant>,
}

impl GateMemory {
    const fn new() -> Self {
        Self { adopted: None, cycles: BTreeSet::new(), split_since: None }
    }
}

/// Returns 1 when an open gate names another holder than gate 0 for longer than a status period.
fn split_owners(gates: &mut [GateMemory; 4], at: Instant, setting: &Setting) -> u64 {
    let first = gates[0].adopted.filter(|_| !gates[0].cycles.is_empty());
    let mut split = 0;
    for gate in &mut gates[1..] {
        let other = gate.adopted.filter(|_| !gate.cycles.is_empty());
        if first.is_none() || other.is_none() || first == other {
            gate.split_since = None;
            continue;
        }
        let since = *gate.split_since.get_or_insert(at);
        let status_period = setting.config.period + bus_time(setting.config.bitrate, setting.config.gates);
        split |= u64::from(at.since(since) > status_period);
    }
    split
}

/// When which device was ready.
struct Readiness {
    changes: Vec<(Instant, Slot, bool)>,
}

impl Readiness {
    fn of(log: &Log) -> Self {
        let change = |(at, event): &(Instant, Event)| {
            if let Event::Ready { slot, ready } = event {
                return Some((*at, *slot, ready.is_ok()));
            }
            if let Event::Down { slot } = event { Some((*at, *slot, false)) } else { None }
        };
        Self { changes: log.events.iter().filter_map(change).collect() }
    }

    /// Returns whether, when the gate last acted before `at`, a standby was ready: the one that covered, or one beside
    /// the sender.
    fn ready_before(&self, at: Instant, acts: &[Act]) -> bool {
        let Some(last) = acts.iter().rev().find(|act| act.at < at) else {
            return false;
        };
        let mut ready = [false; SLOTS as usize];
        for (_, slot, is_ready) in self.changes.iter().take_while(|(changed, ..)| *changed <= last.at) {
            ready[slot.index()] = *is_ready;
        }
        let goes_on = |slot: usize| last.how == How::Cover || slot != last.slot.index();
        ready.iter().enumerate().any(|(slot, ready)| *ready && goes_on(slot))
    }

    /// Returns the seconds without a ready standby, counted from each fault, and whether one is ready at the end.
    fn without_redundancy(&self, log: &Log, end: Instant) -> (f64, bool) {
        let mut ready = [false; SLOTS as usize];
        let mut any: Vec<(Instant, bool)> = vec![(Instant::ZERO, false)];
        for (at, slot, is_ready) in &self.changes {
            ready[slot.index()] = *is_ready;
            let now = ready.contains(&true);
            if any.last().is_some_and(|(_, before)| *before != now) {
                any.push((*at, now));
            }
        }
        let is_fault = |(at, event): &(Instant, Event)| matches!(event, Event::Fault { .. }).then_some(*at);
        let faults: Vec<Instant> = log.events.iter().filter_map(is_fault).collect();
        let mut total = 0.0;
        let mut ready_since = Instant::ZERO;
        for (index, (lost, ready)) in any.iter().enumerate() {
            if *ready {
                ready_since = *lost;
                continue;
            }
            let back = any.get(index + 1).map_or(end, |(at, _)| *at);
            // Lost by the last fault before; or missing anyhow, and then counted from the first fault that would have
            // needed it.
            let before = faults.iter().rev().find(|fault| **fault <= *lost && **fault >= ready_since);
            let during = faults.iter().find(|fault| **fault > *lost && **fault < back);
            if let Some(fault) = before.or(during) {
                total += back.since(*fault).as_secs_f64();
            }
        }
        (total, any.last().is_some_and(|(_, ready)| *ready))
    }
}

/// Returns the steps of the `fresh` baseline; the last one is the new device's first command acted on.
fn phases(log: &Log, setting: &Setting) -> Vec<Phase> {
    let at = |at: &Instant| at.seconds_after(setting.zero);
    let phase = |(when, event): &(Instant, Event)| {
        if let Event::Phase { name } = event { Some(Phase { name: name.clone(), t_s: at(when) }) } else { None }
    };
    let mut phases: Vec<Phase> = log.events.iter().filter_map(phase).collect();
    if let (false, Some(change)) = (phases.is_empty(), changes(log).first()) {
        phases.push(Phase { name: "first command acted on".to_owned(), t_s: at(&change.at) });
    }
    phases
}

/// A change of holder at gate 0.
struct Change {
    at: Instant,
    from: Slot,
    to: Slot,
}

/// Returns each change of holder: by a takeover, by another gate's word, or by an opening in another device's term.
fn changes(log: &Log) -> Vec<Change> {
    let mut holder: Option<Slot> = None;
    let mut changes = Vec::new();
    for (at, event) in &log.events {
        let Some(term) = event.adopted_by_gate_0() else { continue };
        let to = term.slot();
        if let Some(from) = holder.filter(|from| *from != to) {
            changes.push(Change { at: *at, from, to });
        }
        holder = Some(to);
    }
    changes
}

fn handovers(log: &Log, acts: &[Act], setting: &Setting) -> Vec<Handover> {
    changes(log).iter().filter_map(|change| handover(log, acts, setting, change)).collect()
}

/// Returns the last fault or request that was at work at `at`, of `of` or, if there is none, of anybody: when it began, and
/// how it was written.
fn cause<'a>(log: &'a Log, config: &Config, at: Instant, of: Slot) -> Option<(Instant, &'a String)> {
    let mut at_work: Vec<(Instant, &String, Option<Slot>, bool)> = Vec::new();
    let rest = rest_of(config);
    for (when, event) in log.events.iter().take_while(|(when, _)| *when <= at) {
        if let Event::Fault { label, slot, request } = event {
            at_work.push((*when, label, *slot, *request));
        } else if let Event::FaultEnded { label, .. } = event
            && *when + rest < at
        {
            at_work.retain(|(_, name, ..)| *name != label);
        }
    }
    at_work.retain(|(when, .., request)| !request || *when + rest >= at);
    let of_loser = at_work.iter().rev().find(|(_, _, slot, _)| *slot == Some(of));
    of_loser.or(at_work.last()).map(|(when, label, ..)| (*when, *label))
}

/// Returns the handover that ended in `change`; `None` when nothing was wrong and nothing was asked for.
fn handover(log: &Log, acts: &[Act], setting: &Setting, change: &Change) -> Option<Handover> {
    let (fault, label) = cause(log, &setting.config, change.at, change.from)?;
    let (from, to) = (change.from, change.to);
    let first = acts.iter().find(|act| act.at > fault && act.slot == to)?;
    let before = acts.iter().rev().find(|act| act.at < first.at && act.slot != to)?;
    let is_decision = |(at, event): &&(Instant, Event)| {
        let is_to = matches!(event, Event::Offered { slot, probe: false, .. } if *slot == to);
        is_to && *at >= fault && *at <= first.at
    };
    let decided = log.events.iter().find(is_decision).map_or(first.at, |(at, _)| *at);
    let settled = first.at + setting.config.command_timeout;
    let gap = acts
        .windows(2)
        .filter(|pair| pair[1].at > fault && pair[0].at < settled)
        .map(|pair| pair[1].at.since(pair[0].at))
        .max()
        .unwrap_or_default();
    let stalled = log.events.iter().any(|(at, event)| {
        let Event::Stalled { since, .. } = event else {
            return false;
        };
        at.since(*since) > STALL_COUNTED && *since <= first.at && *at >= fault
    });
    let (old, new) = (Command::decode(&before.signals), Command::decode(&first.signals));
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    Some(Handover {
        cause: label.clone(),
        from: device_name(from).to_owned(),
        to: device_name(to).to_owned(),
        fault_t_s: fault.seconds_after(setting.zero),
        fdti_ms: milliseconds(decided.since(fault)),
        frti_ms: milliseconds(first.at.since(decided)),
        fhti_ms: milliseconds(first.at.since(fault)),
        handover_gap_ms: milliseconds(gap),
        command_step: CommandStep {
            steering_rad: (new.steering_rad - old.steering_rad).abs(),
            drive_mps2: (new.drive_mps2 - old.drive_mps2).abs(),
        },
        stalled,
    })
}

struct Truth {
    cross_track_max_m: f64,
    travelled_m: f64,
}

fn truth(log: &Log) -> Truth {
    let mut truth = Truth { cross_track_max_m: 0.0, travelled_m: 0.0 };
    for (_, event) in &log.events {
        if let Event::Truth { cross_track_m, travelled_m, .. } = event {
            truth.cross_track_max_m = truth.cross_track_max_m.max(cross_track_m.abs());
            truth.travelled_m = truth.travelled_m.max(*travelled_m);
        }
    }
    truth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_deadline_is_missed_two_periods_after_the_last_command() {
        let missed: Vec<_> = missed_in(at(100), at(135), Duration::from_millis(10)).collect();
        assert_eq!(missed, [at(120), at(130)]);
    }

    #[test]
    fn a_gap_of_centuries_is_counted_up_to_a_limit() {
        let acted = Event::Acted {
            gate: 0,
            how: How::Opening,
            slot: Slot::LEFT,
            term: Term::new(0),
            adopted: Term::new(0),
            cycle: Cycle::new(1),
            signals: Signals::default(),
            age: None,
        };
        let parameters = twinhelm_standby::Parameters::at_period(Duration::from_millis(10));
        let setting = Setting {
            rig: "sim".to_owned(),
            seed: 1,
            machine: String::new(),
            standby: "hot".to_owned(),
            config: Config::new(parameters).expect("the profile of 100 Hz"),
            zero: Instant::ZERO,
            end: Instant::from_nanos(u64::MAX),
            course_length_m: 1.0,
            watcher_stall_ms: None,
            notes: Vec::new(),
        };
        let report = analyse(&Log { events: vec![(at(1), acted)] }, &setting);
        assert_eq!(report.missed_deadlines, MISSED_MAX as u64);
    }
}
