//! The timeline, in the order of each device's own count, and the migrations that it tells of.
//!
//! Entries come in any order: what was missed is caught up while new ones arrive. So nothing is concluded from when an entry came.

use serde::Serialize;
use std::collections::BTreeSet;
use twinhelm_standby::fleet::{Told, What};
use twinhelm_standby::migration::{End, Event};

/// A migration, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Migration {
    /// Who leads it.
    pub(super) by: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) done: Vec<&'static str>,
    pub(super) end: Option<String>,
}

/// Every entry that was heard.
#[derive(Default)]
pub(super) struct History {
    entries: Vec<Told>,
    /// By device, count and time: a device that lost its disk counts anew.
    seen: BTreeSet<(String, u64, u64)>,
}

impl History {
    /// Takes in an entry; returns whether it is new.
    pub(super) fn add(&mut self, told: &Told) -> bool {
        if !self.seen.insert((told.device.clone(), told.seq, told.unix_ms)) {
            return false;
        }
        let is_earlier_than =
            |other: &Told| told.device == other.device && told.seq < other.seq && told.unix_ms <= other.unix_ms;
        let place = self.entries.iter().position(is_earlier_than).unwrap_or(self.entries.len());
        self.entries.insert(place, told.clone());
        true
    }

    /// Returns the entries, the newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Told> {
        self.entries.iter().rev()
    }

    /// Returns the migrations, in the order in which they began.
    pub(super) fn migrations(&self) -> Vec<Migration> {
        migrations(&self.entries)
    }

    /// Returns the migration that `told`, an entry of this history, belongs to, as far as it was then: none while its beginning is
    /// not known.
    pub(super) fn migration_of(&self, told: &Told) -> Option<Migration> {
        let place = self.entries.iter().position(|entry| entry == told)?;
        migrations(self.entries.get(..=place)?).into_iter().rfind(|migration| migration.by == told.device)
    }
}

/// Returns whose migration an entry tells of, and what.
fn of_migration(told: &Told) -> Option<(&str, &Event)> {
    if let What::Migration(event) = &told.what { Some((&told.device, event)) } else { None }
}

fn migrations(entries: &[Told]) -> Vec<Migration> {
    let mut all: Vec<Migration> = Vec::new();
    for (by, event) in entries.iter().filter_map(of_migration) {
        if let Event::Alone { lost } = event {
            all.push(Migration {
                by: by.to_owned(),
                from: lost.clone(),
                to: None,
                done: vec!["detect"],
                end: None,
            });
        } else if let Some(migration) = all.iter_mut().rfind(|migration| migration.by == by) {
            go_on(migration, event);
        }
    }
    all
}

fn go_on(migration: &mut Migration, event: &Event) {
    match event {
        Event::Alone { .. } | Event::GivenUp { .. } => {}
        Event::Chosen { device, .. } => {
            (migration.to, migration.end) = (Some(device.clone()), None);
            migration.done.truncate(1);
        }
        Event::Did { step, .. } => migration.done.push(step.name()),
        Event::Ended(end) => {
            if let End::Whole { .. } = end {
                migration.done.push("fence");
            }
            migration.end = Some(end.to_string());
        }
    }
}
