//! The rig `netns`: each device in a network namespace of its own; faults that processes on one host cannot have.

mod tools;

use std::process::Command;
use tools::{assert_nothing_wrong_was_acted_on, program, stalled, text};

/// Runs in namespaces; nothing that must not be acted on may be. Returns the report, or `None` when the machine stalled
/// too much for its figures to be judged.
fn run(arguments: &[&str]) -> Option<serde_json::Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let output = program().args(["run", "--rig", "netns", "--json"]).arg(&json).args(arguments).output();
    let output = output.expect("the program runs");
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    if said.contains("needs root") {
        println!("skipped: {said}");
        return None;
    }
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect(&said)).expect("a report");
    assert_nothing_wrong_was_acted_on(&report, &shown);
    if stalled(&report) {
        println!("not judged, the machine stalled: {shown}");
        return None;
    }
    assert_eq!(report["broken"], serde_json::json!([]), "{shown}{said}");
    println!("{shown}");
    Some(report)
}

#[test]
fn the_right_device_drives_on_without_the_left_ones_power_and_takes_it_back_as_a_standby() {
    let Some(report) = run(&["--duration", "4s", "--fault", "power@1s:1s:left"]) else {
        return;
    };
    assert_eq!(report["rig"], "netns");
    assert_eq!((&report["handovers"][0]["from"], &report["handovers"][0]["to"]), (&"left".into(), &"right".into()));
    assert_eq!(report["redundancy_restored"], true, "{report}");
}

#[test]
fn a_link_that_is_cut_in_one_direction_or_both_moves_no_wheel_and_costs_redundancy() {
    for cut in ["link-cut@1s:1s", "link-cut=tx@1s:1s", "link-cut=rx@1s:1s"] {
        let Some(report) = run(&["--duration", "4s", "--fault", cut]) else {
            continue;
        };
        assert_eq!(report["handovers"], serde_json::json!([]), "{cut}: {report}");
        let alone_s = report["time_without_redundancy_s"].as_f64().expect("a number");
        assert!(alone_s > 0.5, "{cut}: the standby gets no state: {report}");
        assert_eq!(report["redundancy_restored"], true, "{cut}: {report}");
    }
}

/// Zenoh can leave a link that was cut for about a link lease with one deaf end (eclipse-zenoh/zenoh#2806).
#[test]
fn the_pair_is_whole_again_after_each_cut_of_the_link() {
    const CUTS: u64 = 10;
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let arguments = ["failover", "--rig", "netns", "--profile", "1khz", "--fault", "link-cut", "--runs"];
    let output = program().args(arguments).arg(CUTS.to_string()).arg("--json").arg(&json).output();
    let output = output.expect("the program runs");
    let said = text(&output.stderr);
    if said.contains("needs root") {
        println!("skipped: {said}");
        return;
    }
    let figures: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect(&said)).expect("figures");
    // Each cut waits for a pair that is whole; one that never is again ends the measurement.
    assert_eq!(figures["faults"][0]["runs"], CUTS, "{}{said}", text(&output.stdout));
}

#[test]
fn without_the_right_to_make_namespaces_it_says_what_to_do() {
    let output = Command::new("setpriv")
        .args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            env!("CARGO_BIN_EXE_vehicle-demo"),
            "run",
            "--rig",
            "netns",
        ])
        .output()
        .expect("setpriv runs");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("needs root (CAP_SYS_ADMIN)") && message.contains("--rig host"), "{message}");
}

#[test]
fn a_run_leaves_no_namespace_behind() {
    let namespaces = || {
        let listed = Command::new("lsns").args(["--type", "net", "--noheadings"]).output().expect("lsns runs");
        text(&listed.stdout).lines().count()
    };
    let before = namespaces();
    let _ = run(&["--duration", "500ms"]);
    assert_eq!(namespaces(), before, "the cables end with their namespaces");
}
