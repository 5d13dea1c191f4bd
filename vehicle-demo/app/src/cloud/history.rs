//! The timeline, in the order of each device's own count, and the migrations that it tells of.
//!
//! Entries come in any order: what was missed is caught up while new ones arrive. So nothing is concluded from when an entry came.

use serde::Serialize;
use twinhelm_standby::fleet::{Entries, Told, What};
use twinhelm_standby::migration::{End, Event, Fencing};

/// A migration, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Migration {
    /// Who leads it.
    pub(super) by: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) done: Vec<&'static str>,
    /// Steps of which nobody knows what came of them.
    pub(super) unknown: Vec<&'static str>,
    pub(super) end: Option<String>,
}

/// Every entry that was heard.
#[derive(Default)]
pub(super) struct History {
    entries: Entries,
}

impl History {
    /// Takes in an entry; returns whether it is new.
    pub(super) fn add(&mut self, told: &Told) -> bool {
        self.entries.add(told)
    }

    /// Returns the entries, the newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Told> {
        self.entries.in_order().into_iter().rev()
    }

    /// Returns the migrations, in the order in which they began.
    pub(super) fn migrations(&self) -> Vec<Migration> {
        migrations(&self.entries.in_order())
    }

    /// Returns the migration that `told`, an entry of this history, belongs to, as far as it was then: none while its beginning is
    /// not known.
    pub(super) fn migration_of(&self, told: &Told) -> Option<Migration> {
        let entries = self.entries.in_order();
        let place = entries.iter().position(|entry| *entry == told)?;
        migrations(entries.get(..=place)?).into_iter().rfind(|migration| migration.by == told.device)
    }
}

/// Returns whose migration an entry tells of, and what.
fn of_migration(told: &Told) -> Option<(&str, &Event)> {
    if let What::Migration(event) = &told.what { Some((&told.device, event)) } else { None }
}

fn migrations(entries: &[&Told]) -> Vec<Migration> {
    let mut all: Vec<Migration> = Vec::new();
    for (by, event) in entries.iter().filter_map(|told| of_migration(told)) {
        if let Event::Alone { lost } = event {
            all.push(Migration {
                by: by.to_owned(),
                from: lost.clone(),
                to: None,
                done: vec!["detect"],
                unknown: Vec::new(),
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
            migration.unknown.clear();
        }
        Event::Did { step, .. } => migration.done.push(step.name()),
        Event::Ended(end) => {
            if let End::Whole { fencing, .. } = end {
                match fencing {
                    Fencing::Fenced => migration.done.push("fence"),
                    Fencing::Unknown => migration.unknown.push("fence"),
                    Fencing::Refused => {}
                }
            }
            migration.end = Some(end.to_string());
        }
    }
}
