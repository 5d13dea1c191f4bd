//! Packing: programs, one a platform, and the data that all of them share, into one image.
//!
//! The same files give the same bytes, and so the same digest: no times, no owners, names in order, one level of
//! compression by one library.

use super::digest::{Digest, Tee};
use super::error::{At, ImageError, Kind};
use super::layout::{Layout, descriptor, descriptor_for};
use super::libraries;
use super::manifest::Blob;
use super::platform::Platform;
use crate::bundle::{DATA, RUN, USER};
use flate2::{Compression, GzBuilder};
use oci_spec::OciSpecError;
use oci_spec::image::{
    ConfigBuilder, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, RootFsBuilder,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// Where an image's own data is, in its root.
pub const SHIPPED: &str = "etc/mission";

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The program's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The program for each platform. One that is linked dynamically brings this machine's libraries with it.
    pub programs: BTreeMap<Platform, PathBuf>,
    /// Files that every platform has, by their names in [`SHIPPED`].
    pub data: BTreeMap<String, PathBuf>,
}

/// Packs `contents` into `layout` under `tag`, and returns the digest of the index.
///
/// # Errors
/// A file cannot be read, or the layout not be written.
pub fn pack(layout: &Layout, contents: &Contents, tag: &str) -> Result<Digest, ImageError> {
    let name = format!("oci:{}:{tag}", layout.folder().display());
    let at = At { image: &name, step: "packing" };
    let bad = |error: OciSpecError| at.error(Kind::Format, error, "report this");
    // The data first: it is the same blob for all platforms.
    let data = layer(at, layout, |tar| {
        for folder in folders() {
            add_folder(tar, folder)?;
        }
        for (name, path) in &contents.data {
            add_file(tar, &format!("{SHIPPED}/{name}"), path, 0o644)?;
        }
        Ok(())
    })?;
    let mut manifests = Vec::new();
    for (platform, path) in &contents.programs {
        let libraries = libraries::needed(path, *platform)?;
        let program = layer(at, layout, |tar| {
            add_folder(tar, "bin")?;
            add_file(tar, &format!("bin/{}", contents.name), path, 0o755)?;
            for folder in folders_of(libraries.keys()) {
                add_folder(tar, &folder)?;
            }
            libraries.iter().try_for_each(|(name, path)| add_file(tar, name, path, 0o755))
        })?;
        let (architecture, variant) = platform.architecture();
        let run = ConfigBuilder::default()
            .user(format!("{USER}:{USER}"))
            .entrypoint(vec![format!("/bin/{}", contents.name)])
            .working_dir("/")
            // A controller that is told to end does what one does that dies: nothing more. The other one drives on.
            .stop_signal("SIGKILL")
            .labels(HashMap::from([
                ("org.opencontainers.image.title".to_owned(), contents.name.clone()),
                ("org.opencontainers.image.version".to_owned(), contents.version.clone()),
            ]))
            .build()
            .map_err(bad)?;
        let diff_ids = [&data, &program].map(|layer| layer.content.to_string());
        let root = RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build().map_err(bad)?;
        let config =
            ImageConfigurationBuilder::default().architecture(architecture).os("linux").config(run).rootfs(root);
        let config = match variant {
            Some(variant) => config.variant(variant),
            None => config,
        };
        let config = document(at, &config.build().map_err(bad)?)?;
        let config = layout.put(at, MediaType::ImageConfig, &config)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(&config))
            .layers(vec![descriptor(&data.blob), descriptor(&program.blob)])
            .build()
            .map_err(bad)?;
        let manifest = layout.put(at, MediaType::ImageManifest, &document(at, &manifest)?)?;
        manifests.push(descriptor_for(&manifest, *platform).map_err(bad)?);
    }
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .map_err(bad)?;
    let index = layout.put(at, MediaType::ImageIndex, &document(at, &index)?)?;
    layout.list_as(Some(tag), &index)?;
    Ok(index.digest)
}

/// Everything that has to be there before a read-only root can be mounted upon.
fn folders() -> impl Iterator<Item = &'static str> {
    ["dev", "etc", SHIPPED, "proc", "run", "tmp"]
        .into_iter()
        .chain([DATA, RUN].map(|path| path.trim_start_matches('/')))
}

/// Returns every folder above these files, the highest first.
fn folders_of<'a>(files: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let above = |file: &'a String| Path::new(file).ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    files.flat_map(above).map(|folder| folder.to_string_lossy().into_owned()).collect()
}

/// Labels are a map, and a map of the standard library has no order: sorted, the same image has the same bytes.
fn document<T: serde::Serialize>(at: At<'_>, value: &T) -> Result<Vec<u8>, ImageError> {
    let sorted = serde_json::to_value(value).and_then(|value| serde_json::to_vec(&value));
    sorted.map_err(|error| at.error(Kind::Format, error, "report this"))
}

/// A layer: the blob, and the digest of what is in it.
struct Layer {
    blob: Blob,
    content: Digest,
}

type Tar<'a> = tar::Builder<&'a mut dyn io::Write>;

fn layer(
    at: At<'_>,
    layout: &Layout,
    fill: impl FnOnce(&mut Tar<'_>) -> io::Result<()>,
) -> Result<Layer, ImageError> {
    let path = layout.partial_folder().join(format!("layer-{}", std::process::id()));
    let file = File::create(&path).map_err(at.io(path.display()))?;
    let compressed = Tee::new(BufWriter::new(file));
    // Without a name and a time in its header.
    let mut content = Tee::new(GzBuilder::new().mtime(0).write(compressed, Compression::new(6)));
    let filled = {
        let sink: &mut dyn io::Write = &mut content;
        let mut tar = tar::Builder::new(sink);
        fill(&mut tar).and_then(|()| tar.finish())
    };
    filled.map_err(at.io("packing a layer"))?;
    let compressed = content.inner.finish().map_err(at.io(path.display()))?;
    compressed.inner.into_inner().map_err(|error| at.io(path.display())(error.into_error()))?;
    let size = compressed.hasher.bytes();
    let digest = compressed.hasher.finish();
    layout.adopt(at, &path, &digest)?;
    Ok(Layer {
        blob: Blob { digest, size, media_type: MediaType::ImageLayerGzip },
        content: content.hasher.finish(),
    })
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn add_folder(tar: &mut Tar<'_>, name: &str) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Directory, 0o755, 0), format!("{name}/"), io::empty())
}

fn add_file(tar: &mut Tar<'_>, name: &str, path: &Path, mode: u32) -> io::Result<()> {
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(about)?.len();
    let file = BufReader::new(File::open(path).map_err(about)?);
    tar.append_data(&mut header(EntryType::Regular, mode, size), name, file.take(size))
}
