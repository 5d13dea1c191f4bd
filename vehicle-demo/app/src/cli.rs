//! The command line.

use crate::commands::{self, Exit};
use crate::{Setup, output, role};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::fault::parse::{KINDS, span};
use twinhelm_hil::run::Standby;
use twinhelm_linux::process::{end_with_any_thread, outlive_file_limits};
use twinhelm_linux::terminal::{is_written, printed};
use twinhelm_rigs::host::Cabling;
use twinhelm_standby::Readiness;
use twinhelm_vehicle::signals::{Command, State};

/// Two controllers drive a model electric vehicle; when one fails, the other drives on.
#[derive(Debug, Parser)]
#[command(name = "vehicle-demo", version, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

const AFTER: &str = "Try:
  vehicle-demo run --fault kill@5s                 two real processes, the driving one is killed
  vehicle-demo run --rig sim --fault hang@5s:2s    the same in virtual time
  vehicle-demo run --standby none --rig sim --fault kill@5s
  vehicle-demo run --record run.mcap --fault kill@5s && vehicle-demo replay run.mcap --from 4.9s --until 5.2s
  vehicle-demo failover --fault kill,hang --runs 20
  vehicle-demo scenarios                           what else there is to try

Exit codes: 0 ran and its bounds hold, 1 ran and a bound was broken (the reports are written), 2 bad input,
3 this machine cannot run it.";

#[derive(Debug, Subcommand)]
enum What {
    /// Drives the course, with faults if asked for, and reports what happened
    Run(Box<RunArgs>),
    /// Shows a report that was written by `run --json` or `run --out`; several of them side by side
    Report {
        /// The report's JSON file
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Feeds a recording to fresh nodes and gates, and compares decision by decision
    Replay(ReplayArgs),
    /// Measures how long the gate goes without a command when a fault hits, again and again
    Failover(FailoverArgs),
    /// Kills the driving device again and again, and lets the other one take over from each rung of readiness
    Ladder(LadderArgs),
    /// Measures how long a device's state takes to the other, beside plain Zenoh, in turn
    Link(LinkArgs),
    /// Checks a configuration file and says whether its timing can keep the promise
    Check {
        /// The configuration; without it the built-in one is printed, annotated, to start from
        config: Option<PathBuf>,
        /// The control period, as for `run`
        #[arg(long, value_parser = parse_span, value_name = "TIME")]
        period: Option<Duration>,
        /// A built-in configuration instead of a file: 100hz, 1khz or 25hz
        #[arg(long, value_name = "NAME", conflicts_with = "config")]
        profile: Option<String>,
    },
    /// Is the gate in front of this board's own pins: CAN in, servo pulses out, status back
    Gate(GateArgs),
    /// Is the cloud application: hears the fleet, keeps its timeline, and shows all that on a page
    #[command(after_help = CLOUD_AFTER)]
    Cloud(CloudArgs),
    /// Lists the built-in scenarios
    Scenarios {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Is one of the processes of a run; the runner starts these
    #[command(hide = true)]
    Role {
        /// Who it is, instead of the first line of its input
        #[arg(long, value_name = "FILE")]
        spec: Option<PathBuf>,
    },
}

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) vehicle: Vehicle,
    /// The seed of noise, biases and (in virtual time) jitter
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// For how long [default: 14s; in the live view, with nothing planned, until `q`]
    #[arg(long, value_parser = parse_span, value_name = "TIME")]
    pub(crate) duration: Option<Duration>,
    /// Which standby [default: hot]
    #[arg(long, value_enum)]
    pub(crate) standby: Option<StandbyArg>,
    /// What the devices' controllers run as: in containers kept by agents (needs root), or as plain processes
    #[arg(long, value_enum, default_value_t = Runtime::Process)]
    pub(crate) runtime: Runtime,
    /// In containers: how far the right device is prepared; cold, pulled, created, paused or shadow
    #[arg(long, default_value = "shadow", value_name = "RUNG")]
    pub(crate) readiness: Readiness,
    /// In containers: how many spares wait beside the pair, to be recruited when it is down to one
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2), value_name = "NUMBER")]
    pub(crate) spares: u8,
    /// With spares: switches them on so long after the run has begun, not before: they have overheard nothing
    #[arg(long, value_parser = parse_span, value_name = "TIME")]
    pub(crate) spares_at: Option<Duration>,
    /// With spares: runs the cloud application beside them, and prints where its page is
    #[arg(long)]
    pub(crate) cloud: bool,
    /// How far they are prepared until then; cold or pulled
    #[arg(long, default_value = "pulled", value_name = "RUNG")]
    pub(crate) spare_readiness: Readiness,
    /// In containers: object storage for mission data, as dir:/PATH or s3://BUCKET/PREFIX, keys and AWS_ENDPOINT_URL in the
    /// environment [default: a directory that goes with the run]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) storage: Option<String>,
    /// In containers: the folder of images that has the mission's [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) image: Option<PathBuf>,
    /// Course, devices, faults and bounds: a file, or a name out of `vehicle-demo scenarios`
    #[arg(long, value_name = "FILE or NAME")]
    pub(crate) scenario: Option<String>,
    /// What goes wrong: KIND[=AMOUNT]@TIME[:DURATION][:DEVICE]; may be repeated
    #[arg(long = "fault", value_parser = Fault::parse, value_name = "FAULT", long_help = fault_help())]
    pub(crate) faults: Vec<Fault>,
    /// Writes the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes report.json and report.svg into a folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Records the run as MCAP, for `replay`, Foxglove and Python; a layout for Foxglove is laid beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Plain lines instead of the live view
    #[arg(long)]
    pub(crate) plain: bool,
}

/// Which vehicle, and what it runs on.
#[derive(Debug, Args)]
pub(crate) struct Vehicle {
    /// What it runs on: virtual time, real processes on this machine, or a guest kernel of it
    #[arg(long, value_enum, default_value_t = Rig::Host)]
    pub(crate) rig: Rig,
    /// For --rig boards: where the boards are, and what switches their power (docs/hardware.md has an example)
    #[arg(long, value_name = "FILE")]
    pub(crate) boards: Option<PathBuf>,
    /// The control period; leases and timeouts scale with it unless the configuration names them
    #[arg(long, value_parser = parse_span, value_name = "TIME")]
    pub(crate) period: Option<Duration>,
    /// A built-in configuration: 100hz [default], 1khz, or 25hz, with which the rig guest drives
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) profile: Option<String>,
    /// The vehicle and its timing; `vehicle-demo check` prints the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    pub(crate) vehicle: Vehicle,
    /// The seed of noise, biases and (in virtual time) jitter
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What goes wrong, KIND[=AMOUNT] as for `run`, without a time; several by commas
    #[arg(long = "fault", value_delimiter = ',', default_value = "kill", value_name = "KIND")]
    pub(crate) faults: Vec<String>,
    /// How often each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) runs: u32,
    /// Writes the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What to climb.
#[derive(Debug, Args)]
pub(crate) struct LadderArgs {
    #[command(flatten)]
    pub(crate) vehicle: Vehicle,
    /// How often from each rung
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// The folder of images that has the mission's [default: beside this program, where `./dev image` packs it]
    #[arg(long, value_name = "DIR")]
    pub(crate) image: Option<PathBuf>,
    /// Writes the figures as JSON, and a picture beside them
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Which board.
#[derive(Debug, Args)]
#[command(after_help = GATE_AFTER)]
pub(crate) struct GateArgs {
    /// The board's file; without it an annotated example is printed, to start from
    pub(crate) board: Option<PathBuf>,
    /// The vehicle's configuration, for the timing [default: built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A built-in configuration instead of a file: 100hz, 1khz or 25hz
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) profile: Option<String>,
    /// Reads the files, says what is wrong with them, and opens nothing
    #[arg(long, requires = "board")]
    pub(crate) check: bool,
    /// Ends the pulses, releases the output-enable line, and ends: for what a service manager does after a crash
    #[arg(long, conflicts_with = "check", requires = "board")]
    pub(crate) rest: bool,
    /// As JSON: a line each time that something changes
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the cloud application is told.
#[derive(Debug, Args)]
pub(crate) struct CloudArgs {
    /// Where its router listens for agents and devices; may be repeated
    #[arg(long, default_value = "tcp/127.0.0.1:7450", value_name = "ENDPOINT")]
    pub(crate) listen: Vec<String>,
    /// Where agents and devices listen, which it connects to; may be repeated
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) connect: Vec<String>,
    /// The folder with its keys, as `twinhelm keys init` made it for a router: needed by an endpoint that is quic/
    #[arg(long, value_name = "DIR", env = "TWINHELM_KEYS")]
    pub(crate) keys: Option<PathBuf>,
    /// Where the page is; port 0 is one that is free
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS")]
    pub(crate) page: std::net::SocketAddr,
    /// The object storage that agents upload mission data to: dir:/PATH, or s3://BUCKET/PREFIX with keys and AWS_ENDPOINT_URL in
    /// the environment
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) storage: Option<String>,
    /// Where it keeps its timeline
    #[arg(long, default_value = "twinhelm-cloud", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The vehicle
    #[arg(long, default_value = "demo")]
    pub(crate) vehicle: String,
    /// The vehicle's configuration, for what it tolerates [default: built in]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A built-in configuration instead of a file: 100hz, 1khz or 25hz
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) profile: Option<String>,
}

const CLOUD_AFTER: &str =
    "It is in nobody's control path: without it the agents do all that they do. Nothing is asked of whoever
opens the page: keep it on loopback, or behind something that asks.

Try:
  vehicle-demo cloud --connect tcp/127.0.0.1:7449      beside an agent that listens there
  vehicle-demo cloud --listen quic/0.0.0.0:7450 --keys keys/cloud      for a fleet, with keys of `twinhelm keys init`";

const GATE_AFTER: &str =
    "Signals: SIGTERM and SIGINT bring the vehicle to rest and end it, SIGUSR1 resets the e-stop.

Try:
  vehicle-demo gate > board.toml          the annotated example
  vehicle-demo gate board.toml --check    reads it, opens nothing
  vehicle-demo gate board.toml            runs until it is told to end";

/// What to send.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// How many samples, and as many plain messages
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) samples: u32,
    /// How often one of them is sent
    #[arg(long, default_value = "2ms", value_parser = parse_span, value_name = "TIME")]
    pub(crate) every: Duration,
    /// Writes each time as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What to replay.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The recording that `run --record` wrote
    pub(crate) file: PathBuf,
    /// Explains from here on, in seconds after the start of the run
    #[arg(long, value_parser = parse_moment, value_name = "TIME")]
    pub(crate) from: Option<Duration>,
    /// Explains up to here
    #[arg(long, value_parser = parse_moment, value_name = "TIME")]
    pub(crate) until: Option<Duration>,
    /// Shows each input with what came of it, not only what matters
    #[arg(long)]
    pub(crate) step: bool,
    /// Checks that the recording was made with this configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Returns the command line: where a command has no use for some rigs, it does not offer them.
fn command() -> clap::Command {
    let only = |rigs: &'static [Rig]| {
        let parser = PossibleValuesParser::new(rigs.iter().filter_map(ValueEnum::to_possible_value));
        let parser = parser.try_map(|word| Rig::from_str(&word, false));
        move |command: clap::Command| command.mut_arg("rig", |rig| rig.value_parser(parser))
    };
    let without_boards = |command: clap::Command| command.mut_arg("boards", |boards| boards.hide(true));
    Cli::command()
        .mut_subcommand("failover", only(&[Rig::Sim, Rig::Host, Rig::Netns, Rig::Boards]))
        .mut_subcommand("ladder", |ladder| without_boards(only(&[Rig::Host])(ladder)))
}

/// Returns what `--help` says of faults: the kinds as the one table has them.
fn fault_help() -> String {
    let kinds = KINDS.iter().map(|(form, what)| format!("\n  {form:<28} {what}"));
    format!(
        "What goes wrong: KIND[=AMOUNT]@TIME[:DURATION][:DEVICE]; may be repeated\n\nDEVICE: left, right or holder, which is the \
         default. Without a duration a fault lasts to the end.\nKIND:{}",
        kinds.collect::<String>()
    )
}

/// What a run runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rig {
    /// Virtual time, the same on every machine
    Sim,
    /// Real processes, real Zenoh, real time; a userland bus
    Host,
    /// The same, each device in a network namespace of its own; needs root
    Netns,
    /// The same in a guest kernel, with SocketCAN between the devices and the vehicle; needs Debian's user-mode-linux
    Guest,
    /// The controllers on boards, reached by SSH, the vehicle here; needs --boards and a CAN bus
    Boards,
}

impl Rig {
    /// Returns what joins the real processes; `None` when there are none.
    pub(crate) const fn cabling(self) -> Option<Cabling> {
        match self {
            Self::Sim => None,
            Self::Host => Some(Cabling::Loopback),
            Self::Netns => Some(Cabling::Namespaces),
            Self::Guest => Some(Cabling::Guest),
            Self::Boards => Some(Cabling::Boards),
        }
    }
}

/// What the devices' controllers run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Plain processes
    Process,
    /// Containers, each kept by an agent
    Container,
}

/// Which standby a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StandbyArg {
    /// None: the gate's own timeout stops the vehicle
    None,
    /// A new process is started when a plain heartbeat with 1 s timeout notices
    Fresh,
    /// A hot standby: Twinhelm
    Hot,
}

impl From<StandbyArg> for Standby {
    fn from(arg: StandbyArg) -> Self {
        match arg {
            StandbyArg::None => Self::None,
            StandbyArg::Fresh => Self::Fresh,
            StandbyArg::Hot => Self::Hot,
        }
    }
}

fn parse_span(text: &str) -> Result<Duration, String> {
    span(text)
        .filter(|span| !span.is_zero())
        .ok_or_else(|| "write a number above 0 with its unit, as in 10ms, 14s or 1.5s".to_owned())
}

fn parse_moment(text: &str) -> Result<Duration, String> {
    span(text).ok_or_else(|| "write a number with its unit, as in 5s or 4990ms".to_owned())
}

/// Does what the command line says.
pub(crate) fn main<L, F>(factory: &F) -> ExitCode
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    outlive_file_limits();
    end_with_any_thread();
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        // `--help` is no error, unless it cannot be written.
        Err(told) if is_written(told.print()) => return u8::try_from(told.exit_code()).unwrap_or(2).into(),
        Err(_) => return Exit::Machine.code(),
    };
    let done = match cli.what {
        What::Role { spec } => return role::run(spec.as_deref(), factory),
        What::Run(args) => commands::run(&args, factory),
        What::Report { files } => commands::report(&files),
        What::Replay(args) => commands::replay(&args),
        What::Failover(args) => commands::failover(&args, factory),
        What::Ladder(args) => commands::ladder(&args, factory),
        What::Link(args) => commands::link(&args, factory),
        What::Check { config, period, profile } => commands::check(config.as_deref(), period, profile.as_deref()),
        What::Gate(args) => commands::gate(&args),
        What::Cloud(args) => commands::cloud::<L::Memory>(&args),
        What::Scenarios { json } => commands::scenarios(json),
    };
    let exit = done.unwrap_or_else(|problem| {
        output::tell(format_args!("error: {problem}"));
        if problem.is_bad_input { Exit::BadInput } else { Exit::Machine }
    });
    if let Err(error) = printed() {
        output::tell(format_args!("error: writing to standard output: {error}; what was printed is not all"));
        return Exit::Machine.code();
    }
    exit.code()
}
