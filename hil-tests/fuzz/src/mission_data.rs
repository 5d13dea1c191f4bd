//! What lies on a disk or in object storage: snapshots, plans, manifests and their pages; and a whole storage of them, from which a
//! mission is recovered. The first byte says which.

use crate::input::Input;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Builder;
use twinhelm_mission::data::{Access, Address, Plan, Snapshot, Spool, Storage, check, recover};
use twinhelm_mission::image::Digest;
use twinhelm_standby::data::{Manifest, Piece, to_remove, to_upload};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    match which {
        b's' => snapshot(rest),
        b'p' => plan(rest),
        b'm' => manifest(rest),
        b'd' => disk(rest),
        _ => storage(rest),
    }
}

fn snapshot(bytes: &[u8]) {
    // Without its checksum nothing of it would be read: it is put right.
    for bytes in [bytes.to_vec(), summed(bytes).unwrap_or_default()] {
        if let Ok(snapshot) = Snapshot::decode(&bytes) {
            assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        }
    }
}

/// Returns a snapshot with the checksum that belongs to it: its decoder says which one it is not.
fn summed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let (format, plan) = (value.get("format")?.as_u64()?, value.get("plan")?.as_u64());
    let position: twinhelm_standby::data::Position = serde_json::from_value(value.get("position")?.clone()).ok()?;
    let sample = value.get("sample")?.as_str()?;
    let sum = Digest::of(format!("{format} {position} {plan:?} {sample}").as_bytes()).hex().to_owned();
    value["sha256"] = sum.into();
    serde_json::to_vec(&value).ok()
}

fn plan(bytes: &[u8]) {
    if let Ok(plan) = Plan::parse(bytes.to_vec()) {
        assert_eq!(plan.bytes(), bytes);
        assert!(plan.name().starts_with(&plan.version().to_string()));
    }
}

fn manifest(bytes: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let pieces: Vec<Piece> = manifest.pieces.iter().map(|(_, piece)| piece.clone()).collect();
    let _ = manifest.newest_state();
    let (next, chores) = manifest.with("fresh", &pieces);
    assert_eq!(next.last_of("fresh"), pieces.last().map(|piece| piece.seq));
    assert!(chores.retired.iter().all(|(_, piece)| !piece.is_segment()), "segments are kept");
    let _ = next.with(&manifest.spool, &pieces);
    let waiting = to_upload(&pieces, |seq| manifest.has(&manifest.spool, seq));
    assert!(waiting.len() <= pieces.len());
    let removed = to_remove(&pieces, |seq| seq % 2 == 0, 1_000);
    assert!(removed.len() <= pieces.len());
}

/// A device's spool, whose files' names are the lines of the input.
fn disk(bytes: &[u8]) {
    let folder = TempDir::new().expect("a folder");
    for name in String::from_utf8_lossy(bytes).lines().take(8) {
        let name: String = name.chars().filter(|letter| *letter != '/' && *letter != '\0').take(60).collect();
        if !matches!(name.as_str(), "" | "." | "..") {
            fs::write(folder.path().join(name), bytes).expect("a file");
        }
    }
    let Ok((mut spool, _)) = Spool::open(folder.path()) else { return };
    let _ = spool.snapshot();
    let _ = spool.plan();
    let piece = spool.add(twinhelm_standby::data::Kind::Segment, bytes).expect("there is room");
    assert_eq!(spool.read(&piece).expect("it was added"), bytes);
}

/// An object storage in a folder: a manifest, a snapshot, a plan and a page of the input's parts.
fn storage(bytes: &[u8]) {
    let folder = TempDir::new().expect("a folder");
    let mut input = Input::new(bytes);
    let (generation, length) = (input.u8(), usize::from(input.u16()));
    let parts = [input.slice(length), input.slice(usize::MAX)];
    let manifest = parts[0];
    let device = folder.path().join("demo/left");
    // As it is written, or as somebody might put it there.
    let name = if generation % 8 == 0 { format!("{generation}.json") } else { format!("{generation:020}.json") };
    put(&device.join("manifest").join(name), manifest);
    put(&device.join("pages/00000000.json"), parts[1]);
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) {
        for (spool, piece) in manifest.pieces.iter().take(8) {
            let name = format!("{spool}-{:08}.snapshot.json", piece.seq);
            if name.len() < 100 && !name.contains(['/', '\0']) {
                put(&device.join(name), parts[1]);
            }
        }
    }
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let address = Address::Dir(folder.path().to_owned());
        let Ok(storage) = Storage::open(&address, &Access::default()) else { return };
        let _ = recover(&storage, "demo", |_| true).await;
        let _ = check(&storage, "demo", true).await;
    });
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}
