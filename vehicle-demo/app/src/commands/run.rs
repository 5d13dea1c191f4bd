//! `run`: drives the course once, watched and recorded if asked for.

use super::{Exit, Problem, beside, boards_of, containers, exit_of, guest, host_plan, of_law, settings_of};
use crate::cli::{Rig, RunArgs, Runtime};
use crate::live::{self, LiveView};
use crate::plain::Plain;
use crate::{Setup, output};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::recording::{LAYOUT, Recorder, RunHeader};
use twinhelm_hil::run::{Outcome, Plan, Standby, judge_by_default, simulate, simulate_recorded};
use twinhelm_hil::scenario::{DURATION, SEED, Scenario};
use twinhelm_hil::world::ORIGIN;
use twinhelm_linux::clock;
use twinhelm_rigs::host::{self, Cabling, Containers, HostPlan};
use twinhelm_rigs::tape::{Tape, Written};
use twinhelm_standby::Readiness;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::{Report, figure, text};
use twinhelm_vehicle::signals::{Command, State};

/// A run that people end by a key goes on for so long at most.
const OPEN_ENDED_MAX: Duration = Duration::from_secs(600);

/// `run`
pub(crate) fn run<L, F>(args: &RunArgs, factory: &F) -> Result<Exit, Problem>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    if args.vehicle.rig == Rig::Guest && !guest::is_inside() {
        return guest::run(args);
    }
    let boards = boards_of(&args.vehicle)?;
    let settings = settings_of(&args.vehicle)?;
    let scenario = args.scenario.as_deref().map(find_scenario).transpose()?;
    let mut config = settings.config(args.vehicle.period).map_err(Problem::bad_input)?;
    let named = scenario.as_ref();
    if let Some(scenario) = named {
        config = scenario.fit(&config).map_err(Problem::bad_input)?;
    }
    let config = of_law::<L>(&config)?;
    let course = named.map_or_else(|| Arc::new(Course::harbour()), |scenario| scenario.course.clone());
    let setup = Setup { course: course.clone(), tuning: settings.tuning() };
    let mut faults: Vec<Fault> = named.map_or_else(Vec::new, |scenario| scenario.faults.clone());
    faults.extend(args.faults.iter().cloned());
    let mut plan = Plan {
        config,
        seed: args.seed.unwrap_or_else(|| named.map_or(SEED, |scenario| scenario.seed)),
        law: factory(&setup),
        course,
        plant: settings.plant(),
        sensors: settings.sensors(),
        standby: args
            .standby
            .map_or_else(|| named.map_or(Standby::Hot, |scenario| scenario.standby), Standby::from),
        duration: args.duration.unwrap_or_else(|| named.map_or(DURATION, |scenario| scenario.duration)),
        faults,
    };
    if let Some(late) = plan.faults.iter().find(|fault| fault.at >= plan.duration) {
        let end = plan.duration.as_secs_f64();
        let message = format!("fault `{}` comes after the run has ended ({end} s); raise --duration", late.label);
        return Err(Problem::bad_input(message));
    }
    refuse_what_has_no_container(args, plan.standby)?;
    prepare_output(args)?;
    let (outcome, written) = match args.vehicle.rig.cabling() {
        None => in_virtual_time(args, &plan, named)?,
        Some(cabling) => {
            let watched = live::is_possible(args.plain);
            if let Err(Some(why)) = &watched {
                output::tell(why);
            }
            // Nobody has said what is to happen, nor until when: whoever watches says it by keys.
            let open_ended =
                watched.is_ok() && plan.faults.is_empty() && args.duration.is_none() && named.is_none();
            if open_ended {
                plan.duration = OPEN_ENDED_MAX;
            }
            let containers = match args.runtime {
                Runtime::Process => None,
                Runtime::Container => {
                    let parts = containers::find(args.image.as_deref(), args.readiness)?;
                    let (spares, spare_readiness, cloud) = (args.spares, args.spare_readiness, args.cloud);
                    let (storage, spares_at) = (args.storage.clone(), args.spares_at);
                    Some(Containers { spares, spares_at, spare_readiness, cloud, storage, ..parts })
                }
            };
            let host = HostPlan { open_ended, containers, ..host_plan(plan.clone(), &settings, cabling, boards)? };
            let driven = on_this_machine(args, &host, watched.is_ok(), named);
            if let (Err(_), Some(folder)) = (&driven, &args.out) {
                // An empty folder would look like a report that is about to be written. One with something in it stays.
                let _ = std::fs::remove_dir(folder);
            }
            driven?
        }
    };
    let exit = present(args, &plan.course, &outcome)?;
    let Some(path) = &args.record else { return Ok(exit) };
    let is_whole = written.as_ref().is_some_and(|written| written.problem.is_none());
    if let Some(written) = written {
        tell_of(path, &written);
    }
    // Whoever asked for a recording has none, or half of one.
    Ok(if exit == Exit::Holds && !is_whole { Exit::Machine } else { exit })
}

/// Readiness is a container's, and a container is a real process'.
fn refuse_what_has_no_container(args: &RunArgs, standby: Standby) -> Result<(), Problem> {
    let in_containers = args.runtime == Runtime::Container;
    if in_containers && args.vehicle.rig.cabling().is_none() {
        return Err(Problem::bad_input(
            "there are no containers in virtual time: use --rig host, or --runtime process",
        ));
    }
    if args.readiness < Readiness::Shadow && !(in_containers && standby == Standby::Hot) {
        let message = "--readiness is for containers: add --runtime container, with --standby hot";
        return Err(Problem::bad_input(message));
    }
    if args.spares > 0 && !(in_containers && standby == Standby::Hot) {
        let message = "--spares is for containers: add --runtime container, with --standby hot";
        return Err(Problem::bad_input(message));
    }
    if args.spares > 0 && args.readiness < Readiness::Shadow {
        return Err(Problem::bad_input("with --spares both devices stand by: leave out --readiness"));
    }
    if args.storage.is_some() && !in_containers {
        let message = "--storage is for the devices' agents, which come with containers: add --runtime container";
        return Err(Problem::bad_input(message));
    }
    if args.spares_at.is_some() && args.spares == 0 {
        return Err(Problem::bad_input("--spares-at is for spares: add --spares 1 --runtime container"));
    }
    if args.cloud && args.spares == 0 {
        let message = "--cloud is for a fleet: add --spares 1 --runtime container";
        return Err(Problem::bad_input(message));
    }
    if args.spares > 0 && args.record.is_some() {
        return Err(Problem::bad_input("a recording has no place for spares yet: leave out --record or --spares"));
    }
    if args.spare_readiness > Readiness::Pulled {
        return Err(Problem::bad_input("--spare-readiness is cold or pulled: a spare climbs when it is recruited"));
    }
    Ok(())
}

fn in_virtual_time<L>(
    args: &RunArgs,
    plan: &Plan<L>,
    named: Option<&Scenario>,
) -> Result<(Outcome, Option<Written>), Problem>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let judge = |outcome: &mut Outcome| match named {
        Some(scenario) => scenario.judge(&mut outcome.report),
        None => judge_by_default(plan, &mut outcome.report),
    };
    let Some(path) = &args.record else {
        let mut outcome = simulate(plan);
        judge(&mut outcome);
        return Ok((outcome, None));
    };
    let mut recorder = Recorder::new(&header(plan, "sim", "virtual time".to_owned(), 0));
    recorder.begins(ORIGIN);
    let mut outcome = simulate_recorded(plan, &mut recorder);
    judge(&mut outcome);
    recorder.report(outcome.setting.end, &outcome.report);
    let bytes = recorder.finish();
    if let Err(problem) = output::write_bytes(path, &bytes) {
        // The run has its report, whatever becomes of its recording.
        output::tell(format_args!("nothing is recorded: {}", problem.message));
        return Ok((outcome, None));
    }
    let written = Written { path: path.clone(), bytes: bytes.len() as u64, lost: 0, problem: None };
    Ok((outcome, Some(written)))
}

fn on_this_machine<L>(
    args: &RunArgs,
    host: &HostPlan<L>,
    watched: bool,
    named: Option<&Scenario>,
) -> Result<(Outcome, Option<Written>), Problem>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let plan = &host.plan;
    let start = |path: &std::path::PathBuf| {
        let header = header(plan, host.cabling.rig(), host.machine.clone(), clock::unix_epoch_ns());
        let started = Tape::start(path, &header);
        started.map_err(|error| Problem::bad_input(format!("writing {}: {error}", path.display())))
    };
    let tape = args.record.as_ref().map(start).transpose()?;
    let driven = if watched {
        let (view, mut operator) = LiveView::start(live::Setting {
            course: plan.course.clone(),
            config: plan.config,
            title: format!("rig {}   {}", host.cabling.rig(), host.machine),
            open_ended: host.open_ended,
        })
        .map_err(|error| Problem::machine(format!("drawing on the terminal: {error}; use --plain")))?;
        let driven = host::run(host, &mut operator, tape.as_ref());
        view.stop();
        driven
    } else {
        let mut operator = Plain::new();
        let driven = host::run(host, &mut operator, tape.as_ref());
        operator.clear();
        driven
    };
    let mut outcome = driven?;
    match named {
        Some(scenario) if host.cabling == Cabling::Guest => scenario.judge_order(&mut outcome.report),
        Some(scenario) => scenario.judge(&mut outcome.report),
        None => host::judge_by_default(plan, &mut outcome),
    }
    let written = tape.map(|tape| {
        if let Some(problem) = tape.problem() {
            outcome.report.notes.push(format!("the recording ends before the run: {problem}"));
        }
        let (end, report) = (outcome.setting.end, outcome.report.clone());
        tape.finish(move |recorder| recorder.report(end, &report))
    });
    Ok((outcome, written))
}

/// Returns what a recording begins with.
fn header<L>(plan: &Plan<L>, rig: &str, machine: String, epoch_ns: u64) -> RunHeader {
    RunHeader {
        rig: rig.to_owned(),
        seed: plan.seed,
        machine,
        standby: plan.standby.name().to_owned(),
        parameters: *plan.config,
        course_length_m: plan.course.length_m(),
        epoch_ns,
    }
}

/// Finds a scenario by file or by name.
fn find_scenario(name: &str) -> Result<Scenario, Problem> {
    let path = Path::new(name);
    if path.is_file() {
        return Scenario::parse(name, &output::read(path)?).map_err(Problem::bad_input);
    }
    Scenario::builtin(name).cloned().map_err(Problem::bad_input)
}

/// Makes the folder before the run, and tries the files', so that a run is not driven in vain.
fn prepare_output(args: &RunArgs) -> Result<(), Problem> {
    for path in [&args.json, &args.record].into_iter().flatten() {
        output::try_to_write(path)?;
    }
    let Some(folder) = &args.out else {
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| Problem::bad_input(format!("making the folder {}: {error}", folder.display())))
}

fn present(args: &RunArgs, course: &Course, outcome: &Outcome) -> Result<Exit, Problem> {
    let report = &outcome.report;
    output::print(format_args!("{}", text::render(report)));
    if let Some(path) = &args.json {
        output::write(path, &json(report)?)?;
        output::print(format_args!("  {}", path.display()));
    }
    if let Some(folder) = &args.out {
        let title = format!("rig {}, standby {}, seed {}", report.rig, report.standby, report.seed);
        let svg = figure::figure(&outcome.log, &outcome.setting, course, &title)
            .to_svg()
            .map_err(|error| Problem::machine(format!("drawing the report: {error}")))?;
        output::write(&folder.join("report.json"), &json(report)?)?;
        output::write(&folder.join("report.svg"), &svg)?;
        output::print(format_args!(
            "  {}\n  {}",
            folder.join("report.json").display(),
            folder.join("report.svg").display()
        ));
    }
    Ok(exit_of(report))
}

fn json(report: &Report) -> Result<String, Problem> {
    let text = serde_json::to_string_pretty(report);
    text.map(|text| text + "\n").map_err(|error| Problem::machine(format!("writing the report: {error}")))
}

/// Says what was recorded, and lays the layout for Foxglove beside it.
fn tell_of(path: &Path, written: &Written) {
    let layout = beside(path, "foxglove.json");
    if let Err(problem) = output::write(&layout, LAYOUT) {
        output::tell(problem.message);
    }
    let megabytes = written.bytes as f64 * 1e-6;
    output::print(format_args!("  {} ({megabytes:.1} MB)\n  {}", path.display(), layout.display()));
    if written.lost > 0 {
        output::tell(format_args!("{} notes found no place in the recording's queue", written.lost));
    }
    if let Some(problem) = &written.problem {
        output::tell(format_args!("the recording ends before the run: {problem}; what is there can be read"));
    }
}
