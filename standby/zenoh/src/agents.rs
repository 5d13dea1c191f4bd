//! What the devices' agents say of themselves, and what they overhear: the state of whoever drives, to hand it on.
//!
//! None of this is in the control path. An agent's report is bytes here: what they say is between agents and those who ask.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::fleet::{self, FleetLine};
use crate::keys::{Kind, key, keys, slot_of};
use crate::session::{OpenError, open, open_agent, open_client};
use crate::settings::Settings;
use crate::stock::Stock;
use crate::wire::{BYTES_MAX, Decoded, VERSION, decode, encode};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::{Header, Order, Refusal};
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::query::Queryable;
use zenoh::{Session, Wait};

/// So many samples of the own device wait for whoever records them: seconds of them, at 1 kHz too.
const OWN_MAX: usize = 4_096;

/// What was overheard of the devices.
#[derive(Debug, Default)]
struct Overheard {
    /// The last sample of whoever drove, as it came over the wire.
    state: Option<DeviceSample>,
    /// The last header of each device, and when it came.
    headers: [Option<(Instant, Header)>; SLOTS as usize],
    /// What each device refused last, and when that was heard.
    refusals: [Option<(Instant, Refusal)>; SLOTS as usize],
    /// What the own device published, if somebody records it; and how many of its samples were lost since it was taken.
    own: Option<(VecDeque<DeviceSample>, u64)>,
}

/// A sample that was overheard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSample {
    /// When it came.
    pub at: Instant,
    /// The part of it that does not depend on the law.
    pub header: Header,
    /// All of it, as it came over the wire.
    pub bytes: Vec<u8>,
}

/// An ear to what the devices publish. It hears nothing more when its line is gone.
#[derive(Clone, Debug)]
pub struct Ear(Arc<Mutex<Overheard>>);

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Overheard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last sample that a device published in a cycle in which it sent its command. The own device's are among them,
    /// if its endpoint is one that this session connects to.
    #[must_use]
    pub fn last_state(&self) -> Option<DeviceSample> {
        self.heard().state.clone()
    }

    /// Returns the last header of each device by its slot, and when it came.
    #[must_use]
    pub fn headers(&self) -> [Option<(Instant, Header)>; SLOTS as usize] {
        self.heard().headers
    }

    /// Returns what the device in `slot` refused last, and when that was heard.
    #[must_use]
    pub fn refusal(&self, slot: Slot) -> Option<(Instant, Refusal)> {
        self.heard().refusals[slot.index()]
    }

    /// Returns what the own device has published since the last call, oldest first, and how many samples were lost, because
    /// nobody took them. The first call returns nothing, and has them kept from then on.
    #[must_use]
    pub fn take_own(&self) -> (Vec<DeviceSample>, u64) {
        let mut heard = self.heard();
        let (samples, lost) = heard.own.get_or_insert_default();
        (samples.drain(..).collect(), std::mem::take(lost))
    }
}

/// An agent's line to whoever asks, and its ear to those who drive. Dropping it closes its session.
#[derive(Debug)]
pub struct AgentLine {
    session: Session,
    publisher: Publisher<'static>,
    report: Arc<Mutex<Vec<u8>>>,
    ear: Ear,
    _asked: Queryable<()>,
    _subscribers: [Subscriber<()>; 2],
}

impl AgentLine {
    /// Opens the line of the agent of the device in `slot`, and returns at once whether or not anybody is there.
    ///
    /// # Errors
    /// The settings are wrong, a listening endpoint is in use or not this machine's, or Zenoh fails.
    pub fn open(slot: Slot, settings: &Settings) -> Result<Self, OpenError> {
        let session = open_agent(settings)?;
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
        let ear = Ear(Arc::default());
        let hears = ear.clone();
        let states = keys(&settings.vehicle, Kind::State);
        let subscriber = session
            .declare_subscriber(&states)
            .callback(move |message| {
                let (at, bytes) = (now(), message.payload().to_bytes());
                let Some(of) = slot_of(message.key_expr().as_str()) else { return };
                let Some(header) = header(&bytes).filter(|header| header.slot == of) else { return };
                let mut hears = hears.heard();
                hears.headers[of.index()] = Some((at, header));
                if bytes.len() > BYTES_MAX || !(header.sent || of == slot) {
                    return;
                }
                let sample = DeviceSample { at, header, bytes: bytes.into_owned() };
                if let Some((own, lost)) = hears.own.as_mut().filter(|_| of == slot) {
                    if own.len() < OWN_MAX {
                        own.push_back(sample.clone());
                    } else {
                        *lost = lost.saturating_add(1);
                    }
                }
                if header.sent {
                    hears.state = Some(sample);
                }
            })
            .wait()
            .map_err(OpenError::of(&states))?;
        let refusals = hear_refusals(&session, settings, ear.clone())?;
        Ok(Self { session, publisher, report, ear, _asked: asked, _subscribers: [subscriber, refusals] })
    }

    /// Tells everybody how the agent stands, and whoever asks from now on.
    pub fn tell(&self, report: Vec<u8>) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report.clone();
        // A report that does not arrive is followed by the next.
        drop(self.publisher.put(report).wait());
    }

    /// Returns an ear to what the devices publish.
    #[must_use]
    pub fn ear(&self) -> Ear {
        self.ear.clone()
    }

    /// Opens what the device called `device` has for its neighbours, on this session: it ends with it.
    ///
    /// # Errors
    /// Zenoh does not take a key.
    pub fn stock(&self, device: &str, vehicle: &str) -> Result<Stock, OpenError> {
        Stock::on(self.session.clone(), device, vehicle)
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

fn hear_refusals(session: &Session, settings: &Settings, hears: Ear) -> Result<Subscriber<()>, OpenError> {
    let refused = keys(&settings.vehicle, Kind::Refused);
    let subscriber = session.declare_subscriber(&refused).callback(move |message| {
        let at = now();
        let Some(of) = slot_of(message.key_expr().as_str()) else { return };
        if let Decoded::Read(refusal) = decode(&message.payload().to_bytes()) {
            hears.heard().refusals[of.index()] = Some((at, refusal));
        }
    });
    subscriber.wait().map_err(OpenError::of(&refused))
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
