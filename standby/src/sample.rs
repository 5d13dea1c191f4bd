//! What one device tells the other over the link, once a cycle.
//!
//! The sample decides nothing about who drives. It carries the state that lets the peer continue where this device
//! stands, what this device published about itself, and the gates' status as this device heard it on the bus.
//! Its age is told by its cycle against the cycle on the bus, which both devices hear: no clock is compared.

// It came over the link.
#![deny(clippy::arithmetic_side_effects)]

use crate::readiness::NotReady;
use crate::role::RoleName;
use serde::{Deserialize, Serialize};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::GATES;
use twinhelm_hal::signals::{Divergence, Signals};
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;

/// A sample older than this many cycles is not used. After a cut link heals, what waited in its buffers is.
pub const CYCLES_MAX: u64 = 2;

/// What one device tells the other in one cycle. `S` is the law's state, `M` its memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample<S, M> {
    /// What the protocol reads.
    pub header: Header,
    /// What the peer's law continues from; `None` while nothing is computed.
    pub published: Option<Published<S, M>>,
}

/// The part of a sample that the protocol reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who speaks.
    pub slot: Slot,
    /// The cycle that the sample is about.
    pub cycle: Cycle,
    /// The term that the device chose, if any.
    pub term: Option<Term>,
    /// Its role.
    pub role: RoleName,
    /// Whether it could take over now.
    pub ready: Result<(), NotReady>,
    /// Its command was handed to the bus in this cycle.
    pub sent: bool,
    /// Its law passed the self-check in this cycle.
    pub checked: bool,
    /// How far its command is from the holder's, when it heard the holder's.
    pub divergence: Option<Divergence>,
    /// The divergence has been beyond its bound for a gate lease.
    pub disputes: bool,
    /// Digest of mission and configuration.
    pub digest: u64,
    /// The gates' last status as heard on the bus.
    pub relayed: [Option<Relayed>; GATES as usize],
}

/// What a law computed from, and what came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published<S, M> {
    /// The law's memory before the step.
    pub memory: M,
    /// The readings that it was given.
    pub readings: S,
    /// The readings came from the device's own sensors.
    pub own_readings: bool,
    /// The law was asked for a standstill, not to drive.
    pub standstill: bool,
    /// The command; `None` when it was not finite or out of range.
    pub signals: Option<Signals>,
}

/// A gate's status, passed on. The term is wide, so that an old one is below, never above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// It acts on commands.
    pub open: bool,
    /// The adopted term.
    pub term: Option<Term>,
}

/// A sample that came over the link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeardSample<S, M> {
    /// When it arrived, by the clock of the device that it arrived at.
    pub at: Instant,
    /// The sample; `None` when the peer speaks another version.
    pub sample: Option<Sample<S, M>>,
}
