//! What the devices' agents say of themselves, and what they overhear: the state of whoever drives, to hand it on.
//!
//! None of this is in the control path. An agent's report is bytes here: what they say is between agents and those who ask.

use crate::fleet::{self, FleetLine};
use crate::keys::{Kind, key, keys, slot_of};
use crate::session::{OpenError, open, open_client};
use crate::settings::Settings;
use crate::wire::{BYTES_MAX, VERSION, encode};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::{Header, Order};
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::query::Queryable;
use zenoh::{Session, Wait};

/// What was overheard of the devices.
#[derive(Debug, Default)]
struct Overheard {
    /// The last sample of whoever drove, as it came over the wire.
    state: Option<Vec<u8>>,
    /// The last header of each device, and when it came.
    headers: [Option<(Instant, Header)>; SLOTS as usize],
}

type Heard = Arc<Mutex<Overheard>>;

/// An agent's line to whoever asks, and its ear to those who drive. Dropping it closes its session.
#[derive(Debug)]
pub struct AgentLine {
    session: Session,
    publisher: Publisher<'static>,
    report: Arc<Mutex<Vec<u8>>>,
    heard: Heard,
    _asked: Queryable<()>,
    _states: Subscriber<()>,
}

impl AgentLine {
    /// Opens the line of the agent of the device in `slot`, and returns at once whether or not anybody is there.
    ///
    /// # Errors
    /// The settings are wrong, a listening endpoint is in use or not this machine's, or Zenoh fails.
    pub fn open(slot: Slot, settings: &Settings) -> Result<Self, OpenError> {
        let session = open(settings)?;
        let key = key(&settings.vehicle, Kind::Agent, slot);
        let report = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&report);
        let asked_key = key.clone();
        let asked = session
            .declare_queryable(key.clone())
            .callback(move |query| {
                let report = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Whoever asked may be gone.
                drop(query.reply(asked_key.clone(), report).wait());
            })
            .wait()
            .map_err(OpenError::of(&key))?;
        let publisher = session.declare_publisher(key.clone()).wait().map_err(OpenError::of(&key))?;
        let heard = Heard::default();
        let hears = Arc::clone(&heard);
        let states = keys(&settings.vehicle, Kind::State);
        let subscriber = session
            .declare_subscriber(&states)
            .callback(move |message| {
                let (at, bytes) = (now(), message.payload().to_bytes());
                let Some(slot) = slot_of(message.key_expr().as_str()) else { return };
                let Some(header) = header(&bytes).filter(|header| header.slot == slot) else { return };
                let mut hears = hears.lock().unwrap_or_else(PoisonError::into_inner);
                if header.sent && bytes.len() <= BYTES_MAX {
                    hears.state = Some(bytes.into_owned());
                }
                hears.headers[slot.index()] = Some((at, header));
            })
            .wait()
            .map_err(OpenError::of(&states))?;
        Ok(Self { session, publisher, report, heard, _asked: asked, _states: subscriber })
    }

    /// Tells everybody how the agent stands, and whoever asks from now on.
    pub fn tell(&self, report: Vec<u8>) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report.clone();
        // A report that does not arrive is followed by the next.
        drop(self.publisher.put(report).wait());
    }

    /// Returns the last sample that a device published in a cycle in which it sent its command, as it came over the wire. The
    /// own device's are among them, if its endpoint is one that this session connects to.
    #[must_use]
    pub fn last_state(&self) -> Option<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).state.clone()
    }

    /// Returns the last header of each device by its slot, and when it came.
    #[must_use]
    pub fn headers(&self) -> [Option<(Instant, Header)>; SLOTS as usize] {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).headers
    }

    /// Opens the line to the fleet of the device that is called `device`, on this session: it ends with it.
    ///
    /// # Errors
    /// Zenoh does not take a key.
    pub fn fleet(
        &self,
        device: &str,
        vehicle: &str,
        hear: impl Fn(fleet::Heard) + Clone + Send + Sync + 'static,
    ) -> Result<FleetLine, OpenError> {
        FleetLine::on(self.session.clone(), false, device, vehicle, hear)
    }

    /// Orders something of the mission in `slot`.
    ///
    /// # Errors
    /// Zenoh does not take it.
    pub fn order(&self, vehicle: &str, slot: Slot, order: Order) -> Result<(), OpenError> {
        let key = key(vehicle, Kind::Order, slot);
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&order, &mut buffer).map_err(|error| OpenError::of(&key)(error.into()))?;
        self.session.put(key.clone(), bytes).wait().map_err(OpenError::of(&key))
    }
}

impl Drop for AgentLine {
    fn drop(&mut self) {
        // A session that cannot be closed is dropped all the same.
        drop(self.session.close().wait());
    }
}

/// Reads the header of a sample whose rest may be any law's.
fn header(bytes: &[u8]) -> Option<Header> {
    let body = bytes.strip_prefix(&[VERSION])?;
    postcard::take_from_bytes::<Header>(body).ok().map(|(header, _)| header)
}

/// Listens to all agents of a vehicle.
#[derive(Debug)]
pub struct AgentWatch {
    session: Session,
    told: Receiver<(Slot, Vec<u8>)>,
    vehicle: String,
    _reports: Subscriber<()>,
}

impl AgentWatch {
    /// Opens a session that hears what the agents say from now on.
    ///
    /// # Errors
    /// The settings are wrong, or Zenoh fails.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        Self::on(open(settings)?, settings)
    }

    /// Opens it for somebody who asks one agent, which passes on what the others say.
    ///
    /// # Errors
    /// As [`AgentWatch::open`], and when nobody is there.
    pub fn open_client(settings: &Settings) -> Result<Self, OpenError> {
        Self::on(open_client(settings)?, settings)
    }

    fn on(session: Session, settings: &Settings) -> Result<Self, OpenError> {
        let (tell, told) = channel();
        let reports = keys(&settings.vehicle, Kind::Agent);
        let subscriber = session
            .declare_subscriber(&reports)
            .callback(move |message| {
                if let Some(slot) = slot_of(message.key_expr().as_str()) {
                    // Nobody listens any more when the watch is being dropped.
                    let _ = tell.send((slot, message.payload().to_bytes().into_owned()));
                }
            })
            .wait()
            .map_err(OpenError::of(&reports))?;
        Ok(Self { session, told, vehicle: settings.vehicle.clone(), _reports: subscriber })
    }

    /// Opens a line to the fleet on this session, for somebody who is called `device`: it ends with it.
    ///
    /// # Errors
    /// Zenoh does not take a key.
    pub fn fleet(
        &self,
        device: &str,
        hear: impl Fn(fleet::Heard) + Clone + Send + Sync + 'static,
    ) -> Result<FleetLine, OpenError> {
        FleetLine::on(self.session.clone(), false, device, &self.vehicle, hear)
    }

    /// Returns the next report that an agent tells, `None` when none comes within `wait`.
    #[must_use]
    pub fn next(&self, wait: Duration) -> Option<(Slot, Vec<u8>)> {
        self.told.recv_timeout(wait).ok()
    }

    /// Asks all agents how they stand; returns what came within `wait`, in the order of slots.
    ///
    /// # Errors
    /// Zenoh does not take the question.
    pub fn ask(&self, wait: Duration) -> Result<Vec<(Slot, Vec<u8>)>, OpenError> {
        let reports = keys(&self.vehicle, Kind::Agent);
        let replies = self.session.get(&reports).timeout(wait).wait().map_err(OpenError::of(&reports))?;
        let mut told = Vec::new();
        while let Ok(reply) = replies.recv() {
            let Ok(sample) = reply.result() else { continue };
            if let Some(slot) = slot_of(sample.key_expr().as_str()) {
                told.push((slot, sample.payload().to_bytes().into_owned()));
            }
        }
        told.sort_by_key(|(slot, _)| *slot);
        Ok(told)
    }
}

impl Drop for AgentWatch {
    fn drop(&mut self) {
        // A session that cannot be closed is dropped all the same.
        drop(self.session.close().wait());
    }
}
