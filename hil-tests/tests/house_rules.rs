//! The house rules of ARCHITECTURE.md, kept by reading the tree: who may depend on whom, what a pure room may not
//! call, where `unsafe` may stand, how a file begins and how long it is.
//!
//! Each failure says where, and what to do. A rule that stands in the way is changed here, with its reason.

#[path = "house_rules/circles.rs"]
mod circles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

/// A room's folder, and the rooms that it may see. Below each root, its doors.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("hal", &[]),
    // Its tests alone see hil-tests: the simulated chips and the suites of the ports.
    ("hal/linux", &["hal", "hil-tests"]),
    ("control", &["hal"]),
    ("standby", &["hal", "control"]),
    ("standby/zenoh", &["hal", "hal/linux", "control", "standby"]),
    ("standby/mission", &["hal", "hal/linux", "standby", "standby/mission/wire"]),
    ("standby/mission/wire", &[]),
    ("standby/mission/libcrun-sys", &[]),
    ("standby/mission/runner", &["standby/mission/wire", "standby/mission/libcrun-sys"]),
    ("standby/agent", &["hal", "hal/linux", "standby", "standby/zenoh", "standby/mission", "standby/mission/wire"]),
    ("vehicle-demo", &["hal", "control", "standby"]),
    ("hil-tests", &["hal", "control", "standby", "vehicle-demo"]),
    ("hil-tests/explorer", &["hal", "control", "standby", "vehicle-demo", "hil-tests"]),
    ("hil-tests/rigs", &["hal", "hal/linux", "control", "standby", "standby/zenoh", "vehicle-demo", "hil-tests"]),
    // It calls programs, and knows no room.
    ("hil-tests/workshop", &[]),
    (
        "vehicle-demo/app",
        &["hal", "hal/linux", "control", "standby", "standby/zenoh", "vehicle-demo", "hil-tests", "hil-tests/rigs"],
    ),
    ("benches", &["hal", "hal/linux", "control", "standby", "vehicle-demo", "hil-tests"]),
];

/// The roots: no clock, no socket, no file, no thread.
const PURE: &[&str] = &["hal", "control", "standby", "vehicle-demo", "hil-tests"];

/// What a pure room may not name.
const BANNED: &[(&str, &str)] = &[
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("thread::sleep", "return when to be called next, and let the door wait"),
    ("std::net", "put it into the door beside the room"),
    ("std::fs", "take the text as an argument, and read the file in the door"),
    ("std::thread", "put it into the door beside the room"),
    ("tokio", "put it into the door beside the room"),
];

/// Crates that do I/O or run threads: for doors alone.
const IO_CRATES: &[&str] = &[
    "gpiocdev",
    "libc",
    "linux-embedded-hal",
    "rppal",
    "rtrb",
    "rustix",
    "socketcan",
    "tokio",
    "triple_buffer",
    "zenoh",
];

/// Where `unsafe` may stand.
const UNSAFE_DOORS: &[&str] = &[
    // The handler of the processor's faults.
    "hal/actuator-node/src/main.rs",
    "hal/linux/src/",
    "standby/mission/libcrun-sys/src/",
    "standby/mission/runner/src/cgroups.rs",
    "standby/mission/runner/src/library.rs",
    "benches/tests/hot_path_allocations.rs",
];

const LINES_MAX: usize = 600;

/// The device program: one file, or a folder.
const DEVICE_PROGRAM: &[&str] = &["vehicle-demo/app/src/device.rs", "vehicle-demo/app/src/device/"];

/// Words for what goes wrong; none of them has business in the device program.
const FAULT_WORDS: &[&str] = &["fault", "faults", "faulty", "frozen", "late", "lateness", "nan"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Returns the lines without comments, counted from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| {
            let line = if line.trim_start().starts_with("//") { "" } else { line };
            (at + 1, line.split(" // ").next().unwrap_or(line))
        })
    }

    /// Returns whether the line stands in a test: in a folder or file of tests, or behind `#[cfg(test)]`.
    fn is_test(&self, line: usize) -> bool {
        let in_tests = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        in_tests || self.text.lines().take(line).any(|line| line.trim() == "#[cfg(test)]")
    }
}

/// Returns every Rust file of the tree, in order.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry of the tree").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "the tree is here");
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    text.parse().unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Returns the folders of the workspace's members.
fn members() -> Vec<String> {
    let members = &manifest("")["workspace"]["members"];
    let folder = |member: &toml::Value| member.as_str().expect("a folder").to_owned();
    members.as_array().expect("a list").iter().map(folder).collect()
}

/// Returns everything that the crate in `folder` depends on, for whatever purpose and platform.
fn dependencies(folder: &str) -> Vec<String> {
    fn collect(table: &Table, into: &mut Vec<String>) {
        for (key, value) in table {
            let Some(value) = value.as_table() else { continue };
            if ["dependencies", "dev-dependencies", "build-dependencies"].contains(&key.as_str()) {
                into.extend(value.keys().cloned());
            } else if key != "workspace" {
                collect(value, into);
            }
        }
    }
    let mut all = Vec::new();
    collect(&manifest(folder), &mut all);
    all
}

fn name_of(folder: &str) -> String {
    manifest(folder)["package"]["name"].as_str().expect("a name").to_owned()
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn rooms_see_only_the_rooms_below_them() {
    let rooms: BTreeMap<String, String> = members().into_iter().map(|folder| (name_of(&folder), folder)).collect();
    let mut broken = Vec::new();
    for folder in rooms.values() {
        let Some((_, sees)) = DIRECTIONS.iter().find(|(room, _)| room == folder) else {
            broken
                .push(format!("{folder}: a new room; say in DIRECTIONS of house_rules.rs which rooms it may see"));
            continue;
        };
        for dependency in dependencies(folder) {
            let Some(room) = rooms.get(&dependency) else { continue };
            if !sees.contains(&room.as_str()) {
                broken.push(format!(
                    "{folder}/Cargo.toml: {folder} may not see {room}; move what needs it to a room that may, or hand \
                     the value in as an argument"
                ));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn the_roots_depend_on_no_crate_that_does_io() {
    let mut broken = Vec::new();
    for folder in PURE {
        for name in dependencies(folder).iter().filter(|name| IO_CRATES.contains(&name.as_str())) {
            broken
                .push(format!("{folder}/Cargo.toml: `{name}` is for doors; put what needs it into a nested crate"));
        }
    }
    assert_none(&broken);
}

#[test]
fn only_the_zenoh_door_names_zenoh() {
    const DOOR: &str = "standby/zenoh";
    let mut broken = Vec::new();
    for folder in members().iter().filter(|folder| *folder != DOOR) {
        if dependencies(folder).iter().any(|name| name == "zenoh" || name.starts_with("zenoh-")) {
            broken.push(format!("{folder}/Cargo.toml: `zenoh` belongs to {DOOR}; call what that door offers"));
        }
    }
    for source in sources().iter().filter(|source| !source.path.starts_with(DOOR) && !is_this(source)) {
        for (at, line) in source.code().filter(|(_, line)| names(line, "zenoh::")) {
            broken.push(format!("{}:{at}: `{}`: call what {DOOR} offers", source.path, line.trim()));
        }
    }
    assert_none(&broken);
}

#[test]
fn only_the_mission_door_names_containers_and_object_storage() {
    const DOOR: &str = "standby/mission";
    let mut broken = Vec::new();
    for folder in members().iter().filter(|folder| !folder.starts_with(DOOR)) {
        let names_them =
            |name: &&String| name.starts_with("oci") || name.contains("crun") || *name == "object_store";
        for name in dependencies(folder).iter().filter(names_them) {
            broken.push(format!("{folder}/Cargo.toml: `{name}` belongs to {DOOR}; call what that door offers"));
        }
    }
    // And one program alone is linked with libcrun: whatever is, is copied and executed anew before its `main`.
    for folder in members().iter().filter(|folder| *folder != "standby/mission/runner") {
        if dependencies(folder).iter().any(|name| name == "libcrun-sys") {
            broken.push(format!(
                "{folder}/Cargo.toml: `libcrun-sys` is for mission-runner; ask that by mission-wire"
            ));
        }
    }
    assert_none(&broken);
}

#[test]
fn pure_rooms_have_no_clock_no_socket_no_file_and_no_thread() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| is_pure(&source.path)) {
        for (at, line) in source.code() {
            for (name, instead) in BANNED.iter().filter(|(name, _)| names(line, name)) {
                broken.push(format!("{}:{at}: `{name}` in a pure room; {instead}", source.path));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn pure_rooms_forbid_unsafe_code() {
    let mut broken = Vec::new();
    for folder in PURE {
        let path = format!("{folder}/src/lib.rs");
        let text = fs::read_to_string(root().join(&path)).expect("a room has a lib.rs");
        if !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            broken.push(format!("{path}: write `#![forbid(unsafe_code)]` below the `//!` lines"));
        }
    }
    assert_none(&broken);
}

#[test]
fn unsafe_stands_behind_its_doors() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !is_this(source)) {
        if UNSAFE_DOORS.iter().any(|door| source.path.starts_with(door)) {
            continue;
        }
        for (at, line) in source.code().filter(|(_, line)| names(line, "unsafe")) {
            broken.push(format!(
                "{}:{at}: `{}`: use rustix or a call of hal/linux; if neither has it, add one to hal/linux with its \
                 SAFETY sentence",
                source.path,
                line.trim()
            ));
        }
    }
    assert_none(&broken);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let begins = |source: &Source| source.text.starts_with("//! ");
    let broken: Vec<String> = sources()
        .iter()
        .filter(|source| !begins(source))
        .map(|source| format!("{}:1: begin with a `//!` line: what the file is for, and its one idea", source.path))
        .collect();
    assert_none(&broken);
}

#[test]
fn no_file_is_two_ideas() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            broken.push(format!(
                "{}: {lines} lines, more than {LINES_MAX}: move its second idea to a file of its own",
                source.path
            ));
        }
    }
    assert_none(&broken);
}

#[test]
fn the_device_program_names_no_fault() {
    let sources = sources();
    let mine = |source: &&Source| DEVICE_PROGRAM.iter().any(|path| source.path.starts_with(path));
    let has_program = sources.iter().any(|source| source.path == "vehicle-demo/app/src/main.rs");
    let has_device = sources.iter().any(|source| mine(&source));
    assert!(
        has_device || !has_program,
        "the device program is in none of {DEVICE_PROGRAM:?}; if it moved, say where in house_rules.rs"
    );
    let mut broken = Vec::new();
    for source in sources.iter().filter(mine) {
        for (at, line) in source.code() {
            for word in words(line).iter().filter(|word| FAULT_WORDS.contains(&word.as_str())) {
                broken.push(format!(
                    "{}:{at}: `{word}`: faults come from outside the device program; wrap the law or spoil the bus in \
                     the rig",
                    source.path
                ));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn no_test_sleeps_to_wait_for_something() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !is_this(source)) {
        for (at, line) in source.code().filter(|(_, line)| names(line, "sleep(")) {
            if source.is_test(at) {
                broken.push(format!(
                    "{}:{at}: `{}`: wait for the event itself, with a deadline: a channel, a socket, a process's end",
                    source.path,
                    line.trim()
                ));
            }
        }
    }
    assert_none(&broken);
}

/// What a fuzz target begins with is for the repository: what is longer says no more.
const SEED_BYTES_MAX: u64 = 12_000;

#[test]
fn every_fuzz_target_has_small_seeds_and_is_told_of() {
    let package = root().join("hil-tests/fuzz");
    let files = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(package.join(folder)).map(|entries| entries.flatten().collect::<Vec<_>>());
        entries.unwrap_or_default().iter().map(|entry| entry.path()).collect()
    };
    let text = |path: &Path| fs::read_to_string(path).expect("a file of the tree");
    let (lib, docs) = (text(&package.join("src/lib.rs")), text(&root().join("docs/fuzzing.md")));
    let mut broken = Vec::new();
    let targets = files("fuzz_targets");
    assert!(targets.len() > 5, "the targets are here");
    for target in targets {
        let name = target.file_stem().expect("a name").to_string_lossy().into_owned();
        let seeds = files(&format!("corpus/{name}"));
        if seeds.is_empty() {
            broken
                .push(format!("hil-tests/fuzz/corpus/{name}: no seed; write a small input that the target takes"));
        }
        for seed in seeds.iter().filter(|seed| seed.metadata().expect("a file").len() > SEED_BYTES_MAX) {
            broken.push(format!("{}: more than {SEED_BYTES_MAX} bytes; keep what matters of it", seed.display()));
        }
        if !lib.contains(&format!("(\"{name}\", {name}::run)")) {
            broken.push(format!("hil-tests/fuzz/src/lib.rs: TARGETS does not name {name}"));
        }
        if !docs.contains(&format!("| `{name}` |")) {
            broken.push(format!("docs/fuzzing.md: does not say what {name} feeds"));
        }
    }
    assert_none(&broken);
}

#[test]
fn the_rules_can_see() {
    assert!(names("let at = Instant::now();", "Instant::now"));
    assert!(!names("use twinhelm_zenoh::Session;", "zenoh::"));
    assert!(names("use zenoh::Session;", "zenoh::") && names("pub use ::zenoh::Wait;", "zenoh::"));
    assert!(names("unsafe { call() }", "unsafe") && !names("#![forbid(unsafe_code)]", "unsafe"));
    assert_eq!(words("LawFault::NAN, is_late"), ["law", "fault", "nan", "is", "late"]);
    assert!(!words("Default::default() of the latest").iter().any(|word| FAULT_WORDS.contains(&word.as_str())));
    assert!(is_pure("standby/src/node.rs") && !is_pure("standby/zenoh/src/lib.rs"));
}

/// Returns whether the file is in the `src` of a root.
fn is_pure(path: &str) -> bool {
    PURE.iter().any(|root| path.strip_prefix(root).is_some_and(|path| path.starts_with("/src/")))
}

/// This file names what it looks for.
fn is_this(source: &Source) -> bool {
    source.path == "hil-tests/tests/house_rules.rs"
}

/// Returns whether `line` names `what`, not only as a part of a longer word.
fn names(line: &str, what: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].ends_with(is_word);
        let after = what.ends_with(is_word) && line[at + what.len()..].starts_with(is_word);
        !before && !after
    })
}

/// Returns the words of a line in lowercase; `LawFault` and `law_fault` are two each.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in line.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphabetic() {
            words.last_mut().expect("at least one").extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
