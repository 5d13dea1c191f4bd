//! Verifying: that each blob has its digest, that each layer unpacks to what the configuration says, and that nothing in it
//! reaches out of the root.
//!
//! Nothing is written. [`unpack`](super::unpack) does this before it writes anything.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::{Digest, Tee};
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::manifest::{self, Blob, Document};
use super::platform::Platform;
use flate2::read::GzDecoder;
use oci_spec::image::{ImageConfiguration, ImageManifest, MediaType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// What an image may come to when it is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// So many bytes, headers and padding included.
    pub bytes_max: u64,
    /// So many files, folders and links.
    pub entries_max: u64,
}

impl Default for Limits {
    /// A gigabyte and a hundred thousand files: a mission has one program and some data.
    fn default() -> Self {
        Self { bytes_max: 1 << 30, entries_max: 100_000 }
    }
}

/// What one platform's image was found to be.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The manifest.
    pub manifest: Digest,
    /// The platform, as the configuration says.
    pub platform: Option<Platform>,
    /// What to execute, and how.
    pub config: ImageConfiguration,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
    /// So many bytes when it is unpacked.
    pub unpacked: u64,
    /// So many entries.
    pub entries: u64,
}

/// Verifies the image `digest` in `layout`: the one manifest that a device which `runs` these platforms would use, or every
/// one that there is when `runs` is empty.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    layout: &Layout,
    digest: &Digest,
    runs: &[Platform],
    limits: Limits,
) -> Result<Vec<Verified>, ImageError> {
    let name = format!("oci:{}@{digest}", layout.folder().display());
    let at = At { image: &name, step: "verifying" };
    match layout.document(at, digest)? {
        Document::Manifest(manifest) => {
            let one = of_manifest(at, layout, digest, &manifest, limits)?;
            if runs.is_empty() || one.platform.is_some_and(|platform| runs.contains(&platform)) {
                return Ok(vec![one]);
            }
            let is_for =
                one.platform.map_or_else(|| "another platform".to_owned(), |platform| platform.to_string());
            let problem = format!("it is for {is_for}, and this device runs {}", manifest::list(runs));
            Err(at.error(Kind::Platform, problem, "name the digest of an image for this device"))
        }
        Document::Index(index) => {
            let chosen = if runs.is_empty() {
                index.manifests().iter().map(|entry| manifest::blob(at, entry)).collect::<Result<Vec<_>, _>>()?
            } else {
                vec![manifest::choose(at, &index, runs)?.manifest]
            };
            let one = |blob: &Blob| {
                let manifest = manifest::read_manifest(at, &blob.digest, &layout.read(at, &blob.digest)?)?;
                of_manifest(at, layout, &blob.digest, &manifest, limits)
            };
            chosen.iter().map(one).collect()
        }
    }
}

fn of_manifest(
    at: At<'_>,
    layout: &Layout,
    digest: &Digest,
    manifest: &ImageManifest,
    limits: Limits,
) -> Result<Verified, ImageError> {
    let described = manifest::blob(at, manifest.config())?;
    let config = manifest::read_config(at, &described, &layout.read(at, &described.digest)?)?;
    let layers = manifest.layers().iter().map(|layer| manifest::blob(at, layer)).collect::<Result<Vec<_>, _>>()?;
    let names = config.rootfs().diff_ids();
    if names.len() != layers.len() {
        let problem = format!("{} layers, and {} names for what is in them", layers.len(), names.len());
        return Err(at.error(Kind::Format, problem, "build the image again"));
    }
    let mut spent = Spent { limits, bytes: 0, entries: 0, tree: Tree::default() };
    for (layer, name) in layers.iter().zip(names) {
        let expected = name.parse::<Digest>();
        let expected = expected.map_err(|error| at.error(Kind::Format, error, "build the image again"))?;
        of_layer(at, layout, layer, &expected, &mut spent)?;
    }
    let platform =
        Platform::of(&config.os().to_string(), &config.architecture().to_string(), config.variant().as_deref());
    let Spent { bytes: unpacked, entries, .. } = spent;
    Ok(Verified { manifest: digest.clone(), platform, config, layers, unpacked, entries })
}

/// How much of what is allowed is spent.
struct Spent {
    limits: Limits,
    bytes: u64,
    entries: u64,
    tree: Tree,
}

/// What Docker calls a layer of tar and gzip.
const DOCKERS_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

fn of_layer(
    at: At<'_>,
    layout: &Layout,
    layer: &Blob,
    expected: &Digest,
    spent: &mut Spent,
) -> Result<(), ImageError> {
    let mut blob = Tee::new(layout.open_blob(at, layer)?);
    let kind = layer.media_type.to_string();
    let gzip = layer.media_type == MediaType::ImageLayerGzip || kind == DOCKERS_LAYER;
    if !gzip && layer.media_type != MediaType::ImageLayer {
        let problem = format!("layer {} is {kind}", layer.digest);
        return Err(at.error(
            Kind::Format,
            problem,
            "pack it as tar+gzip: skopeo copy --dest-compress-format gzip",
        ));
    }
    let content = content_of(at, layer, gzip, &mut blob, spent);
    // What was not read for its contents belongs to the digest all the same.
    io::copy(&mut blob, &mut io::sink()).map_err(at.io(format_args!("layer {}", layer.digest)))?;
    let found = blob.hasher.finish();
    if found != layer.digest {
        return Err(at.digest("a layer", &layer.digest, &found));
    }
    let content = content?;
    if content == *expected { Ok(()) } else { Err(at.digest("what is in a layer", expected, &content)) }
}

/// Looks at everything in a layer, and returns the digest of its contents.
fn content_of(
    at: At<'_>,
    layer: &Blob,
    gzip: bool,
    blob: &mut Tee<File>,
    spent: &mut Spent,
) -> Result<Digest, ImageError> {
    let rest = spent.limits.bytes_max.saturating_sub(spent.bytes);
    let hasher = {
        let unpacked: Box<dyn Read + '_> = if gzip { Box::new(GzDecoder::new(blob)) } else { Box::new(blob) };
        let mut unpacked = Tee::new(Limited { inner: unpacked, rest });
        look_at_entries(at, layer, &mut unpacked, spent)?;
        // The padding behind the last entry belongs to both digests.
        io::copy(&mut unpacked, &mut io::sink()).map_err(|error| broken(at, layer, spent.limits, &error))?;
        unpacked.hasher
    };
    spent.bytes = spent.bytes.saturating_add(hasher.bytes());
    Ok(hasher.finish())
}

fn look_at_entries(at: At<'_>, layer: &Blob, tar: &mut dyn Read, spent: &mut Spent) -> Result<(), ImageError> {
    let limits = spent.limits;
    let broken = |error: &io::Error| broken(at, layer, limits, error);
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let entry = entry.map_err(|error| broken(&error))?;
        spent.entries = spent.entries.saturating_add(1);
        if spent.entries > limits.entries_max {
            let problem = format!("it unpacks to more than {} files", limits.entries_max);
            return Err(at.error(Kind::Limit, problem, "raise `entries_max`, if you trust the image"));
        }
        let path = entry.path().map_err(|error| broken(&error))?.into_owned();
        let link = entry.link_name().map_err(|error| broken(&error))?.map(std::borrow::Cow::into_owned);
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().map_err(|error| broken(&error))?;
        let why = objection(&path, kind, link.as_deref())
            .or_else(|| spent.tree.objection(&path, kind, link.as_deref(), mode));
        if let Some(why) = why {
            let problem = format!("layer {}: {}: {why}", layer.digest, path.display());
            return Err(at.error(
                Kind::Unsafe,
                problem,
                "nothing of it is unpacked; build the image again without it",
            ));
        }
    }
    Ok(())
}

/// Returns what is wrong with an entry of a layer, if something is.
fn objection(path: &Path, kind: EntryType, link: Option<&Path>) -> Option<String> {
    if path.is_absolute() {
        return Some("an absolute path".to_owned());
    }
    if depth(path, 0).is_none() {
        return Some("a path that leads out of the root".to_owned());
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "what has no name here has no place in a root")]
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader => None,
        EntryType::Symlink => {
            let target = link?;
            let folder = path.parent().unwrap_or(Path::new(""));
            // An absolute one means the container's root when it is followed there.
            let below = if target.is_absolute() { PathBuf::new() } else { folder.to_owned() };
            let start = depth(&below, 0)?;
            depth(target, start)
                .is_none()
                .then(|| format!("a symbolic link out of the root, to {}", target.display()))
        }
        EntryType::Link => {
            let target = link?;
            let leaves = target.is_absolute() || depth(target, 0).is_none();
            leaves.then(|| format!("a hard link out of the root, to {}", target.display()))
        }
        EntryType::Char | EntryType::Block => Some("a device node".to_owned()),
        EntryType::Fifo => Some("a pipe".to_owned()),
        other => Some(format!("an entry of kind {:?}", other.as_byte() as char)),
    }
}

/// The bits that let a program run as its owner or group.
const SET_ID: u32 = 0o6000;

/// What was a symbolic link, and what a folder, in any layer so far. A name that is both, or a path through a link, would be
/// resolved by whoever unpacks it: on this machine, and as root.
#[derive(Debug, Default)]
struct Tree {
    links: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Tree {
    /// Takes an entry in, and returns what is wrong with it beside the others, if something is.
    fn objection(&mut self, path: &Path, kind: EntryType, link: Option<&Path>, mode: u32) -> Option<String> {
        let path = plain(path);
        if mode & SET_ID != 0 && kind != EntryType::Symlink {
            return Some(format!("a file that runs as its owner (mode {mode:o})"));
        }
        if let Some(through) = self.link_above(&path) {
            return Some(format!("a path through the symbolic link {}", through.display()));
        }
        self.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        if kind == EntryType::Directory {
            let is_link = self.links.contains(&path);
            self.folders.insert(path);
            return is_link.then(|| "a folder in the place of a symbolic link".to_owned());
        }
        if kind == EntryType::Symlink {
            return self.takes_link(path);
        }
        let target = link.map(plain).filter(|_| kind == EntryType::Link)?;
        if self.link_above(&target).is_some() {
            return Some("a hard link through a symbolic link".to_owned());
        }
        // A second name for a link is a link.
        self.links.contains(&target).then(|| self.takes_link(path)).flatten()
    }

    fn takes_link(&mut self, path: PathBuf) -> Option<String> {
        let is_folder = self.folders.contains(&path);
        self.links.insert(path);
        is_folder.then(|| "a symbolic link in the place of a folder".to_owned())
    }

    fn link_above(&self, path: &Path) -> Option<&Path> {
        path.ancestors().skip(1).find_map(|above| self.links.get(above)).map(PathBuf::as_path)
    }
}

/// Returns a path that stays below the root without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// Returns how deep `path` leads below a root when one begins `depth` deep, `None` when it leads out of it on the way.
fn depth(path: &Path, start: usize) -> Option<usize> {
    path.components().try_fold(start, |depth, component| match component {
        Component::ParentDir => depth.checked_sub(1),
        Component::Normal(_) => depth.checked_add(1),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => Some(depth),
    })
}

/// What is read from here ends in an error beyond a limit.
struct Limited<R> {
    inner: R,
    rest: u64,
}

/// What [`Limited`] says, for [`broken`] to find again.
const TOO_LARGE: &str = "too large";

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.rest = self.rest.checked_sub(length as u64).ok_or_else(|| io::Error::other(TOO_LARGE))?;
        Ok(length)
    }
}

fn broken(at: At<'_>, layer: &Blob, limits: Limits, error: &io::Error) -> ImageError {
    if error.to_string().contains(TOO_LARGE) {
        let problem = format!("it unpacks to more than {} bytes", limits.bytes_max);
        return at.error(Kind::Limit, problem, "raise `unpacked_mib_max`, if you trust the image");
    }
    let problem = format!("layer {} cannot be read: {error}", layer.digest);
    at.error(Kind::Format, problem, "it is truncated or was packed badly; build the image again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_the_root_is_refused() {
        let object = |path: &str, kind, link: Option<&str>| objection(Path::new(path), kind, link.map(Path::new));
        for path in ["/etc/passwd", "../x", "a/../../x", "./../x"] {
            assert!(object(path, EntryType::Regular, None).is_some(), "{path}");
        }
        for (path, link) in [("a", "../x"), ("a/b", "../../x"), ("a", "/../x"), ("a/b", "c/../../../x")] {
            assert!(object(path, EntryType::Symlink, Some(link)).is_some(), "{path} -> {link}");
        }
        for link in ["/etc/passwd", "../x", "a/../../x"] {
            assert!(object("a", EntryType::Link, Some(link)).is_some(), "{link}");
        }
        for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
            assert!(object("dev/x", kind, None).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn what_stays_below_the_root_is_not() {
        let object = |path: &str, kind, link: Option<&str>| objection(Path::new(path), kind, link.map(Path::new));
        assert_eq!(object("./bin/mission", EntryType::Regular, None), None);
        assert_eq!(object("a/../b", EntryType::Directory, None), None);
        assert_eq!(object("lib/x.so", EntryType::Symlink, Some("../usr/lib/x.so")), None);
        assert_eq!(object("bin", EntryType::Symlink, Some("/usr/bin")), None);
        assert_eq!(object("b", EntryType::Link, Some("a/c")), None);
    }
}
