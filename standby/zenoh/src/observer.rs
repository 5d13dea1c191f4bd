//! Somebody who listens to all devices of a vehicle and may ask them for something. It is no device: it has no slot
//! and no state, and whether it is there makes no difference to them.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::counters::{Counters, Tally};
use crate::intake::Intake;
use crate::keys::{Kind, key, keys, slots};
use crate::session::{OpenError, open};
use crate::settings::Settings;
use crate::wire::{BYTES_MAX, Carried, TooLarge, encode};
use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::{Order, Refusal, Sample};
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::CongestionControl;
use zenoh::{Session, Wait};

/// How much waits for an observer that is busy: what two devices say in a second and more at 100 Hz.
pub const OBSERVED_MAX: usize = 256;

/// What an observer heard. `at` is when it arrived, by the clock of the observer's machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observed<S, M> {
    /// A device's sample.
    State {
        /// When it arrived.
        at: Instant,
        /// The device.
        slot: Slot,
        /// The sample; `None` when the device speaks another version.
        sample: Option<Sample<S, M>>,
    },
    /// A device did not do what it was asked.
    Refused {
        /// When that arrived.
        at: Instant,
        /// The device.
        slot: Slot,
        /// Why not.
        refusal: Refusal,
    },
}

/// Why an order was not given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No device of that slot listens.
    #[error(
        "nobody listens in slot {slot} of {vehicle:?}: is the device running, and is its endpoint written down?"
    )]
    NobodyThere {
        /// The vehicle.
        vehicle: String,
        /// The slot.
        slot: Slot,
    },
    /// The order is too large for the wire.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Zenoh does not take it.
    #[error("sending an order to slot {slot}")]
    Send {
        /// The slot.
        slot: Slot,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Listens to all devices of a vehicle. Dropping it closes its session.
#[derive(Debug)]
pub struct Observer<S, M> {
    vehicle: String,
    tally: Arc<Tally>,
    observed: Receiver<Observed<S, M>>,
    orders: Vec<Publisher<'static>>,
    session: Session,
    _subscribers: [Subscriber<()>; 2],
}

impl<S: Carried, M: Carried> Observer<S, M> {
    /// Opens an observer's session, and returns at once whether or not a device is there.
    ///
    /// It passes nothing on from one device to another, even when it is connected to both. The threads are as for
    /// [`Link::open`](crate::Link::open).
    ///
    /// # Errors
    /// The settings are wrong, a listening endpoint is in use or not this machine's, or Zenoh fails.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        Self::on(open(settings)?, &settings.vehicle)
    }

    pub(crate) fn on(session: Session, vehicle: &str) -> Result<Self, OpenError> {
        let tally = Arc::new(Tally::default());
        let (sink, observed) = sync_channel(OBSERVED_MAX);
        let sink = Sink { intake: Intake::new(&tally), tally: Arc::clone(&tally), to: sink };
        let states = sink.clone().hear_states(&session, vehicle)?;
        let refusals = sink.hear_refusals(&session, vehicle)?;
        let orders = slots().map(|slot| declare_orders(&session, vehicle, slot)).collect::<Result<_, _>>()?;
        Ok(Self { vehicle: vehicle.to_owned(), tally, observed, orders, session, _subscribers: [states, refusals] })
    }

    /// Returns what was heard next, in the order of arrival; `None` when nothing comes within `wait`.
    pub fn next(&self, wait: Duration) -> Option<Observed<S, M>> {
        self.observed.recv_timeout(wait).ok()
    }

    /// Orders something of the device in `slot`. That this succeeds means that a device listens and Zenoh took the
    /// order, not that it arrived, let alone that it was followed: look at the roles, and at what is refused.
    ///
    /// May wait while the network is full, up to the link lease.
    ///
    /// # Errors
    /// No device of that slot is connected, or Zenoh fails.
    pub fn order(&self, slot: Slot, order: Order) -> Result<(), OrderError> {
        let failed = |source| OrderError::Send { slot, source };
        let publisher = &self.orders[slot.index()];
        if !publisher.matching_status().wait().map_err(failed)?.matching() {
            return Err(OrderError::NobodyThere { vehicle: self.vehicle.clone(), slot });
        }
        publisher.put(encode(&order, &mut [0; BYTES_MAX])?).wait().map_err(failed)?;
        self.tally.sent.add_one();
        Ok(())
    }

    /// Returns what was counted since the observer was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }
}

impl<S, M> Drop for Observer<S, M> {
    fn drop(&mut self) {
        // A session that cannot be closed is dropped all the same.
        drop(self.session.close().wait());
    }
}

/// An order is rare and must not be the message that a full queue drops, so it waits.
fn declare_orders(session: &Session, vehicle: &str, slot: Slot) -> Result<Publisher<'static>, OpenError> {
    let key = key(vehicle, Kind::Order, slot);
    session
        .declare_publisher(key.clone())
        .congestion_control(CongestionControl::Block)
        .wait()
        .map_err(OpenError::of(&key))
}

/// Where Zenoh's threads leave what they heard. A full one drops the newest, and never holds them up.
struct Sink<S, M> {
    intake: Intake,
    tally: Arc<Tally>,
    to: SyncSender<Observed<S, M>>,
}

impl<S, M> Clone for Sink<S, M> {
    fn clone(&self) -> Self {
        Self { intake: self.intake.clone(), tally: Arc::clone(&self.tally), to: self.to.clone() }
    }
}

impl<S: Carried, M: Carried> Sink<S, M> {
    fn hear_states(self, session: &Session, vehicle: &str) -> Result<Subscriber<()>, OpenError> {
        let key = keys(vehicle, Kind::State);
        session
            .declare_subscriber(&key)
            .callback(move |message| {
                let at = now();
                if let Some((slot, sample)) = self.intake.state(&message, None) {
                    self.leave(Observed::State { at, slot, sample });
                }
            })
            .wait()
            .map_err(OpenError::of(&key))
    }

    fn hear_refusals(self, session: &Session, vehicle: &str) -> Result<Subscriber<()>, OpenError> {
        let key = keys(vehicle, Kind::Refused);
        session
            .declare_subscriber(&key)
            .callback(move |message| {
                let at = now();
                if let Some((slot, refusal)) = self.intake.refusal(&message) {
                    self.leave(Observed::Refused { at, slot, refusal });
                }
            })
            .wait()
            .map_err(OpenError::of(&key))
    }

    fn leave(&self, observed: Observed<S, M>) {
        if self.to.try_send(observed).is_err() {
            self.tally.dropped.add_one();
        }
    }
}
