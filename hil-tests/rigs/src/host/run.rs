//! One run of real processes: started, waited for, followed, ended.

use super::addresses::Addresses;
use super::agents::fetched;
use super::cables::{Cables, Cabling, Plug};
use super::child::{Process, Said, Who};
use super::collect::Collector;
use super::conclude::Finished;
use super::contained::AgentsFolder;
use super::data::Acknowledged;
use super::glance::Board;
use super::inject::{Active, Agenda, check_plan, fallible};
use super::migrations::Migrations;
use super::observe::{Observation, Watch};
use super::operator::{Ask, Operator};
use super::spec::{Common, DeviceLine, DeviceSpec, LinkTrouble, Role, Says, Step, VehicleLine, VehicleSpec};
use super::{HostError, HostPlan, contained, machine};
use crate::tape::Tape;
use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use twinhelm_control::Controller;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Instant;
use twinhelm_hil::run::{HEARTBEAT_TIMEOUT, Standby};
use twinhelm_linux::clock::now;
use twinhelm_standby::{AgentReport, RoleName};
use twinhelm_vehicle::plan::Plan as Mission;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::report::witness::Witness;
use twinhelm_vehicle::signals::{Command, State};

/// The pair has to be ready so long after the processes were started.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// So much of what the processes say may wait for the runner.
const SAID_MAX: usize = 4_096;
/// The vehicle has to have said its last line so long after it was told to stop. The kernel of a busy machine was seen to
/// hold up a process for 17 s.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How often the operator sees how the run stands, and is asked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// So many devices may there be: the pair and its spares.
const DEVICES: usize = SLOTS as usize;

/// The processes of a run, and what is known of them.
pub(super) struct Run<'a, L: Controller> {
    pub(super) host: &'a HostPlan<L>,
    pub(super) operator: &'a mut dyn Operator,
    tape: Option<&'a Tape>,
    pub(super) addresses: Addresses,
    pub(super) cables: Cables,
    pub(super) vehicle: Process,
    pub(super) devices: [Option<Process>; DEVICES],
    pub(super) lives: [u32; DEVICES],
    /// Stopped by a signal: what still arrives of it was sent before.
    pub(super) stopped: [bool; DEVICES],
    /// What is wrong with the devices' ears.
    pub(super) trouble: LinkTrouble,
    /// Devices that ended without being told to, in words.
    pub(super) died: Vec<String>,
    pub(super) watch: Watch<L::Memory>,
    said: mpsc::Receiver<Said>,
    says: mpsc::Sender<Said>,
    pub(super) collector: Collector<'a, L>,
    board: Board,
    /// What is wrong now.
    pub(super) active: Vec<Active>,
    pub(super) zero: Instant,
    /// The run has begun.
    pub(super) is_driving: bool,
    /// What the machine does not allow, in words.
    missing: Option<String>,
    /// What the agents say of themselves, when the devices are in containers.
    pub(super) agents: [Option<AgentReport>; DEVICES],
    /// So many steps of an agent that was urged have been noted.
    pub(super) steps_noted: [usize; DEVICES],
    pub(super) migrations: Migrations,
    pub(super) acknowledged: Acknowledged,
    pub(super) spares_are_on: bool,
    /// What the devices are to do.
    mission: Mission,
    pub(super) cloud: Option<Child>,
    /// What the agents of this run need on the disk; gone with it. Behind the devices: it waits for what they leave.
    pub(super) folder: Option<AgentsFolder>,
    /// The `fresh` baseline has not started its second process yet.
    fresh_waits: bool,
    look_at: Instant,
    /// The recording's end was told.
    tape_has_ended: bool,
}

/// One thing that the runner waits for.
pub(super) enum Next<M> {
    Said(Said),
    Seen(Observation<M>),
    Time,
}

impl<'a, L> Run<'a, L>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    /// Starts the vehicle and the left device.
    pub async fn start(
        host: &'a HostPlan<L>,
        operator: &'a mut dyn Operator,
        tape: Option<&'a Tape>,
    ) -> Result<Self, HostError> {
        check_plan(host, tape.is_some())?;
        let addresses = Addresses::of(std::process::id(), host.port);
        let (says, said) = mpsc::channel(SAID_MAX);
        let config = host.plan.config;
        let cables = Cables::lay(host.cabling, &addresses, host.boards.as_ref()).await?;
        let common = common(host, &addresses, tape.is_some());
        let can = cables.gates_can();
        let readings_to = host.boards.as_ref().map(|boards| boards.readings());
        let (plant, sensors, seed) = (host.plan.plant, host.plan.sensors, host.plan.seed);
        let devices = 2 + host.spares();
        let spec = VehicleSpec {
            common,
            course: (*host.plan.course).clone(),
            plant,
            sensors,
            seed,
            can,
            readings_to,
            devices,
        };
        let vehicle = Process::start(&host.program, Who::Vehicle, &Role::Vehicle(spec), says.clone())
            .await
            .map_err(|error| machine("starting the vehicle process", &error))?;
        let folder = match &host.containers {
            None => None,
            Some(_) if host.cabling != Cabling::Loopback => {
                let message = "containers run on the rig host: use --rig host, or --runtime process";
                return Err(HostError::BadInput(message.to_owned()));
            }
            Some(containers) => Some(
                AgentsFolder::new(containers).map_err(|error| machine("making a folder for the agents", &error))?,
            ),
        };
        let spares = host.spares();
        let to_agents = host.containers.as_ref().zip(folder.as_ref()).map(|(containers, folder)| {
            contained::to_agents(containers, folder.path(), &addresses, config.link_lease, host.keep_alive)
        });
        let watch = Watch::start(cables.desk(spares), to_agents, config.link_lease, host.keep_alive);
        let watch = watch.map_err(HostError::Machine)?;
        let witness = Witness::new(host.plan.law.clone(), config.period, config.divergence_max);
        // A drive of its own: none goes on with the state of another.
        let version = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mission = Mission { version, course: (*host.plan.course).clone(), tuning: host.tuning };
        let mut run = Self {
            host,
            operator,
            tape,
            addresses,
            cables,
            vehicle,
            devices: [const { None }; DEVICES],
            lives: [0; DEVICES],
            stopped: [false; DEVICES],
            trouble: LinkTrouble::default(),
            died: Vec::new(),
            watch,
            said,
            says,
            collector: Collector::new(witness, tape, config.link_lease),
            board: Board::new(config.period),
            active: Vec::new(),
            zero: now(),
            is_driving: false,
            missing: None,
            agents: [const { None }; DEVICES],
            steps_noted: [0; DEVICES],
            migrations: Migrations::default(),
            acknowledged: Acknowledged::default(),
            spares_are_on: false,
            mission,
            cloud: None,
            folder,
            fresh_waits: host.plan.standby == Standby::Fresh,
            look_at: now(),
            tape_has_ended: false,
        };
        run.wait_for_vehicle().await?;
        run.start_cloud()?;
        run.start_device(Slot::LEFT).await?;
        Ok(run)
    }

    async fn wait_for_vehicle(&mut self) -> Result<(), HostError> {
        let until = now() + READY_WITHIN;
        loop {
            match self.next(until).await {
                Next::Said(Said { who: Who::Vehicle, says: Some(Says::Ready { missing, .. }) }) => {
                    // What the machine does not allow is the same for each process: the vehicle says it for all.
                    self.missing = missing;
                    return Ok(());
                }
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(_) => {}
                Next::Time => return Err(HostError::Machine("the vehicle process did not start".to_owned())),
            }
        }
    }

    pub(super) async fn start_device(&mut self, slot: Slot) -> Result<(), HostError> {
        let index = slot.index();
        self.lives[index] += 1;
        let Plug { listen, connect, network, can } = self.cables.plug(slot);
        let faults = self.host.plan.faults.iter().map(|fault| &fault.kind);
        let mut common = common(self.host, &self.addresses, self.tape.is_some());
        if self.host.boards.is_some() {
            // Its runner is on another machine; it ends with its input.
            common.parent = None;
        }
        let spec = DeviceSpec {
            common,
            slot,
            mission: Some(self.mission.clone()),
            listen,
            connect,
            link_lease: self.host.plan.config.link_lease,
            keep_alive: self.host.keep_alive,
            keys: None,
            fallible: fallible(faults.chain(&self.host.announced)),
            network,
            can,
            readings_at: self.host.boards.as_ref().map(|boards| boards.of(slot).readings()),
            // A spare's mission is started when its agent has seen that there is room.
            is_member: slot > Slot::RIGHT,
            watchdog: self.host.boards.as_ref().and_then(|boards| boards.of(slot).watchdog()),
        };
        let who = Who::Device(index, self.lives[index]);
        let mut process = match (&self.host.containers, &self.folder) {
            (Some(containers), Some(folder)) => {
                self.agents[index] = None;
                let config = contained::write(containers, folder.path(), &self.addresses, &spec);
                let config = config.map_err(|error| machine("writing the agent's configuration", &error))?;
                Process::start_agent(&containers.agent, &config, who, self.says.clone())
                    .map_err(|error| machine("starting a device's agent", &error))?
            }
            _ if let Some(boards) = &self.host.boards => {
                Process::start_on(boards.of(slot), who, &Role::Device(spec), self.says.clone()).await?
            }
            _ => Process::start(&self.host.program, who, &Role::Device(spec), self.says.clone())
                .await
                .map_err(|error| machine("starting a device process", &error))?,
        };
        if self.trouble != LinkTrouble::default() {
            // One that has ended already is noticed by its silence.
            let _ = process.tell(&DeviceLine::Link(self.trouble)).await;
        }
        self.devices[index] = Some(process);
        Ok(())
    }

    /// Waits until the pair is ready, and starts the right device on the way.
    pub async fn wait_until_ready(&mut self) -> Result<(), HostError> {
        if let Some(missing) = self.missing.take() {
            self.operator.line(None, &missing);
        }
        let until = now() + READY_WITHIN;
        let hot = self.host.plan.standby == Standby::Hot;
        while self.collector.first_acted().is_none() || (hot && !self.is_as_ready_as_wanted()) {
            match self.next(until.min(now() + LOOK_EVERY)).await {
                Next::Said(said) => {
                    self.on_said(said)?;
                    // Once the left device holds the wheel: so it is the left one in each run.
                    if hot && self.lives[Slot::RIGHT.index()] == 0 && self.collector.first_acted().is_some() {
                        self.start_device(Slot::RIGHT).await?;
                    }
                }
                Next::Seen(seen) => self.on_seen(seen),
                Next::Time if now() < until => {}
                Next::Time => {
                    let why = self.why_not_ready();
                    let what = format!("the pair was not ready within {} s{why}", READY_WITHIN.as_secs());
                    return Err(HostError::Machine(what));
                }
            }
            if let Some(why) = self.why_never_ready() {
                return Err(HostError::Machine(why));
            }
            if let Some(Ask::Quit) = self.look(None) {
                return Err(HostError::Interrupted);
            }
        }
        self.wait_for_spares(until).await?;
        self.zero = now();
        self.is_driving = true;
        if let Some(tape) = self.tape {
            let zero = self.zero;
            tape.note(move |recorder| recorder.begins(zero));
        }
        let ready = if hot { "the pair is ready" } else { "the vehicle drives, without a standby" };
        self.operator.line(Some(0.0), ready);
        Ok(())
    }

    /// Follows the run to its end, and does what the agenda and the operator say, until a signal `ends` it. Returns when it
    /// ended.
    pub async fn follow(&mut self, ends: &Cell<Option<&str>>) -> Result<Instant, HostError> {
        let mut agenda = Agenda::new(self.zero, &self.host.plan.faults);
        let end = self.zero + self.host.plan.duration;
        let shown = (!self.host.open_ended).then_some(self.host.plan.duration);
        loop {
            let due = agenda.next_at().map_or(end, |at| at.min(end));
            match self.next(due.min(now() + LOOK_EVERY)).await {
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(seen) => self.on_seen(seen),
                Next::Time => {}
            }
            if now() >= end {
                return Ok(end);
            }
            if ends.get().is_some() {
                return Ok(now());
            }
            while let Some(action) = agenda.take_due(now()) {
                self.act(action).await?;
            }
            match self.look(Some(shown)) {
                None => {}
                Some(Ask::Quit) => return Ok(now()),
                Some(Ask::Repair) => self.repair().await?,
                Some(Ask::Inject { name, kind, target }) => self.begin_asked(&name, kind, target).await?,
            }
            self.switch_spares_on().await?;
            self.look_at_tape();
            if self.fresh_waits && self.heartbeat_is_missed() {
                self.fresh_waits = false;
                self.note_phase("noticed");
                self.start_device(Slot::RIGHT).await?;
                self.note_phase("started");
            }
        }
    }

    /// Shows the operator how the run stands, when it is time, and asks; `shown` is how long the run lasts, once it
    /// has begun.
    fn look(&mut self, shown: Option<Option<Duration>>) -> Option<Ask> {
        let now = now();
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            let passed = shown.map(|_| now.since(self.zero));
            self.operator.look(self.board.at(now, passed, shown.flatten()));
        }
        self.operator.ask()
    }

    /// Says once that the recording has ended before the run.
    fn look_at_tape(&mut self) {
        if let Some(problem) = self.tape.and_then(Tape::problem).filter(|_| !self.tape_has_ended) {
            let line = format!("the recording ends here: {problem}; the run goes on");
            self.tape_has_ended = true;
            self.operator.line(Some(now().seconds_after(self.zero)), &line);
        }
    }

    /// The `fresh` baseline's plain heartbeat: whatever the left device publishes.
    fn heartbeat_is_missed(&self) -> bool {
        let heard = self.collector.heard_at(Slot::LEFT).unwrap_or(self.zero).max(self.zero);
        now().since(heard) > HEARTBEAT_TIMEOUT
    }

    fn note_phase(&mut self, name: &str) {
        let at = now();
        self.operator.line(Some(at.seconds_after(self.zero)), name);
        self.on_event(at, &Event::Phase { name: name.to_owned() });
    }

    /// Takes note of something that happened, for the log and for those who watch.
    pub(super) fn on_event(&mut self, at: Instant, event: &Event) {
        self.board.on_event(at, event);
        self.collector.on_event(at, event);
    }

    /// Takes note that a device is gone, or stopped.
    pub(super) fn on_down(&mut self, slot: Slot) {
        let at = now();
        self.collector.on_down(slot);
        self.migrations.on_down(at);
        self.on_event(at, &Event::Down { slot });
    }

    pub(super) async fn next(&mut self, until: Instant) -> Next<L::Memory> {
        let wait = until.since(now());
        tokio::select! {
            biased;
            Some(said) = self.said.recv() => Next::Said(said),
            Some(seen) = self.watch.next() => Next::Seen(seen),
            () = tokio::time::sleep(wait) => Next::Time,
        }
    }

    /// Waits for `work`, and goes on listening: a process that nobody listens to loses what it has to say.
    pub(super) async fn meanwhile<T>(&mut self, mut work: JoinHandle<T>) -> Result<T, HostError> {
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done.map_err(|error| machine("the runner", &error)),
                Some(said) = self.said.recv() => self.on_said(said)?,
                Some(seen) = self.watch.next() => self.on_seen(seen),
            }
        }
    }

    pub(super) fn on_said(&mut self, said: Said) -> Result<(), HostError> {
        match said.says {
            Some(Says::Happened(at, event)) => self.on_event(at, &event),
            Some(Says::Judged(at, gate, input, answer)) => {
                if let Some(tape) = self.tape {
                    tape.note(move |recorder| recorder.judged(at, gate, &input, &answer));
                }
            }
            Some(Says::Steps(steps)) => self.on_steps(said.who, steps),
            Some(Says::Unrecorded(count)) => {
                if let Some(tape) = self.tape {
                    tape.note_lost(count);
                }
            }
            Some(Says::Ready { pid, .. }) => {
                if let Who::Device(index, life) = said.who
                    && let Some(process) = self.devices[index].as_mut().filter(|_| life == self.lives[index])
                {
                    process.is_known_as(pid);
                }
                let right = Slot::RIGHT.index();
                let is_urged = self.agents[right].as_ref().is_some_and(|report| report.urged);
                let fresh = self.host.plan.standby == Standby::Fresh;
                if said.who == Who::Device(right, 1) && (fresh || is_urged) {
                    let name = "session open".to_owned();
                    self.on_event(now(), &Event::Phase { name });
                }
            }
            Some(Says::TwoSenders { id }) => {
                return Err(HostError::Machine(format!(
                    "identifier {id:#x} had two senders: the run means nothing"
                )));
            }
            Some(Says::Lost(count)) => {
                return Err(HostError::Machine(format!(
                    "{count} events of the gate were lost: the run means nothing"
                )));
            }
            Some(Says::Failed { why, bad_input: true }) => return Err(HostError::BadInput(why)),
            Some(Says::Failed { why, bad_input: false }) => return Err(HostError::Machine(why)),
            Some(Says::Done) => {
                return Err(HostError::Machine("the vehicle has stopped before it was asked to".to_owned()));
            }
            None => match said.who {
                Who::Vehicle => return Err(HostError::Machine("the vehicle process has ended".to_owned())),
                Who::Device(index, life) => self.on_device_gone(index, life),
            },
        }
        Ok(())
    }

    fn on_steps(&self, who: Who, steps: Vec<Step>) {
        let (Some(tape), Who::Device(index, life)) = (self.tape, who) else {
            return;
        };
        let slot = slot_at(index);
        tape.note(move |recorder| {
            for Step { at, now, input, effects } in steps {
                recorder.step(at, slot, life, now, &input, &effects);
            }
        });
    }

    pub(super) fn on_seen(&mut self, seen: Observation<L::Memory>) {
        match seen {
            Observation::Sample { at, sample } => {
                // A sample that was under way when its sender was killed says nothing about now.
                let index = sample.header.slot.index();
                let runs = self.devices.get(index).is_some_and(Option::is_some);
                if !runs || self.stopped[index] {
                    return;
                }
                self.board.on_sample(at, &sample);
                if let Some((slot, role)) = self.collector.on_sample(at, &sample) {
                    let t_s = self.is_driving.then(|| at.seconds_after(self.zero));
                    if role == RoleName::Primary {
                        self.migrations.on_drives(at, device_name(slot), |device| fetched(&self.agents, device));
                    }
                    if role != RoleName::Joining {
                        self.operator.line(t_s, &format!("{} is {role}", device_name(slot)));
                    }
                }
            }
            Observation::Agent { slot, report } => self.on_agent(slot, *report),
            Observation::Told { at, told } => self.on_told(at, &told),
            Observation::Refused { slot, refusal } => {
                let t_s = now().seconds_after(self.zero);
                self.operator.line(Some(t_s), &format!("{} refuses: {refusal}", device_name(slot)));
            }
        }
    }

    /// Notes the end of a device that nobody ended.
    fn on_device_gone(&mut self, index: usize, life: u32) {
        let slot = slot_at(index);
        if life == self.lives[index] && self.devices[index].take().is_some() {
            self.on_down(slot);
            self.died.push(format!("the {} device's process ended by itself", device_name(slot)));
        }
    }

    /// Ends the processes, and returns what happened until `end`.
    pub async fn finish(mut self, end: Instant) -> Result<Finished, HostError> {
        let until = now() + STOP_WITHIN;
        // A vehicle that does not listen any more is noticed by its silence below.
        let _ = self.vehicle.tell(&VehicleLine::Stop).await;
        loop {
            match self.next(until).await {
                // Its last line. Its end would tell nothing more, and a process can take seconds to die.
                Next::Said(Said { who: Who::Vehicle, says: Some(Says::Done) }) => break,
                // One that was just started finds no bus any more, says so, and ends.
                Next::Said(Said { who: Who::Device(..), says: Some(Says::Failed { .. }) | None }) => {}
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(_) => {}
                Next::Time => {
                    self.died.push("the vehicle process did not stop when it was told to".to_owned());
                    break;
                }
            }
        }
        // What a board does not do any more is told, and is no reason to lose the report.
        if let Err(problem) = self.give_power_back().await {
            self.operator.line(None, &problem.to_string());
        }
        for device in self.devices.into_iter().flatten() {
            // An agent removes its container; a plain device has nothing to put in order.
            let ended = if self.folder.is_some() { device.end().await } else { device.kill().await };
            if let Err(problem) = ended {
                self.operator.line(None, &problem.to_string());
            }
        }
        self.vehicle.kill().await?;
        drop(self.cables);
        let lost_bytes = match (&self.host.containers, &self.folder) {
            (Some(containers), Some(folder)) => {
                let storage = contained::storage(containers, folder.path());
                self.acknowledged.lost_bytes(&containers.agent, &storage)
            }
            _ => Ok(None),
        };
        let lost_bytes = lost_bytes.unwrap_or_else(|why| {
            self.died.push(format!("what the mission data became is not known: {why}"));
            None
        });
        let mut log = self.collector.finish(end);
        log.cut(end, self.host.plan.config.gate_lease);
        Ok(Finished {
            log,
            zero: self.zero,
            end,
            died: self.died,
            migrations: self.migrations.finish(),
            lost_bytes,
        })
    }
}

fn slot_at(index: usize) -> Slot {
    u8::try_from(index).ok().and_then(Slot::new).unwrap_or(Slot::LEFT)
}

fn common<L>(host: &HostPlan<L>, addresses: &Addresses, records: bool) -> Common {
    Common {
        parameters: *host.plan.config,
        bus: addresses.bus.clone(),
        readings: addresses.readings.clone(),
        parent: Some(std::process::id()),
        records,
    }
}
