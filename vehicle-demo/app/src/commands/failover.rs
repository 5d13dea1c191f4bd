//! `failover`: the same fault again and again, and how long the gate went without a command each time.

use super::{Exit, Problem, boards_of, host_plan, of_law, settings_of};
use crate::cli::FailoverArgs;
use crate::plain::Plain;
use crate::{Setup, machine, output};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::time::Instant;
use twinhelm_hil::fault::{Fault, Kind, Target};
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_hil::scenario::SEED;
use twinhelm_linux::clock::now;
use twinhelm_rigs::host::glance::Glance;
use twinhelm_rigs::host::operator::{Ask, Operator};
use twinhelm_rigs::host::{self, HostPlan};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::{Quantiles, Report, Verdict};
use twinhelm_vehicle::signals::{Command, State};

/// The version of the form of `--json`.
const SCHEMA: u32 = 1;
/// The pair has to be whole for so long before the next fault.
const WHOLE_FOR: Duration = Duration::from_millis(200);
/// So long a fault is on before it is mended.
const HOLD: Duration = Duration::from_millis(300);
/// A pair that is not whole again so long after the repair ends the measurement with what it has.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);
/// In virtual time a fault begins every so often: a killed device is back long before.
const SIM_EVERY: Duration = Duration::from_secs(3);

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Figures {
    schema: u32,
    rig: String,
    profile: String,
    machine: String,
    twinhelm: String,
    period_ms: f64,
    command_timeout_ms: f64,
    ftti_ms: f64,
    gap_bound_ms: f64,
    faults: Vec<OfFault>,
}

/// The figures of one fault.
#[derive(Debug, Serialize)]
struct OfFault {
    fault: String,
    runs: usize,
    gap_ms: Vec<f64>,
    detection_ms: Vec<f64>,
    reaction_ms: Vec<f64>,
    set_aside: Vec<bool>,
    covers: u64,
    takeovers: u64,
    missed_deadlines: u64,
    uncovered: u64,
    false_takeovers: u64,
    stall_takeovers: u64,
    handovers: usize,
    longest_gap_ms: Option<f64>,
    watcher_stall_ms: Option<Quantiles>,
    observer_stalls: u64,
    broken: Vec<String>,
    verdict: Verdict,
}

/// `failover`
pub(crate) fn failover<L, F>(args: &FailoverArgs, factory: &F) -> Result<Exit, Problem>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    let boards = boards_of(&args.vehicle)?;
    let settings = settings_of(&args.vehicle)?;
    let config = of_law::<L>(&settings.config(args.vehicle.period).map_err(Problem::bad_input)?)?;
    let course = Arc::new(Course::harbour());
    let setup = Setup { course: course.clone(), tuning: settings.tuning() };
    let plan = Plan {
        config,
        seed: args.seed.unwrap_or(SEED),
        law: factory(&setup),
        course,
        plant: settings.plant(),
        sensors: settings.sensors(),
        standby: Standby::Hot,
        duration: (WHOLE_FOR + HOLD + WHOLE_WITHIN) * args.runs,
        faults: Vec::new(),
    };
    if let Some(path) = &args.json {
        output::try_to_write(path)?;
    }
    let cabling = args.vehicle.rig.cabling();
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    let mut figures = Figures {
        schema: SCHEMA,
        rig: cabling.map_or("sim", |cabling| cabling.rig()).to_owned(),
        profile: args.vehicle.profile.clone().unwrap_or_else(|| "100hz".to_owned()),
        machine: cabling.map_or_else(|| "virtual time".to_owned(), |_| machine::describe()),
        twinhelm: env!("CARGO_PKG_VERSION").to_owned(),
        period_ms: milliseconds(config.period),
        command_timeout_ms: milliseconds(config.command_timeout),
        ftti_ms: milliseconds(config.ftti),
        gap_bound_ms: milliseconds(config.handover_gap_max()),
        faults: Vec::new(),
    };
    for word in &args.faults {
        let fault = Fault::parse(&format!("{word}@0s")).map_err(Problem::bad_input)?;
        let (outcome, injected) = match cabling {
            None => in_virtual_time(&plan, &fault, word, args.runs),
            Some(cabling) => {
                let host = host_plan(plan.clone(), &settings, cabling, boards.clone())?;
                let host = HostPlan { announced: vec![fault.kind], open_ended: true, ..host };
                let mut driver = Driver::new(word, fault.kind, fault.target, args.runs);
                let outcome = host::run(&host, &mut driver, None);
                driver.plain.clear();
                (outcome?, driver.injected)
            }
        };
        let mut of_fault = of_fault(word, injected, &outcome);
        if of_fault.runs < args.runs as usize {
            let whole = WHOLE_WITHIN.as_secs();
            let message = format!("{injected} of {} runs: the pair was not whole within {whole} s", args.runs);
            output::tell(format_args!("{word}: {message}"));
            of_fault.broken.push(message);
            of_fault.verdict = Verdict::Fail;
        }
        output::print(format_args!("{}", row(&of_fault, figures.period_ms)));
        figures.faults.push(of_fault);
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&figures)
            .map_err(|error| Problem::machine(format!("writing the figures: {error}")))?;
        output::write(path, &(text + "\n"))?;
    }
    let holds = figures.faults.iter().all(|fault| fault.verdict == Verdict::Pass);
    Ok(if holds { Exit::Holds } else { Exit::Broken })
}

fn in_virtual_time<L>(plan: &Plan<L>, fault: &Fault, word: &str, runs: u32) -> (Outcome, usize)
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let faults = (1..=runs).map(|count| {
        let at = SIM_EVERY * count;
        let lasts = (!fault.kind.is_request() && !fault.kind.is_momentary()).then_some(HOLD);
        Fault { label: format!("{word}@{}s", at.as_secs()), at, lasts, ..fault.clone() }
    });
    let plan = Plan { faults: faults.collect(), duration: SIM_EVERY * (runs + 1), ..plan.clone() };
    (simulate(&plan), runs as usize)
}

fn of_fault(word: &str, injected: usize, outcome: &Outcome) -> OfFault {
    let Report { handovers, .. } = &outcome.report;
    let report = outcome.report.clone();
    let each = |figure: fn(&twinhelm_vehicle::report::Handover) -> f64| handovers.iter().map(figure).collect();
    OfFault {
        fault: word.to_owned(),
        runs: injected,
        gap_ms: each(|handover| handover.handover_gap_ms),
        detection_ms: each(|handover| handover.fdti_ms),
        reaction_ms: each(|handover| handover.frti_ms),
        set_aside: handovers.iter().map(|handover| handover.stalled).collect(),
        covers: report.covers,
        takeovers: report.takeovers,
        missed_deadlines: report.missed_deadlines,
        uncovered: report.uncovered,
        false_takeovers: report.false_takeovers,
        stall_takeovers: report.stall_takeovers,
        handovers: handovers.len(),
        longest_gap_ms: report.output_gap_ms.max,
        watcher_stall_ms: report.watcher_stall_ms,
        observer_stalls: report.observer_stalls,
        broken: report.broken,
        verdict: report.verdict,
    }
}

/// Returns a line for people.
fn row(figures: &OfFault, period_ms: f64) -> String {
    let OfFault { fault, runs, gap_ms, missed_deadlines, covers, takeovers, .. } = figures;
    let gaps = Quantiles::of(gap_ms.clone());
    let gap = match (gaps.p50, gaps.max) {
        (Some(p50), Some(max)) => {
            format!("median gap {p50:.2} ms ({:.3} periods), largest {max:.2} ms", p50 / period_ms)
        }
        (None, Some(max)) => format!("largest gap {max:.2} ms ({:.3} periods)", max / period_ms),
        (_, None) => format!("no handover; longest gap {:.2} ms", figures.longest_gap_ms.unwrap_or_default()),
    };
    format!(
        "{fault:12} {runs:3} times: {gap}; {missed_deadlines} deadlines missed, {covers} covers, {takeovers} takeovers"
    )
}

/// Injects, waits, mends, waits until the pair is whole, and again.
struct Driver {
    plain: Plain,
    word: String,
    kind: Kind,
    target: Target,
    runs: usize,
    injected: usize,
    phase: Phase,
    next: Option<Ask>,
}

/// What a [`Driver`] waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// For a whole pair, since then; whole since then, if it is.
    Whole { since: Option<Instant>, whole: Option<Instant> },
    /// For the time to mend.
    Hold { until: Instant },
    /// For nothing any more.
    Over,
}

impl Driver {
    fn new(word: &str, kind: Kind, target: Target, runs: u32) -> Self {
        let phase = Phase::Whole { since: None, whole: None };
        let runs = runs as usize;
        Self { plain: Plain::new(), word: word.to_owned(), kind, target, runs, injected: 0, phase, next: None }
    }

    /// Moves on to what is due at `now`.
    fn step(&mut self, now: Instant, is_whole: bool) {
        match self.phase {
            Phase::Whole { since, whole } => {
                let since = since.unwrap_or(now);
                let whole = is_whole.then(|| whole.unwrap_or(now));
                self.phase = Phase::Whole { since: Some(since), whole };
                if whole.is_some_and(|whole| now.since(whole) >= WHOLE_FOR) {
                    if self.injected >= self.runs {
                        (self.phase, self.next) = (Phase::Over, Some(Ask::Quit));
                        return;
                    }
                    self.injected += 1;
                    self.phase = Phase::Hold { until: now + HOLD };
                    let (name, kind, target) = (self.word.clone(), self.kind, self.target);
                    self.next = Some(Ask::Inject { name, kind, target });
                } else if now.since(since) > WHOLE_WITHIN {
                    (self.phase, self.next) = (Phase::Over, Some(Ask::Quit));
                }
            }
            Phase::Hold { until } if now >= until => {
                self.phase = Phase::Whole { since: None, whole: None };
                if !self.kind.is_request() && !self.kind.is_momentary() {
                    self.next = Some(Ask::Repair);
                }
            }
            Phase::Hold { .. } | Phase::Over => {}
        }
    }
}

impl Operator for Driver {
    fn line(&mut self, t_s: Option<f64>, text: &str) {
        // What is refused, or missing, is worth a line; the rest is as it was asked for.
        if t_s.is_none() || text.contains("refuses") {
            Operator::line(&mut self.plain, t_s, text);
        }
    }

    fn look(&mut self, glance: &Glance) {
        let part = self.injected as f64 / self.runs as f64;
        self.plain.draw(part, format_args!("{} {} of {}", self.word, self.injected, self.runs));
        if glance.passed.is_some() {
            self.step(now(), glance.is_protected());
        }
    }

    fn ask(&mut self) -> Option<Ask> {
        self.next.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_fault_waits_until_the_pair_was_whole_for_a_while() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut driver = Driver::new("kill", Kind::Kill, Target::Holder, 1);
        driver.step(at(0), true);
        driver.step(at(200), false);
        driver.step(at(250), true);
        driver.step(at(400), true);
        assert_eq!(driver.ask(), None);
        driver.step(at(460), true);
        assert!(matches!(driver.ask(), Some(Ask::Inject { .. })));
        driver.step(at(800), false);
        assert_eq!(driver.ask(), Some(Ask::Repair));
        driver.step(at(900), true);
        driver.step(at(1_200), true);
        assert_eq!(driver.ask(), Some(Ask::Quit));
    }
}
