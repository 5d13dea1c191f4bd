//! What the agents of a fleet say: to each other, to people, and for the timeline.

// What is read here came over the fleet's network.
#![deny(clippy::arithmetic_side_effects)]

use crate::migration::{self, Fencing, Outcome, Step, Ticket};
use crate::pool::Ranked;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// It was asked for, and is under way: an [`Answer`](Self::Answer) follows when it is known what came of it.
    Begun,
    /// What came of what was asked for, or why nothing did.
    Answer(Result<String, String>),
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

/// A date beyond this is no date that anybody's clock shows: 3000-01-01, in milliseconds since 1970.
const YEAR_3000_MS: u64 = 32_503_680_000_000;

impl Told {
    /// Returns the day and the time of the entry, in UTC, as its device's clock had it.
    #[must_use]
    pub fn time(&self) -> String {
        let time = i64::try_from(self.unix_ms).ok().filter(|_| self.unix_ms < YEAR_3000_MS);
        let time = time.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        time.map_or_else(
            || "no time that a clock shows ".to_owned(),
            |time| time.strftime("%F %T%.3f UTC").to_string(),
        )
    }
}

/// Entries of a timeline, each once. They come in any order: what was missed is caught up while new ones arrive.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    of: BTreeMap<String, Vec<Told>>,
    /// By device, count and time: a device that lost its disk counts anew.
    seen: BTreeSet<(String, u64, u64)>,
}

impl Entries {
    /// Takes in an entry; returns whether it is new.
    pub fn add(&mut self, told: &Told) -> bool {
        let is_new = self.seen.insert((told.device.clone(), told.seq, told.unix_ms));
        if is_new {
            self.of.entry(told.device.clone()).or_default().push(told.clone());
        }
        is_new
    }

    /// Returns them all: those of one device in the order of its own count, whatever its clock says, and beside each other by their
    /// times.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Told> {
        let own: Vec<Vec<&Told>> = self.of.values().map(|own| of_one(own)).collect();
        let mut left: Vec<&[&Told]> = own.iter().map(Vec::as_slice).collect();
        let mut all = Vec::with_capacity(self.seen.len());
        loop {
            let next = left
                .iter_mut()
                .filter(|own| !own.is_empty())
                .min_by_key(|own| own.first().map(|told| told.unix_ms));
            let Some(next) = next else { return all };
            if let Some((first, rest)) = next.split_first() {
                all.push(*first);
                *next = rest;
            }
        }
    }
}

/// Returns the entries of one device in order: by its own count, or, where a number comes twice because it lost its disk and counted
/// anew, by its clock.
fn of_one(own: &[Told]) -> Vec<&Told> {
    let mut own: Vec<&Told> = own.iter().collect();
    own.sort_by_key(|told| (told.seq, told.unix_ms));
    if own.windows(2).any(|pair| matches!(pair, [first, second] if first.seq == second.seq)) {
        own.sort_by_key(|told| (told.unix_ms, told.seq));
    }
    own
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
    /// What was asked of it was done.
    Done {
        /// What came of it, in words.
        what: String,
    },
    /// What was asked of it was not done.
    NotDone {
        /// What was asked: `switchover`, `drain`, `fence` or `readmit`.
        order: String,
        /// Why not.
        why: String,
    },
    /// Two others are on the bus: it stays a spare.
    StaysSpare,
    /// Somebody said or ordered what it may not, or has no key of the fleet.
    Refused {
        /// What was refused, and why.
        why: String,
        /// How often, since that was told last.
        times: u32,
    },
    /// It holds the wheel from now on.
    Drives {
        /// In this term.
        term: Option<u32>,
    },
    /// Its mission ended, and nobody had asked for that.
    MissionEnded {
        /// How, in words.
        how: String,
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
            Self::Drives { term: Some(term) } => write!(f, "holds the wheel, in term {term}"),
            Self::Drives { term: None } => f.write_str("holds the wheel"),
            Self::MissionEnded { how } => write!(f, "its mission is gone: {how}"),
            Self::Done { what } => f.write_str(what),
            Self::NotDone { order, why } => write!(f, "refuses the {order}: {why}"),
            Self::Fetched { what } => write!(f, "fetched {what}"),
            Self::LastResort => f.write_str("no controller is left: it resumes the mission"),
            Self::Refused { why, times: 1 } => f.write_str(why),
            Self::Refused { why, times } => write!(f, "{why}, the last of {times}"),
            Self::StaysSpare => f.write_str("stays a spare: two others are on the bus"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(device: &str, seq: u64, unix_ms: u64) -> Told {
        Told { device: device.to_owned(), seq, unix_ms, what: What::Up }
    }

    fn order(entries: &[Told]) -> Vec<(String, u64)> {
        let mut all = Entries::default();
        assert!(entries.iter().all(|entry| all.add(entry)), "each is new");
        assert!(!entries.iter().any(|entry| all.add(entry)), "and is so once");
        all.in_order().into_iter().map(|told| (told.device.clone(), told.seq)).collect()
    }

    #[test]
    fn each_device_keeps_its_own_order_whatever_its_clock_says() {
        // Left's clock was set back after its first entry.
        let entries = [
            told("left", 3, 30),
            told("right", 0, 25),
            told("left", 1, 10),
            told("left", 0, 1_000),
            told("left", 2, 20),
        ];
        let left: Vec<u64> =
            order(&entries).iter().filter(|(device, _)| device == "left").map(|(_, seq)| *seq).collect();
        assert_eq!(left, [0, 1, 2, 3]);
    }

    #[test]
    fn devices_whose_clocks_agree_are_told_of_by_time() {
        let entries = [told("right", 0, 15), told("left", 1, 20), told("left", 0, 10)];
        assert_eq!(order(&entries), [("left".to_owned(), 0), ("right".to_owned(), 0), ("left".to_owned(), 1)]);
    }

    #[test]
    fn a_device_that_counts_anew_is_told_of_after_its_earlier_life() {
        let entries = [told("left", 0, 10), told("left", 1, 20), told("left", 0, 50), told("left", 1, 60)];
        let mut all = Entries::default();
        entries.iter().for_each(|entry| assert!(all.add(entry)));
        assert_eq!(all.in_order().iter().map(|told| told.unix_ms).collect::<Vec<_>>(), [10, 20, 50, 60]);
    }

    #[test]
    fn a_time_has_its_day_and_one_that_no_clock_shows_is_said_to_be_none() {
        assert_eq!(told("left", 0, 1_796_083_199_007).time(), "2026-11-30 23:59:59.007 UTC");
        assert!(told("left", 0, u64::MAX).time().starts_with("no time"));
        assert!(told("left", 0, 9_000_000_000_000_000).time().starts_with("no time"));
    }
}
