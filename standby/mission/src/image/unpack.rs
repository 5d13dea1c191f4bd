//! Unpacking: a verified image into a folder that is there whole or not at all.
//!
//! The unpacking itself is `oci-unpack`'s, which resolves every path that it writes below the root in the kernel (`openat2`
//! with `RESOLVE_BENEATH`), and where the kernel has Landlock cannot write anywhere else. It sets modes without that, so what was
//! verified has no path through a link. It takes images from a registry, so it
//! gets one: the verified blobs of this layout, over loopback, for as long as it takes.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::verify::{Limits, Verified, verify};
use super::{Platform, manifest};
use oci_spec::image::MediaType;
use oci_unpack::errors::UnpackError;
use oci_unpack::{EventHandler, Unpacker};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// An image that is unpacked.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The root.
    pub root: PathBuf,
    /// What was found when it was verified.
    pub verified: Verified,
    /// The kernel confined the unpacking to its folder (Landlock); `openat2` does in any case.
    pub landlocked: bool,
}

/// Unpacks the image `digest`, for a device that `runs` these platforms, below `folder`: the root is in a folder that has
/// the manifest's name. One that is there already is used.
///
/// # Errors
/// The image is not what its digest says, has something in it that has no place in a root, or does not fit.
pub fn unpack(
    layout: &Layout,
    digest: &Digest,
    runs: &[Platform],
    limits: Limits,
    folder: &Path,
) -> Result<Unpacked, ImageError> {
    let name = format!("oci:{}@{digest}", layout.folder().display());
    let at = At { image: &name, step: "unpacking" };
    let mut all = verify(layout, digest, runs, limits)?;
    let verified = all.remove(0);
    let place = folder.join(verified.manifest.hex());
    let root = place.join("rootfs");
    if root.exists() {
        return Ok(Unpacked { root, verified, landlocked: false });
    }
    fs::create_dir_all(folder).map_err(at.io(folder.display()))?;
    // What a container may execute is nobody else's business.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(at.io(folder.display()))?;
    // Whatever an earlier life had left half unpacked.
    let half = folder.join(format!("{}.half", verified.manifest.hex()));
    if half.exists() {
        fs::remove_dir_all(&half).map_err(at.io(half.display()))?;
    }
    let landlocked = match carry_out(at, layout, &verified, &half) {
        Ok(landlocked) => landlocked,
        Err(error) => {
            // It would be removed before the next attempt in any case.
            let _ = fs::remove_dir_all(&half);
            return Err(error);
        }
    };
    let whole = File::open(&half).and_then(|folder| rustix::fs::syncfs(folder).map_err(io::Error::from));
    whole.and_then(|()| fs::rename(&half, &place)).map_err(at.io(place.display()))?;
    Ok(Unpacked { root, verified, landlocked })
}

fn carry_out(at: At<'_>, layout: &Layout, verified: &Verified, into: &Path) -> Result<bool, ImageError> {
    let registry = Loopback::open(at, layout, verified)?;
    let name = format!("{}/mission@{}", registry.address, verified.manifest);
    let skipped = Skipped::default();
    let attempt = |landlocked: bool| {
        let reference = oci_unpack::Reference::try_from(name.as_str())
            .map_err(|error| at.error(Kind::Format, error, "report this"))?;
        let unpacker = Unpacker::new(reference).require_sandbox(landlocked).event_handler(skipped.clone());
        match unpacker.unpack(into) {
            Ok(()) => Ok(true),
            // Nothing was written yet.
            Err(UnpackError::Sandbox(_)) => Ok(false),
            Err(UnpackError::Io(cause, path)) => Err(at.io(path.display())(cause)),
            Err(error) => Err(at.error(Kind::Format, error, "build the image again")),
        }
    };
    // A thread of its own: Landlock confines it for the rest of its life.
    let confined = thread::scope(|scope| {
        let work = scope.spawn(|| attempt(true));
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    if !confined {
        attempt(false)?;
    }
    if skipped.0.load(Ordering::Relaxed) {
        return Err(at.error(Kind::Unsafe, "an entry was left out", "build the image again without it"));
    }
    Ok(confined)
}

/// Whether an entry was left out. What was verified has none of that sort.
#[derive(Clone, Debug, Default)]
struct Skipped(Arc<AtomicBool>);

impl EventHandler for Skipped {
    fn layer_entry_skipped(&self, _path: &Path, _cause: &dyn std::fmt::Display) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The verified blobs of one image, for whoever asks on loopback for them.
struct Loopback {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Loopback {
    fn open(at: At<'_>, layout: &Layout, verified: &Verified) -> Result<Self, ImageError> {
        let manifest = layout.read(at, &verified.manifest)?;
        let described = manifest::read_manifest(at, &verified.manifest, &manifest)?;
        let mut files =
            vec![(format!("/v2/mission/manifests/{}", verified.manifest), layout.path_of(&verified.manifest))];
        for blob in manifest::blobs(at, &described)? {
            files.push((format!("/v2/mission/blobs/{}", blob.digest), layout.path_of(&blob.digest)));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(at.io("listening on loopback"))?;
        let address = listener.local_addr().map_err(at.io("listening on loopback"))?;
        let media_type = described.media_type().clone().unwrap_or(MediaType::ImageManifest).to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let files = Arc::new(files);
        let media_type = Arc::new(media_type);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (files, media_type) = (files.clone(), media_type.clone());
                thread::spawn(move || {
                    // One that goes away has ended its unpacking.
                    drop(answer(&stream, &files, &media_type));
                });
            }
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Answers one request, and closes.
fn answer(stream: &TcpStream, files: &[(String, PathBuf)], media_type: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    // The rest of the head says nothing that matters.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut stream = stream;
    let Some((_, file)) = files.iter().find(|(name, _)| name == path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut file = File::open(file)?;
    let kind = if path.contains("/manifests/") { media_type } else { "application/octet-stream" };
    let length = file.metadata()?.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    io::copy(&mut file, &mut stream).map(drop)
}
