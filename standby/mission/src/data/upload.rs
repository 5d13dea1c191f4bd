//! The uploader: brings what is on the disk to object storage, in order, and has the manifest say so.
//!
//! It goes on where it stopped, whatever it was that stopped it: what the manifest lists is there, and everything else is
//! uploaded (again). A manifest that somebody else has changed meanwhile is read again.

// What is read here lies in object storage, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use super::plan::Plan;
use super::spool::Spool;
use super::storage::{Problem, Storage, StorageError};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use twinhelm_standby::data::{Chores, Kind, Manifest, Piece, to_upload};

/// So many pieces share one new version of the manifest.
const AT_ONCE: usize = 16;
/// So many versions of a manifest stay: somebody may be about to read one.
const GENERATIONS_KEPT: u64 = 3;

/// Uploads the mission data of one device.
#[derive(Debug)]
pub struct Uploader {
    storage: Storage,
    vehicle: String,
    device: String,
    spool: Arc<Mutex<Spool>>,
    /// As it was read or written last.
    manifest: Option<Manifest>,
    plan: Option<Plan>,
}

/// What one pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// What is acknowledged now that was not before.
    pub acknowledged: Vec<Piece>,
    /// What was found damaged on the disk, and removed.
    pub damaged: Vec<Piece>,
    /// There is more.
    pub has_more: bool,
}

impl Uploader {
    /// Returns one that has not asked anything yet.
    #[must_use]
    pub fn new(storage: Storage, vehicle: &str, device: &str, spool: Arc<Mutex<Spool>>) -> Self {
        let (vehicle, device) = (vehicle.to_owned(), device.to_owned());
        Self { storage, vehicle, device, spool, manifest: None, plan: None }
    }

    /// Has this plan uploaded, too.
    pub fn set_plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
    }

    /// Returns the manifest, as it was read or written last.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Uploads what waits, a bounded part of it at once.
    ///
    /// # Errors
    /// The storage's. What was acknowledged before stays so; calling again goes on.
    pub async fn pass(&mut self) -> Result<Pass, StorageError> {
        let passed = self.upload().await;
        if passed.is_err() {
            // Whether the last put has come through is not known.
            self.manifest = None;
        }
        passed
    }

    async fn upload(&mut self) -> Result<Pass, StorageError> {
        let current = match self.manifest.take() {
            Some(manifest) => manifest,
            None => newest_manifest(&self.storage, &self.vehicle, &self.device).await?.unwrap_or_default(),
        };
        let (spool_id, mut waiting) = {
            let spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
            let id = spool.id().to_owned();
            let waiting = to_upload(spool.pieces(), |seq| current.has(&id, seq));
            (id, waiting)
        };
        let count = waiting.len();
        waiting.truncate(AT_ONCE);
        let mut pass = Pass::default();
        for piece in waiting {
            let read = self.spool.lock().unwrap_or_else(PoisonError::into_inner).read(&piece);
            match read {
                Ok(bytes) => {
                    self.storage.put(&key_of(&self.vehicle, &self.device, &spool_id, &piece), bytes).await?;
                    pass.acknowledged.push(piece);
                }
                // It made room for newer ones meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => {
                    self.spool.lock().unwrap_or_else(PoisonError::into_inner).remove(piece.seq);
                    pass.damaged.push(piece);
                }
            }
        }
        // Without progress there is nothing to go on with at once.
        pass.has_more = count > AT_ONCE && !(pass.acknowledged.is_empty() && pass.damaged.is_empty());
        let new_plan = self
            .plan
            .clone()
            .filter(|plan| current.plan.as_ref().is_none_or(|(_, sha256)| sha256 != plan.digest().hex()));
        if let Some(plan) = &new_plan {
            self.storage
                .put(&plan_key(&self.vehicle, plan.version(), plan.digest().hex()), plan.bytes().to_vec())
                .await?;
        }
        if pass.acknowledged.is_empty() && new_plan.is_none() {
            self.manifest = Some(current);
            return Ok(pass);
        }
        let (mut next, chores) = current.with(&spool_id, &pass.acknowledged);
        if let Some(plan) = new_plan {
            next.plan = Some((plan.version(), plan.digest().hex().to_owned()));
        }
        self.commit(&next, &chores).await?;
        self.manifest = Some(next);
        Ok(pass)
    }

    /// Makes `next` the manifest, if nobody else was faster.
    async fn commit(&self, next: &Manifest, chores: &Chores) -> Result<(), StorageError> {
        let Self { storage, vehicle, device, .. } = self;
        if let Some((number, page)) = &chores.page {
            let key = page_key(vehicle, device, *number);
            storage.put(&key, storage.written(&key, page)?).await?;
        }
        let key = manifest_key(vehicle, device, next.generation);
        storage.create(&key, storage.written(&key, next)?).await?;
        // One that was slow may have made a version that was removed long ago: then a higher one is there.
        let generations = generations(storage, vehicle, device).await?;
        if generations.last().is_some_and(|last| *last > next.generation) {
            return Err(StorageError {
                storage: storage.name().to_owned(),
                what: key,
                text: "somebody else has written newer ones".to_owned(),
                problem: Problem::Conflict,
            });
        }
        for (spool, piece) in &chores.retired {
            storage.remove(&key_of(vehicle, device, spool, piece)).await;
        }
        for old in generations.iter().filter(|old| next.generation.saturating_sub(**old) >= GENERATIONS_KEPT) {
            storage.remove(&manifest_key(vehicle, device, *old)).await;
        }
        Ok(())
    }
}

pub(super) fn plan_key(vehicle: &str, version: u64, sha256: &str) -> String {
    format!("{vehicle}/plan/{version}-{sha256}.json")
}

pub(super) fn key_of(vehicle: &str, device: &str, spool: &str, piece: &Piece) -> String {
    let kind = match piece.kind {
        Kind::Segment => "mcap",
        Kind::Snapshot(_) => "snapshot.json",
    };
    format!("{vehicle}/{device}/{spool}-{:08}.{kind}", piece.seq)
}

pub(super) fn page_key(vehicle: &str, device: &str, number: u32) -> String {
    format!("{vehicle}/{device}/pages/{}", page_name(number))
}

fn page_name(number: u32) -> String {
    format!("{number:08}.json")
}

/// Returns which of the first `count` pages are there, in order. How many a manifest claims is no reason to ask so often.
pub(super) async fn pages(
    storage: &Storage,
    vehicle: &str,
    device: &str,
    count: u32,
) -> Result<Vec<u32>, StorageError> {
    let (_, names) = storage.list(&format!("{vehicle}/{device}/pages")).await?;
    let number = |name: &String| {
        let number = name.strip_suffix(".json")?.parse().ok()?;
        (*name == page_name(number) && number < count).then_some(number)
    };
    let mut pages: Vec<u32> = names.iter().filter_map(number).collect();
    pages.sort_unstable();
    Ok(pages)
}

fn manifest_key(vehicle: &str, device: &str, generation: u64) -> String {
    format!("{vehicle}/{device}/manifest/{}", manifest_name(generation))
}

fn manifest_name(generation: u64) -> String {
    format!("{generation:020}.json")
}

async fn generations(storage: &Storage, vehicle: &str, device: &str) -> Result<Vec<u64>, StorageError> {
    let (_, names) = storage.list(&format!("{vehicle}/{device}/manifest")).await?;
    // One that is written otherwise is not found under the key of its number: whoever asked for it would ask for ever.
    let number = |name: &String| {
        let generation = name.strip_suffix(".json")?.parse().ok()?;
        (*name == manifest_name(generation)).then_some(generation)
    };
    let mut generations: Vec<u64> = names.iter().filter_map(number).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// Returns the manifest that holds for `device`; `None` where nothing was uploaded yet.
pub(super) async fn newest_manifest(
    storage: &Storage,
    vehicle: &str,
    device: &str,
) -> Result<Option<Manifest>, StorageError> {
    let mut pause = LISTED_AGAIN_AFTER;
    for _ in 0..LISTED_AT_MOST {
        let Some(newest) = generations(storage, vehicle, device).await?.pop() else { return Ok(None) };
        match storage.document(&manifest_key(vehicle, device, newest)).await {
            Ok(manifest) => return Ok(Some(manifest)),
            // Replaced, and removed, since it was listed; or a listing that lags behind.
            Err(error) if error.problem == Problem::Missing => tokio::time::sleep(pause).await,
            Err(error) => return Err(error),
        }
        pause = pause.saturating_mul(2);
    }
    Err(StorageError {
        storage: storage.name().to_owned(),
        what: format!("{vehicle}/{device}/manifest"),
        text: format!("it lists a manifest and then says that there is none, {LISTED_AT_MOST} times in a row"),
        problem: Problem::Unreachable,
    })
}

/// A manifest that was replaced since it was listed is looked for again after so long, each time twice as long as before, and so
/// often: six seconds in all.
const LISTED_AGAIN_AFTER: Duration = Duration::from_millis(100);
const LISTED_AT_MOST: u32 = 6;
