//! Images in a folder: the same files give the same digest, and whatever is not what its digest says, or leads out of its
//! root, is refused and leaves nothing.

mod bad_images;

use bad_images::{Entry, Folder, layer};
use std::fs;
use std::path::Path;
use tar::EntryType;
use tempfile::TempDir;
use twinhelm_mission::image::pack::{Contents, pack};
use twinhelm_mission::image::pull::{Rate, Request, pull};
use twinhelm_mission::image::unpack::unpack;
use twinhelm_mission::image::verify::{Limits, verify};
use twinhelm_mission::image::{Digest, ImageError, Kind, Layout, Platform, Reference};

const RUNS: &[Platform] = &[Platform::Amd64];

fn contents(folder: &Path) -> Contents {
    let program = folder.join("a-program");
    fs::write(&program, b"#!/bin/true\n").expect("a file");
    let data = folder.join("course.toml");
    fs::write(&data, b"length = 3\n").expect("a file");
    Contents {
        name: "mission".to_owned(),
        version: "1".to_owned(),
        programs: [(Platform::Amd64, program.clone()), (Platform::ArmV6, program)].into(),
        data: [("course.toml".to_owned(), data)].into(),
    }
}

fn names_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Unpacks an image, and asserts that nothing is there when it was refused.
fn refused(folder: &Folder, digest: &Digest, limits: Limits) -> ImageError {
    let layout = Layout::open(folder.path()).expect("a folder of images");
    let roots = TempDir::new().expect("a folder");
    let error = unpack(&layout, digest, RUNS, limits, roots.path()).expect_err("it is refused");
    assert_eq!(names_below(roots.path()), Vec::<String>::new(), "nothing is unpacked");
    let text = error.to_string();
    assert!(text.contains(digest.as_str()) && text.contains("; "), "it names the image and a remedy: {text}");
    error
}

#[test]
fn the_same_files_give_the_same_digest_from_any_folder() {
    let digests = [0, 1].map(|_| {
        let folder = TempDir::new().expect("a folder");
        let layout = Layout::create(&folder.path().join("images")).expect("a folder of images");
        let digest = pack(&layout, &contents(folder.path()), "mission").expect("it is packed");
        let verified = verify(&layout, &digest, &[], Limits::default()).expect("it is whole");
        assert_eq!(verified.len(), 2, "a manifest for each platform");
        digest
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn what_was_packed_is_unpacked_once() {
    let folder = TempDir::new().expect("a folder");
    let layout = Layout::create(&folder.path().join("images")).expect("a folder of images");
    let digest = pack(&layout, &contents(folder.path()), "mission").expect("it is packed");
    let roots = folder.path().join("roots");
    for _ in 0..2 {
        let unpacked = unpack(&layout, &digest, RUNS, Limits::default(), &roots).expect("it is unpacked");
        assert_eq!(fs::read(unpacked.root.join("bin/mission")).expect("a file"), b"#!/bin/true\n");
        assert_eq!(fs::read(unpacked.root.join("etc/mission/course.toml")).expect("a file"), b"length = 3\n");
        assert!(unpacked.root.join("run/mission").is_dir() && unpacked.root.join("data").is_dir());
        assert_eq!(names_below(&roots).len(), 1);
    }
}

#[test]
fn what_was_left_half_unpacked_is_begun_anew() {
    let folder = TempDir::new().expect("a folder");
    let layout = Layout::create(&folder.path().join("images")).expect("a folder of images");
    let digest = pack(&layout, &contents(folder.path()), "mission").expect("it is packed");
    let roots = folder.path().join("roots");
    let manifest = verify(&layout, &digest, RUNS, Limits::default()).expect("it is whole")[0].manifest.clone();
    let half = roots.join(format!("{}.half/rootfs/bin", manifest.hex()));
    fs::create_dir_all(&half).expect("a folder");
    fs::write(half.join("stranger"), b"x").expect("a file");
    let unpacked = unpack(&layout, &digest, RUNS, Limits::default(), &roots).expect("it is unpacked");
    assert_eq!(names_below(&unpacked.root.join("bin")), ["mission"]);
}

#[test]
fn a_blob_that_was_tampered_with_is_used_nowhere() {
    let mut folder = Folder::new();
    let layer = layer(&[Entry::file("bin/mission", b"x")]);
    let digest = folder.image(std::slice::from_ref(&layer));
    folder.flip_a_byte_of(&Digest::of(&layer));
    let error = refused(&folder, &digest, Limits::default());
    assert_eq!(error.kind, Kind::Digest, "{error}");

    // And it gets into no other folder.
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let from: Reference = format!("oci:{}@{digest}", folder.path().display()).parse().expect("a name");
    let request = Request { from: &[from], runs: RUNS, rate: &Rate::new(None), tag: None };
    let error = pull(&to, &request, &mut |_| {}).expect_err("it is refused");
    assert_eq!(error.kind, Kind::Digest, "{error}");
    assert!(!to.has(&Digest::of(&layer)) && to.list().expect("a list").is_empty());
}

#[test]
fn a_document_that_was_tampered_with_is_refused() {
    let mut folder = Folder::new();
    let digest = folder.image(&[layer(&[Entry::file("bin/mission", b"x")])]);
    folder.flip_a_byte_of(&digest);
    assert_eq!(refused(&folder, &digest, Limits::default()).kind, Kind::Digest);
}

#[test]
fn a_truncated_layer_is_refused() {
    let mut folder = Folder::new();
    let layer = layer(&[Entry::file("bin/mission", &[7; 4096])]);
    let digest = folder.image(std::slice::from_ref(&layer));
    fs::write(folder.blob(&Digest::of(&layer)), &layer[..layer.len() / 2]).expect("it is ours");
    let error = refused(&folder, &digest, Limits::default());
    assert_eq!(error.kind, Kind::Digest);
    assert!(error.problem.contains("bytes, and should have"), "{error}");
}

#[test]
fn an_image_that_is_not_here_is_missing() {
    let folder = Folder::new();
    let error = refused(&folder, &Digest::of(b"another"), Limits::default());
    assert_eq!(error.kind, Kind::Missing);
}

#[test]
fn what_a_layer_unpacks_to_has_to_be_what_its_configuration_says() {
    let mut folder = Folder::new();
    folder.says_other_content = true;
    let digest = folder.image(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let error = refused(&folder, &digest, Limits::default());
    assert!(error.kind == Kind::Digest && error.problem.contains("what is in a layer"), "{error}");
}

#[test]
fn nothing_leads_out_of_the_root() {
    let link = Entry::link;
    let plain = |name, kind| Entry { kind, ..Entry::file(name, b"") };
    let bad = [
        (Entry::file("/etc/passwd", b"x"), "an absolute path"),
        (Entry::file("../escape", b"x"), "a path that leads out of the root"),
        (Entry::file("a/../../escape", b"x"), "a path that leads out of the root"),
        (link("a", EntryType::Symlink, "../escape"), "a symbolic link out of the root, to ../escape"),
        (link("a/b", EntryType::Symlink, "../../escape"), "a symbolic link out of the root"),
        (link("a", EntryType::Link, "/etc/passwd"), "a hard link out of the root, to /etc/passwd"),
        (link("a", EntryType::Link, "../escape"), "a hard link out of the root"),
        (plain("dev/mem", EntryType::Char), "a device node"),
        (plain("dev/sda", EntryType::Block), "a device node"),
        (plain("pipe", EntryType::Fifo), "a pipe"),
        (Entry { mode: 0o4755, ..Entry::file("bin/su", b"x") }, "a file that runs as its owner (mode 4755)"),
    ];
    for (entry, says) in bad {
        let mut folder = Folder::new();
        let digest = folder.image(&[layer(&[Entry::file("bin/mission", b"x"), entry])]);
        let error = refused(&folder, &digest, Limits::default());
        assert_eq!(error.kind, Kind::Unsafe, "{}: {error}", entry.name);
        assert!(error.problem.contains(says) && error.problem.contains(entry.name), "{error}");
    }
}

#[test]
fn no_layer_reaches_through_a_link_of_another() {
    use std::os::unix::fs::PermissionsExt as _;
    let outside = TempDir::new().expect("a folder");
    let secret = outside.path().join("secret");
    fs::create_dir(&secret).expect("a folder");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let target = secret.display().to_string();
    let to_it = |name| Entry::link(name, EntryType::Symlink, &target);
    let bad: [(&str, Vec<Vec<Entry<'_>>>, &str); 6] = [
        (
            "a file",
            vec![vec![to_it("out")], vec![Entry::file("out/file", b"x")]],
            "a path through the symbolic link out",
        ),
        (
            "a folder over it",
            vec![vec![to_it("out")], vec![Entry::folder("out")]],
            "in the place of a symbolic link",
        ),
        ("it over a folder", vec![vec![Entry::folder("out")], vec![to_it("out")]], "in the place of a folder"),
        (
            "it over a folder that was whited out",
            vec![vec![Entry::folder("out"), Entry::file(".wh.out", b"")], vec![to_it("out")]],
            "in the place of a folder",
        ),
        (
            "a second name",
            vec![vec![to_it("one"), Entry::link("two", EntryType::Link, "one"), Entry::folder("two")]],
            "in the place of a symbolic link",
        ),
        (
            "a hard link",
            vec![vec![to_it("out"), Entry::link("two", EntryType::Link, "out/file")]],
            "a hard link through a symbolic link",
        ),
    ];
    for (what, layers, says) in bad {
        let mut folder = Folder::new();
        let layers: Vec<Vec<u8>> = layers.iter().map(|entries| layer(entries)).collect();
        let digest = folder.image(&layers);
        let error = refused(&folder, &digest, Limits::default());
        assert!(error.kind == Kind::Unsafe && error.problem.contains(says), "{what}: {error}");
        assert_eq!(names_below(&secret), Vec::<String>::new(), "{what}");
        let mode = fs::metadata(&secret).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{what}");
    }
}

#[test]
fn a_link_that_nothing_goes_through_is_no_harm() {
    let mut folder = Folder::new();
    let entries = [
        Entry::folder("usr/bin"),
        Entry::file("usr/bin/x", b"x"),
        Entry::link("bin", EntryType::Symlink, "usr/bin"),
    ];
    let digest = folder.image(&[layer(&entries)]);
    let layout = Layout::open(folder.path()).expect("a folder of images");
    let roots = TempDir::new().expect("a folder");
    let unpacked = unpack(&layout, &digest, RUNS, Limits::default(), roots.path()).expect("it is unpacked");
    assert_eq!(fs::read(unpacked.root.join("bin/x")).expect("a file"), b"x");
}

#[test]
fn only_its_owner_sees_what_is_unpacked() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut folder = Folder::new();
    let digest = folder.image(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let layout = Layout::open(folder.path()).expect("a folder of images");
    let roots = folder.path().join("roots");
    unpack(&layout, &digest, RUNS, Limits::default(), &roots).expect("it is unpacked");
    assert_eq!(fs::metadata(&roots).expect("it is there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_manifest_for_another_platform_is_refused_before_it_is_needed() {
    let mut folder = Folder::new();
    folder.platform = ("arm", Some("v6"));
    let digest = folder.manifest(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let error = refused(&folder, &digest, Limits::default());
    assert!(error.kind == Kind::Platform && error.problem.contains("it is for linux/arm/v6"), "{error}");
}

#[test]
fn a_blob_that_was_damaged_in_a_store_is_fetched_again() {
    let mut folder = Folder::new();
    let layer = layer(&[Entry::file("bin/mission", &[5; 10_000])]);
    let digest = folder.image(std::slice::from_ref(&layer));
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let from: Reference = format!("oci:{}@{digest}", folder.path().display()).parse().expect("a name");
    let request = Request { from: &[from], runs: RUNS, rate: &Rate::new(None), tag: None };
    pull(&to, &request, &mut |_| {}).expect("it comes");
    for damaged in [Digest::of(&layer), digest.clone()] {
        let path = to.path_of(&damaged);
        let mut bytes = fs::read(&path).expect("it is here");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("it is ours");
        let error = verify(&to, &digest, RUNS, Limits::default()).expect_err("it is damaged");
        assert_eq!(error.kind, Kind::Digest, "{error}");
        pull(&to, &request, &mut |_| {}).expect("it comes again");
        verify(&to, &digest, RUNS, Limits::default()).expect("it is whole");
    }
}

#[test]
fn sizes_that_no_sum_can_hold_end_no_pull() {
    let mut folder = Folder::new();
    let honest = folder.manifest(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let liar = folder.claims(&honest, u64::MAX);
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    // With the honest one's blobs here, the liar's are not fetched, and count as they say.
    for digest in [&honest, &liar] {
        let from: Reference = format!("oci:{}@{digest}", folder.path().display()).parse().expect("a name");
        let mut told = Vec::new();
        let request = Request { from: &[from], runs: RUNS, rate: &Rate::new(None), tag: None };
        pull(&to, &request, &mut |progress| told.push(progress)).expect("it comes");
        assert!(told.is_sorted_by_key(|progress| progress.done) && told.iter().all(|at| at.done <= at.all));
    }
    assert_eq!(refused(&folder, &liar, Limits::default()).kind, Kind::Digest);
}

#[test]
fn an_image_that_unpacks_to_more_than_is_allowed_is_refused() {
    let mut folder = Folder::new();
    let bomb = layer(&[Entry::file("bin/mission", &vec![0; 16 << 20])]);
    assert!(bomb.len() < 64 << 10, "it is small as long as it is packed");
    let digest = folder.image(&[bomb]);
    let error = refused(&folder, &digest, Limits { bytes_max: 1 << 20, ..Limits::default() });
    assert_eq!(error.kind, Kind::Limit);
    assert!(error.problem.contains("more than 1048576 bytes"), "{error}");

    let names: Vec<String> = (0..100).map(|number| format!("file-{number}")).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|name| Entry::file(name, b"")).collect();
    let digest = folder.image(&[layer(&entries)]);
    let error = refused(&folder, &digest, Limits { entries_max: 50, ..Limits::default() });
    assert!(error.kind == Kind::Limit && error.problem.contains("more than 50 files"), "{error}");
}

#[test]
fn an_index_without_this_platform_says_what_it_has() {
    let mut folder = Folder::new();
    folder.platform = ("arm", Some("v6"));
    let digest = folder.image(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let error = refused(&folder, &digest, Limits::default());
    assert_eq!(error.kind, Kind::Platform);
    assert!(error.problem.contains("nothing for linux/amd64, only linux/arm/v6"), "{error}");
}

#[test]
fn an_index_inside_an_index_is_refused() {
    let mut folder = Folder::new();
    let inner = folder.image(&[layer(&[Entry::file("bin/mission", b"x")])]);
    let digest = folder.index_over(&inner, "application/vnd.oci.image.index.v1+json");
    let error = refused(&folder, &digest, Limits::default());
    assert!(error.kind == Kind::Format && error.problem.contains("an index inside an index"), "{error}");
    // Also when the outer one calls it a manifest.
    let digest = folder.index_over(&inner, "application/vnd.oci.image.manifest.v1+json");
    let error = refused(&folder, &digest, Limits::default());
    assert!(error.kind == Kind::Format && error.problem.contains("an index inside an index"), "{error}");
}

#[test]
fn two_do_not_write_in_one_folder() {
    let folder = TempDir::new().expect("a folder");
    let first = Layout::create(folder.path()).expect("a folder of images");
    let error = Layout::create(folder.path()).expect_err("it is taken");
    assert_eq!(error.kind, Kind::Busy);
    assert!(error.problem.contains(&format!("process {} writes there", std::process::id())), "{error}");
    drop(first);
    Layout::create(folder.path()).expect("it is free again");
}

#[test]
fn what_an_earlier_life_had_half_written_is_never_used() {
    let mut folder = Folder::new();
    let layer = layer(&[Entry::file("bin/mission", &[3; 100_000])]);
    let digest = folder.image(std::slice::from_ref(&layer));
    let store = TempDir::new().expect("a folder");
    let to = Layout::create(store.path()).expect("a folder of images");
    let partial = store.path().join(".partial").join(Digest::of(&layer).hex());
    // As long as it should be, longer, and cut short: none of it is right.
    for left in [vec![0; layer.len()], vec![0; layer.len() + 5], vec![0; layer.len() / 2]] {
        fs::write(&partial, left).expect("it is ours");
        let from: Reference = format!("oci:{}@{digest}", folder.path().display()).parse().expect("a name");
        let request = Request { from: std::slice::from_ref(&from), runs: RUNS, rate: &Rate::new(None), tag: None };
        let first = pull(&to, &request, &mut |_| {});
        if first.is_err() {
            assert!(!to.has(&Digest::of(&layer)), "what is wrong has no name");
            pull(&to, &request, &mut |_| {}).expect("the next attempt begins anew");
        }
        verify(&to, &digest, RUNS, Limits::default()).expect("it is whole");
        to.remove(None, Some(&digest)).expect("it is listed");
    }
}

#[test]
fn a_blob_that_two_images_share_stays_until_both_are_removed() {
    let folder = TempDir::new().expect("a folder");
    let layout = Layout::create(&folder.path().join("images")).expect("a folder of images");
    let mut contents = contents(folder.path());
    let one = pack(&layout, &contents, "one").expect("it is packed");
    contents.version = "2".to_owned();
    let two = pack(&layout, &contents, "two").expect("it is packed");
    assert_ne!(one, two);
    layout.remove(Some("one"), None).expect("it is listed");
    verify(&layout, &two, &[], Limits::default()).expect("the other one is whole");
    let error = layout.remove(Some("one"), None).expect_err("it is gone");
    assert_eq!(error.kind, Kind::Missing);
    layout.remove(Some("two"), None).expect("it is listed");
    assert_eq!(names_below(&folder.path().join("images/blobs/sha256")), Vec::<String>::new());
}
