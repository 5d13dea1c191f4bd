//! The device's mission data: kept on its disk, uploaded behind that, handed to neighbours, and fetched.
//!
//! Threads of their own, so that neither a slow disk nor a network that is away holds up the agent, which is not in the control
//! path either. They share what the agent says of its data, and what of it is acknowledged.

mod fetch;
mod keep;
mod upload;

pub(super) use fetch::{Found, Purpose};

use super::Happened;
use crate::config::{self, Config};
use crate::output::{Problem, tell};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use twinhelm_linux::effort::{Effort, Work};
use twinhelm_linux::terminal::chain;
use twinhelm_mission::data::{Plan, Spool, Storage, Uploader};
use twinhelm_standby::data::{Amount, DataReport, Manifest, Position, acknowledged, to_upload};
use twinhelm_zenoh::Stock;
use twinhelm_zenoh::agents::AgentLine;

/// What the threads and the agent share.
#[derive(Debug)]
struct Shared {
    spool: Arc<Mutex<Spool>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    /// What object storage has, as far as is known.
    manifest: Option<Manifest>,
    /// What is on the disk alone.
    waiting: Amount,
    /// What left the disk, or never came there, before anybody else had it.
    dropped: Amount,
    disk_problem: Option<String>,
    storage_problem: Option<String>,
    /// The newest state on the own disk, and on that of the other member of the pair.
    newest: Option<Position>,
    peer: Option<Position>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what waits to be uploaded, when that has changed.
    fn count_waiting(&self) {
        let spool = self.spool();
        let mut state = self.state();
        let last = state.manifest.as_ref().and_then(|manifest| manifest.last_of(spool.id()));
        let mut waiting = Amount::default();
        to_upload(spool.pieces(), |seq| last.is_some_and(|last| seq <= last))
            .iter()
            .for_each(|piece| waiting.add(piece));
        state.waiting = waiting;
    }

    fn set_plan(&self, stock: &Stock, plan: Plan) {
        stock.keep(fetch::PLAN, plan.bytes().to_vec());
        if let Err(error) = self.spool().keep_plan(&plan) {
            tell(format_args!("keeping the plan: {error}; it is kept in memory"));
        }
        self.state().plan = Some(plan);
    }
}

/// A device's mission data.
pub(super) struct Data {
    storage: Storage,
    vehicle: String,
    shared: Arc<Shared>,
    stock: Arc<Stock>,
    threads: Vec<(Sender<()>, JoinHandle<()>)>,
    uploading: Arc<Effort>,
}

impl Data {
    /// Opens it, and starts to keep and to upload.
    pub fn open(config: &Config, data: &config::Data, line: &AgentLine) -> Result<Self, Problem> {
        let folder = config.store.join("data");
        let opened = Spool::open(&folder);
        let (spool, told) =
            opened.map_err(|error| Problem::machine(format_args!("{}: {error}", folder.display())))?;
        for line in told {
            tell(line);
        }
        let plan = match &data.plan {
            Some(path) => Some(read_plan(path)?),
            None => spool.plan(),
        };
        let storage =
            Storage::open(&data.storage, &data.access).map_err(|error| Problem::bad_input(chain(&error)))?;
        let (device, vehicle) = (config.device.clone(), config.link.vehicle.clone());
        let stock = line.stock(&device, &vehicle).map_err(|error| Problem::machine(chain(&error)))?;
        let newest = spool.snapshot();
        if let Some(snapshot) = &newest {
            stock.keep(fetch::STATE, snapshot.encode());
        }
        let state = State { newest: newest.map(|snapshot| snapshot.position), ..State::default() };
        let (stock, spool) = (Arc::new(stock), Arc::new(Mutex::new(spool)));
        let shared = Arc::new(Shared { spool: Arc::clone(&spool), state: Mutex::new(state) });
        if let Some(plan) = plan {
            shared.set_plan(&stock, plan);
        }
        let uploading = Arc::new(Effort::low(Work::Upload));
        let mut opened = Self {
            storage: storage.clone(),
            vehicle: vehicle.clone(),
            shared,
            stock,
            threads: Vec::new(),
            uploading: Arc::clone(&uploading),
        };
        let keeper = keep::Keeper::new(&opened.shared, &opened.stock, line.ear(), data.clone(), device.clone());
        opened.start("data", move |stop| keeper.run(&stop))?;
        let uploader = Uploader::new(storage, &vehicle, &device, spool);
        let (shared, every) = (Arc::clone(&opened.shared), data.upload_every);
        opened.start("upload", move |stop| upload::run(uploader, &shared, every, &uploading, &stop))?;
        Ok(opened)
    }

    fn start(&mut self, name: &str, run: impl FnOnce(Receiver<()>) + Send + 'static) -> Result<(), Problem> {
        let (stop, stopped) = channel();
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || run(stopped));
        let thread =
            started.map_err(|error| Problem::machine(format_args!("starting the thread {name}: {error}")))?;
        self.threads.push((stop, thread));
        Ok(())
    }

    /// Returns how it stands.
    pub fn report(&self) -> DataReport {
        // Not the spool: whoever has it may be waiting for the disk.
        let state = self.shared.state();
        let stored = state.manifest.as_ref().and_then(Manifest::newest_state);
        let problems = [&state.disk_problem, &state.storage_problem];
        let problems: Vec<_> = problems.into_iter().flatten().cloned().collect();
        DataReport {
            storage: self.storage.name().to_owned(),
            plan: state.plan.as_ref().map(Plan::version),
            snapshot: state.newest,
            acknowledged_snapshot: acknowledged(stored, state.newest, state.peer),
            acknowledged: state.manifest.as_ref().map_or_else(Amount::default, |manifest| manifest.acknowledged),
            waiting: state.waiting,
            dropped: state.dropped,
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    /// Returns the plan that the mission follows.
    pub fn plan(&self) -> Option<Plan> {
        self.shared.state().plan.clone()
    }

    /// Returns whether it has one.
    pub fn has_plan(&self) -> bool {
        self.shared.state().plan.is_some()
    }

    /// Returns the newest state on the disk.
    pub fn newest(&self) -> Option<Position> {
        self.shared.state().newest
    }

    /// Takes note of the newest state on the disk of the other member of the pair.
    pub fn on_peer(&self, newest: Option<Position>) {
        self.shared.state().peer = newest;
    }

    /// Looks for what a mission goes on with: at the neighbours, and where they have it not, in object storage. What is found is
    /// told. `gate_term`: the low bits of the term that the gates know.
    pub fn fetch(&self, purpose: Purpose, gate_term: Option<u8>, happen: Sender<Happened>) {
        let (storage, vehicle) = (self.storage.clone(), self.vehicle.clone());
        let (shared, stock) = (Arc::clone(&self.shared), Arc::clone(&self.stock));
        let to = happen.clone();
        let work = move || {
            let own = shared.spool().snapshot();
            let plan = shared.state().plan.clone();
            let found = fetch::find(&stock, &storage, &vehicle, plan, own, gate_term);
            if let Ok(Found { plan: Some(plan), .. }) = &found {
                shared.set_plan(&stock, plan.clone());
            }
            drop(to.send(Happened::Fetched(purpose, found.map(Box::new))));
        };
        if let Err(error) = thread::Builder::new().name("fetch".to_owned()).spawn(work) {
            let error = format!("starting the thread that fetches: {error}");
            drop(happen.send(Happened::Fetched(purpose, Err(error))));
        }
    }

    /// Ends the threads: what was recorded comes to the disk, and is uploaded if that does not take long.
    pub fn stop(self) {
        for (stop, thread) in self.threads {
            drop(stop);
            // Now it is waited for.
            self.uploading.raise();
            // One that has met a bug of ours has said so.
            let _ = thread.join();
        }
    }
}

fn read_plan(path: &Path) -> Result<Plan, Problem> {
    let bad =
        |what: &dyn std::fmt::Display| Problem::bad_input(format_args!("data.plan: {}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| bad(&error))?;
    Plan::parse(bytes).map_err(|error| bad(&error))
}
