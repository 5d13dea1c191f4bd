//! A journal: lines on the disk that are added and never changed, and that survive the end of the process at any write.
//!
//! A line that was cut off in the middle is left out when the journal is opened again, and so is what there is no room for. A line
//! that could not be written whole is cut off again at once, so that the next one does not end up behind its torn beginning.

use crate::disk::write_whole;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// What a journal needs of a file.
trait Lines: std::fmt::Debug {
    /// Adds bytes at the end, and sees them onto the disk.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file off.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Lines for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_data()
    }
}

/// A journal that is open.
#[derive(Debug)]
pub struct Journal {
    file: Box<dyn Lines + Send>,
    /// So long is what was written whole.
    length: u64,
    /// Something may stand behind that.
    is_torn: bool,
    /// What could not be written, in order.
    waits: VecDeque<String>,
    max: usize,
}

impl Journal {
    /// Opens the journal at `path`, and returns its lines: those that `is_whole` takes, the last `max` of them.
    ///
    /// What is left out is gone from the disk, too: the file is written anew beside the old one, and takes its place.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path, max: usize, is_whole: impl Fn(&str) -> bool) -> io::Result<(Self, Vec<String>)> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines: Vec<String> = text.lines().filter(|line| is_whole(line)).map(str::to_owned).collect();
        lines.drain(..lines.len().saturating_sub(max));
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        write_whole(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path)?;
        let length = text.len() as u64;
        Ok((Self { file: Box::new(file), length, is_torn: false, waits: VecDeque::new(), max }, lines))
    }

    /// Adds a line, in one write.
    ///
    /// # Errors
    /// The file system's. Nothing of the line is in the file then; it is kept in memory, the last `max` of its sort, and is written
    /// before the next one.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        if self.waits.len() >= self.max {
            self.waits.pop_front();
        }
        self.waits.push_back(format!("{line}\n"));
        while let Some(line) = self.waits.front() {
            if self.is_torn {
                self.file.cut(self.length)?;
                self.is_torn = false;
            }
            if let Err(error) = self.file.append(line.as_bytes()) {
                self.is_torn = self.file.cut(self.length).is_err();
                return Err(error);
            }
            self.length += line.len() as u64;
            self.waits.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    fn is_whole(line: &str) -> bool {
        line.starts_with('<') && line.ends_with('>')
    }

    #[test]
    fn wherever_a_write_was_cut_off_what_was_added_before_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let last = "<third>\n";
        for cut in 0..=last.len() {
            fs::write(&path, format!("<first>\n<second>\n{}", &last[..cut])).unwrap();
            let (mut journal, lines) = Journal::open(&path, 10, is_whole).unwrap();
            let whole = if cut >= last.len() - 1 { 3 } else { 2 };
            assert_eq!(lines.len(), whole, "cut after {cut} bytes");
            journal.add("<next>").unwrap();
            let (_, lines) = Journal::open(&path, 10, is_whole).unwrap();
            assert_eq!(
                (lines.len(), lines.last().unwrap().as_str()),
                (whole + 1, "<next>"),
                "cut after {cut} bytes"
            );
        }
    }

    #[test]
    fn it_keeps_the_last_ones_that_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, "<1>\n<2>\n<3>\n").unwrap();
        let (journal, lines) = Journal::open(&path, 2, is_whole).unwrap();
        drop(journal);
        assert_eq!(lines, ["<2>", "<3>"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "<2>\n<3>\n");
    }

    /// A file on a disk that has room for so many bytes; in the middle of a line it is full.
    #[derive(Debug)]
    struct SmallDisk {
        file: File,
        room: Arc<AtomicU64>,
        can_cut: Arc<AtomicBool>,
    }

    impl Lines for SmallDisk {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let used = self.file.metadata()?.len();
            let room = self.room.load(Ordering::Relaxed).saturating_sub(used);
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            self.file.append(&bytes[..fits])?;
            if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if !self.can_cut.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            self.file.cut(length)
        }
    }

    #[test]
    fn a_line_that_did_not_fit_is_no_end_of_the_next_one_and_is_written_when_there_is_room() {
        for can_cut_at_once in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            let (mut journal, _) = Journal::open(&path, 2, is_whole).unwrap();
            let (room, can_cut) = (Arc::new(AtomicU64::new(12)), Arc::new(AtomicBool::new(can_cut_at_once)));
            let file = OpenOptions::new().append(true).open(&path).unwrap();
            journal.file = Box::new(SmallDisk { file, room: room.clone(), can_cut: can_cut.clone() });
            journal.add("<first>").unwrap();
            for line in ["<second>", "<third>", "<fourth>"] {
                assert!(journal.add(line).is_err());
            }
            room.store(1_000, Ordering::Relaxed);
            can_cut.store(true, Ordering::Relaxed);
            journal.add("<fifth>").unwrap();
            drop(journal);
            // Two had room in memory.
            let (_, lines) = Journal::open(&path, 10, |_| true).unwrap();
            assert_eq!(lines, ["<first>", "<fourth>", "<fifth>"], "could cut at once: {can_cut_at_once}");
        }
    }
}
