//! A journal: lines on the disk that are added and never changed, and that survive the end of the process at any write.
//!
//! A line that was cut off in the middle is left out when the journal is opened again, and so is what there is no room for.

use crate::disk::write_whole;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// A journal that is open.
#[derive(Debug)]
pub struct Journal {
    file: File,
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
        write_whole(path, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes())?;
        Ok((Self { file: OpenOptions::new().append(true).open(path)? }, lines))
    }

    /// Adds a line, in one write.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
