//! Pulling: every blob of an image that is not here yet, checked, one after the other, no faster than allowed.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::manifest::{self, Blob, Parts};
use super::platform::Platform;
use super::reference::Reference;
use super::source::Source;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is to be pulled.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The image, in each place where it may be, in the order in which they are tried.
    pub from: &'a [Reference],
    /// The platforms that the device runs, best first: one manifest is pulled. Empty: all that there are.
    pub runs: &'a [Platform],
    /// How fast at most.
    pub rate: &'a Rate,
    /// The tag under which it is listed here.
    pub tag: Option<&'a str>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So many bytes are here.
    pub done: u64,
    /// Of so many.
    pub all: u64,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Digest,
    /// The manifest for the device, when one was asked for.
    pub manifest: Option<Digest>,
    /// So many bytes came from elsewhere.
    pub fetched: u64,
    /// So many bytes were here already.
    pub kept: u64,
    /// Where they came from.
    pub from: Reference,
}

/// Pulls an image into `to`.
///
/// # Errors
/// No place has it whole: the error names each, and why. What was fetched is kept, and the next call goes on there.
pub fn pull(to: &Layout, request: &Request<'_>, tell: &mut dyn FnMut(Progress)) -> Result<Pulled, ImageError> {
    let mut failures: Vec<ImageError> = Vec::new();
    for reference in request.from {
        match pull_from(to, request, reference, tell) {
            Ok(pulled) => return Ok(pulled),
            // Another place does not make room.
            Err(error) if error.kind == Kind::Full => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    let Some(mut last) = failures.pop() else {
        let at = At { image: &"the image", step: "pulling" };
        return Err(at.error(Kind::Missing, "no place is named to pull it from", "name one in `sources`"));
    };
    if !failures.is_empty() {
        let others = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and before that: ");
        last.problem = format!("{} (and before that: {others})", last.problem);
    }
    Err(last)
}

fn pull_from(
    to: &Layout,
    request: &Request<'_>,
    reference: &Reference,
    tell: &mut dyn FnMut(Progress),
) -> Result<Pulled, ImageError> {
    let at = At { image: reference, step: "pulling" };
    let source = Source::open(&reference.place)?;
    let image = source.resolve(at, reference)?;
    let bytes = source.document(at, &image)?;
    let parts = manifest::parts(at, &image, &bytes, request.runs, |digest| source.document(at, digest))?;
    let Parts { media_type, chosen, documents, blobs } = parts;
    let mut pace = Pace::new(request.rate);
    let all = blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add);
    let (mut done, mut fetched) = (0_u64, 0_u64);
    for blob in &blobs {
        if !to.has_whole(at, &blob.digest)? {
            let so_far = done;
            let tell = &mut |part| tell(Progress { done: so_far.saturating_add(part), all });
            fetched = fetched.saturating_add(fetch(at, to, &source, blob, &mut pace, tell)?);
        }
        done = done.saturating_add(blob.size);
        tell(Progress { done, all });
    }
    // What names others comes last: whoever finds it finds all.
    for (blob, text) in documents {
        to.put(at, blob.media_type, &text)?;
    }
    let top = to.put(at, media_type, &bytes)?;
    to.list_as(request.tag, &Blob { size: bytes.len() as u64, ..top })?;
    Ok(Pulled { image, manifest: chosen, fetched, kept: all.saturating_sub(fetched), from: reference.clone() })
}

/// Fetches one blob, or the rest of it; returns how many bytes came.
fn fetch(
    at: At<'_>,
    to: &Layout,
    source: &Source,
    blob: &Blob,
    pace: &mut Pace<'_>,
    tell: &mut dyn FnMut(u64),
) -> Result<u64, ImageError> {
    let partial = std::cell::RefCell::new(to.begin(at, blob)?);
    let offset = partial.borrow().offset();
    let fetched = std::cell::Cell::new(0_u64);
    if offset < blob.size {
        source.blob(at, blob, offset, &mut || partial.borrow_mut().restart(at), &mut |bytes| {
            let mut partial = partial.borrow_mut();
            partial.write(at, bytes)?;
            fetched.set(fetched.get().saturating_add(bytes.len() as u64));
            tell(partial.offset());
            pace.wait(bytes.len() as u64);
            Ok(())
        })?;
    }
    partial.into_inner().finish(at)?;
    Ok(fetched.get())
}

/// How many bytes a second may be pulled at most. It can be lifted while a pull goes on.
#[derive(Debug)]
pub struct Rate(AtomicU64);

impl Rate {
    /// Returns a rate; `None` is as fast as it goes.
    #[must_use]
    pub const fn new(bytes_a_second: Option<u64>) -> Self {
        Self(AtomicU64::new(match bytes_a_second {
            Some(rate) => rate,
            None => 0,
        }))
    }

    /// Lets it go as fast as it can from now on.
    pub fn lift(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(rate),
        }
    }
}

/// Keeps to a rate by waiting, in pieces that a network does not notice.
#[derive(Debug)]
struct Pace<'a> {
    rate: &'a Rate,
    since: Instant,
    bytes: u64,
}

impl<'a> Pace<'a> {
    fn new(rate: &'a Rate) -> Self {
        Self { rate, since: Instant::now(), bytes: 0 }
    }

    fn wait(&mut self, bytes: u64) {
        let Some(rate) = self.rate.get() else { return };
        self.bytes = self.bytes.saturating_add(bytes);
        // A rate of a byte a second is no reason to panic, either.
        let due = Duration::try_from_secs_f64(self.bytes as f64 / rate as f64).unwrap_or(Duration::MAX);
        thread::sleep(due.saturating_sub(self.since.elapsed()));
    }
}
