//! Where an image comes from: a folder, or a registry.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError};
use super::layout::Layout;
use super::manifest::Blob;
use super::reference::{Place, Reference};
use super::registry::{Registry, Sink};
use std::io::Read as _;

/// A place that images come from.
#[derive(Debug)]
pub(crate) enum Source {
    Folder(Layout),
    Registry(Registry),
}

impl Source {
    pub fn open(place: &Place) -> Result<Self, ImageError> {
        match place {
            Place::Layout(folder) => Layout::open(folder).map(Self::Folder),
            Place::Registry { host, repository } => Registry::new(host, repository).map(Self::Registry),
        }
    }

    /// Returns the digest of the image that `reference` names.
    pub fn resolve(&self, at: At<'_>, reference: &Reference) -> Result<Digest, ImageError> {
        if let Some(digest) = &reference.digest {
            return Ok(digest.clone());
        }
        match self {
            Self::Folder(layout) => layout.find(at, reference.tag.as_deref()),
            Self::Registry(registry) => registry.resolve(at, reference.tag.as_deref().unwrap_or("latest")),
        }
    }

    /// Returns an index or a manifest, whose bytes have been checked.
    pub fn document(&self, at: At<'_>, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Folder(layout) => layout.read(at, digest),
            Self::Registry(registry) => registry.document(at, digest),
        }
    }

    /// Hands a blob's bytes to `sink`, from `offset` on. Calls `restart` first when the source begins at 0 all the same.
    pub fn blob(
        &self,
        at: At<'_>,
        blob: &Blob,
        offset: u64,
        restart: &mut dyn FnMut() -> Result<(), ImageError>,
        sink: Sink<'_>,
    ) -> Result<(), ImageError> {
        match self {
            Self::Folder(layout) => {
                restart()?;
                let mut file = layout.open_blob(at, blob)?;
                let mut buffer = vec![0; 1 << 16];
                loop {
                    match file.read(&mut buffer).map_err(at.io(format_args!("blob {}", blob.digest)))? {
                        0 => return Ok(()),
                        length => sink(&buffer[..length])?,
                    }
                }
            }
            Self::Registry(registry) => registry.blob(at, blob, offset, restart, sink),
        }
    }
}
