//! What the agents of a fleet say: to each other, to people, and for the timeline.

// What is read here came over the fleet's network.
#![deny(clippy::arithmetic_side_effects)]

use crate::migration::{self, Fencing, Outcome, Step, Ticket};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What one agent says to another, or a person to an agent. It may be lost, come twice, or late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// A spare is to do a step of a migration.
    Order {
        /// In whose name.
        ticket: Ticket,
        /// What.
        step: Step,
    },
    /// A spare is needed no more.
    Release {
        /// Which ticket ends.
        ticket: Ticket,
    },
    /// What a spare has done.
    Report {
        /// For which ticket.
        ticket: Ticket,
        /// What.
        outcome: Outcome,
    },
    /// The device is to stay off the bus, until it is readmitted.
    Fence {
        /// Why.
        why: String,
    },
    /// What became of that.
    Fenced(Fencing),
    /// The device may come back. Said to all: whoever ordered it off forgets it.
    Readmit {
        /// Which device.
        device: String,
    },
    /// The device that drives is to hand the wheel over.
    Switchover,
    /// The device is to hand the wheel over, and to leave the pair.
    Drain,
    /// Somebody wants to see the pool as this device ranks it.
    AskPool,
    /// It, the best first, and then those that could not.
    Pool(Vec<Ranked>),
    /// What was asked for was begun, or why not.
    Answer(Result<String, String>),
}

/// A device in the pool, as another ranks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// Its name.
    pub device: String,
    /// Its number on the bus.
    pub slot: Option<u8>,
    /// It could take the mission over.
    pub fit: bool,
    /// What counted for it, or stands against it.
    pub why: String,
}

/// An entry of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Which agent says so.
    pub device: String,
    /// Its count of entries: the order of its own, whatever its clock says.
    pub seq: u64,
    /// When, in milliseconds since 1970 by that device's clock, which may be wrong.
    pub unix_ms: u64,
    /// What.
    pub what: What,
}

/// What a timeline tells of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An agent came up.
    Up,
    /// A migration.
    Migration(migration::Event),
    /// The device obeys an order to stay off the bus.
    Fenced {
        /// Why.
        why: String,
    },
    /// It may come back.
    Readmitted,
    /// It was asked to hand the wheel over.
    Switchover,
    /// It was asked to leave the pair.
    Drained,
    /// Two others are on the bus: it stays a spare.
    StaysSpare,
    /// Somebody said or ordered what it may not, or has no key of the fleet.
    Refused {
        /// What was refused, and why.
        why: String,
        /// How often, since that was told last.
        times: u32,
    },
    /// It has what the mission goes on with.
    Fetched {
        /// From where, and what, in words.
        what: String,
    },
    /// No controller is left, every gate is in the safe state, and it is the best spare: it resumes the mission.
    LastResort,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("its agent is up"),
            Self::Migration(event) => event.fmt(f),
            Self::Fenced { why } => write!(f, "is off the bus: {why}"),
            Self::Readmitted => f.write_str("may come back"),
            Self::Switchover => f.write_str("was asked to hand the wheel over"),
            Self::Drained => f.write_str("was asked to leave the pair"),
            Self::Fetched { what } => write!(f, "fetched {what}"),
            Self::LastResort => f.write_str("no controller is left: it resumes the mission"),
            Self::Refused { why, times: 1 } => f.write_str(why),
            Self::Refused { why, times } => write!(f, "{why}, the last of {times}"),
            Self::StaysSpare => f.write_str("stays a spare: two others are on the bus"),
        }
    }
}
