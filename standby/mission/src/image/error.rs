//! What goes wrong with images: always which image, at which step, and what to do.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use std::fmt;
use std::io;

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that was named is not there.
    Missing,
    /// Bytes do not have the digest that names them.
    Digest,
    /// Bytes are not what they should be.
    Format,
    /// A layer has something in it that has no place in a root.
    Unsafe,
    /// It is larger than is allowed.
    Limit,
    /// The image has nothing for this platform.
    Platform,
    /// The other side cannot be reached, or went away: trying again can help.
    Unreachable,
    /// The disk is full.
    Full,
    /// Somebody else uses the store.
    Busy,
    /// A program or a right is missing.
    Unable,
}

/// A problem with an image.
#[derive(Debug, thiserror::Error)]
#[error("{image}: {step}: {problem}; {remedy}")]
pub struct ImageError {
    /// Which image, as it was named.
    pub image: String,
    /// What was being done.
    pub step: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// What sort of problem it is.
    pub kind: Kind,
}

/// An image and a step, to make errors of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub image: &'a dyn Named,
    pub step: &'static str,
}

/// Something that is shown to name an image.
pub(crate) trait Named: fmt::Display + fmt::Debug + Sync {}

impl<T: fmt::Display + fmt::Debug + Sync> Named for T {}

impl At<'_> {
    pub fn error(&self, kind: Kind, problem: impl fmt::Display, remedy: impl Into<String>) -> ImageError {
        ImageError {
            image: self.image.to_string(),
            step: self.step,
            problem: problem.to_string(),
            remedy: remedy.into(),
            kind,
        }
    }

    /// Returns what makes an error of the kernel's, about `what`.
    pub fn io(self, what: impl fmt::Display) -> impl FnOnce(io::Error) -> ImageError {
        #[expect(clippy::wildcard_enum_match_arm, reason = "most of what a kernel can say is the disk's business")]
        move |error| {
            let (kind, remedy) = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    (Kind::Full, "make room, and call it again: what is there already is kept")
                }
                io::ErrorKind::PermissionDenied => (Kind::Unable, "call it as a user who may read and write there"),
                io::ErrorKind::NotFound => (Kind::Missing, "look at the path"),
                _ => (Kind::Unable, "look at the disk"),
            };
            self.error(kind, format_args!("{what}: {error}"), remedy)
        }
    }

    pub fn digest(self, what: impl fmt::Display, expected: &Digest, found: &Digest) -> ImageError {
        self.error(
            Kind::Digest,
            format_args!("{what} has the digest {found}, and should have {expected}"),
            "nothing of it is used; pull it again from a source that you trust",
        )
    }
}
