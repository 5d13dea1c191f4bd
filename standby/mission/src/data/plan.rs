//! The plan: what a mission is to do. Here it is a document with a version; what is in it is the mission's business.

// What is read here lies on a disk, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use crate::image::Digest;
use serde::Deserialize;

/// A plan larger than this is a mistake.
const BYTES_MAX: usize = 4 << 20;

/// A plan, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    version: u64,
    bytes: Vec<u8>,
    digest: Digest,
}

/// What is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It has no version.
    #[error("it is no JSON object with \"version\", a number that grows with each change: {0}")]
    Unreadable(String),
    /// It is too long.
    #[error("it has {0} bytes, and may have {BYTES_MAX}")]
    TooLong(usize),
}

impl Plan {
    /// Reads a plan: an object of JSON with a number called `version`, which grows with each change.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Head {
            version: u64,
        }
        if bytes.len() > BYTES_MAX {
            return Err(PlanError::TooLong(bytes.len()));
        }
        let Head { version } =
            serde_json::from_slice(&bytes).map_err(|error| PlanError::Unreadable(error.to_string()))?;
        Ok(Self { version, digest: Digest::of(&bytes), bytes })
    }

    /// Returns its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns it as it was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the digest of its bytes.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what names it among others: two that were given one version by mistake are two.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.version, self.digest.short())
    }
}
