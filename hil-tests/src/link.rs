//! The link between two devices as the World keeps it: delay, loss, duplicates, reordering, cuts.
//!
//! A cut behaves as a relay that stops forwarding without closing: what was sent meanwhile waits, and comes in one
//! burst when the link heals. The receiving end is a latest-value cell.

use crate::rng::Rng;
use twinhelm_hal::time::{Duration, Instant};

/// How many samples wait behind a cut, at most: what a socket's buffer would hold.
const BACKLOG_MAX: usize = 256;

/// One direction of the link.
#[derive(Clone, Debug)]
pub struct Direction<T> {
    /// The least time from one device to the other.
    pub delay: Duration,
    /// So much more, at random.
    pub spread: Duration,
    /// The part of samples lost.
    pub loss: f64,
    /// The part of samples that come twice.
    pub duplicates: f64,
    /// A sample may overtake the one before it.
    pub reorders: bool,
    cut: bool,
    backlog: Vec<T>,
    last_arrival: Instant,
}

impl<T: Clone> Direction<T> {
    /// Returns a direction as between two boards on one switch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            delay: Duration::from_micros(200),
            spread: Duration::from_micros(600),
            loss: 0.0,
            duplicates: 0.0,
            reorders: false,
            cut: false,
            backlog: Vec::new(),
            last_arrival: Instant::ZERO,
        }
    }

    /// Sends `sample` at `now`; calls `arrive` with each arrival.
    pub fn send(&mut self, now: Instant, sample: T, rng: &mut Rng, mut arrive: impl FnMut(Instant, T)) {
        if self.cut {
            if self.backlog.len() < BACKLOG_MAX {
                self.backlog.push(sample);
            }
            return;
        }
        if rng.chance(self.loss) {
            return;
        }
        let copies = if rng.chance(self.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let mut at = now + self.delay + rng.span(Duration::ZERO, self.spread);
            if !self.reorders {
                at = at.max(self.last_arrival);
            }
            self.last_arrival = self.last_arrival.max(at);
            arrive(at, sample.clone());
        }
    }

    /// Cuts the direction.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// Heals the direction: what waited arrives in one burst.
    pub fn heal(&mut self, now: Instant, mut arrive: impl FnMut(Instant, T)) {
        self.cut = false;
        for (index, sample) in self.backlog.drain(..).enumerate() {
            arrive(now + Duration::from_micros(500 + index as u64), sample);
        }
    }
}

impl<T: Clone> Default for Direction<T> {
    fn default() -> Self {
        Self::new()
    }
}
