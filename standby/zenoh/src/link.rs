//! A device's end of the link: what its control thread holds, and what keeps the session for it.

mod line;
mod sender;

use crate::counters::{Counters, Tally};
use crate::session::OpenError;
use crate::settings::Settings;
use crate::wire::Carried;
use line::{Inbox, Line};
use rtrb::{Consumer, Producer, RingBuffer};
use sender::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use triple_buffer::{Input, Output, TripleBuffer};
use twinhelm_hal::term::Slot;
use twinhelm_standby::{HeardSample, Order, Refusal, Sample};

/// How many orders wait for the control thread. It takes all in each turn; people give one at a time.
pub const ORDERS_MAX: usize = 8;

/// How many refusals wait for the sender: one for each order that can wait.
pub const REFUSALS_MAX: usize = ORDERS_MAX;

/// Keeps a device's session open and its sender running. Dropping it ends both, and its liveliness token with them.
#[derive(Debug)]
pub struct Link {
    tally: Arc<Tally>,
    ending: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

/// What the control thread holds of a link. No method allocates, locks or waits.
///
/// It stays usable when the link is closed: nothing is heard any more, and what is published goes nowhere.
#[derive(Debug)]
pub struct LinkPort<S: Send, M: Send> {
    slot: Slot,
    samples: Input<Option<Sample<S, M>>>,
    peer: Output<Option<HeardSample<S, M>>>,
    orders: Consumer<Order>,
    refusals: Producer<Refusal>,
    sender: Thread,
    tally: Arc<Tally>,
}

impl Link {
    /// Opens the link of the device in `slot`, and returns at once whether or not the peer is there.
    ///
    /// Call it from a thread that drives no tokio `current_thread` runtime: Zenoh panics there. Zenoh's threads and
    /// the sender take over the scheduling of the calling thread.
    ///
    /// # Errors
    /// The settings are wrong, a listening endpoint is in use or not this machine's, or Zenoh fails.
    pub fn open<S: Carried, M: Carried>(
        slot: Slot,
        settings: &Settings,
    ) -> Result<(Self, LinkPort<S, M>), OpenError> {
        let tally = Arc::new(Tally::default());
        let (peer_heard, peer) = TripleBuffer::default().split();
        let (orders_heard, orders) = RingBuffer::new(ORDERS_MAX);
        let inbox = Inbox::new(&tally, peer_heard, orders_heard);
        let line = Line::open(slot, settings, &inbox)?;

        let (samples, samples_to_send) = TripleBuffer::default().split();
        let (refusals, refusals_to_send) = RingBuffer::new(REFUSALS_MAX);
        let sender = Sender {
            slot,
            settings: settings.clone(),
            tally: Arc::clone(&tally),
            inbox,
            line: Some(line),
            samples: samples_to_send,
            refusals: refusals_to_send,
        };
        let ending = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ending);
        let sender = thread::Builder::new()
            .name("link-tx".to_owned())
            .spawn(move || sender.run(&until))
            .map_err(OpenError::Thread)?;
        let port = LinkPort {
            slot,
            samples,
            peer,
            orders,
            refusals,
            sender: sender.thread().clone(),
            tally: Arc::clone(&tally),
        };
        let link = Self { tally, ending, sender: Some(sender) };
        Ok((link, port))
    }

    /// Returns what was counted since the link was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Ends the sender and closes the session. What was not sent yet is not sent any more.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(sender) = self.sender.take() {
            sender.thread().unpark();
            // It has nothing to say, and a panic of its own was printed already.
            drop(sender.join());
        }
    }
}

impl<S: Carried, M: Carried> LinkPort<S, M> {
    /// Hands the sample to the sender, in place of one that it has not sent yet.
    ///
    /// # Panics
    /// When the sample is of another slot: peers would drop it, and nobody would know why.
    pub fn publish(&mut self, sample: &Sample<S, M>) {
        assert!(sample.header.slot == self.slot, "a device publishes in its own slot");
        self.samples.write(Some(*sample));
        self.sender.unpark();
    }

    /// Returns the newest sample of the peer, if one came since the last call.
    pub fn peer(&mut self) -> Option<HeardSample<S, M>> {
        if self.peer.update() { *self.peer.output_buffer() } else { None }
    }

    /// Returns the next order to this device, if any.
    pub fn order(&mut self) -> Option<Order> {
        self.orders.pop().ok()
    }

    /// Hands the refusal to the sender; dropped and counted when [`REFUSALS_MAX`] wait already.
    pub fn refuse(&mut self, refusal: Refusal) {
        match self.refusals.push(refusal) {
            Ok(()) => self.sender.unpark(),
            Err(_) => self.tally.dropped.add_one(),
        }
    }
}
