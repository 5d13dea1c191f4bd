//! Where an image comes from: a folder, or a registry.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::manifest::Blob;
use super::reference::{Place, Reference};
use super::registry::Registry;
use std::io::Read as _;

/// Takes the bytes of a blob in, and says how many it wants to wait for.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), ImageError>;

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
            Self::Folder(layout) => find(at, layout, reference.tag.as_deref()),
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

/// Returns the digest of the image that is listed under `tag`; without a tag, of the only one.
pub(crate) fn find(at: At<'_>, layout: &Layout, tag: Option<&str>) -> Result<Digest, ImageError> {
    let listed = layout.list()?;
    let mut fitting = listed.iter().filter(|listed| tag.is_none() || listed.tag.as_deref() == tag);
    let all = || {
        let name = |listed: &super::layout::Listed| {
            listed.tag.clone().unwrap_or_else(|| format!("@{}", listed.blob.digest))
        };
        listed.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match (fitting.next(), fitting.next()) {
        (Some(listed), None) => Ok(listed.blob.digest.clone()),
        (None, _) if listed.is_empty() => {
            Err(at.error(Kind::Missing, "the folder has no image", "build one: twinhelm image build"))
        }
        (None, _) => Err(at.error(Kind::Missing, format_args!("the folder has {}", all()), "name one of them")),
        (Some(_), Some(_)) => Err(at.error(
            Kind::Missing,
            format_args!("the folder has several images: {}", all()),
            "name one of them",
        )),
    }
}
