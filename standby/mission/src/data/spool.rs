//! The spool: a device's mission data on its own disk.
//!
//! A piece is one file, whole or not there: it is written beside its place, and moved there when the disk has it. Its name says
//! its number and its digest, so nothing has to be kept beside it.

// What is read here lies on a disk, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use super::plan::Plan;
use super::snapshot::Snapshot;
use crate::image::Digest;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use twinhelm_linux::disk::write_whole;
use twinhelm_standby::data::{Kind, Piece};

/// A spool that is open. One process has it.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    id: String,
    pieces: Vec<Piece>,
    next: u64,
}

impl Spool {
    /// Opens the one in `folder`, which is made where there is none; returns what was found damaged there, in words: it was
    /// removed.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<String>)> {
        fs::create_dir_all(folder)?;
        let id = folder.join("id");
        let id = match fs::read_to_string(&id) {
            Ok(text) if !text.is_empty() => text,
            Ok(_) => fresh_id(folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh_id(folder)?,
            Err(error) => return Err(error),
        };
        let mut spool = Self { folder: folder.to_owned(), id, pieces: Vec::new(), next: 0 };
        let mut told = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(NEW) {
                // It was being written when its writer ended.
                fs::remove_file(entry.path())?;
                continue;
            }
            let Some((seq, sha256, kind)) = parts_of(&name) else { continue };
            // Whatever is not used has its number all the same.
            spool.next = spool.next.max(seq.saturating_add(1));
            let kind = match kind {
                SEGMENT => Ok(Kind::Segment),
                _ => fs::read(entry.path())
                    .map_err(|error| error.to_string())
                    .and_then(|bytes| Snapshot::decode(&bytes).map_err(|error| error.to_string()))
                    .map(|snapshot| Kind::Snapshot(snapshot.position)),
            };
            match kind {
                Ok(kind) => {
                    let bytes = entry.metadata()?.len();
                    spool.pieces.push(Piece { seq, kind, bytes, sha256: sha256.to_owned() });
                }
                Err(error) => {
                    told.push(format!("{}: {error}; an older one is used", entry.path().display()));
                    fs::remove_file(entry.path())?;
                }
            }
        }
        spool.pieces.sort_by_key(|piece| piece.seq);
        Ok((spool, told))
    }

    /// Returns the name of this disk: another one has another name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the pieces, oldest first.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Adds a piece; when it returns, the disk has it.
    ///
    /// # Errors
    /// The file system's. Then nothing was added.
    pub fn add(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<Piece> {
        let sha256 = Digest::of(bytes).hex().to_owned();
        let piece = Piece { seq: self.next, kind, bytes: bytes.len() as u64, sha256 };
        write_whole(&self.path(&piece), bytes)?;
        self.next = self.next.saturating_add(1);
        self.pieces.push(piece.clone());
        Ok(piece)
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// The file system's; `InvalidData` when its bytes are not those that were written.
    pub fn read(&self, piece: &Piece) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(piece))?;
        if Digest::of(&bytes).hex() != piece.sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes are not those that were written"));
        }
        Ok(bytes)
    }

    /// Removes a piece.
    pub fn remove(&mut self, seq: u64) {
        if let Some(at) = self.pieces.iter().position(|piece| piece.seq == seq) {
            let piece = self.pieces.remove(at);
            // One that stays is found again when the spool is opened.
            let _ = fs::remove_file(self.path(&piece));
        }
    }

    /// Returns the newest snapshot that is whole.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let newest_first = self.pieces.iter().rev().filter(|piece| !piece.is_segment());
        newest_first.filter_map(|piece| Snapshot::decode(&self.read(piece).ok()?).ok()).next()
    }

    /// Keeps the plan, in place of one that is there.
    ///
    /// # Errors
    /// The file system's.
    pub fn keep_plan(&self, plan: &Plan) -> io::Result<()> {
        write_whole(&self.folder.join(PLAN), plan.bytes())
    }

    /// Returns the plan that is kept, if there is one that can be read.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        Plan::parse(fs::read(self.folder.join(PLAN)).ok()?).ok()
    }

    fn path(&self, piece: &Piece) -> PathBuf {
        let kind = if piece.is_segment() { SEGMENT } else { SNAPSHOT };
        self.folder.join(format!("{:08}-{}{kind}", piece.seq, piece.sha256))
    }
}

/// No device counts so far: a piece each microsecond would take it a hundred thousand years.
const SEQ_MAX: u64 = 1 << 62;

const PLAN: &str = "plan.json";
const NEW: &str = ".new";
const SEGMENT: &str = ".mcap";
const SNAPSHOT: &str = ".snapshot.json";

fn parts_of(name: &str) -> Option<(u64, &str, &'static str)> {
    let (rest, kind) = [SEGMENT, SNAPSHOT].iter().find_map(|kind| Some((name.strip_suffix(kind)?, *kind)))?;
    let (seq, sha256) = rest.split_once('-')?;
    // A number that leaves none to go on with is nobody's.
    let seq = seq.parse().ok().filter(|seq| *seq <= SEQ_MAX)?;
    Some((seq, sha256, kind))
}

fn fresh_id(folder: &Path) -> io::Result<String> {
    // Its seed comes from the kernel's random numbers.
    let id = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    write_whole(&folder.join("id"), id.as_bytes())?;
    Ok(id)
}
