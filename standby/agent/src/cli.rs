//! The command line.

use crate::config::{Config, EXAMPLE};
use crate::output::{Problem, print, tell};
use crate::{agent, data, doctor, image, jitter, keys, orders, status};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_linux::process::die_with_parent;
use twinhelm_linux::terminal::chain;
use twinhelm_linux::terminal::{is_written, printed};
use twinhelm_mission::data::Address;
use twinhelm_mission::image::{Platform, Reference};
use twinhelm_standby::Readiness;
use twinhelm_standby::fleet::Word;

/// Images of missions, the agent of a device, how the agents stand, and what a machine needs to be one.
#[derive(Debug, Parser)]
#[command(name = "twinhelm", version, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

const AFTER: &str = "Try:
  twinhelm image build --platform linux/amd64,linux/arm/v6 --out oci:images:mission
  twinhelm image push oci:images:mission docker://127.0.0.1:5000/vehicle/mission:1
  twinhelm agent --example > agent.toml && twinhelm agent --config agent.toml
  twinhelm status --connect tcp/127.0.0.1:7449 --watch
  twinhelm pool; twinhelm events --follow; twinhelm switchover left; twinhelm readmit left
  twinhelm keys init --to keys left=0 right=1 depot=2 --person anna --router cloud
  twinhelm data check --storage s3://missions/fleet
  twinhelm doctor; twinhelm jitter --seconds 60

Images are named as skopeo names them: oci:FOLDER[:TAG][@sha256:…], docker://HOST/REPOSITORY[:TAG][@sha256:…].

Exit codes: 0 done, 1 what was looked at is not as it should be, 2 bad input, 3 this machine or the other side cannot.";

#[derive(Debug, Subcommand)]
enum What {
    /// Keeps a device's mission on its rung of readiness, until it is told to end
    Agent(AgentArgs),
    /// Shows how the agents of a vehicle stand
    Status(StatusArgs),
    /// Lists the spares, in the order in which they would be chosen, with the reasons
    Pool(AskArgs),
    /// Shows the timeline that the agents keep
    Events(EventsArgs),
    /// Asks the device that drives to hand the wheel over
    Switchover(OrderArgs),
    /// Has a device hand the wheel over, and then leave the pair
    Drain(OrderArgs),
    /// Has a device stay off the bus until it is readmitted
    Fence(OrderArgs),
    /// Lets a device back that was ordered off the bus
    Readmit(OrderArgs),
    /// Looks at this machine: what of it a device needs, what is missing, and what mends it
    Doctor(DoctorArgs),
    /// Measures how late this machine wakes its most urgent thread, and the shortest period that it can hold
    Jitter(JitterArgs),
    /// Makes the keys with which the members of a fleet know each other
    #[command(subcommand)]
    Keys(KeysWhat),
    /// Looks at the mission data that object storage has
    #[command(subcommand)]
    Data(DataWhat),
    /// Builds, moves and looks at images
    #[command(subcommand)]
    Image(ImageWhat),
}

#[derive(Debug, Args)]
struct AgentArgs {
    /// The agent's configuration
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    config: Option<PathBuf>,
    /// Which rung to hold, instead of the configuration's: cold, pulled, created, paused or shadow
    #[arg(long, value_name = "RUNG")]
    readiness: Option<Readiness>,
    /// Reads the configuration, says what is wrong with it, and ends
    #[arg(long)]
    check: bool,
    /// Prints an annotated configuration to start from
    #[arg(long)]
    example: bool,
    /// Ends with this process
    #[arg(long, hide = true, value_name = "PID")]
    parent: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Where agents listen; may be repeated
    #[arg(long, default_value = "tcp/127.0.0.1:7449", value_name = "ENDPOINT")]
    pub connect: Vec<String>,
    /// The folder with your keys, as `twinhelm keys init` made it: needed where agents listen at quic/
    #[arg(long, value_name = "DIR", env = "TWINHELM_KEYS")]
    pub keys: Option<PathBuf>,
    /// The vehicle
    #[arg(long, default_value = "demo")]
    pub vehicle: String,
    /// How long to wait for answers, in seconds
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub wait: f64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Again and again, each time that something changes; with --json a line each
    #[arg(long)]
    pub watch: bool,
}

/// Whom to ask.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Where agents listen; may be repeated
    #[arg(long, default_value = "tcp/127.0.0.1:7449", value_name = "ENDPOINT")]
    pub connect: Vec<String>,
    /// The folder with your keys, as `twinhelm keys init` made it: needed where agents listen at quic/
    #[arg(long, value_name = "DIR", env = "TWINHELM_KEYS")]
    pub keys: Option<PathBuf>,
    /// The vehicle
    #[arg(long, default_value = "demo")]
    pub vehicle: String,
    /// How long to wait for answers, in seconds
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub wait: f64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub ask: AskArgs,
    /// Goes on, and shows each entry as it is made
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The device
    pub device: String,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataWhat {
    /// Lists what there is of each device: plan, state, recording
    Ls(LsArgs),
    /// Reads all of it, and says what is missing or damaged; then the exit code is 1
    Check(DataArgs),
    /// Downloads plan, state and recording; each part of that is an MCAP file
    Get(GetArgs),
}

/// Which mission data.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Where it is: dir:/PATH, or s3://BUCKET/PREFIX with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment
    #[arg(long, value_name = "ADDRESS")]
    pub storage: Address,
    /// An S3 that is not Amazon's, as https://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The vehicle
    #[arg(long, default_value = "demo")]
    pub vehicle: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// Again and again, so many seconds later; with --json a line each
    #[arg(long, value_name = "SECONDS")]
    pub watch: Option<f64>,
    /// Ends with this process
    #[arg(long, hide = true, value_name = "PID")]
    pub parent: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// The folder to write it to
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Subcommand)]
enum KeysWhat {
    /// Writes an authority, and for each member a folder with certificate, key, and who is who
    ///
    /// Again, with more members: those that are there keep their keys, and all get the new list. Whoever is not on the list any more
    /// is refused by each member that has it.
    #[command(after_help = KEYS_AFTER)]
    Init(KeysArgs),
}

const KEYS_AFTER: &str = "Try:
  twinhelm keys init --to keys left=0 right=1 depot=2 --person anna --router cloud --watcher page
  twinhelm fence left --connect quic/10.0.0.2:7449 --keys keys/anna

Devices recruit, and fence what they replaced; people order; watchers look; routers pass on what the others say.";

/// Who belongs to a fleet.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// The devices, each as NAME=SLOT, or NAME for a spare without a place on the bus
    #[arg(required = true, value_name = "NAME=SLOT", value_parser = keys::parse_device)]
    pub device: Vec<(String, Option<Slot>)>,
    /// Somebody who may order; may be repeated
    #[arg(long, value_name = "NAME")]
    pub person: Vec<String>,
    /// Somebody who may look; may be repeated
    #[arg(long, value_name = "NAME")]
    pub watcher: Vec<String>,
    /// Whom devices meet at, as the cloud application; may be repeated
    #[arg(long, value_name = "NAME")]
    pub router: Vec<String>,
    /// The vehicle
    #[arg(long, default_value = "demo")]
    pub vehicle: String,
    /// The folder to write to
    #[arg(long, default_value = "keys", value_name = "DIR")]
    pub to: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Looks at the system below this folder instead of this machine
    #[arg(long, default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JitterArgs {
    /// For how long to measure
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// The lateness that the configuration grants (`jitter_ms`), in ms
    #[arg(long, default_value_t = 0.5, value_name = "MS")]
    pub budget: f64,
    /// The bus's bitrate, in bits a second: a period has to have room for its frames
    #[arg(long, default_value_t = 500_000, value_name = "BITRATE", value_parser = clap::value_parser!(u32).range(10_000..=8_000_000))]
    pub bitrate: u32,
    /// Lets the cores sleep in between; otherwise threads of the lowest priority keep them awake, as on a rig
    #[arg(long)]
    pub idle: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum ImageWhat {
    /// Builds the mission's program for each platform, and packs one image of all of them
    Build(BuildArgs),
    /// Sends an image to a registry
    Push {
        /// The image, in a folder: oci:FOLDER:TAG
        from: Reference,
        /// Where to: docker://HOST/REPOSITORY:TAG
        to: Reference,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetches an image into a folder, and goes on where it was interrupted
    Pull {
        /// The image: docker://HOST/REPOSITORY:TAG or oci:FOLDER:TAG
        from: Reference,
        /// Where to: oci:FOLDER:TAG
        to: Reference,
        /// Only what a device of this platform runs [default: all of it]
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<Platform>,
        /// So many MiB a second at most
        #[arg(long, value_name = "MIB")]
        rate: Option<f64>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists the images of a folder
    Ls {
        /// The folder
        folder: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows what an image is made of
    Inspect {
        /// The image, in a folder: oci:FOLDER:TAG
        image: Reference,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Checks each byte of an image against its digest, and that nothing in it leads out of its root
    Verify {
        /// The image, in a folder: oci:FOLDER:TAG
        image: Reference,
        /// Only what a device of this platform runs [default: all of it]
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<Platform>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes an image, and every blob that no other image needs
    Rm {
        /// The image, in a folder: oci:FOLDER:TAG
        image: Reference,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// For which platforms, by commas [default: all five, except those that cannot be built here]
    #[arg(long, value_delimiter = ',', value_name = "PLATFORM")]
    pub platform: Vec<Platform>,
    /// A program that was built otherwise, as PLATFORM=FILE; may be repeated. One that is linked dynamically brings this
    /// machine's libraries with it
    #[arg(long, value_parser = parse_binary, value_name = "PLATFORM=FILE")]
    pub binary: Vec<(Platform, PathBuf)>,
    /// A file to ship in the image, at /etc/mission; may be repeated
    #[arg(long, value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// The package, and the program of the same name
    #[arg(long, default_value = "vehicle-demo")]
    pub package: String,
    /// The folder of the workspace
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub workspace: PathBuf,
    /// Where to: oci:FOLDER:TAG
    #[arg(long, default_value = "oci:images:mission", value_name = "IMAGE")]
    pub out: Reference,
    /// Without optimisation: sooner there, to try whether it builds, and slower than a board should have it
    #[arg(long)]
    pub quick: bool,
    /// Says what can be built on this machine, and how, and ends
    #[arg(long)]
    pub ways: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

fn parse_binary(text: &str) -> Result<(Platform, PathBuf), String> {
    let (platform, file) = text.split_once('=').ok_or("write PLATFORM=FILE, as in linux/amd64=target/mission")?;
    Ok((
        platform.parse().map_err(|error: twinhelm_mission::image::platform::BadPlatform| error.to_string())?,
        file.into(),
    ))
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` is no error, unless it cannot be written.
        Err(told) => return if is_written(told.print()) { exit_of(&told) } else { CANNOT_PRINT.into() },
    };
    let done = match cli.what {
        What::Agent(args) => be_agent(&args),
        What::Status(args) => status::status(&args).map(|()| ExitCode::SUCCESS),
        What::Pool(args) => orders::pool(&args).map(|()| ExitCode::SUCCESS),
        What::Events(args) => orders::events(&args).map(|()| ExitCode::SUCCESS),
        What::Switchover(args) => orders::order(&args, &Word::Switchover).map(|()| ExitCode::SUCCESS),
        What::Drain(args) => orders::order(&args, &Word::Drain).map(|()| ExitCode::SUCCESS),
        What::Fence(args) => {
            let why = "somebody ordered it".to_owned();
            orders::order(&args, &Word::Fence { why }).map(|()| ExitCode::SUCCESS)
        }
        What::Readmit(args) => {
            let device = args.device.clone();
            orders::order(&args, &Word::Readmit { device }).map(|()| ExitCode::SUCCESS)
        }
        What::Doctor(args) => doctor::doctor(&args).map(|()| ExitCode::SUCCESS),
        What::Jitter(args) => jitter::jitter(&args).map(|()| ExitCode::SUCCESS),
        What::Keys(KeysWhat::Init(args)) => keys::init(&args).map(|()| ExitCode::SUCCESS),
        What::Data(what) => data::data(&what).map(|()| ExitCode::SUCCESS),
        What::Image(what) => on_images(what).map(|()| ExitCode::SUCCESS),
    };
    let code = done.unwrap_or_else(|problem| {
        tell(format_args!("error: {problem}"));
        problem.exit()
    });
    if let Err(error) = printed() {
        tell(format_args!("error: writing to standard output: {error}; what was printed is not all"));
        return CANNOT_PRINT.into();
    }
    code
}

/// The exit code of a program whose output cannot be written: the machine's fault.
const CANNOT_PRINT: u8 = 3;

fn exit_of(told: &clap::Error) -> ExitCode {
    u8::try_from(told.exit_code()).unwrap_or(2).into()
}

fn be_agent(args: &AgentArgs) -> Result<ExitCode, Problem> {
    let Some(path) = args.config.as_ref().filter(|_| !args.example) else {
        print(EXAMPLE.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let mut config = Config::read(path)?;
    if let Some(readiness) = args.readiness {
        config.readiness = readiness;
    }
    if args.check {
        print(format_args!("{}: ok", path.display()));
        print(format_args!("  {} holds {} at {}", config.device, config.image, config.readiness));
        for place in config.places() {
            print(format_args!("  from {place}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(parent) = args.parent {
        die_with_parent(parent).map_err(|error| Problem::machine(chain(&error)))?;
    }
    agent::run(config)
}

fn on_images(what: ImageWhat) -> Result<(), Problem> {
    match what {
        ImageWhat::Build(args) => image::build(&args),
        ImageWhat::Push { from, to, json } => image::push(&from, &to, json),
        ImageWhat::Pull { from, to, platform, rate, json } => image::pull(&from, &to, platform, rate, json),
        ImageWhat::Ls { folder, json } => image::ls(&folder, json),
        ImageWhat::Inspect { image, json } => image::inspect(&image, json),
        ImageWhat::Verify { image, platform, json } => image::verify(&image, platform, json),
        ImageWhat::Rm { image } => image::rm(&image),
    }
}

/// Returns so many seconds.
pub(crate) fn seconds(seconds: f64) -> Result<Duration, Problem> {
    // Beyond a day, the end of all instants is not far enough away for every clock.
    let span = Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= SECONDS_MAX);
    span.ok_or_else(|| Problem::bad_input(format_args!("{seconds} seconds cannot be: write 0 to 86400, a day")))
}

/// Nobody waits for longer.
const SECONDS_MAX: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_wait_that_no_clock_can_count_is_refused() {
        assert_eq!(seconds(1.5).expect("it is one"), Duration::from_millis(1_500));
        for never in [-1.0, f64::NAN, f64::INFINITY, 86_401.0, 1e19, 1e300] {
            let error = seconds(never).expect_err("it cannot be waited for").to_string();
            assert!(error.ends_with("seconds cannot be: write 0 to 86400, a day"), "{error}");
        }
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
