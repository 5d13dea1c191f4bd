//! Indexes and manifests: read, and the one for a platform chosen.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::platform::Platform;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use std::collections::BTreeSet;

/// Documents longer than this are none: they are read into memory.
pub const DOCUMENT_MAX: u64 = 4 << 20;

/// What a digest of an image can name.
#[derive(Clone, Debug)]
pub enum Document {
    /// Manifests for several platforms.
    Index(Box<ImageIndex>),
    /// One platform's image.
    Manifest(Box<ImageManifest>),
}

/// A blob, as whoever names it describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The name that its bytes have.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// What they are.
    pub media_type: MediaType,
}

/// One platform's image.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The platform; `None` when the image is no index, and only its configuration says.
    pub platform: Option<Platform>,
    /// Its manifest.
    pub manifest: Blob,
}

pub(crate) fn read_document(at: At<'_>, digest: &Digest, bytes: &[u8]) -> Result<Document, ImageError> {
    let read = |error: serde_json::Error| {
        let problem = format!("{digest} is neither an index nor a manifest: {error}");
        at.error(Kind::Format, problem, "name the digest of an OCI image")
    };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(read)?;
    if value.get("manifests").is_some() {
        serde_json::from_value(value).map(Box::new).map(Document::Index).map_err(read)
    } else {
        serde_json::from_value(value).map(Box::new).map(Document::Manifest).map_err(read)
    }
}

pub(crate) fn read_manifest(at: At<'_>, digest: &Digest, bytes: &[u8]) -> Result<ImageManifest, ImageError> {
    match read_document(at, digest, bytes)? {
        Document::Manifest(manifest) => Ok(*manifest),
        Document::Index(_) => Err(nested(at, digest)),
    }
}

pub(crate) fn read_config(at: At<'_>, blob: &Blob, bytes: &[u8]) -> Result<ImageConfiguration, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = format!("{} is no configuration of an image: {error}", blob.digest);
        at.error(Kind::Format, problem, "build the image again")
    })
}

fn nested(at: At<'_>, digest: &Digest) -> ImageError {
    let problem = format!("{digest} is an index inside an index");
    at.error(Kind::Format, problem, "name the digest of the inner index, or flatten the image")
}

/// Returns what is said of a blob.
pub(crate) fn blob(at: At<'_>, descriptor: &Descriptor) -> Result<Blob, ImageError> {
    let digest = descriptor.digest().to_string();
    let digest = digest.parse().map_err(|error| {
        at.error(
            Kind::Format,
            format_args!("a blob is named otherwise than by SHA-256: {error}"),
            "build the image again",
        )
    })?;
    Ok(Blob { digest, size: descriptor.size(), media_type: descriptor.media_type().clone() })
}

/// Returns the platform of an entry of an index.
pub(crate) fn platform(descriptor: &Descriptor) -> Option<Platform> {
    let platform = descriptor.platform().as_ref()?;
    Platform::of(&platform.os().to_string(), &platform.architecture().to_string(), platform.variant().as_deref())
}

/// Chooses the entry of an index that a device which `runs` these platforms, best first, should have.
pub(crate) fn choose(at: At<'_>, index: &ImageIndex, runs: &[Platform]) -> Result<Chosen, ImageError> {
    for wanted in runs {
        let Some(entry) = index.manifests().iter().find(|entry| platform(entry) == Some(*wanted)) else { continue };
        let manifest = blob(at, entry)?;
        if matches!(manifest.media_type, MediaType::ImageIndex) {
            return Err(nested(at, &manifest.digest));
        }
        return Ok(Chosen { platform: Some(*wanted), manifest });
    }
    let has: Vec<String> = index
        .manifests()
        .iter()
        .map(|entry| platform(entry).map_or_else(|| "another".to_owned(), |platform| platform.to_string()))
        .collect();
    let problem = format!("it has nothing for {}, only {}", list(runs), has.join(", "));
    Err(at.error(
        Kind::Platform,
        problem,
        "build the image for that platform too: twinhelm image build --platform …",
    ))
}

/// Returns platforms as people read them.
pub(crate) fn list(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Returns every blob below a manifest: its configuration and its layers.
pub(crate) fn blobs(at: At<'_>, manifest: &ImageManifest) -> Result<Vec<Blob>, ImageError> {
    std::iter::once(manifest.config()).chain(manifest.layers()).map(|descriptor| blob(at, descriptor)).collect()
}

/// Everything that an image is made of, as far as it is wanted.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What its digest names: an index or a manifest.
    pub media_type: MediaType,
    /// The manifest for the device, when one was asked for.
    pub chosen: Option<Digest>,
    /// The manifests below an index, with their bytes.
    pub documents: Vec<(Blob, Vec<u8>)>,
    /// Configurations and layers, each once.
    pub blobs: Vec<Blob>,
}

/// Collects what the image `digest`, whose document is `bytes`, is made of: for a device that `runs` these platforms, or all of
/// it when `runs` is empty. `read` returns other documents, checked.
pub(crate) fn parts(
    at: At<'_>,
    digest: &Digest,
    bytes: &[u8],
    runs: &[Platform],
    read: impl Fn(&Digest) -> Result<Vec<u8>, ImageError>,
) -> Result<Parts, ImageError> {
    let (mut documents, mut all, mut chosen) = (Vec::new(), Vec::new(), None);
    let media_type = match read_document(at, digest, bytes)? {
        Document::Index(index) => {
            let manifests = if runs.is_empty() {
                index.manifests().iter().map(|entry| blob(at, entry)).collect::<Result<Vec<_>, _>>()?
            } else {
                let one = choose(at, &index, runs)?.manifest;
                chosen = Some(one.digest.clone());
                vec![one]
            };
            for one in manifests {
                let text = read(&one.digest)?;
                all.extend(blobs(at, &read_manifest(at, &one.digest, &text)?)?);
                documents.push((one, text));
            }
            MediaType::ImageIndex
        }
        Document::Manifest(manifest) => {
            all = blobs(at, &manifest)?;
            chosen = (!runs.is_empty()).then(|| digest.clone());
            MediaType::ImageManifest
        }
    };
    let mut seen = BTreeSet::new();
    all.retain(|blob| seen.insert(blob.digest.clone()));
    Ok(Parts { media_type, chosen, documents, blobs: all })
}
