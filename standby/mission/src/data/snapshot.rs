//! A snapshot: the state from which a mission goes on, as it is kept on disks and in object storage.
//!
//! One line of JSON, so that people can look at it; the state itself is the sample as it went over the wire, in hexadecimal. Its
//! checksum covers all of it, so that a damaged one is told from a whole one wherever it comes from.

// What is read here lies on a disk, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use crate::image::Digest;
use serde::{Deserialize, Serialize};
use twinhelm_standby::data::Position;

/// The format that this build writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// A state to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How far the mission was.
    pub position: Position,
    /// The version of the plan that it followed; `None` where the device has none.
    pub plan: Option<u64>,
    /// The sample of whoever drove, as it went over the wire.
    pub sample: Vec<u8>,
}

/// Why a snapshot is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Its bytes are not those that were written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// A newer version wrote it.
    #[error("the snapshot has format {0}, and this version reads {FORMAT}: update twinhelm on this device")]
    Newer(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    position: Position,
    plan: Option<u64>,
    sample: String,
    sha256: String,
}

impl Written {
    fn sum(&self) -> String {
        let Self { format, position, plan, sample, sha256: _ } = self;
        Digest::of(format!("{format} {position} {plan:?} {sample}").as_bytes()).hex().to_owned()
    }
}

impl Snapshot {
    /// Returns it as it is kept.
    ///
    /// # Panics
    /// Never: what it is made of can be written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { position, plan, sample } = self;
        let sample = sample.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut written =
            Written { format: FORMAT, position: *position, plan: *plan, sample, sha256: String::new() };
        written.sha256 = written.sum();
        serde_json::to_vec(&written).expect("numbers and texts can be written")
    }

    /// Reads one that was kept.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |what: &dyn std::fmt::Display| SnapshotError::Damaged(what.to_string());
        let Head { format } = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if format != FORMAT {
            return Err(SnapshotError::Newer(format));
        }
        let written: Written = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if written.sum() != written.sha256 {
            return Err(damaged(&"its checksum is not that of its content"));
        }
        let digits = written.sample.as_bytes();
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let sample = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>();
        let sample = sample.ok_or_else(|| damaged(&"its state is not hexadecimal"))?;
        Ok(Self { position: written.position, plan: written.plan, sample })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::term::Term;

    fn snapshot() -> Snapshot {
        let position = Position { term: Term::new(5), cycle: Cycle::new(70_000) };
        Snapshot { position, plan: Some(3), sample: (0..=255).collect() }
    }

    #[test]
    fn it_comes_back_as_it_was() {
        assert_eq!(Snapshot::decode(&snapshot().encode()), Ok(snapshot()));
    }

    #[test]
    fn whatever_was_damaged_is_noticed() {
        let whole = snapshot().encode();
        for length in 0..whole.len() {
            assert!(Snapshot::decode(&whole[..length]).is_err(), "cut after {length} bytes");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // A letter in another case is the same digit; nothing else may pass.
                if let Ok(read) = Snapshot::decode(&bytes) {
                    assert_eq!(read, snapshot(), "bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_newer_one_is_refused_with_what_to_do() {
        let newer = br#"{"format":2,"state":"something else"}"#;
        let error = Snapshot::decode(newer).unwrap_err();
        assert_eq!(error, SnapshotError::Newer(2));
        assert!(error.to_string().contains("update twinhelm on this device"), "{error}");
    }
}
