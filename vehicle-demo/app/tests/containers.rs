//! The devices in containers, each kept by its agent: the mission drives, takes over from every rung, and leaves nothing.
//! `./dev test` packs the image before.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use tools::{demo, program, text};

mod tools;

fn may_make_containers() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: containers need root");
    }
    root
}

fn report_of(path: &std::path::Path, said: &str) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).expect(said)).expect("JSON")
}

/// Asserts that no container of a run is left on this machine.
fn assert_nothing_left() {
    let groups = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
    let names = groups.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten());
    let left: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("twinhelm-left-") || name.starts_with("twinhelm-right-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_mission_in_a_container_takes_the_wheel_from_another() {
    if !may_make_containers() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let arguments = ["run", "--plain", "--runtime", "container", "--duration", "4s", "--fault", "kill@2s:left"];
    let output = demo(&[&arguments[..], &["--json", &json.display().to_string()]].concat());
    let said = text(&output.stderr);
    let report = report_of(&json, &said);
    assert_eq!(report["handovers"][0]["to"], "right", "{report}");
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    assert!(said.contains("right's agent holds shadow"), "{said}");
    assert_nothing_left();
}

#[test]
fn a_run_that_is_interrupted_leaves_no_container() {
    if !may_make_containers() {
        return;
    }
    let mut run = program()
        .args(["run", "--plain", "--runtime", "container", "--duration", "60s"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let said = BufReader::new(run.stderr.take().expect("a pipe"));
    let ready = said.lines().map_while(Result::ok).any(|line| line.contains("the pair is ready"));
    assert!(ready, "it begins");
    let pid = rustix::process::Pid::from_raw(run.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    assert_eq!(run.wait().expect("it ends").code(), Some(3));
    assert_nothing_left();
}

#[test]
fn every_rung_drives_after_a_takeover() {
    if !may_make_containers() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("ladder.json");
    let output = demo(&["ladder", "--runs", "1", "--json", &json.display().to_string()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let ladder = report_of(&json, &said);
    let rungs = ladder["rungs"].as_array().expect("a list");
    let steps = |rung: &serde_json::Value| -> Vec<String> {
        let phases = rung["runs"][0]["phases"].as_array().expect("a list");
        phases.iter().map(|phase| phase["name"].as_str().expect("a name").to_owned()).collect()
    };
    let expected: [(&str, &[&str]); 5] = [
        ("cold", &["noticed", "pulled", "unpacked", "created", "started"]),
        ("pulled", &["noticed", "created", "started"]),
        ("created", &["noticed", "started"]),
        ("paused", &["noticed", "resumed"]),
        ("shadow", &[]),
    ];
    for (rung, (name, names)) in rungs.iter().zip(expected) {
        assert_eq!(rung["readiness"], name);
        let steps = steps(rung);
        let of_agent: Vec<&str> = steps.iter().map(String::as_str).filter(|step| names.contains(step)).collect();
        assert_eq!(of_agent, names, "{name}: {steps:?}");
        assert_eq!(steps.last().map(String::as_str), Some("first command acted on"), "{name}");
    }
    let handed = said.matches("the mission goes on with the state of cycle").count();
    assert_eq!(handed, 4, "from each rung below shadow it goes on, and does not begin anew: {said}");
    assert!(fs::read_to_string(json.with_extension("svg")).expect("a picture").contains("paused"));
    assert_nothing_left();
}

#[test]
fn what_cannot_be_in_a_container_is_refused() {
    for (arguments, says) in [
        (&["--rig", "sim", "--runtime", "container"][..], "there are no containers in virtual time"),
        (&["--readiness", "paused"], "--readiness is for containers: add --runtime container"),
        (&["--runtime", "container", "--readiness", "pulled", "--standby", "none"], "with --standby hot"),
        (&["--runtime", "container", "--readiness", "warm"], "is no readiness: write cold, pulled"),
        (&["--runtime", "container", "--image", "/nowhere"], "./dev image; or run plain processes"),
    ] {
        let output = demo(&[&["run"], arguments].concat());
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
