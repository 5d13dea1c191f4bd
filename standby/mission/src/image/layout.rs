//! A folder in the OCI's image layout: where images are kept, on a device and elsewhere.
//!
//! ```text
//!   oci-layout   index.json   blobs/sha256/…   .partial/…   .lock
//! ```
//!
//! A blob appears under its name when it is whole, was checked and is on the disk, and not before: it is written
//! in `.partial`, and renamed. So a process that is killed at any moment leaves no corrupt blob, and what it had fetched is
//! gone on with. Two writers would not break a blob, but they would lose each other's tags: a writer locks the folder.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::{Digest, Hasher, Tee};
use super::error::{At, ImageError, Kind};
use super::manifest::{self, Blob, DOCUMENT_MAX, Document};
use super::platform::Platform;
use super::reference::Reference;
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageIndex, ImageIndexBuilder, MediaType, Sha256Digest};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use twinhelm_linux::disk::{sync_folder, write_whole};

/// The annotation that holds a tag.
const TAG: &str = "org.opencontainers.image.ref.name";
const MARKER: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// A folder of images.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    /// Its folder, for messages.
    name: String,
    /// Held by whoever writes.
    lock: Option<File>,
}

/// An image that has a place in a layout's own index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its tag, if it has one.
    pub tag: Option<String>,
    /// Its index, or its one manifest.
    pub blob: Blob,
}

/// One platform's part of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The platform, as `linux/arm/v6`.
    pub platform: String,
    /// Its manifest.
    pub manifest: Digest,
    /// It is in this folder.
    pub here: bool,
    /// Its layers, lowest first.
    pub layers: Vec<PartLayer>,
    /// What it executes.
    pub entrypoint: Vec<String>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartLayer {
    /// Its name.
    pub digest: Digest,
    /// How large it is, compressed.
    pub bytes: u64,
    /// What it is.
    pub media_type: String,
}

impl Layout {
    /// Opens a folder of images to read.
    ///
    /// # Errors
    /// There is none.
    pub fn open(folder: &Path) -> Result<Self, ImageError> {
        let layout = Self { folder: folder.to_owned(), name: format!("oci:{}", folder.display()), lock: None };
        let at = layout.at("opening");
        let marker = fs::read_to_string(folder.join("oci-layout"));
        let marker = marker.map_err(at.io(format_args!("{} is no folder of images", folder.display())))?;
        if marker.contains("\"1.0.0\"") {
            return Ok(layout);
        }
        Err(at.error(
            Kind::Format,
            format_args!("its oci-layout says {marker:?}, not 1.0.0"),
            "name another folder",
        ))
    }

    /// Opens a folder of images to read and to write, and makes it if it is not there. Nobody else can until this is dropped.
    ///
    /// # Errors
    /// It cannot be made, or somebody else writes there.
    pub fn create(folder: &Path) -> Result<Self, ImageError> {
        let mut layout = Self { folder: folder.to_owned(), name: format!("oci:{}", folder.display()), lock: None };
        let name = layout.name.clone();
        let at = At { image: &name, step: "opening" };
        for part in ["blobs/sha256", ".partial"] {
            fs::create_dir_all(folder.join(part)).map_err(at.io(format_args!("making {}", folder.display())))?;
        }
        let path = folder.join(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let mut lock = lock.map_err(at.io(path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let problem = format!("process {} writes there", holder.trim());
                return Err(at.error(Kind::Busy, problem, "wait for its end, or name another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(at.io(path.display())(error)),
        }
        // For whoever finds it locked.
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(at.io(path.display()))?;
        let marker = folder.join("oci-layout");
        if !marker.exists() {
            write_whole(&marker, MARKER.as_bytes()).map_err(at.io(marker.display()))?;
        }
        layout.lock = Some(lock);
        if !folder.join("index.json").exists() {
            layout.write_index(Vec::new())?;
        }
        Ok(layout)
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the name of this place, for messages.
    fn at(&self, step: &'static str) -> At<'_> {
        At { image: &self.name, step }
    }

    /// Returns where a blob is, or would be.
    #[must_use]
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Returns whether a blob is here.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.path_of(digest).exists()
    }

    /// Returns whether a blob is here and is what its name says. One that is not is removed: it has to be fetched again.
    pub(crate) fn has_whole(&self, at: At<'_>, digest: &Digest) -> Result<bool, ImageError> {
        let path = self.path_of(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(at.io(path.display()))?,
        };
        let mut bytes = Tee::new(file);
        io::copy(&mut bytes, &mut io::sink()).map_err(at.io(path.display()))?;
        let whole = bytes.hasher.finish() == *digest;
        if !whole {
            fs::remove_file(&path).map_err(at.io(path.display()))?;
        }
        Ok(whole)
    }

    /// Returns the digest of the image that is listed under `tag`; without a tag, of the only one.
    pub(crate) fn find(&self, at: At<'_>, tag: Option<&str>) -> Result<Digest, ImageError> {
        let listed = self.list()?;
        let mut fitting = listed.iter().filter(|listed| tag.is_none() || listed.tag.as_deref() == tag);
        let all = || {
            let name = |listed: &Listed| listed.tag.clone().unwrap_or_else(|| format!("@{}", listed.blob.digest));
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

    /// Opens a blob. Its bytes are not checked: who reads them does that.
    pub(crate) fn open_blob(&self, at: At<'_>, blob: &Blob) -> Result<File, ImageError> {
        let path = self.path_of(&blob.digest);
        let file = File::open(&path).map_err(at.io(format_args!("blob {}", blob.digest)))?;
        let size = file.metadata().map_err(at.io(path.display()))?.len();
        if size != blob.size {
            let problem = format!("blob {} has {size} bytes, and should have {}", blob.digest, blob.size);
            return Err(at.error(Kind::Digest, problem, "pull the image again: it is truncated or tampered with"));
        }
        Ok(file)
    }

    /// Reads a document, and checks it.
    pub(crate) fn read(&self, at: At<'_>, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let path = self.path_of(digest);
        let file = File::open(&path).map_err(at.io(format_args!("blob {digest}")))?;
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(at.io(path.display()))?;
        if bytes.len() as u64 > DOCUMENT_MAX {
            let problem = format!("document {digest} has more than {DOCUMENT_MAX} bytes");
            return Err(at.error(Kind::Limit, problem, "name the digest of an OCI image"));
        }
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(at.digest("a document", digest, &found)) }
    }

    /// Reads an index or a manifest, and checks it.
    pub(crate) fn document(&self, at: At<'_>, digest: &Digest) -> Result<Document, ImageError> {
        manifest::read_document(at, digest, &self.read(at, digest)?)
    }

    /// Returns the images that are listed.
    ///
    /// # Errors
    /// The folder's index cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, ImageError> {
        let at = self.at("listing");
        let index = self.index()?;
        let listed = index.manifests().iter().map(|entry| {
            let tag = entry.annotations().as_ref().and_then(|annotations| annotations.get(TAG)).cloned();
            Ok(Listed { tag, blob: manifest::blob(at, entry)? })
        });
        listed.collect()
    }

    fn index(&self) -> Result<ImageIndex, ImageError> {
        let at = self.at("reading its index");
        let path = self.folder.join("index.json");
        let text = fs::read(&path).map_err(at.io(path.display()))?;
        serde_json::from_slice(&text).map_err(|error| {
            at.error(
                Kind::Format,
                format_args!("{}: {error}", path.display()),
                "restore it, or name another folder",
            )
        })
    }

    /// Lists an image, under a tag that it takes from whichever had it.
    pub(crate) fn list_as(&self, tag: Option<&str>, blob: &Blob) -> Result<(), ImageError> {
        let mut listed = self.list()?;
        listed.retain(|other| if tag.is_some() { other.tag.as_deref() != tag } else { other.blob != *blob });
        listed.push(Listed { tag: tag.map(str::to_owned), blob: blob.clone() });
        self.write_index(listed)
    }

    fn write_index(&self, listed: Vec<Listed>) -> Result<(), ImageError> {
        let at = self.at("writing its index");
        let entries = listed.into_iter().map(|Listed { tag, blob }| {
            let mut entry = descriptor(&blob);
            if let Some(tag) = tag {
                entry.set_annotations(Some(HashMap::from([(TAG.to_owned(), tag)])));
            }
            entry
        });
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(entries.collect::<Vec<_>>())
            .build()
            .map_err(|error| at.error(Kind::Format, error, "report this"))?;
        let text =
            serde_json::to_vec_pretty(&index).map_err(|error| at.error(Kind::Format, error, "report this"))?;
        let path = self.folder.join("index.json");
        write_whole(&path, &text).map_err(at.io(path.display()))
    }

    /// Writes a small blob, and returns what names it.
    pub(crate) fn put(&self, at: At<'_>, media_type: MediaType, bytes: &[u8]) -> Result<Blob, ImageError> {
        let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64, media_type };
        if !self.has_whole(at, &blob.digest)? {
            let path = self.path_of(&blob.digest);
            write_whole(&path, bytes).map_err(at.io(path.display()))?;
        }
        Ok(blob)
    }

    /// Takes in a blob that was written beside, by renaming it.
    pub(crate) fn adopt(&self, at: At<'_>, file: &Path, digest: &Digest) -> Result<(), ImageError> {
        let path = self.path_of(digest);
        let moved = File::open(file).and_then(|file| file.sync_all()).and_then(|()| fs::rename(file, &path));
        moved.and_then(|()| sync_folder(&path)).map_err(at.io(path.display()))
    }

    /// Returns where what is not whole yet is written.
    pub(crate) fn partial_folder(&self) -> PathBuf {
        self.folder.join(".partial")
    }

    /// Begins to write a blob, or goes on where an earlier life was interrupted.
    pub(crate) fn begin<'a>(&'a self, at: At<'_>, blob: &'a Blob) -> Result<Partial<'a>, ImageError> {
        let path = self.partial_folder().join(blob.digest.hex());
        let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
        let file = file.map_err(at.io(path.display()))?;
        let mut hasher = Hasher::default();
        let mut reader = BufReader::with_capacity(1 << 16, &file);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = reader.read(&mut buffer).map_err(at.io(path.display()))?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
        }
        drop(reader);
        let mut partial = Partial { layout: self, blob, path, file, hasher };
        if partial.offset() > blob.size {
            partial.restart(at)?;
        }
        Ok(partial)
    }

    /// Returns the digest of the image that `image` names in this folder.
    ///
    /// # Errors
    /// There is none of that name, or several and none is named.
    pub fn resolve(&self, image: &Reference) -> Result<Digest, ImageError> {
        match &image.digest {
            Some(digest) => Ok(digest.clone()),
            None => self.find(At { image, step: "finding" }, image.tag.as_deref()),
        }
    }

    /// Returns what an image is made of.
    ///
    /// # Errors
    /// A document of it is not what its digest says.
    pub fn inspect(&self, digest: &Digest) -> Result<Vec<Part>, ImageError> {
        let at = self.at("inspecting");
        let (manifests, named) = match self.document(at, digest)? {
            Document::Index(index) => {
                let entries = index.manifests().iter();
                let blobs =
                    entries.clone().map(|entry| Ok(manifest::blob(at, entry)?.digest)).collect::<Result<_, _>>()?;
                (blobs, entries.map(manifest::platform).collect())
            }
            Document::Manifest(_) => (vec![digest.clone()], vec![None]),
        };
        manifests
            .into_iter()
            .zip::<Vec<_>>(named)
            .map(|(digest, platform)| self.part(at, digest, platform))
            .collect()
    }

    fn part(&self, at: At<'_>, digest: Digest, platform: Option<Platform>) -> Result<Part, ImageError> {
        let name =
            |platform: Option<Platform>| platform.map_or_else(|| "another".to_owned(), |known| known.to_string());
        if !self.has(&digest) {
            let platform = name(platform);
            return Ok(Part {
                platform,
                manifest: digest,
                here: false,
                layers: Vec::new(),
                entrypoint: Vec::new(),
            });
        }
        let described = manifest::read_manifest(at, &digest, &self.read(at, &digest)?)?;
        let config = manifest::blob(at, described.config())?;
        let config = manifest::read_config(at, &config, &self.read(at, &config.digest)?)?;
        let architecture = config.architecture().to_string();
        let own = Platform::of(&config.os().to_string(), &architecture, config.variant().as_deref());
        let layers = described.layers().iter().map(|layer| {
            let Blob { digest, size, media_type } = manifest::blob(at, layer)?;
            Ok(PartLayer { digest, bytes: size, media_type: media_type.to_string() })
        });
        let entrypoint =
            config.config().as_ref().and_then(|config| config.entrypoint().clone()).unwrap_or_default();
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Part { platform: name(platform.or(own)), manifest: digest, here: true, layers, entrypoint })
    }

    /// Takes an image off the list, and removes every blob that no listed image needs. Returns how many bytes that were.
    ///
    /// # Errors
    /// No such image is listed, or something cannot be removed.
    pub fn remove(&self, tag: Option<&str>, digest: Option<&Digest>) -> Result<u64, ImageError> {
        let at = self.at("removing");
        let (gone, kept): (Vec<_>, Vec<_>) = self.list()?.into_iter().partition(|listed| {
            digest.is_none_or(|digest| listed.blob.digest == *digest)
                && (tag.is_none() || listed.tag.as_deref() == tag)
        });
        if gone.is_empty() {
            return Err(at.error(Kind::Missing, "no such image is listed", "look at what is: twinhelm image ls"));
        }
        let mut needed = BTreeSet::new();
        for listed in &kept {
            self.need(at, &listed.blob.digest, &mut needed)?;
        }
        self.write_index(kept)?;
        let mut removed = 0_u64;
        let folder = self.folder.join("blobs/sha256");
        for entry in fs::read_dir(&folder).map_err(at.io(folder.display()))?.flatten() {
            let name = format!("sha256:{}", entry.file_name().to_string_lossy());
            if name.parse().is_ok_and(|digest| !needed.contains::<Digest>(&digest)) {
                removed = entry.metadata().map_or(removed, |metadata| metadata.len().saturating_add(removed));
                fs::remove_file(entry.path()).map_err(at.io(entry.path().display()))?;
            }
        }
        Ok(removed)
    }

    /// Collects what an image needs and is here; a device has its own platform's part alone.
    fn need(&self, at: At<'_>, digest: &Digest, needed: &mut BTreeSet<Digest>) -> Result<(), ImageError> {
        if !needed.insert(digest.clone()) || !self.has(digest) {
            return Ok(());
        }
        match self.document(at, digest)? {
            Document::Index(index) => {
                for entry in index.manifests() {
                    self.need(at, &manifest::blob(at, entry)?.digest, needed)?;
                }
            }
            Document::Manifest(manifest) => {
                needed.extend(manifest::blobs(at, &manifest)?.into_iter().map(|blob| blob.digest));
            }
        }
        Ok(())
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub(crate) struct Partial<'a> {
    layout: &'a Layout,
    blob: &'a Blob,
    path: PathBuf,
    file: File,
    hasher: Hasher,
}

impl Partial<'_> {
    /// Returns how many bytes are there.
    pub fn offset(&self) -> u64 {
        self.hasher.bytes()
    }

    /// Forgets what is there.
    pub fn restart(&mut self, at: At<'_>) -> Result<(), ImageError> {
        self.hasher = Hasher::default();
        self.file.set_len(0).map_err(at.io(self.path.display()))
    }

    /// Writes the bytes that come next.
    pub fn write(&mut self, at: At<'_>, bytes: &[u8]) -> Result<(), ImageError> {
        if self.offset().saturating_add(bytes.len() as u64) > self.blob.size {
            // What has come so far is of no use.
            self.restart(at)?;
            let problem =
                format!("blob {} is longer than the {} bytes it should have", self.blob.digest, self.blob.size);
            return Err(at.error(Kind::Digest, problem, "pull it again from a source that you trust"));
        }
        self.file.write_all(bytes).map_err(at.io(self.path.display()))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Checks the blob and gives it its name. What does not have its digest is removed.
    pub fn finish(self, at: At<'_>) -> Result<(), ImageError> {
        let Self { layout, blob, path, file, hasher } = self;
        if hasher.bytes() < blob.size {
            let problem = format!("blob {} ends after {} of {} bytes", blob.digest, hasher.bytes(), blob.size);
            let remedy = "call it again: it goes on where it stopped";
            return Err(at.error(Kind::Unreachable, problem, remedy));
        }
        let found = hasher.finish();
        if found != blob.digest {
            drop(file);
            fs::remove_file(&path).map_err(at.io(path.display()))?;
            return Err(at.digest("a blob", &blob.digest, &found));
        }
        layout.adopt(at, &path, &blob.digest)
    }
}

/// Returns the OCI's description of a blob.
pub(crate) fn descriptor(blob: &Blob) -> Descriptor {
    let digest = Sha256Digest::from_str(blob.digest.hex());
    // It has 64 digits: that is what a `Digest` is.
    match digest {
        Ok(digest) => Descriptor::new(blob.media_type.clone(), blob.size, digest),
        Err(error) => unreachable!("{}: {error}", blob.digest),
    }
}

/// Returns the OCI's description of a manifest for a platform.
pub(crate) fn descriptor_for(blob: &Blob, platform: Platform) -> Result<Descriptor, oci_spec::OciSpecError> {
    let (architecture, variant) = platform.architecture();
    let mut described = oci_spec::image::PlatformBuilder::default().os("linux").architecture(architecture);
    if let Some(variant) = variant {
        described = described.variant(variant);
    }
    DescriptorBuilder::default()
        .media_type(blob.media_type.clone())
        .digest(descriptor(blob).digest().clone())
        .size(blob.size)
        .platform(described.build()?)
        .build()
}
