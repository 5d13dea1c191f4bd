//! The agent's own entries of the fleet's timeline, on its disk: its next life goes on counting, and tells them to those who ask.

use crate::output::tell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use twinhelm_standby::fleet::{Told, What};
use twinhelm_zenoh::fleet::HISTORY_MAX;

pub(super) struct Timeline {
    device: String,
    file: Option<File>,
    next: u64,
    kept: Vec<Vec<u8>>,
}

impl Timeline {
    /// Opens the one in `folder`. A line that was cut off in the middle, by a power failure, is left out.
    pub fn open(folder: &Path, device: &str) -> Self {
        let path = folder.join("timeline.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let entries = text.lines().filter_map(|line| Some((line, serde_json::from_str::<Told>(line).ok()?)));
        let entries: Vec<_> = entries.collect();
        let next = entries.iter().map(|(_, told)| told.seq + 1).max().unwrap_or(0);
        let last = entries.len().saturating_sub(HISTORY_MAX);
        let kept: Vec<Vec<u8>> = entries[last..].iter().map(|(line, _)| line.as_bytes().to_vec()).collect();
        let file = Self::begin(&path, &kept);
        Self { device: device.to_owned(), file, next, kept }
    }

    /// Writes what is kept anew, so that the file does not grow for ever, and what was cut off is gone.
    fn begin(path: &PathBuf, kept: &[Vec<u8>]) -> Option<File> {
        let new = path.with_extension("new");
        let text: Vec<u8> = kept.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path));
        let opened = written.and_then(|()| OpenOptions::new().append(true).create(true).open(path));
        opened
            .map_err(|error| tell(format_args!("{}: {error}; the timeline is kept in memory", path.display())))
            .ok()
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// Returns the entries of earlier lives.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        self.kept.clone()
    }

    /// Makes an entry, and returns it as it is told.
    pub fn note(&mut self, what: What) -> Option<Vec<u8>> {
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let told = Told { device: self.device.clone(), seq: self.next, unix_ms, what };
        self.next += 1;
        let line = serde_json::to_vec(&told).ok()?;
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&[line.as_slice(), b"\n"].concat())
        {
            tell(format_args!("writing the timeline: {error}; it is kept in memory"));
            self.file = None;
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_life_goes_on_counting_and_leaves_out_what_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Timeline::open(folder.path(), "left");
        first.note(What::Up).unwrap();
        first.note(What::Readmitted).unwrap();
        drop(first);
        let path = folder.path().join("timeline.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"device\":\"left\",\"se").unwrap();
        let mut second = Timeline::open(folder.path(), "left");
        assert_eq!(second.kept().len(), 2);
        let entry: Told = serde_json::from_slice(&second.note(What::Up).unwrap()).unwrap();
        assert_eq!(entry.seq, 2);
        assert_eq!(Timeline::open(folder.path(), "left").kept().len(), 3);
    }
}
