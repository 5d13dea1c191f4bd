//! The cloud application: it hears the fleet, keeps the timeline, has a replaced device shut down, and shows all that on a page.
//!
//! [`ledger`] knows and decides; here is what it hears and says. Nothing of it is in the control path: without it the agents go
//! on as they do.

mod history;
mod ledger;
mod stored;

use crate::commands::{Exit, Problem};
use crate::output;
use crate::signals::{self, Told as Signal};
use axum::Json;
use axum::response::Html;
use axum::routing::get;
use ledger::Ledger;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use stored::Watched;
use twinhelm_linux::clock::now;
use twinhelm_linux::journal::Journal;
use twinhelm_standby::access::Role;
use twinhelm_standby::fleet::{Told, Word};
use twinhelm_standby::pool::Offer;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::signals::State;
use twinhelm_zenoh::fleet::Heard;
use twinhelm_zenoh::wire::Carried;
use twinhelm_zenoh::{Credentials, Hub, Observed, Settings};

/// The page, with all that it needs.
const PAGE: &str = include_str!("cloud/page.html");
/// So long it waits for the next thing to hear.
const LISTEN_FOR: Duration = Duration::from_millis(20);
/// So often it asks for what it may have missed.
const CATCH_UP_EVERY: Duration = Duration::from_secs(5);
const CATCH_UP_WITHIN: Duration = Duration::from_millis(500);
/// So many entries are kept on the disk.
const ENTRIES_MAX: usize = 10_000;

/// What it is told.
pub(crate) struct CloudSetup<'a> {
    pub(crate) settings: Settings,
    pub(crate) page: SocketAddr,
    pub(crate) data: &'a Path,
    pub(crate) course: &'a Course,
    pub(crate) ftti: Duration,
    pub(crate) storage: Option<&'a str>,
}

type Shared = Arc<Mutex<Ledger>>;

/// Runs until a signal ends it.
pub(crate) fn run<M: Carried>(setup: &CloudSetup<'_>) -> Result<Exit, Problem> {
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    signals::listen(move |told| match told {
        Signal::End => ends.store(true, Ordering::Relaxed),
        Signal::Reset => {}
    })
    .map_err(|error| Problem::machine(format_args!("listening to signals: {error}")))?;
    std::fs::create_dir_all(setup.data)
        .map_err(|error| Problem::bad_input(format_args!("{}: {error}", setup.data.display())))?;
    let path = setup.data.join("timeline.jsonl");
    let read = |line: &str| serde_json::from_str::<Told>(line).ok();
    let (mut journal, kept) = Journal::open(&path, ENTRIES_MAX, |line| read(line).is_some())
        .map_err(|error| Problem::machine(format_args!("{}: {error}", path.display())))?;
    let ledger = Shared::new(Mutex::new(Ledger::new(setup.ftti)));
    for told in kept.iter().filter_map(|line| read(line)) {
        locked(&ledger).on_told(now(), &told, false);
    }
    let failed = |error: twinhelm_zenoh::OpenError| Problem::caused(&error);
    let credentials = setup.settings.credentials().map_err(failed)?;
    if let Some(other) = credentials.as_ref().filter(|credentials| credentials.role() != Role::Router) {
        return Err(Problem::bad_input(format_args!(
            "--keys are those of {}, {}: the cloud application passes on what others say, with a router's \
             (`twinhelm keys init --router NAME`)",
            other.own(),
            other.role()
        )));
    }
    let name = credentials.as_ref().map_or("cloud", Credentials::own);
    let hub = Hub::open(&setup.settings).map_err(failed)?;
    let (hear, heard) = mpsc::channel();
    // Nobody listens any more when it ends.
    let line = hub.fleet(name, move |it| drop(hear.send(it))).map_err(failed)?;
    let observer = hub.observer::<State, M>().map_err(failed)?;
    let watched = setup.storage.map(|storage| {
        Watched::start(storage, &setup.settings.vehicle, &ledger)
            .map_err(|error| Problem::machine(format_args!("starting twinhelm, which looks at storage: {error}")))
    });
    // It ends with this.
    let _watched = watched.transpose()?;
    let at = serve(setup, Arc::clone(&ledger))?;
    output::print(format_args!("the page: http://{at}/"));
    // Whoever started it may want to know; nobody may be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut caught_up_at = None;
    while !is_over.load(Ordering::Relaxed) {
        if let Some(Observed::State { at, sample: Some(sample), .. }) = observer.next(LISTEN_FOR) {
            let place = sample.published.map(|published| [published.readings.x_m, published.readings.y_m]);
            locked(&ledger).on_sample(at, sample.header, place);
        }
        let at = now();
        if caught_up_at.is_none_or(|last| at.since(last) >= CATCH_UP_EVERY) {
            caught_up_at = Some(at);
            // What was told while it was away, or on the way of which something was lost.
            let missed = line.events(CATCH_UP_WITHIN).unwrap_or_default();
            missed.iter().for_each(|(device, bytes)| note(&ledger, &mut journal, (device, bytes), false));
        }
        while let Ok(heard) = heard.try_recv() {
            match heard {
                Heard::Offer { device, bytes } => {
                    let offer = serde_json::from_slice::<Offer>(&bytes).ok();
                    // Nobody offers in another's name, or another's place on the bus.
                    let is_own = |offer: &Offer| {
                        let members = credentials.as_ref().map(Credentials::members);
                        offer.device == device
                            && members.is_none_or(|members| members.is_device(&offer.device, offer.slot))
                    };
                    if let Some(offer) = offer.filter(is_own) {
                        locked(&ledger).on_offer(at, offer);
                    }
                }
                Heard::Event { device, bytes } => note(&ledger, &mut journal, (&device, &bytes), true),
                Heard::Word { .. } => {}
            }
        }
        let due = locked(&ledger).orders_due(at);
        for device in due {
            let word = Word::Fence { why: "the cloud application ordered it: it was replaced".to_owned() };
            if let Ok(bytes) = serde_json::to_vec(&word) {
                line.say(&device, bytes);
            }
        }
    }
    Ok(Exit::Holds)
}

/// Takes in an entry, and keeps it on the disk if it is new. What was caught up orders nothing: it may be of yesterday.
fn note(ledger: &Shared, journal: &mut Journal, (device, bytes): (&str, &[u8]), is_live: bool) {
    let told = serde_json::from_slice::<Told>(bytes).ok().filter(|told| told.device == device);
    let Some(told) = told else { return };
    if locked(ledger).on_told(now(), &told, is_live)
        && let Ok(line) = serde_json::to_string(&told)
        && let Err(error) = journal.add(&line)
    {
        output::tell(format_args!("writing the timeline: {error}; it is kept in memory"));
    }
}

/// Starts to serve the page, and returns where.
fn serve(setup: &CloudSetup<'_>, ledger: Shared) -> Result<SocketAddr, Problem> {
    let failed =
        |error: std::io::Error| Problem::machine(format_args!("serving the page at {}: {error}", setup.page));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(setup.page)).map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let outline: Vec<[f64; 2]> = setup.course.outline().map(|(x_m, y_m)| [x_m, y_m]).collect();
    let drawn = Arc::clone(&ledger);
    let pages = axum::Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/api/course", get(move || async move { Json(locked(&drawn).outline().unwrap_or(outline.clone())) }))
        .route("/api/state", get(move || async move { Json(locked(&ledger).shown(now())) }));
    let serving = move || drop(runtime.block_on(async move { axum::serve(listener, pages).await }));
    std::thread::Builder::new().name("page".to_owned()).spawn(serving).map_err(failed)?;
    Ok(at)
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
