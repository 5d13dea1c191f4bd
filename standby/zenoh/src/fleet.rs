//! What the agents of a fleet say to each other, and to people who ask: offers to all, words to one, and entries of a timeline,
//! of which whoever was away can have the last ones.
//!
//! ```text
//!   twinhelm/<vehicle>/offer/<device>       what a device offers, about once a second
//!   twinhelm/<vehicle>/word/<to>/<from>     a word to one device
//!   twinhelm/<vehicle>/event/<device>       an entry; a query returns the last ones
//! ```
//!
//! What is said is bytes here, numbered: it is heard once by whatever ways it comes. None of it is in the control path.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::once::{Numbers, Once};
use crate::session::{OpenError, open_client};
use crate::settings::Settings;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::time::Duration;
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::query::Queryable;
use zenoh::{Session, Wait};

/// So many entries each device keeps for those who ask.
pub const HISTORY_MAX: usize = 1_000;

/// Something that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What a device offers.
    Offer {
        /// Who.
        device: String,
        /// What.
        bytes: Vec<u8>,
    },
    /// A word to the own device.
    Word {
        /// Who says it.
        from: String,
        /// What.
        bytes: Vec<u8>,
    },
    /// An entry of a timeline.
    Event {
        /// Whose.
        device: String,
        /// What.
        bytes: Vec<u8>,
    },
}

/// A device's line to its fleet, or somebody's who asks.
#[derive(Debug)]
pub struct FleetLine {
    session: Session,
    is_own: bool,
    vehicle: String,
    device: String,
    offers: Publisher<'static>,
    events: Publisher<'static>,
    history: Arc<Mutex<VecDeque<Vec<u8>>>>,
    numbers: Numbers,
    _subscribers: [Subscriber<()>; 3],
    _asked: Queryable<()>,
    _alive: LivelinessToken,
}

impl FleetLine {
    /// Opens a line with a session of its own, for somebody who is called `device` and has no agent.
    ///
    /// # Errors
    /// As [`Link::open`](crate::Link::open).
    pub fn open(
        device: &str,
        settings: &Settings,
        hear: impl Fn(Heard) + Clone + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let session = open_client(settings)?;
        Self::on(session, true, device, &settings.vehicle, hear)
    }

    /// Opens a line on a session that its owner closes.
    pub(crate) fn on(
        session: Session,
        is_own: bool,
        device: &str,
        vehicle: &str,
        hear: impl Fn(Heard) + Clone + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let offer = format!("twinhelm/{vehicle}/offer/{device}");
        let event = format!("twinhelm/{vehicle}/event/{device}");
        let offers = session.declare_publisher(offer.clone()).wait().map_err(OpenError::of(&offer))?;
        let events = session.declare_publisher(event.clone()).wait().map_err(OpenError::of(&event))?;
        let history = Arc::new(Mutex::new(VecDeque::<Vec<u8>>::new()));
        let asked = {
            let (history, key) = (Arc::clone(&history), event.clone());
            session
                .declare_queryable(event.clone())
                .callback(move |query| {
                    let all = history.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    for bytes in all {
                        // Whoever asked may be gone.
                        drop(query.reply(key.clone(), bytes).wait());
                    }
                })
                .wait()
                .map_err(OpenError::of(&event))?
        };
        let subscribe = |key: String, heard: fn(String, Vec<u8>) -> Heard| {
            let hear = hear.clone();
            let once = Mutex::new(Once::default());
            session
                .declare_subscriber(key.clone())
                .callback(move |message| {
                    let Some((_, who)) = message.key_expr().as_str().rsplit_once('/') else { return };
                    let mark = message.attachment().map(ZBytes::to_bytes).unwrap_or_default();
                    let is_new = once.lock().unwrap_or_else(PoisonError::into_inner).is_new(who, &mark);
                    if is_new {
                        hear(heard(who.to_owned(), message.payload().to_bytes().into_owned()));
                    }
                })
                .wait()
                .map_err(OpenError::of(&key))
        };
        let subscribers = [
            subscribe(format!("twinhelm/{vehicle}/offer/*"), |device, bytes| Heard::Offer { device, bytes })?,
            subscribe(format!("twinhelm/{vehicle}/word/{device}/*"), |from, bytes| Heard::Word { from, bytes })?,
            subscribe(format!("twinhelm/{vehicle}/event/*"), |device, bytes| Heard::Event { device, bytes })?,
        ];
        let token = format!("twinhelm/{vehicle}/pool/{device}");
        let alive = session.liveliness().declare_token(&token).wait().map_err(OpenError::of(&token))?;
        Ok(Self {
            is_own,
            vehicle: vehicle.to_owned(),
            device: device.to_owned(),
            offers,
            events,
            history,
            numbers: Numbers::of(session.zid().to_le_bytes()),
            _subscribers: subscribers,
            _asked: asked,
            _alive: alive,
            session,
        })
    }

    /// Says what the own device offers.
    pub fn offer(&self, bytes: Vec<u8>) {
        // One that does not arrive is followed by the next.
        drop(self.offers.put(bytes).attachment(self.numbers.mark()).wait());
    }

    /// Says something to `device`. That it is heard is told by its answer.
    pub fn say(&self, device: &str, bytes: Vec<u8>) {
        let key = format!("twinhelm/{}/word/{device}/{}", self.vehicle, self.device);
        drop(self.session.put(key, bytes).attachment(self.numbers.mark()).wait());
    }

    /// Makes an entry in the timeline, and keeps it for those who ask.
    pub fn note(&self, bytes: Vec<u8>) {
        self.keep(bytes.clone());
        drop(self.events.put(bytes).attachment(self.numbers.mark()).wait());
    }

    /// Keeps an entry of an earlier life for those who ask.
    pub fn keep(&self, bytes: Vec<u8>) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() >= HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(bytes);
    }

    /// Asks all devices for their last entries; returns what came within `wait`, and under whose key.
    ///
    /// # Errors
    /// Zenoh does not take the question.
    pub fn events(&self, wait: Duration) -> Result<Vec<(String, Vec<u8>)>, OpenError> {
        let key = format!("twinhelm/{}/event/*", self.vehicle);
        let replies = self
            .session
            .get(&key)
            .timeout(wait)
            // Each entry is a reply of its own, and all of a device's have one key.
            .consolidation(zenoh::query::ConsolidationMode::None)
            .wait()
            .map_err(OpenError::of(&key))?;
        let mut events = Vec::new();
        while let Ok(reply) = replies.recv() {
            let Ok(sample) = reply.result() else { continue };
            if let Some((_, device)) = sample.key_expr().as_str().rsplit_once('/') {
                events.push((device.to_owned(), sample.payload().to_bytes().into_owned()));
            }
        }
        Ok(events)
    }
}

impl Drop for FleetLine {
    fn drop(&mut self) {
        if self.is_own {
            // A session that cannot be closed is dropped all the same.
            drop(self.session.close().wait());
        }
    }
}
