//! What came, what went, and what was dropped on the way. Counted by whichever thread it happened on.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a link or an observer has counted since it was opened. For people: no decision rests on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages handed to Zenoh, which may still drop them.
    pub sent: u64,
    /// Messages that did not fit into the wire's buffer, or that Zenoh refused.
    pub unsent: u64,
    /// Messages read, and of this version.
    pub received: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages of another version.
    pub other_version: u64,
    /// Messages whose slot is not that of their key, or is the own one, or whose key names no slot.
    pub foreign: u64,
    /// Messages that were read, and for which the bounded queue had no room.
    pub dropped: u64,
}

/// The counters while they run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: Count,
    pub(crate) unsent: Count,
    pub(crate) received: Count,
    pub(crate) malformed: Count,
    pub(crate) other_version: Count,
    pub(crate) foreign: Count,
    pub(crate) dropped: Count,
}

impl Tally {
    pub(crate) fn read(&self) -> Counters {
        Counters {
            sent: self.sent.read(),
            unsent: self.unsent.read(),
            received: self.received.read(),
            malformed: self.malformed.read(),
            other_version: self.other_version.read(),
            foreign: self.foreign.read(),
            dropped: self.dropped.read(),
        }
    }
}

/// One counter. Relaxed, because nothing is ordered by it.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
