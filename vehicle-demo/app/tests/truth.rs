//! The program does not say that it did what it did not do, and what this machine refuses ends it at once.

mod tools;

use std::process::{Command, Stdio};
use tools::text;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vehicle-demo");

/// Runs `words` in a shell that has set `limit` first, in a folder of its own; returns what it said, and its exit code.
fn limited(limit: &str, words: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a folder");
    // It has to end by itself long before.
    let script = format!("{limit}; exec timeout --kill-after=5 40 {PROGRAM} {words}");
    let output = Command::new("bash").args(["-c", &script]).current_dir(&folder).stdin(Stdio::null()).output();
    let output = output.expect("bash");
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

#[test]
fn what_cannot_be_printed_is_an_error() {
    for words in ["scenarios", "check", "--help", "run --help", "run --rig sim --duration 1s"] {
        let (said, code) = limited(":", &format!("{words} > /dev/full"));
        assert_eq!(code, Some(3), "{words}: {said}");
    }
    // Whoever has seen enough leaves.
    let (said, code) = limited("set -o pipefail", "scenarios | head -1");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_recording_that_finds_no_room_costs_the_run_its_exit_code_and_not_its_report() {
    let (said, code) = limited("ulimit -f 1", "run --rig sim --duration 2s --record run.mcap");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("PASS") && said.contains("File too large") && said.contains("make room"), "{said}");
}

#[test]
fn a_process_that_gets_no_more_files_ends_the_run_at_once() {
    for files in [12, 20, 28, 32] {
        let (said, code) = limited(&format!("ulimit -n {files}"), "run --plain --duration 1s");
        // With as many as this machine's libraries happen to need it drives.
        assert!(code == Some(3) && said.contains("error: ") || code == Some(0), "{files}: {code:?}: {said}");
    }
}

#[test]
fn a_file_without_an_end_is_refused() {
    for words in ["check /dev/zero", "replay /dev/zero", "report /dev/zero", "gate /dev/zero --check"] {
        let (said, code) = limited(":", words);
        assert_eq!(code, Some(2), "{words}: {said}");
    }
}

#[test]
fn files_of_other_editors_are_read_or_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vehicle.toml");
    let check = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a file");
        let output = Command::new(PROGRAM).arg("check").arg(&path).output().expect("it runs");
        (text(&output.stderr), output.status.code())
    };
    let (said, code) = check(b"\xef\xbb\xbfperod_ms = 1\n");
    assert!(code == Some(2) && said.contains("vehicle.toml:1:1:"), "the mark is no column: {said}");
    let utf16: Vec<u8> = "\u{feff}[timing]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (said, code) = check(&utf16);
    assert!(code == Some(2) && said.contains("UTF-16"), "{said}");
}

#[test]
fn a_command_offers_the_rigs_that_it_takes_and_every_kind_of_fault() {
    // Without the ends of lines, which a terminal's width sets.
    let help = |command: &str| {
        let help = text(&Command::new(PROGRAM).args([command, "--help"]).output().expect("it runs").stdout);
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let offers = |command: &str| {
        let help = help(command);
        ["sim", "host", "netns", "guest", "boards"].map(|rig| help.contains(&format!("- {rig}:")))
    };
    assert_eq!(offers("run"), [true; 5]);
    assert_eq!(offers("failover"), [true, true, true, false, true]);
    assert_eq!(offers("ladder"), [false, true, false, false, false]);
    let run = help("run");
    for (form, what) in twinhelm_hil::fault::parse::KINDS {
        assert!(run.contains(form) && run.contains(what), "{form}");
    }
}

#[test]
fn a_second_fault_in_one_process_is_measured_as_the_first() {
    for rig in ["sim", "host", "netns"] {
        let output = Command::new(PROGRAM)
            .args(["failover", "--rig", rig, "--fault", "kill,hang", "--runs", "2"])
            .output()
            .expect("it runs");
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        if said.contains("needs root") {
            println!("skipped: {said}");
            continue;
        }
        for kind in ["kill", "hang"] {
            let is_measured = |line: &str| line.starts_with(kind) && line.contains(" 2 times");
            assert!(shown.lines().any(is_measured), "{rig}: {shown}{said}");
        }
    }
}
