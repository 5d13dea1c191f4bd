//! Mission data on a real disk and in real object storage: a directory, and an S3 on loopback that makes trouble.

mod s3;

use s3::{S3, Trouble};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::term::Term;
use twinhelm_mission::data::{Access, Address, Plan, Problem, Snapshot, Spool, Storage, Uploader, check, recover};
use twinhelm_standby::data::{Amount, Kind, Manifest, Position, to_remove};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn position(cycle: u64) -> Position {
    Position { term: Term::new(4), cycle: Cycle::new(cycle) }
}

fn snapshot(cycle: u64) -> Snapshot {
    Snapshot { position: position(cycle), plan: Some(1), sample: cycle.to_le_bytes().to_vec() }
}

fn spool(folder: &Path) -> Arc<Mutex<Spool>> {
    Arc::new(Mutex::new(Spool::open(&folder.join("spool")).expect("it opens").0))
}

fn keep(spool: &Mutex<Spool>, snapshot: &Snapshot) {
    spool
        .lock()
        .expect("no panic")
        .add(Kind::Snapshot(snapshot.position), &snapshot.encode())
        .expect("the disk takes it");
}

fn record(spool: &Mutex<Spool>, bytes: &[u8]) {
    spool.lock().expect("no panic").add(Kind::Segment, bytes).expect("the disk takes it");
}

fn directory(folder: &Path) -> Storage {
    let address = Address::Dir(folder.join("objects"));
    Storage::open(&address, &Access::default()).expect("it opens")
}

/// Passes until nothing waits; returns how many passes failed.
async fn pass_all(uploader: &mut Uploader) -> usize {
    let mut failed = 0;
    for _ in 0..100 {
        match uploader.pass().await {
            Ok(pass) if pass.has_more => {}
            Ok(_) => return failed,
            Err(_) => failed += 1,
        }
    }
    panic!("it does not get through");
}

/// Each piece that the manifest acknowledges is there, and whole.
async fn assert_nothing_is_lost(storage: &Storage) {
    for checked in check(storage, "demo", true).await.expect("it can be read") {
        assert_eq!(checked.lost, Vec::<String>::new());
        let expected = checked.manifest.acknowledged.bytes - checked.manifest.retired.bytes;
        assert_eq!(checked.whole.map(|whole| whole.bytes), Some(expected));
    }
}

/// Segments and snapshots are uploaded by one process, and the next one goes on.
async fn upload_and_recover(storage: &Storage, folder: &Path) {
    let disk = spool(folder);
    let mut uploader = Uploader::new(storage.clone(), "demo", "left", Arc::clone(&disk));
    uploader.set_plan(Plan::parse(br#"{"version":1,"course":"harbour"}"#.to_vec()).expect("a plan"));
    for round in 0..5 {
        record(&disk, &vec![round; 10_000]);
        keep(&disk, &snapshot(u64::from(round)));
        pass_all(&mut uploader).await;
    }
    drop((uploader, disk));
    let disk = spool(folder);
    let mut next_life = Uploader::new(storage.clone(), "demo", "left", Arc::clone(&disk));
    let pass = next_life.pass().await.expect("it reads the manifest");
    assert!(pass.acknowledged.is_empty(), "all of it was acknowledged before");
    keep(&disk, &snapshot(5));
    pass_all(&mut next_life).await;
    let manifest = next_life.manifest().expect("it was written");
    assert_eq!((manifest.acknowledged.pieces, manifest.retired.pieces), (11, 3));
    assert_nothing_is_lost(storage).await;
    let recovered = recover(storage, "demo", |_| true).await.expect("it can be read");
    assert_eq!(recovered.snapshot, Some(snapshot(5)));
    assert_eq!(recovered.plan.expect("a plan").version(), 1);
    assert!(recovered.refused.is_empty());
    let elsewhere = recover(storage, "another-vehicle", |_| true).await.expect("it can be read");
    assert_eq!((elsewhere.snapshot, elsewhere.plan), (None, None));
}

#[test]
fn a_mission_is_uploaded_and_comes_back_from_a_directory() {
    let folder = TempDir::new().unwrap();
    runtime().block_on(upload_and_recover(&directory(folder.path()), folder.path()));
}

#[test]
fn a_mission_is_uploaded_and_comes_back_from_s3() {
    let (s3, folder) = (S3::start(), TempDir::new().unwrap());
    runtime().block_on(upload_and_recover(&s3.storage(), folder.path()));
}

/// Two processes that believe to be one device: neither's acknowledged data is lost.
async fn two_of_one_name(storage: &Storage) {
    let folders = [TempDir::new().expect("it is there"), TempDir::new().expect("it is there")];
    let disks = folders.each_ref().map(|folder| spool(folder.path()));
    let mut uploaders =
        disks.each_ref().map(|disk| Uploader::new(storage.clone(), "demo", "left", Arc::clone(disk)));
    for uploader in &mut uploaders {
        // Both know the same manifest now.
        uploader.pass().await.expect("nothing is there yet");
    }
    record(&disks[0], b"first");
    record(&disks[1], b"second");
    uploaders[0].pass().await.expect("it is the first");
    let error = uploaders[1].pass().await.expect_err("its manifest is an old one");
    assert_eq!(error.problem, Problem::Conflict, "{error}");
    assert_eq!(pass_all(&mut uploaders[1]).await, 0, "it has looked again");
    assert_nothing_is_lost(storage).await;
    let held = check(storage, "demo", false).await.expect("it is there");
    assert_eq!(held[0].manifest.acknowledged.pieces, 2);
}

#[test]
fn a_manifest_that_somebody_else_has_changed_is_read_again() {
    let folder = TempDir::new().unwrap();
    let s3 = S3::start();
    runtime().block_on(two_of_one_name(&directory(folder.path())));
    runtime().block_on(two_of_one_name(&s3.storage()));
}

#[test]
fn a_slow_writer_does_not_bring_an_old_manifest_back() {
    let folder = TempDir::new().unwrap();
    let storage = directory(folder.path());
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let disks = folders.each_ref().map(|folder| spool(folder.path()));
    runtime().block_on(async {
        let mut uploaders =
            disks.each_ref().map(|disk| Uploader::new(storage.clone(), "demo", "left", Arc::clone(disk)));
        uploaders[1].pass().await.expect("nothing is there yet");
        // The other one goes on until the generation that this one would write next was removed.
        for number in 0..8 {
            record(&disks[0], &[number; 100]);
            uploaders[0].pass().await.expect("it is alone");
        }
        record(&disks[1], b"late");
        let error = uploaders[1].pass().await.expect_err("newer ones are there");
        assert_eq!(error.problem, Problem::Conflict, "{error}");
        pass_all(&mut uploaders[1]).await;
        assert_nothing_is_lost(&storage).await;
        assert_eq!(check(&storage, "demo", false).await.unwrap()[0].manifest.acknowledged.pieces, 9);
    });
}

#[test]
fn storage_that_refuses_says_what_to_look_at_and_what_waited_is_uploaded_later() {
    let (s3, folder) = (S3::start(), TempDir::new().unwrap());
    let disk = spool(folder.path());
    let mut uploader = Uploader::new(s3.storage(), "demo", "left", Arc::clone(&disk));
    record(&disk, b"one");
    s3.make(Trouble::Refuses);
    runtime().block_on(async {
        let error = uploader.pass().await.expect_err("it is refused");
        assert_eq!(error.problem, Problem::Refused, "{error}");
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
        record(&disk, b"two");
        s3.make(Trouble::None);
        assert_eq!(pass_all(&mut uploader).await, 0);
        assert_eq!(uploader.manifest().unwrap().acknowledged.pieces, 2);
        assert_nothing_is_lost(&s3.storage()).await;
    });
}

#[test]
fn storage_that_is_slow_fails_every_second_request_or_cuts_an_upload_loses_nothing() {
    for trouble in [Trouble::Slow(Duration::from_millis(200)), Trouble::EverySecond, Trouble::CutsAnUpload] {
        let (s3, folder) = (S3::start(), TempDir::new().unwrap());
        let disk = spool(folder.path());
        let mut uploader = Uploader::new(s3.storage(), "demo", "left", Arc::clone(&disk));
        runtime().block_on(async {
            for round in 0..3 {
                record(&disk, &vec![round; 100_000]);
                keep(&disk, &snapshot(round.into()));
                s3.make(trouble);
                pass_all(&mut uploader).await;
            }
            s3.make(Trouble::None);
            assert!(s3.requests() > 0);
            assert_eq!(uploader.manifest().unwrap().acknowledged.pieces, 6, "{trouble:?}");
            assert_nothing_is_lost(&s3.storage()).await;
        });
    }
}

#[test]
fn storage_that_is_away_is_told_and_nothing_waits_for_it_for_long() {
    let folder = TempDir::new().unwrap();
    let address: Address = "s3://missions".parse().unwrap();
    // A port that nobody listens on: it was given out, and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let keys = Some(["test".to_owned(), "test".to_owned()]);
    let access = Access { endpoint: Some(format!("http://127.0.0.1:{port}")), keys };
    let storage = Storage::open(&address, &access).expect("nothing is asked of it yet");
    let disk = spool(folder.path());
    record(&disk, b"one");
    let mut uploader = Uploader::new(storage, "demo", "left", Arc::clone(&disk));
    let error = runtime().block_on(uploader.pass()).expect_err("nobody is there");
    assert_eq!(error.problem, Problem::Unreachable, "{error}");
    assert!(error.to_string().contains("stays on the disk"), "{error}");
    assert_eq!(disk.lock().unwrap().pieces().len(), 1);
}

#[test]
fn a_manifest_that_is_listed_and_then_not_there_is_asked_for_a_few_times_and_told() {
    runtime().block_on(async {
        let s3 = S3::start();
        let folder = tempfile::tempdir().unwrap();
        upload_and_recover(&s3.storage(), folder.path()).await;
        s3.make(Trouble::Forgets);
        let before = s3.requests();
        let error = recover(&s3.storage(), "demo", |_| true).await.unwrap_err();
        assert!(error.to_string().contains("lists a manifest and then says that there is none"), "{error}");
        assert_eq!(error.problem, Problem::Unreachable, "the next attempt may find it");
        let asked = s3.requests() - before;
        assert!(asked < 20, "{asked} requests");
        s3.make(Trouble::None);
        recover(&s3.storage(), "demo", |_| true).await.unwrap();
    });
}

#[test]
fn a_damaged_snapshot_in_storage_is_passed_over_for_an_older_one_and_said_so() {
    let folder = TempDir::new().unwrap();
    let (storage, disk) = (directory(folder.path()), spool(folder.path()));
    let mut uploader = Uploader::new(storage.clone(), "demo", "left", Arc::clone(&disk));
    runtime().block_on(async {
        for cycle in 1..=3 {
            keep(&disk, &snapshot(cycle));
            pass_all(&mut uploader).await;
        }
        let objects = || {
            let left = fs::read_dir(folder.path().join("objects/demo/left")).unwrap();
            let mut paths: Vec<_> = left.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
            paths.sort();
            paths
        };
        let newest = objects().pop().unwrap();
        let mut bytes = fs::read(&newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&newest, bytes).unwrap();
        let recovered = recover(&storage, "demo", |_| true).await.unwrap();
        assert_eq!(recovered.snapshot, Some(snapshot(2)));
        assert_eq!(recovered.refused.len(), 1);
        assert!(recovered.refused[0].contains("an older one is used"), "{:?}", recovered.refused);
        fs::remove_file(objects().pop().unwrap()).unwrap();
        assert_eq!(check(&storage, "demo", true).await.unwrap()[0].lost.len(), 1, "it is missed");
        assert_eq!(recover(&storage, "demo", |_| true).await.unwrap().snapshot, Some(snapshot(2)));
    });
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let (storage, disk) = (directory(folder.path()), spool(folder.path()));
    let mut uploader = Uploader::new(storage.clone(), "demo", "left", Arc::clone(&disk));
    runtime().block_on(async {
        keep(&disk, &snapshot(1));
        pass_all(&mut uploader).await;
        let newer = br#"{"format":2,"whatever":"it has"}"#;
        disk.lock().unwrap().add(Kind::Snapshot(position(2)), newer).unwrap();
        pass_all(&mut uploader).await;
        let recovered = recover(&storage, "demo", |_| true).await.unwrap();
        assert_eq!(recovered.snapshot, Some(snapshot(1)));
        assert!(recovered.refused[0].contains("update twinhelm on this device"), "{:?}", recovered.refused);
    });
}

#[test]
fn wherever_a_write_was_cut_off_the_disk_has_what_was_there_before() {
    let folder = TempDir::new().unwrap();
    let disk = spool(folder.path());
    keep(&disk, &snapshot(1));
    record(&disk, b"recorded");
    drop(disk);
    let path = folder.path().join("spool");
    let next = snapshot(2).encode();
    // What a write that was cut off leaves: a part of the file beside its place.
    for cut in [0, 1, next.len() / 2, next.len()] {
        fs::write(path.join("00000002-abc.snapshot.json.new"), &next[..cut]).unwrap();
        let (mut spool, told) = Spool::open(&path).expect("it opens");
        assert!(told.is_empty());
        assert_eq!((spool.pieces().len(), spool.snapshot()), (2, Some(snapshot(1))));
        let added = spool.add(Kind::Segment, b"more").expect("it goes on");
        assert_eq!(added.seq, 2, "what was never there has no number");
        spool.remove(added.seq);
    }
    // A disk that lost what it had said it has.
    let damaged = path.join(format!("00000002-{}.snapshot.json", "0".repeat(64)));
    fs::write(damaged, &next[..next.len() / 2]).unwrap();
    let (mut spool, told) = Spool::open(&path).expect("it opens");
    assert!(told[0].contains("an older one is used"), "{told:?}");
    assert_eq!(spool.snapshot(), Some(snapshot(1)));
    assert_eq!(spool.add(Kind::Segment, b"more").unwrap().seq, 3, "no number is given twice");
}

#[test]
fn a_full_disk_keeps_what_it_has_and_goes_on_when_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small disk needs root");
        return;
    }
    let folder = TempDir::new().unwrap();
    let small = Mounted::at(folder.path());
    let (mut spool, _) = Spool::open(&folder.path().join("spool")).expect("there is room for that");
    let segment = vec![7; 100_000];
    let error = loop {
        if let Err(error) = spool.add(Kind::Segment, &segment) {
            break error;
        }
        assert!(spool.pieces().len() < 100, "it never fills");
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    for piece in spool.pieces().to_vec() {
        assert_eq!(spool.read(&piece).expect("it is whole"), segment);
    }
    let used: u64 = spool.pieces().iter().map(|piece| piece.bytes).sum();
    let goes = to_remove(spool.pieces(), |_| false, used - 1);
    assert_eq!(goes.iter().map(|piece| piece.seq).collect::<Vec<_>>(), [0], "the oldest makes room");
    spool.remove(0);
    spool.add(Kind::Segment, &segment).expect("there is room again");
    drop(small);
}

/// Writes what somebody else may have put there.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

#[test]
fn a_manifest_that_claims_the_largest_numbers_is_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let most = Amount { pieces: u64::MAX, bytes: u64::MAX };
    let told =
        Manifest { generation: 7, pages: u32::MAX, acknowledged: most, retired: most, ..Manifest::default() };
    let told = serde_json::to_vec(&told).expect("it is written");
    put(folder.path(), "objects/demo/left/manifest/00000000000000000007.json", &told);
    let storage = directory(folder.path());
    runtime().block_on(async {
        let checked = check(&storage, "demo", true).await.expect("it is read");
        let lost = checked.first().map(|left| left.lost.clone()).unwrap_or_default();
        assert!(
            lost.len() == 1 && lost[0].ends_with("left: 4294967295 of 4294967295 pages are missing"),
            "{lost:?}"
        );
        let spool = spool(folder.path());
        keep(&spool, &snapshot(1));
        record(&spool, b"and one more");
        let mut uploader = Uploader::new(storage, "demo", "left", spool);
        assert_eq!(pass_all(&mut uploader).await, 0);
        assert_eq!(uploader.manifest().map(|manifest| manifest.acknowledged), Some(most));
    });
}

#[test]
fn a_manifest_under_a_name_that_nobody_gives_is_not_asked_for() {
    let folder = TempDir::new().unwrap();
    let manifest = serde_json::to_vec(&Manifest::default()).expect("it is written");
    // Each reads as a number, and that number's key is another one: it was looked for, for ever.
    for name in ["5.json", "+0000000000000000006.json", "000000000000000000007.json"] {
        put(folder.path(), &format!("objects/demo/left/manifest/{name}"), &manifest);
    }
    let storage = directory(folder.path());
    runtime().block_on(async {
        assert_eq!(check(&storage, "demo", true).await.expect("it is read"), []);
    });
}

#[test]
fn a_file_with_the_last_of_all_numbers_is_no_piece() {
    let folder = TempDir::new().unwrap();
    put(folder.path(), "18446744073709551615-aa.mcap", b"a part of the recording");
    let (mut spool, told) = Spool::open(folder.path()).expect("it opens");
    assert_eq!((spool.pieces().len(), told.len()), (0, 0));
    assert_eq!(spool.add(Kind::Segment, b"another").expect("the disk takes it").seq, 0);
}

/// A disk of 1 MiB; it is taken away when dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(path: &'a Path) -> Self {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(path);
        assert!(mount.status().expect("mount").success());
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
