//! A device's ports in memory: fixed arrays, so that what is measured is the turn.

use std::time::Duration;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Received};
use twinhelm_hal::time::Instant;
use twinhelm_standby::{HeardSample, Order, Ports, Refusal, Sample};
use twinhelm_vehicle::law::Memory;
use twinhelm_vehicle::signals::State;

/// More than a device hears or sends in one period.
const FRAMES_MAX: usize = 16;

/// A queue of fixed size.
#[derive(Clone, Copy, Debug)]
pub struct Few<T> {
    held: [Option<T>; FRAMES_MAX],
    first: usize,
    behind: usize,
}

impl<T: Copy> Few<T> {
    const fn new() -> Self {
        Self { held: [None; FRAMES_MAX], first: 0, behind: 0 }
    }

    /// Appends an item; what does not fit overwrites the oldest.
    pub fn push(&mut self, item: T) {
        self.held[self.behind] = Some(item);
        self.behind = (self.behind + 1) % FRAMES_MAX;
    }

    /// Returns the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.held[self.first].take()?;
        self.first = (self.first + 1) % FRAMES_MAX;
        Some(item)
    }
}

/// What a device reaches in a benchmark.
#[derive(Clone, Debug)]
pub struct BenchPorts {
    /// The time of the turn.
    pub now: Instant,
    /// What its sensors read.
    pub reading: State,
    /// The peer's newest sample.
    pub peer: Option<HeardSample<State, Memory>>,
    /// What the device told.
    pub told: Option<Sample<State, Memory>>,
    /// What it sent.
    pub sent: Few<Frame>,
    heard: Few<Received>,
}

impl BenchPorts {
    pub(crate) const fn new(now: Instant, reading: State) -> Self {
        Self { now, reading, peer: None, told: None, sent: Few::new(), heard: Few::new() }
    }

    pub(crate) fn hear(&mut self, received: Received) {
        self.heard.push(received);
    }
}

impl Bus for BenchPorts {
    fn send(&mut self, frame: Frame) {
        self.sent.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        self.heard.pop()
    }
}

impl Ports<State, Memory> for BenchPorts {
    fn now(&self) -> Instant {
        self.now + Duration::from_micros(20)
    }

    fn readings(&mut self) -> Option<State> {
        Some(self.reading)
    }

    fn peer(&mut self) -> Option<HeardSample<State, Memory>> {
        self.peer
    }

    fn publish(&mut self, sample: &Sample<State, Memory>) {
        self.told = Some(*sample);
    }

    fn order(&mut self) -> Option<Order> {
        None
    }

    fn refuse(&mut self, _refusal: Refusal) {}
}
