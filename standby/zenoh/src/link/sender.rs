//! The thread `link-tx`: encodes what the control thread leaves for it, and puts it. It also mends the line.
//!
//! A put may wait for a millisecond when the network does not take the one before. That is why it is not the control
//! thread's business. While this thread waits, newer samples replace the one that it would have sent next.
//!
//! After a cut that ends just when the link is torn down, Zenoh can be left with a transport that one end cannot send on
//! any more: the late end of the old connection takes the new one with it, or the new one was merged into what was left of
//! the old (eclipse-zenoh/zenoh#2806). It does not heal. Nobody but the deaf end can notice; so a device that sees
//! the other's token, and has heard nothing of it for long, opens its session anew.

use super::line::{Inbox, Line};
use crate::counters::Tally;
use crate::settings::Settings;
use crate::wire::{BYTES_MAX, Carried, encode};
use rtrb::Consumer;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use triple_buffer::Output;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::{Refusal, Sample};
use zenoh::Wait;
use zenoh::pubsub::Publisher;

/// Silence of so many link leases is not the network's: a link without a sign of life is torn down after one.
const QUIET_LEASES: u32 = 2;

pub(super) struct Sender<S: Send, M: Send> {
    pub(super) slot: Slot,
    pub(super) settings: Settings,
    pub(super) tally: Arc<Tally>,
    pub(super) inbox: Arc<Inbox<S, M>>,
    /// `None` when it could not be opened anew; that is tried again.
    pub(super) line: Option<Line>,
    pub(super) samples: Output<Option<Sample<S, M>>>,
    pub(super) refusals: Consumer<Refusal>,
}

impl<S: Carried, M: Carried> Sender<S, M> {
    /// Sends until `ending`, and then closes the session.
    pub(super) fn run(mut self, ending: &AtomicBool) {
        let mut heard = Heard { count: 0, at: now() };
        let quiet = self.settings.link_lease.saturating_mul(QUIET_LEASES);
        while !ending.load(Ordering::Acquire) {
            self.send_pending();
            if heard.nothing_for(quiet, self.tally.read().received) {
                self.mend();
            }
            // Returns at once when something was left here since the last time.
            thread::park_timeout(quiet);
        }
    }

    fn send_pending(&mut self) {
        if self.samples.update()
            && let Some(sample) = self.samples.output_buffer()
            && let Some(line) = &self.line
        {
            put(&line.state, sample, &self.tally);
        }
        while let Ok(refusal) = self.refusals.pop() {
            if let Some(line) = &self.line {
                put(&line.refused, &refusal, &self.tally);
            }
        }
    }

    /// Opens the session anew, unless nobody is there to be heard.
    fn mend(&mut self) {
        if self.line.is_some() && !self.inbox.is_another_there(self.slot) {
            return;
        }
        // First the old one: it has the port.
        drop(self.line.take());
        self.line = Line::open(self.slot, &self.settings, &self.inbox).ok();
    }
}

fn put<T: Serialize>(publisher: &Publisher<'static>, message: &T, tally: &Tally) {
    let mut buffer = [0; BYTES_MAX];
    let is_sent = encode(message, &mut buffer).is_ok_and(|bytes| publisher.put(bytes).wait().is_ok());
    if is_sent { tally.sent.add_one() } else { tally.unsent.add_one() }
}

/// When something was received last.
struct Heard {
    count: u64,
    at: Instant,
}

impl Heard {
    /// Returns whether nothing was received for `quiet`, and begins to count anew then.
    fn nothing_for(&mut self, quiet: Duration, count: u64) -> bool {
        let now = now();
        let is_quiet = count == self.count && now.since(self.at) >= quiet;
        if is_quiet || count != self.count {
            *self = Self { count, at: now };
        }
        is_quiet
    }
}
