//! Pushing: every blob of an image that the other side has not, and what names them last.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::manifest::{self, Blob, Parts};
use super::pull::Progress;
use super::reference::{Place, Reference};
use super::registry::Registry;

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The image.
    pub image: Digest,
    /// So many bytes were sent.
    pub sent: u64,
    /// So many bytes were there already.
    pub kept: u64,
}

/// Pushes an image of `from`, named by tag or digest, to the registry that `to` names; under `to`'s tag, if it has one.
///
/// # Errors
/// The image is not whole here, `to` is no registry, or the registry does not take it.
pub fn push(
    from: &Layout,
    image: &Reference,
    to: &Reference,
    tell: &mut dyn FnMut(Progress),
) -> Result<Pushed, ImageError> {
    let at = At { image: to, step: "pushing" };
    let Place::Registry { host, repository } = &to.place else {
        let remedy = "name docker://HOST/REPOSITORY:TAG; to copy into a folder, pull from the other one";
        return Err(at.error(Kind::Format, "it is not in a registry", remedy));
    };
    let registry = Registry::new(host, repository)?;
    let digest = match &image.digest {
        Some(digest) => digest.clone(),
        None => from.find(At { image, step: "pushing" }, image.tag.as_deref())?,
    };
    let here = At { image, step: "pushing" };
    let bytes = from.read(here, &digest)?;
    let parts = manifest::parts(here, &digest, &bytes, &[], |digest| from.read(here, digest))?;
    let Parts { media_type, documents, blobs, .. } = parts;
    let all = blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add);
    let (mut sent, mut done) = (0_u64, 0_u64);
    for blob in &blobs {
        if registry.push_blob(at, from, blob)? {
            sent = sent.saturating_add(blob.size);
        }
        done = done.saturating_add(blob.size);
        tell(Progress { done, all });
    }
    for (blob, text) in documents {
        registry.push_document(at, text, &blob, None)?;
    }
    let top = Blob { digest: digest.clone(), size: bytes.len() as u64, media_type };
    registry.push_document(at, bytes, &top, to.tag.as_deref())?;
    Ok(Pushed { image: digest, sent, kept: all.saturating_sub(sent) })
}
