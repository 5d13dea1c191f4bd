//! Mission data: what a mission needs to go on elsewhere, and what it leaves behind. Here is what is decided about it; the disk
//! and the object storage are `standby/mission`'s.
//!
//! A **piece** is one file: a snapshot of the state of whoever drives, or a segment of the recording. A device numbers its pieces,
//! keeps them on its disk first, and uploads them in that order. What is in object storage is told by its **manifest**: a piece
//! that is not listed there is not acknowledged.

// Manifests come from object storage, whoever wrote them.
#![deny(clippy::arithmetic_side_effects)]

use crate::sample::Header;
use core::fmt;
use serde::{Deserialize, Serialize};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::term::Term;

/// So many snapshots are kept, on the disk as in object storage: one that turns out to be broken leaves two.
pub const SNAPSHOTS_KEPT: usize = 3;
/// A manifest lists so many segments; then half of them go to a page of their own.
pub const SEGMENTS_LISTED: usize = 512;
/// A gate's term is at most so far ahead of the snapshot's that a mission goes on from: so many handovers within a snapshot's age
/// do not happen, and the wire has a term's low 8 bits.
const TERMS_AHEAD: u8 = 32;

/// How far a mission is. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The reign.
    pub term: Term,
    /// The cycle in it.
    pub cycle: Cycle,
}

impl Position {
    /// Returns how far the device was that published `header`; `None` when it had chosen no term.
    #[must_use]
    pub fn of(header: &Header) -> Option<Self> {
        header.term.map(|term| Self { term, cycle: header.cycle })
    }

    /// Returns whether gates that know the term with these low bits may have acted on this: a snapshot of an earlier drive, which
    /// object storage still has, is none to go on from.
    #[must_use]
    pub const fn is_of(self, gate_term: u8) -> bool {
        gate_term.wrapping_sub(self.term.to_wire()) < TERMS_AHEAD
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {} cycle {}", self.term.number(), self.cycle.number())
    }
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The state of whoever drives.
    Snapshot(Position),
    /// A part of the recording.
    Segment,
}

/// A piece of mission data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its number, counted by its device.
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// How long it is.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

impl Piece {
    /// Returns whether it is a part of the recording.
    #[must_use]
    pub const fn is_segment(&self) -> bool {
        matches!(self.kind, Kind::Segment)
    }
}

/// A count of pieces, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub pieces: u64,
    /// In all.
    pub bytes: u64,
}

impl Amount {
    /// Counts a piece. A count that a manifest tells is as high as it can be at most.
    pub const fn add(&mut self, piece: &Piece) {
        self.pieces = self.pieces.saturating_add(1);
        self.bytes = self.bytes.saturating_add(piece.bytes);
    }
}

/// What object storage has of a device. It is replaced as a whole, by a put that fails where somebody else was faster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Counts its versions.
    pub generation: u64,
    /// The disk from which pieces come now: a device that lost its disk counts anew, under another name.
    pub spool: String,
    /// The last piece of it.
    pub last: Option<u64>,
    /// The mission's plan: its version, and the SHA-256 of its bytes in hexadecimal.
    pub plan: Option<(u64, String)>,
    /// Which are there, with the disk that they came from, oldest first.
    pub pieces: Vec<(String, Piece)>,
    /// So many pages of older ones are there, numbered from 0.
    pub pages: u32,
    /// All that was ever acknowledged.
    pub acknowledged: Amount,
    /// What of it was replaced by newer snapshots.
    pub retired: Amount,
}

/// What is to be put in order around a new version of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chores {
    /// Written before, as the page with this number.
    pub page: Option<(u32, Vec<(String, Piece)>)>,
    /// Removed afterwards.
    pub retired: Vec<(String, Piece)>,
}

impl Manifest {
    /// Returns the last piece of the disk `spool` that it acknowledges, and with it all before.
    #[must_use]
    pub fn last_of(&self, spool: &str) -> Option<u64> {
        self.last.filter(|_| self.spool == spool)
    }

    /// Returns whether it acknowledges the piece `seq` of the disk `spool`.
    #[must_use]
    pub fn has(&self, spool: &str, seq: u64) -> bool {
        self.last_of(spool).is_some_and(|last| seq <= last)
    }

    /// Returns the newest state that it acknowledges.
    #[must_use]
    pub fn newest_state(&self) -> Option<Position> {
        let state = |(_, piece): &(String, Piece)| match piece.kind {
            Kind::Snapshot(position) => Some(position),
            Kind::Segment => None,
        };
        self.pieces.iter().rev().find_map(state)
    }

    /// Returns the next version, with these pieces of the disk `spool`, which are numbered upwards; and what is to be done for it.
    #[must_use]
    pub fn with(&self, spool: &str, pieces: &[Piece]) -> (Self, Chores) {
        let mut next =
            Self { generation: self.generation.saturating_add(1), spool: spool.to_owned(), ..self.clone() };
        if self.spool != spool {
            next.last = None;
        }
        for piece in pieces {
            next.last = Some(piece.seq);
            next.acknowledged.add(piece);
            next.pieces.push((spool.to_owned(), piece.clone()));
        }
        let mut chores = Chores::default();
        let snapshots = next.pieces.iter().filter(|(_, piece)| !piece.is_segment()).count();
        let mut surplus = snapshots.saturating_sub(SNAPSHOTS_KEPT);
        next.pieces.retain(|of| {
            let retires = surplus > 0 && !of.1.is_segment();
            if retires {
                surplus = surplus.saturating_sub(1);
                next.retired.add(&of.1);
                chores.retired.push(of.clone());
            }
            !retires
        });
        if next.pieces.iter().filter(|(_, piece)| piece.is_segment()).count() > SEGMENTS_LISTED {
            let mut left = SEGMENTS_LISTED / 2;
            let mut page = Vec::new();
            next.pieces.retain(|of| {
                let moves = left > 0 && of.1.is_segment();
                if moves {
                    left = left.saturating_sub(1);
                    page.push(of.clone());
                }
                !moves
            });
            chores.page = Some((next.pages, page));
            next.pages = next.pages.saturating_add(1);
        }
        (next, chores)
    }
}

/// Returns which pieces are to be uploaded next, in their order: those that are not acknowledged, and of the snapshots the newest
/// alone.
#[must_use]
pub fn to_upload(on_disk: &[Piece], is_acknowledged: impl Fn(u64) -> bool) -> Vec<Piece> {
    let newest = on_disk.iter().rev().find(|piece| !piece.is_segment()).map(|piece| piece.seq);
    let waits = |piece: &&Piece| !is_acknowledged(piece.seq) && (piece.is_segment() || newest == Some(piece.seq));
    on_disk.iter().filter(waits).cloned().collect()
}

/// Returns which pieces leave the disk so that at most `most` bytes are used: snapshots that are not among the last
/// [`SNAPSHOTS_KEPT`] in any case; then what is acknowledged, oldest first; then the oldest segments, which nobody has then. The
/// last snapshots stay.
#[must_use]
pub fn to_remove(on_disk: &[Piece], is_acknowledged: impl Fn(u64) -> bool, most: u64) -> Vec<Piece> {
    let snapshots = on_disk.iter().filter(|piece| !piece.is_segment()).count();
    let surplus = snapshots.saturating_sub(SNAPSHOTS_KEPT);
    let mut removed: Vec<Piece> =
        on_disk.iter().filter(|piece| !piece.is_segment()).take(surplus).cloned().collect();
    // So wide that no number of pieces is too many.
    let bytes_of = |pieces: &[Piece]| pieces.iter().map(|piece| u128::from(piece.bytes)).sum::<u128>();
    let mut used = bytes_of(on_disk).saturating_sub(bytes_of(&removed));
    for acknowledged in [true, false] {
        for piece in on_disk.iter().filter(|piece| piece.is_segment() && is_acknowledged(piece.seq) == acknowledged)
        {
            if used <= u128::from(most) {
                break;
            }
            used = used.saturating_sub(piece.bytes.into());
            removed.push(piece.clone());
        }
    }
    removed
}

/// How a device's mission data stands, for `twinhelm status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// Where it is uploaded to.
    pub storage: String,
    /// The version of the plan that it has.
    pub plan: Option<u64>,
    /// The newest snapshot on its disk.
    pub snapshot: Option<Position>,
    /// The newest one that is acknowledged: in object storage, or on the disks of both devices of the pair.
    pub acknowledged_snapshot: Option<Position>,
    /// What is acknowledged: in object storage.
    pub acknowledged: Amount,
    /// What waits on the disk for it.
    pub waiting: Amount,
    /// What left the disk, or never came there, before anybody else had it.
    pub dropped: Amount,
    /// What goes wrong now.
    pub problem: Option<String>,
}

/// Returns the newest position that is acknowledged: what object storage has, or what is on the disks of two members.
#[must_use]
pub fn acknowledged(stored: Option<Position>, own: Option<Position>, peer: Option<Position>) -> Option<Position> {
    // `None` is less than any position.
    stored.max(own.min(peer))
}

#[cfg(test)]
mod tests;
