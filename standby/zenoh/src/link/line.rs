//! A session, what a device has declared in it, and the inbox that outlives it.

use crate::counters::Tally;
use crate::intake::Intake;
use crate::keys::{Kind, key, keys, slot_of};
use crate::session::{OpenError, open, publisher};
use crate::settings::Settings;
use crate::wire::Carried;
use rtrb::Producer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use triple_buffer::Input;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_linux::clock::now;
use twinhelm_standby::{HeardSample, Order};
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::sample::{Locality, SampleKind};
use zenoh::{Session, Wait};

/// Where Zenoh's threads leave what they heard; the locks are among them alone, nobody waits for the control thread.
pub(super) struct Inbox<S: Send, M: Send> {
    intake: Intake,
    tally: Arc<Tally>,
    samples: Mutex<Input<Option<HeardSample<S, M>>>>,
    orders: Mutex<Producer<Order>>,
    /// Whose liveliness tokens are seen.
    there: [AtomicBool; SLOTS as usize],
}

impl<S: Carried, M: Carried> Inbox<S, M> {
    pub(super) fn new(
        tally: &Arc<Tally>,
        samples: Input<Option<HeardSample<S, M>>>,
        orders: Producer<Order>,
    ) -> Arc<Self> {
        Arc::new(Self {
            intake: Intake::new(tally),
            tally: Arc::clone(tally),
            samples: Mutex::new(samples),
            orders: Mutex::new(orders),
            there: [const { AtomicBool::new(false) }; SLOTS as usize],
        })
    }

    /// Returns whether a device besides `own` is connected, by its token.
    pub(super) fn is_another_there(&self, own: Slot) -> bool {
        let mut others = self.there.iter().enumerate().filter(|(index, _)| *index != own.index());
        others.any(|(_, there)| there.load(Ordering::Relaxed))
    }

    fn on_state(&self, message: &zenoh::sample::Sample, own: Slot) {
        let at = now();
        if let Some((_, sample)) = self.intake.state(message, Some(own)) {
            // An old and a new connection of the peer are read by two threads.
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).write(Some(HeardSample { at, sample }));
        }
    }

    fn on_order(&self, message: &zenoh::sample::Sample, own: Slot) {
        let Some(order) = self.intake.order(message, own) else {
            return;
        };
        if self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order).is_err() {
            self.tally.dropped.add_one();
        }
    }

    fn on_token(&self, message: &zenoh::sample::Sample) {
        if let Some(slot) = slot_of(message.key_expr().as_str()) {
            self.there[slot.index()].store(message.kind() == SampleKind::Put, Ordering::Relaxed);
        }
    }
}

/// An open session. Dropping it closes it.
pub(super) struct Line {
    pub(super) state: Publisher<'static>,
    pub(super) refused: Publisher<'static>,
    session: Session,
    // Each is undeclared when it is dropped.
    _subscribers: [Subscriber<()>; 3],
    _alive: LivelinessToken,
}

impl Line {
    pub(super) fn open<S: Carried, M: Carried>(
        slot: Slot,
        settings: &Settings,
        inbox: &Arc<Inbox<S, M>>,
    ) -> Result<Self, OpenError> {
        let session = open(settings)?;
        let vehicle = &settings.vehicle;
        for there in &inbox.there {
            there.store(false, Ordering::Relaxed);
        }
        let (state, refused) =
            (speak(&session, vehicle, Kind::State, slot)?, speak(&session, vehicle, Kind::Refused, slot)?);

        let states = keys(vehicle, Kind::State);
        let to = Arc::clone(inbox);
        let samples = session
            .declare_subscriber(&states)
            // Zenoh would hand this device its own samples too, on the sender's thread.
            .allowed_origin(Locality::Remote)
            .callback(move |message| to.on_state(&message, slot))
            .wait()
            .map_err(OpenError::of(&states))?;

        let order = key(vehicle, Kind::Order, slot);
        let to = Arc::clone(inbox);
        let orders = session
            .declare_subscriber(&order)
            .callback(move |message| to.on_order(&message, slot))
            .wait()
            .map_err(OpenError::of(&order))?;

        let tokens = keys(vehicle, Kind::Alive);
        let to = Arc::clone(inbox);
        let others = session
            .liveliness()
            .declare_subscriber(&tokens)
            .history(true)
            .callback(move |message| to.on_token(&message))
            .wait()
            .map_err(OpenError::of(&tokens))?;
        let token = key(vehicle, Kind::Alive, slot);
        let alive = session.liveliness().declare_token(&token).wait().map_err(OpenError::of(&token))?;
        Ok(Self { state, refused, session, _subscribers: [samples, orders, others], _alive: alive })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A session that cannot be closed is dropped all the same.
        drop(self.session.close().wait());
    }
}

fn speak(session: &Session, vehicle: &str, kind: Kind, slot: Slot) -> Result<Publisher<'static>, OpenError> {
    let key = key(vehicle, kind, slot);
    publisher(session, &key).map_err(OpenError::of(&key))
}
