//! What object storage gives back: a mission to go on with, and whether all is there that was acknowledged.

// What is read here lies in object storage, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use super::plan::Plan;
use super::snapshot::Snapshot;
use super::storage::{Storage, StorageError};
use super::upload::{key_of, newest_manifest, page_key, pages, plan_key};
use twinhelm_standby::data::{Amount, Kind, Manifest, Piece, Position};

/// What a mission goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest plan.
    pub plan: Option<Plan>,
    /// The newest snapshot that is whole.
    pub snapshot: Option<Snapshot>,
    /// Which snapshots were passed over, and why, in words.
    pub refused: Vec<String>,
}

/// Looks for the newest plan, and for the newest snapshot that is whole, that follows that plan, and whose position `fits`.
///
/// A damaged snapshot has an older one behind it. A damaged plan has not: an older one would be another drive's.
///
/// # Errors
/// The storage cannot be reached, or does not let us; the newest plan is damaged.
pub async fn recover(
    storage: &Storage,
    vehicle: &str,
    fits: impl Fn(Position) -> bool,
) -> Result<Recovered, StorageError> {
    let mut recovered = Recovered::default();
    let mut snapshots = Vec::new();
    let manifests = manifests(storage, vehicle).await?;
    recovered.plan = newest_plan(storage, vehicle, manifests.iter().map(|(_, manifest)| manifest)).await?;
    for (device, manifest) in manifests {
        snapshots.extend(manifest.pieces.into_iter().filter_map(|(spool, piece)| match piece.kind {
            Kind::Snapshot(position) if fits(position) => Some((position, device.clone(), spool, piece)),
            Kind::Snapshot(_) | Kind::Segment => None,
        }));
    }
    let version = recovered.plan.as_ref().map(Plan::version);
    snapshots.sort_by_key(|(position, ..)| *position);
    while let Some((_, device, spool, piece)) = snapshots.pop() {
        let key = key_of(vehicle, &device, &spool, &piece);
        let read = storage.get_whole(&key, &piece.sha256).await.map_err(|error| error.to_string());
        let read = read.and_then(|bytes| {
            Snapshot::decode(&bytes).map_err(|error| format!("{}: {key}: {error}", storage.name()))
        });
        match read {
            Ok(snapshot) if version.is_none() || snapshot.plan == version => {
                recovered.snapshot = Some(snapshot);
                break;
            }
            // Of another drive.
            Ok(_) => {}
            Err(error) => recovered.refused.push(error),
        }
    }
    Ok(recovered)
}

/// Returns the newest plan that `manifests` of `vehicle` name.
///
/// # Errors
/// The storage cannot be reached, or does not let us; the plan is damaged.
pub async fn newest_plan(
    storage: &Storage,
    vehicle: &str,
    manifests: impl Iterator<Item = &Manifest>,
) -> Result<Option<Plan>, StorageError> {
    let Some((version, sha256)) = manifests.filter_map(|manifest| manifest.plan.as_ref()).max() else {
        return Ok(None);
    };
    let key = plan_key(vehicle, *version, sha256);
    let bytes = storage.get_whole(&key, sha256).await?;
    Plan::parse(bytes).map(Some).map_err(|error| storage.damaged(&key, error.to_string()))
}

async fn manifests(storage: &Storage, vehicle: &str) -> Result<Vec<(String, Manifest)>, StorageError> {
    let (devices, _) = storage.list(vehicle).await?;
    let mut manifests = Vec::new();
    for device in devices {
        if let Some(manifest) = newest_manifest(storage, vehicle, &device).await? {
            manifests.push((device, manifest));
        }
    }
    Ok(manifests)
}

/// Returns the bytes of a piece.
///
/// # Errors
/// The storage's; its bytes are not those that were uploaded.
pub async fn get(
    storage: &Storage,
    vehicle: &str,
    device: &str,
    spool: &str,
    piece: &Piece,
) -> Result<Vec<u8>, StorageError> {
    storage.get_whole(&key_of(vehicle, device, spool, piece), &piece.sha256).await
}

/// What object storage has of one device, and whether it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The device.
    pub device: String,
    /// What its manifest says.
    pub manifest: Manifest,
    /// All pieces that are listed, on older pages and on the manifest, with the disk that they came from.
    pub pieces: Vec<(String, Piece)>,
    /// What of it was read, and has its digest; `None` where nothing was to be read.
    pub whole: Option<Amount>,
    /// What is missing or damaged, in words.
    pub lost: Vec<String>,
}

/// Lists what there is of each device of `vehicle`; `reads` each piece and compares its digest.
///
/// # Errors
/// The storage cannot be reached, or does not let us.
pub async fn check(storage: &Storage, vehicle: &str, reads: bool) -> Result<Vec<Checked>, StorageError> {
    let mut all = Vec::new();
    for (device, manifest) in manifests(storage, vehicle).await? {
        let (mut whole, mut lost, mut pieces) = (Amount::default(), Vec::<String>::new(), Vec::new());
        let found = pages(storage, vehicle, &device, manifest.pages).await?;
        if let missing @ 1.. = (manifest.pages as usize).saturating_sub(found.len()) {
            lost.push(format!("{}: {device}: {missing} of {} pages are missing", storage.name(), manifest.pages));
        }
        for page in found {
            match storage.document::<Vec<(String, Piece)>>(&page_key(vehicle, &device, page)).await {
                Ok(page) => pieces.extend(page),
                Err(error) => lost.push(error.to_string()),
            }
        }
        pieces.extend(manifest.pieces.iter().cloned());
        for (spool, piece) in pieces.iter().filter(|_| reads) {
            match get(storage, vehicle, &device, spool, piece).await {
                Ok(_) => whole.add(piece),
                Err(error) => lost.push(error.to_string()),
            }
        }
        let whole = reads.then_some(whole);
        all.push(Checked { device, manifest, pieces, whole, lost });
    }
    Ok(all)
}
