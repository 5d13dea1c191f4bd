//! What the subcommands do.

use crate::cli::{Rig, RunArgs};
use crate::{Setup, machine, output};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, judge_by_default, simulate};
use twinhelm_hil::scenario::{DURATION, SEED, Scenario, scenarios as built_in};
use twinhelm_rigs::host::{self, HostError, HostPlan, Progress};
use twinhelm_standby::Config;
use twinhelm_vehicle::config::{DEFAULT, Settings};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::{Report, SCHEMA, Verdict, figure, text};
use twinhelm_vehicle::signals::{Command, State};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Ran, and its bounds hold.
    Holds,
    /// Ran, and a bound was broken; the reports are written.
    Broken,
    /// Bad input.
    BadInput,
    /// This machine cannot run it.
    Machine,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Holds => 0,
            Self::Broken => 1,
            Self::BadInput => 2,
            Self::Machine => 3,
        })
    }
}

/// Why a command did not come to its end: one clear message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    message: String,
    pub(crate) is_bad_input: bool,
}

impl Problem {
    pub(crate) fn bad_input(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), is_bad_input: true }
    }

    fn machine(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), is_bad_input: false }
    }
}

/// `run`
pub(crate) fn run<L, F>(args: &RunArgs, factory: &F) -> Result<Exit, Problem>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    let settings = match &args.config {
        Some(path) => {
            let name = path.display().to_string();
            Settings::parse(&name, &output::read(path)?).map_err(Problem::bad_input)?
        }
        None => Settings::default(),
    };
    let scenario = args.scenario.as_deref().map(find_scenario).transpose()?;
    let mut config = settings.config(args.period).map_err(Problem::bad_input)?;
    let named = scenario.as_ref();
    if let Some(scenario) = named {
        config = scenario.fit(&config).map_err(Problem::bad_input)?;
    }
    let config = of_law::<L>(&config)?;
    let course = named.map_or_else(|| Arc::new(Course::harbour()), |scenario| scenario.course.clone());
    let setup = Setup { course: course.clone(), tuning: settings.tuning() };
    let mut faults: Vec<Fault> = named.map_or_else(Vec::new, |scenario| scenario.faults.clone());
    faults.extend(args.faults.iter().cloned());
    let plan = Plan {
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
    prepare_output(args)?;
    let mut outcome = match args.rig {
        Rig::Sim => simulate(&plan),
        Rig::Host => on_host(&plan, &settings)?,
    };
    match (named, args.rig) {
        (Some(scenario), _) => scenario.judge(&mut outcome.report),
        (None, Rig::Sim) => judge_by_default(&plan, &mut outcome.report),
        (None, Rig::Host) => host::judge_by_default(&plan, &mut outcome.report),
    }
    present(args, &plan.course, &outcome)
}

/// Two devices with different laws do not stand by for each other: the law's name is part of the digest (FNV-1a).
fn of_law<L>(config: &Config) -> Result<Config, Problem> {
    let mut parameters = **config;
    let name = std::any::type_name::<L>().bytes();
    parameters.digest =
        name.fold(parameters.digest, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Config::new(parameters).map_err(Problem::bad_input)
}

fn on_host<L>(plan: &Plan<L>, settings: &Settings) -> Result<Outcome, Problem>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    let program =
        std::env::current_exe().map_err(|error| Problem::machine(format!("finding this program: {error}")))?;
    let link = settings.link();
    let host = HostPlan {
        plan: plan.clone(),
        program,
        tuning: settings.tuning(),
        port: link.port,
        keep_alive: link.keep_alive,
        machine: machine::describe(),
    };
    let mut progress = Terminal { bar: std::io::stderr().is_terminal(), shown: false };
    let outcome = host::run(&host, &mut progress);
    progress.clear();
    outcome.map_err(|error| match error {
        HostError::BadInput(_) => Problem::bad_input(error),
        HostError::CannotInject(_) | HostError::Machine(_) | HostError::Interrupted => Problem::machine(error),
    })
}

/// Finds a scenario by file or by name.
fn find_scenario(name: &str) -> Result<Scenario, Problem> {
    let path = Path::new(name);
    if path.is_file() {
        return Scenario::parse(name, &output::read(path)?).map_err(Problem::bad_input);
    }
    Scenario::builtin(name).cloned().map_err(Problem::bad_input)
}

/// Makes the folder before the run, and tries the file's, so that a run is not driven in vain.
fn prepare_output(args: &RunArgs) -> Result<(), Problem> {
    if let Some(path) = &args.json {
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
    let json = || {
        serde_json::to_string_pretty(report)
            .map(|text| text + "\n")
            .map_err(|error| Problem::machine(format!("writing the report: {error}")))
    };
    if let Some(path) = &args.json {
        output::write(path, &json()?)?;
        output::print(format_args!("  {}", path.display()));
    }
    if let Some(folder) = &args.out {
        let title = format!("rig {}, standby {}, seed {}", report.rig, report.standby, report.seed);
        let svg = figure::figure(&outcome.log, &outcome.setting, course, &title)
            .to_svg()
            .map_err(|error| Problem::machine(format!("drawing the report: {error}")))?;
        output::write(&folder.join("report.json"), &json()?)?;
        output::write(&folder.join("report.svg"), &svg)?;
        output::print(format_args!(
            "  {}\n  {}",
            folder.join("report.json").display(),
            folder.join("report.svg").display()
        ));
    }
    Ok(exit_of(report))
}

fn exit_of(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Pass => Exit::Holds,
        Verdict::Fail | Verdict::Invalid => Exit::Broken,
    }
}

/// `report`
pub(crate) fn report(paths: &[PathBuf]) -> Result<Exit, Problem> {
    let reports = paths.iter().map(|path| read_report(path)).collect::<Result<Vec<_>, _>>()?;
    if let [report] = reports.as_slice() {
        output::print(format_args!("{}", text::render(report)));
        return Ok(exit_of(report));
    }
    output::print(format_args!("{}", text::compare(&reports)));
    Ok(Exit::Holds)
}

fn read_report(path: &Path) -> Result<Report, Problem> {
    let name = path.display();
    let read = output::read(path)?;
    let value: serde_json::Value = serde_json::from_str(&read).map_err(|error| {
        let cut = if error.is_eof() { "the file is cut off" } else { "this is not a report" };
        Problem::bad_input(format!("{name}: {cut} ({error}); name a file that `run --json` wrote"))
    })?;
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    if schema != Some(SCHEMA.into()) {
        let found = schema.map_or_else(|| "no schema".to_owned(), |found| format!("schema {found}"));
        return Err(Problem::bad_input(format!("{name}: {found}; this program reads schema {SCHEMA}")));
    }
    serde_json::from_value(value)
        .map_err(|error| Problem::bad_input(format!("{name}: {error}; name a file that `run --json` wrote")))
}

/// `check`
pub(crate) fn check(path: Option<&Path>, period: Option<Duration>) -> Result<Exit, Problem> {
    let Some(path) = path else {
        output::print(DEFAULT.trim_end());
        return Ok(Exit::Holds);
    };
    let settings =
        Settings::parse(&path.display().to_string(), &output::read(path)?).map_err(Problem::bad_input)?;
    let config = settings.config(period).map_err(Problem::bad_input)?;
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    output::print(format_args!("{}: ok", path.display()));
    output::print(format_args!(
        "  period {} ms, cover margin {} ms",
        milliseconds(config.period),
        milliseconds(config.margin)
    ));
    output::print(format_args!(
        "  a fault of one device leaves the gate without a command for at most {:.2} ms; the vehicle tolerates {} ms",
        milliseconds(config.handover_gap_max()),
        milliseconds(config.ftti)
    ));
    Ok(Exit::Holds)
}

/// `scenarios`
pub(crate) fn scenarios(json: bool) -> Result<Exit, Problem> {
    if json {
        let list: Vec<_> = built_in()
            .iter()
            .map(|scenario| serde_json::json!({ "name": scenario.name, "about": scenario.about }))
            .collect();
        output::print(format_args!("{}", serde_json::Value::from(list)));
        return Ok(Exit::Holds);
    }
    let scenarios = built_in();
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or_default();
    for scenario in scenarios {
        output::print(format_args!("{:width$}  {}", scenario.name, scenario.about));
    }
    Ok(Exit::Holds)
}

/// Progress on a terminal: a bar that is redrawn, and a line for each thing worth one.
struct Terminal {
    bar: bool,
    shown: bool,
}

impl Terminal {
    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            output::draw(format_args!("\r\x1b[2K"));
        }
    }
}

impl Progress for Terminal {
    fn line(&mut self, t_s: Option<f64>, text: &str) {
        self.clear();
        let time = t_s.map_or_else(|| "    start".to_owned(), |t_s| format!("{t_s:7.3} s"));
        output::tell(format_args!("{time}  {text}"));
    }

    fn passed(&mut self, passed: Duration, of: Duration) {
        if !self.bar {
            return;
        }
        self.shown = true;
        let part = (passed.as_secs_f64() / of.as_secs_f64()).clamp(0.0, 1.0);
        let full = (part * 40.0) as usize;
        let bar = "█".repeat(full) + &"░".repeat(40 - full);
        output::draw(format_args!("\r\x1b[2K{bar} {:.1} of {:.1} s", passed.as_secs_f64(), of.as_secs_f64()));
    }
}
