//! The thread `link-tx`: encodes what the control thread leaves for it, and puts it.
//!
//! A put may wait for a millisecond when the network does not take the one before. That is why it is not the control
//! thread's business. While this thread waits, newer samples replace the one that it would have sent next.

use crate::counters::Tally;
use crate::keys::{Kind, key};
use crate::session::OpenError;
use crate::wire::{BYTES_MAX, Carried, encode};
use rtrb::Consumer;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use triple_buffer::Output;
use twinhelm_hal::term::Slot;
use twinhelm_standby::{Refusal, Sample};
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Session, Wait};

pub(super) struct Sender<S: Send, M: Send> {
    samples: Output<Option<Sample<S, M>>>,
    refusals: Consumer<Refusal>,
    state: Publisher<'static>,
    refused: Publisher<'static>,
    tally: Arc<Tally>,
}

impl<S: Carried, M: Carried> Sender<S, M> {
    pub(super) fn declare(
        session: &Session,
        vehicle: &str,
        slot: Slot,
        samples: Output<Option<Sample<S, M>>>,
        refusals: Consumer<Refusal>,
        tally: &Arc<Tally>,
    ) -> Result<Self, OpenError> {
        let declare = |kind| {
            let key = key(vehicle, kind, slot);
            session
                .declare_publisher(key.clone())
                // Express messages take a whole batch each, and with two batches the newest are lost first.
                .express(false)
                .congestion_control(CongestionControl::Drop)
                .priority(Priority::RealTime)
                .wait()
                .map_err(OpenError::of(&key))
        };
        let (state, refused) = (declare(Kind::State)?, declare(Kind::Refused)?);
        Ok(Self { samples, refusals, state, refused, tally: Arc::clone(tally) })
    }

    /// Sends until `ending`.
    pub(super) fn run(mut self, ending: &AtomicBool) {
        while !ending.load(Ordering::Acquire) {
            self.send_pending();
            // Returns at once when something was left here since the last time.
            thread::park();
        }
    }

    fn send_pending(&mut self) {
        if self.samples.update()
            && let Some(sample) = self.samples.output_buffer()
        {
            self.put(&self.state, sample);
        }
        while let Ok(refusal) = self.refusals.pop() {
            self.put(&self.refused, &refusal);
        }
    }

    fn put<T: Serialize>(&self, publisher: &Publisher<'static>, message: &T) {
        let mut buffer = [0; BYTES_MAX];
        let is_sent = encode(message, &mut buffer).is_ok_and(|bytes| publisher.put(bytes).wait().is_ok());
        if is_sent { self.tally.sent.add_one() } else { self.tally.unsent.add_one() }
    }
}
