//! `ladder`: the driving device is killed, and the other one takes over from each rung of readiness in turn.

use super::{Exit, Problem, beside, boards_of, containers, host_plan, of_law, settings_of};
use crate::cli::LadderArgs;
use crate::plain::{Plain, line};
use crate::{Setup, machine, output};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Plan, Standby};
use twinhelm_hil::scenario::SEED;
use twinhelm_rigs::host::glance::Glance;
use twinhelm_rigs::host::operator::Operator;
use twinhelm_rigs::host::{self, Containers, HostPlan};
use twinhelm_standby::Readiness;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::ladder::{Ladder, Rung, SCHEMA, picture, rung_run, table};
use twinhelm_vehicle::signals::{Command, State};

/// The vehicle drives alone for so long.
const FAULT_AT: Duration = Duration::from_secs(2);
/// The takeover, also from the lowest rung, has so long.
const AFTER: Duration = Duration::from_secs(8);

/// `ladder`
pub(crate) fn ladder<L, F>(args: &LadderArgs, factory: &F) -> Result<Exit, Problem>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    let boards = boards_of(&args.vehicle)?;
    let settings = settings_of(&args.vehicle)?;
    let config = of_law::<L>(&settings.config(args.vehicle.period).map_err(Problem::bad_input)?)?;
    let cabling = args
        .vehicle
        .rig
        .cabling()
        .ok_or_else(|| Problem::bad_input("the ladder is measured on real processes: use --rig host"))?;
    let parts = containers::find(args.image.as_deref(), Readiness::Shadow)?;
    if let Some(path) = &args.json {
        output::try_to_write(path)?;
    }
    let course = Arc::new(Course::harbour());
    let setup = Setup { course: course.clone(), tuning: settings.tuning() };
    let fault = format!("kill@{}s:holder", FAULT_AT.as_secs());
    let plan = Plan {
        config,
        seed: SEED,
        law: factory(&setup),
        course,
        plant: settings.plant(),
        sensors: settings.sensors(),
        standby: Standby::Hot,
        duration: FAULT_AT + AFTER,
        faults: vec![Fault::parse(&fault).map_err(Problem::bad_input)?],
    };
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    let mut ladder = Ladder {
        schema: SCHEMA,
        rig: cabling.rig().to_owned(),
        machine: machine::describe(),
        twinhelm: env!("CARGO_PKG_VERSION").to_owned(),
        period_ms: milliseconds(config.period),
        ftti_ms: milliseconds(config.ftti),
        rungs: Vec::new(),
    };
    let mut holds = true;
    for readiness in Readiness::ALL {
        let mut rung = Rung { readiness: readiness.name().to_owned(), runs: Vec::new() };
        for count in 1..=args.runs {
            let mut quiet = Quiet { plain: Plain::new(), label: format!("{readiness} {count} of {}", args.runs) };
            let host = host_plan(plan.clone(), &settings, cabling, boards.clone())?;
            let containers = Some(Containers { readiness, ..parts.clone() });
            let outcome = host::run(&HostPlan { containers, ..host }, &mut quiet, None);
            quiet.plain.clear();
            let report = outcome?.report;
            for broken in &report.broken {
                output::tell(format_args!("{readiness}, run {count}: {broken}"));
            }
            match rung_run(&report) {
                Some(run) if run.stale_accepted == 0 => rung.runs.push(run),
                Some(_) => {
                    holds = false;
                    output::tell(format_args!("{readiness}, run {count}: a stale command was acted on"));
                }
                None => {
                    holds = false;
                    let after = AFTER.as_secs();
                    output::tell(format_args!("{readiness}, run {count}: nobody drove within {after} s"));
                }
            }
        }
        ladder.rungs.push(rung);
    }
    output::print(format_args!("{}", table(&ladder)));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&ladder)
            .map_err(|error| Problem::machine(format!("writing the figures: {error}")))?;
        output::write(path, &(text + "\n"))?;
        let drawn = picture(&ladder).map_err(|error| Problem::machine(format!("drawing the ladder: {error}")))?;
        output::write(&beside(path, "svg"), &drawn)?;
        output::print(format_args!("  {}\n  {}", path.display(), beside(path, "svg").display()));
    }
    Ok(if holds { Exit::Holds } else { Exit::Broken })
}

/// Shows how far it is, and otherwise only what an agent has to complain of.
struct Quiet {
    plain: Plain,
    label: String,
}

impl Operator for Quiet {
    fn line(&mut self, t_s: Option<f64>, text: &str) {
        if text.contains("agent: ") {
            self.plain.clear();
            output::tell(line(t_s, text));
        }
    }

    fn look(&mut self, glance: &Glance) {
        let passed = glance.passed.unwrap_or_default();
        let part = passed.as_secs_f64() / (FAULT_AT + AFTER).as_secs_f64();
        self.plain.draw(part, &self.label);
    }
}
