//! The agent's own entries of the fleet's timeline, on its disk: its next life goes on counting, and tells them to those who ask.

// What is read here lies on a disk, or came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::output::tell;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use twinhelm_linux::journal::Journal;
use twinhelm_standby::fleet::{Told, What};
use twinhelm_zenoh::fleet::HISTORY_MAX;

pub(super) struct Timeline {
    device: String,
    journal: Option<Journal>,
    next: u64,
}

impl Timeline {
    /// Opens the one in `folder`, and returns the entries of earlier lives.
    pub fn open(folder: &Path, device: &str) -> (Self, Vec<String>) {
        let path = folder.join("timeline.jsonl");
        let read = |line: &str| serde_json::from_str::<Told>(line).ok();
        let (journal, kept) = match Journal::open(&path, HISTORY_MAX, |line| read(line).is_some()) {
            Ok((journal, kept)) => (Some(journal), kept),
            Err(error) => {
                tell(format_args!("{}: {error}; the timeline is kept in memory", path.display()));
                (None, Vec::new())
            }
        };
        let next =
            kept.iter().filter_map(|line| read(line)).map(|told| told.seq.saturating_add(1)).max().unwrap_or(0);
        (Self { device: device.to_owned(), journal, next }, kept)
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// Makes an entry, and returns it as it is told.
    pub fn note(&mut self, what: What) -> Option<String> {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let told = Told { device: self.device.clone(), seq: self.next, unix_ms, what };
        self.next = self.next.saturating_add(1);
        let line = serde_json::to_string(&told).ok()?;
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.add(&line)) {
            tell(format_args!("writing the timeline: {error}; it is kept in memory"));
            self.journal = None;
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_life_goes_on_counting() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, kept) = Timeline::open(folder.path(), "left");
        assert!(kept.is_empty());
        first.note(What::Up).unwrap();
        first.note(What::Readmitted).unwrap();
        drop(first);
        let (mut second, kept) = Timeline::open(folder.path(), "left");
        assert_eq!(kept.len(), 2);
        let entry: Told = serde_json::from_str(&second.note(What::Up).unwrap()).unwrap();
        assert_eq!(entry.seq, 2);
    }

    #[test]
    fn an_entry_with_the_last_of_all_numbers_is_gone_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let last = Told { device: "left".to_owned(), seq: u64::MAX, unix_ms: 0, what: What::Up };
        let line = serde_json::to_string(&last).unwrap() + "\n";
        std::fs::write(folder.path().join("timeline.jsonl"), line).unwrap();
        let (mut timeline, kept) = Timeline::open(folder.path(), "left");
        assert_eq!(kept.len(), 1);
        assert!(timeline.note(What::Up).is_some() && timeline.note(What::Up).is_some());
    }
}
