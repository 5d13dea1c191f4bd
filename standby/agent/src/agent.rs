//! The device agent: carries out what the [`Keeper`] decides, and tells how it stands.
//!
//! One thread takes everything in, in the order in which it happens: the ends of tasks, what the runner tells, what the
//! mission says, what the watch on the bus has seen. It is never in the control path: a mission that runs needs no agent,
//! until it has to be started.

mod data;
mod ear;
mod fleet;
mod mailbox;
mod store;
mod strangers;
mod timeline;
mod watching;

use crate::config::Config;
use crate::output::{Problem, tell};
use data::{Data, Found, Purpose};
use fleet::Fleet;
use mailbox::Mailbox;
use mission_wire::{ContainerId, Signal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use store::{Fetched, Store};
use strangers::Seldom;
use twinhelm_hal::time::Instant;
use twinhelm_linux::clock::now;
use twinhelm_linux::effort::{Effort, Work};
use twinhelm_linux::process::make_readable_files;
use twinhelm_linux::terminal::chain;
use twinhelm_mission::bundle::{Bundle, Recipe};
use twinhelm_mission::container::{Container, Created, Failed, Paused, Running};
use twinhelm_mission::data::Snapshot;
use twinhelm_mission::image::Platform;
use twinhelm_mission::image::pull::{Progress, Rate};
use twinhelm_mission::image::unpack::Unpacked;
use twinhelm_mission::runner::{Runner, RunnerError, RunnerEvent, beside_this_program};
use twinhelm_standby::ladder::{Keeper, News, Step, Task};
use twinhelm_standby::{AgentReport, Readiness};
use twinhelm_zenoh::agents::AgentLine;

/// How often the report is renewed when nothing happens.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A mission that is asked to end by itself has so long.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Something that the agent's thread has to know.
#[derive(Debug)]
enum Happened {
    /// The mission's container, or the runner with all of them.
    Runner(RunnerEvent),
    /// The mission says that it is up.
    Up,
    /// Nobody drives, since then.
    NobodyDrives(Instant),
    /// The bus is gone, or is back: nobody can be seen to drive, or not to.
    Deaf(bool),
    /// How far the image is.
    Pulling(Progress),
    /// The image was pulled and unpacked, or not.
    Pulled(Result<Box<Fetched>, String>),
    /// Something was heard of the fleet.
    Fleet(twinhelm_zenoh::fleet::Heard),
    /// The power of a device was taken, or why not.
    PowerIsOff(String, Result<(), String>),
    /// What the mission goes on with was found, or not.
    Fetched(Purpose, Result<Box<Found>, String>),
    /// Somebody was not let in, so often since that was told last.
    Stranger(String, u32),
    /// Somebody wants the agent to end.
    Stop,
}

/// A container, as it stands.
#[derive(Debug)]
enum Held {
    Created(Container<Created>),
    Running(Container<Running>),
    Paused(Container<Paused>),
    /// It stays as it was when something failed, until it is removed.
    Broken(Box<dyn Removable>),
}

/// A container in whatever state.
trait Removable: std::fmt::Debug + Send {
    fn remove(self: Box<Self>) -> Result<(), RunnerError>;
}

impl<S: std::fmt::Debug + Send + 'static> Removable for Container<S> {
    fn remove(self: Box<Self>) -> Result<(), RunnerError> {
        (*self).delete()
    }
}

impl Held {
    fn remove(self) -> Result<(), RunnerError> {
        match self {
            Self::Created(container) => container.delete(),
            Self::Running(container) => container.delete(),
            Self::Paused(container) => container.delete(),
            Self::Broken(container) => container.remove(),
        }
    }

    fn advance(self, task: Task) -> Result<Self, (Self, RunnerError)> {
        match (task, self) {
            (Task::Start, Self::Created(container)) => container.start().map(Self::Running).map_err(Self::broken),
            (Task::Pause, Self::Running(container)) => container.pause().map(Self::Paused).map_err(Self::broken),
            (Task::Resume, Self::Paused(container)) => container.resume().map(Self::Running).map_err(Self::broken),
            // The keeper asks for nothing else; if it did, the container would be made anew.
            (_, held) => Err((held, RunnerError::Gone)),
        }
    }

    fn broken<S: std::fmt::Debug + Send + 'static>(failed: Failed<S>) -> (Self, RunnerError) {
        (Self::Broken(Box::new(failed.container)), failed.source)
    }
}

/// Runs an agent until it is told to end.
pub(crate) fn run(config: Config) -> Result<ExitCode, Problem> {
    make_readable_files();
    let (happen, happened) = channel();
    let mut agent = Agent::start(config, happen)?;
    // Whoever keeps this process may want to know; nobody may be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    agent.serve(&happened);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    agent.stop();
    Ok(ExitCode::SUCCESS)
}

struct Agent {
    config: Arc<Config>,
    platform: Platform,
    store: Arc<Store>,
    mailbox: Mailbox,
    line: AgentLine,
    happen: Sender<Happened>,
    program: PathBuf,
    runner: Option<Runner>,
    rate: Arc<Rate>,
    /// How hard the last pull goes about it.
    effort: Arc<Effort>,
    keeper: Keeper,
    unpacked: Option<Unpacked>,
    held: Option<Held>,
    id: Option<ContainerId>,
    pid: Option<u32>,
    lives: u64,
    pulled: Option<(u64, u64)>,
    fetched_bytes: u64,
    problem: Option<String>,
    is_deaf: bool,
    steps: Vec<Step>,
    libcrun: String,
    /// Members that were refused something.
    refused: Seldom,
    /// Connections that were not let in.
    strangers: Arc<Mutex<Seldom>>,
    fleet: Option<Fleet>,
    data: Option<Data>,
    /// What was fetched for the mission to go on with.
    fetched: Option<Snapshot>,
}

impl Agent {
    fn start(config: Config, happen: Sender<Happened>) -> Result<Self, Problem> {
        let platform = Platform::of_this_machine().ok_or_else(|| {
            Problem::machine(format_args!("missions are not built for {}", std::env::consts::ARCH))
        })?;
        if !rustix::process::geteuid().is_root() {
            let message = "containers need root (namespaces, cgroups, real-time budgets): start the agent as root";
            return Err(Problem::machine(message));
        }
        let store = Store::open(&config.store)?;
        let program = beside_this_program()
            .map_err(|error| Problem::machine(format_args!("finding mission-runner: {error}")))?;
        let mailbox = Mailbox::open(&config.run, {
            let happen = happen.clone();
            // An agent that ends hears nothing.
            move || drop(happen.send(Happened::Up))
        });
        let mailbox =
            mailbox.map_err(|error| Problem::machine(format_args!("{}: {error}", config.run.display())))?;
        let line = AgentLine::open(config.slot, &config.link).map_err(|error| Problem::bad_input(chain(&error)))?;
        let data = config.data_kept.as_ref().map(|data| Data::open(&config, data, &line)).transpose()?;
        let fleet = config.pool.clone().map(|pool| {
            let ear = ear::BusEar::start(&config)?;
            Fleet::open(&config, pool, platform, &line, ear, happen.clone())
                .map_err(|error| Problem::machine(chain(&error)))
        });
        let fleet = fleet.transpose()?;
        let first_rung = fleet.as_ref().map_or(config.readiness, |fleet| fleet.first_rung(config.readiness));
        let mut agent = Self {
            platform,
            store: Arc::new(store),
            mailbox,
            line,
            happen: happen.clone(),
            program,
            runner: None,
            rate: Arc::new(Rate::new(config.rate)),
            effort: Arc::new(Effort::ordinary(Work::Pull)),
            keeper: Keeper::new(first_rung),
            unpacked: None,
            held: None,
            id: None,
            pid: None,
            lives: 0,
            pulled: None,
            fetched_bytes: 0,
            problem: None,
            is_deaf: false,
            steps: Vec::new(),
            libcrun: String::new(),
            refused: Seldom::default(),
            strangers: Arc::default(),
            fleet,
            data,
            fetched: None,
            config: Arc::new(config),
        };
        // Now, so that a machine that cannot have containers is told of it, and not when nobody drives.
        agent.runner().map_err(|error| Problem::machine(chain(&error)))?;
        stop_on_signals(happen.clone())?;
        if agent.config.link.keys.is_some() {
            strangers::watch(&agent.strangers, happen.clone());
        }
        // A spare begins nothing of itself.
        let is_spare = agent.config.pool.as_ref().is_some_and(|pool| pool.spare);
        if agent.config.readiness < Readiness::Shadow && !is_spare {
            watching::start(&agent.config, happen)?;
        }
        Ok(agent)
    }

    fn serve(&mut self, happened: &Receiver<Happened>) {
        let mut news = News::Look;
        loop {
            let mut next = self.keeper.step(now(), news);
            while let Some(task) = next {
                match self.carry_out(task) {
                    // Its end is told.
                    None => break,
                    Some(news) => next = self.keeper.step(now(), news),
                }
            }
            if self.keeper.hurries(now()) && self.effort.raise() && !self.keeper.is_urged() {
                tell(format_args!(
                    "{}: this machine is busy; the pull gives way to it no longer",
                    self.config.device
                ));
            }
            let target = self.keeper.target();
            self.look_at_fleet();
            if self.keeper.target() != target {
                news = News::Look;
                continue;
            }
            self.report();
            // A service manager that wants to see that this loop goes round, as systemd with WatchdogSec, sees it.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            news = match happened.recv_timeout(self.patience()) {
                Ok(Happened::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(happened) => self.take_in(happened),
                Err(RecvTimeoutError::Timeout) => News::Look,
            };
        }
    }

    fn patience(&self) -> Duration {
        let most = if self.fleet.is_some() { fleet::LOOK_EVERY } else { REPORT_EVERY };
        self.keeper.next_wake().map_or(most, |at| at.since(now()).min(most))
    }

    fn take_in(&mut self, happened: Happened) -> News {
        match happened {
            Happened::Up => News::Up,
            Happened::NobodyDrives(_) if self.fleet.as_ref().is_some_and(|fleet| !fleet.is_member()) => News::Look,
            Happened::NobodyDrives(at) => {
                self.rate.lift();
                self.steps.clear();
                self.note("noticed", at, Duration::ZERO);
                tell(format_args!("nobody drives: {} is started", self.config.device));
                News::Start
            }
            Happened::Deaf(deaf) => {
                let problem = "the bus is gone: nobody is started if nobody drives";
                self.is_deaf = deaf;
                tell(if deaf { problem } else { "the bus is back" });
                self.problem = deaf.then(|| problem.to_owned());
                News::Look
            }
            Happened::Pulling(Progress { done, all }) => {
                self.pulled = Some((done, all));
                News::Look
            }
            Happened::Pulled(Ok(done)) => {
                let Fetched { unpacked, took: [pull, unpack], bytes } = *done;
                self.fetched_bytes += bytes;
                let at = now();
                // A start that was asked for meanwhile begins later than a pull that was in progress.
                self.note("pulled", Instant::from_nanos(at.as_nanos() - unpack.as_nanos() as u64), pull);
                self.note("unpacked", at, unpack);
                (self.unpacked, self.pulled, self.problem) = (Some(unpacked), None, None);
                News::Done
            }
            Happened::Pulled(Err(error)) => self.failed(error),
            Happened::Runner(RunnerEvent::Ended(id, exit)) => {
                if self.id.as_ref() != Some(&id) {
                    return News::Look;
                }
                self.pid = None;
                self.problem = Some(format!("the mission's process is gone: {exit}"));
                tell(format_args!("container {id}: {exit}"));
                self.on_mission_ended(exit.to_string());
                News::Ended
            }
            Happened::Runner(RunnerEvent::Gone) => {
                // It has taken its containers with it.
                (self.runner, self.held, self.pid) = (None, None, None);
                self.problem = Some("mission-runner was gone".to_owned());
                tell("mission-runner is gone, and the mission with it: both are started anew");
                self.on_mission_ended("mission-runner is gone, and the mission with it".to_owned());
                News::Ended
            }
            Happened::Fleet(heard) => {
                self.on_fleet(heard);
                News::Look
            }
            Happened::PowerIsOff(device, done) => {
                self.on_power_off(&device, done);
                News::Look
            }
            Happened::Fetched(purpose, found) => {
                self.on_fetched(now(), purpose, found);
                News::Look
            }
            Happened::Stranger(why, times) => {
                self.on_refused(why, times);
                News::Look
            }
            // `serve` has looked for it.
            Happened::Stop => News::Look,
        }
    }

    /// Does what is to be done. `None`: its end will be told.
    fn carry_out(&mut self, task: Task) -> Option<News> {
        if self.would_crowd_the_bus(task) {
            return Some(self.failed("two others are on the bus".to_owned()));
        }
        let begun = now();
        let done = match task {
            Task::Pull => return self.pull(),
            Task::Create => self.create(),
            Task::Start | Task::Pause | Task::Resume => self.advance(task),
            Task::Remove => {
                self.pid = None;
                if let Some(Err(error)) = self.held.take().map(Held::remove) {
                    tell(format_args!("removing the container: {error}; mission-runner is ended, and removes it"));
                    // Waits until it has.
                    self.runner = None;
                }
                Ok(())
            }
        };
        match done {
            Ok(()) => {
                let name = match task {
                    Task::Create => "created",
                    Task::Start => "started",
                    Task::Pause => "paused",
                    Task::Resume => "resumed",
                    Task::Remove => "removed",
                    Task::Pull => "pulled",
                };
                let at = now();
                self.note(name, at, at.since(begun));
                if task != Task::Remove {
                    self.problem = None;
                }
                Some(News::Done)
            }
            Err(error) => Some(self.failed(chain(&error))),
        }
    }

    /// Starts, freezes or thaws the container that is held.
    fn advance(&mut self, task: Task) -> Result<(), RunnerError> {
        if (self.keeper.is_urged() || self.takes_over_a_mission())
            && let Some(state) = self.state_to_go_on_with()
        {
            // The mission goes on with it, and does not begin anew.
            self.mailbox.hand(&state);
        }
        let Some(held) = self.held.take() else { return Err(RunnerError::Gone) };
        let (held, done) = match held.advance(task) {
            Ok(held) => (held, Ok(())),
            Err((held, error)) => (held, Err(error)),
        };
        self.held = Some(held);
        done
    }

    /// Starts the pull; `None` when it has begun, and its end will be told.
    fn pull(&mut self) -> Option<News> {
        let (config, store, rate, happen) =
            (self.config.clone(), self.store.clone(), self.rate.clone(), self.happen.clone());
        // A recruit's pull is waited for, too: the pair has no standby until then.
        let is_urged = self.keeper.is_urged() || self.takes_over_a_mission();
        self.effort = Arc::new(if is_urged { Effort::ordinary(Work::Pull) } else { Effort::low(Work::Pull) });
        let (platform, effort) = (self.platform, self.effort.clone());
        let work = move || {
            let mut told = now();
            let mut tell = |made: Progress| {
                if now().since(told) >= PROGRESS_EVERY {
                    told = now();
                    drop(happen.send(Happened::Pulling(made)));
                }
            };
            // Whatever becomes of it, its end is told.
            let fetch = AssertUnwindSafe(|| store.fetch(&config, platform, &rate, &effort, &mut tell));
            let pulled = match catch_unwind(fetch) {
                Ok(fetched) => fetched.map(Box::new).map_err(|error| error.to_string()),
                Err(_) => Err("the pull has met a bug of ours; its message is in the log".to_owned()),
            };
            drop(happen.send(Happened::Pulled(pulled)));
        };
        match thread::Builder::new().name("pull".to_owned()).spawn(work) {
            Ok(_) => None,
            Err(error) => Some(self.failed(format!("starting the thread that pulls: {error}"))),
        }
    }

    fn create(&mut self) -> Result<(), RunnerError> {
        let runner = self.runner()?;
        self.lives += 1;
        let (device, life) = (&self.config.device, self.lives);
        let refused = |id: &ContainerId, why: String| RunnerError::Refused { id: id.clone(), step: "create", why };
        let id = match ContainerId::new(format!("{device}-{}-{life}", std::process::id())) {
            Ok(id) => id,
            Err(error) => unreachable!("the device's name was checked: {error}"),
        };
        let Some(unpacked) = &self.unpacked else {
            return Err(refused(&id, "its image is not unpacked".to_owned()));
        };
        let config = unpacked.verified.config.config();
        let mut args = config.as_ref().and_then(|config| config.entrypoint().clone()).unwrap_or_default();
        args.extend(self.config.args.iter().cloned());
        if args.is_empty() {
            return Err(refused(&id, "neither the image nor mission.args says what to execute".to_owned()));
        }
        let mut environment = config.as_ref().and_then(|config| config.env().clone()).unwrap_or_default();
        environment.extend(self.mailbox.environment());
        let recipe = Recipe {
            id: &id,
            root: &unpacked.root,
            args,
            environment,
            run: self.mailbox.folder(),
            data: self.config.data.as_deref(),
            allowance: &self.config.allowance,
        };
        let plan = self.data.as_ref().and_then(Data::plan);
        let put = self.mailbox.put_plan(plan.as_ref().map(|plan| plan.bytes()));
        put.map_err(|error| refused(&id, format!("handing the plan over: {error}")))?;
        let bundle = Bundle::write(&self.config.run.join("bundle"), &recipe);
        let bundle = bundle.map_err(|error| refused(&id, chain(&error)))?;
        self.mailbox.clear();
        let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let container = Container::create(&runner, id.clone(), &bundle, stdio)?;
        (self.id, self.pid) = (Some(id), Some(container.pid()));
        self.held = Some(Held::Created(container));
        Ok(())
    }

    /// Returns the runner; one that is gone is started anew.
    fn runner(&mut self) -> Result<Runner, RunnerError> {
        if let Some(runner) = &self.runner {
            return Ok(runner.clone());
        }
        let happen = self.happen.clone();
        let state = self.config.run.join("runner");
        let runner = Runner::start(&self.program, &state, move |event| drop(happen.send(Happened::Runner(event))))?;
        runner.libcrun().clone_into(&mut self.libcrun);
        self.runner = Some(runner.clone());
        Ok(runner)
    }

    fn failed(&mut self, text: String) -> News {
        if self.problem.as_ref() != Some(&text) {
            tell(format_args!("{}: {text}", self.config.device));
        }
        self.problem = Some(text);
        News::Failed
    }

    fn note(&mut self, name: &str, at: Instant, took: Duration) {
        self.steps.push(Step { name: name.to_owned(), at, took_ms: took.as_secs_f64() * 1e3 });
        // A mission that crashes again and again would fill it.
        if self.steps.len() > STEPS_MAX {
            self.steps.remove(0);
        }
    }

    fn report(&self) {
        let report = AgentReport {
            device: self.config.device.clone(),
            slot: self.config.slot.number(),
            image: self.config.image.to_string(),
            wanted: self.keeper.target(),
            holds: self.keeper.holds(),
            ready: self.keeper.is_ready() && !self.is_deaf,
            urged: self.keeper.is_urged(),
            busy: self.keeper.busy(),
            pulled: self.pulled,
            fetched_bytes: self.fetched_bytes,
            pid: self.pid,
            restarts: self.keeper.restarts(),
            problem: self.problem.clone(),
            part: self.fleet.as_ref().map(|fleet| fleet.part().to_owned()),
            data: self.data.as_ref().map(Data::report),
            steps: self.steps.clone(),
            resident_bytes: resident_bytes(),
            libcrun: self.libcrun.clone(),
        };
        match serde_json::to_vec(&report) {
            Ok(text) => self.line.tell(text),
            Err(error) => tell(format_args!("writing the report: {error}")),
        }
    }

    fn stop(mut self) {
        let data = self.data.take();
        let wants_to_end = self.unpacked.as_ref().and_then(|unpacked| unpacked.verified.config.config().as_ref());
        let signal = wants_to_end.and_then(|config| config.stop_signal().clone());
        if let Some(Held::Running(container)) = &self.held
            && signal.as_deref() != Some("SIGKILL")
            && container.kill(Signal::Term).is_ok()
        {
            let until = now() + END_WITHIN;
            while container.status().is_ok_and(|status| status == mission_wire::Status::Running) && now() < until {
                thread::sleep(Duration::from_millis(10));
            }
        }
        if let Some(Err(error)) = self.held.map(Held::remove) {
            tell(format_args!("removing the container: {error}; mission-runner tries again"));
        }
        if let Some(data) = data {
            data.stop();
        }
    }
}

/// How often the progress of a pull is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// So many steps are kept.
const STEPS_MAX: usize = 64;

fn resident_bytes() -> u64 {
    bytes_of("/proc/self/status", "VmRSS:")
}

/// Returns a size that the kernel tells in kB, in bytes; 0 where it does not.
fn bytes_of(path: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn stop_on_signals(happen: Sender<Happened>) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::machine(format_args!("listening to signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listen = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            drop(happen.send(Happened::Stop));
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop).map_err(failed)
}
