//! The command line as a user meets it: one clear message for bad input, the right exit code, nothing half-written.

mod tools;

use std::path::Path;
use tools::{demo, text};

/// Runs with bad input: exit code 2, no panic, nothing on standard output; returns the message.
fn refused(arguments: &[&str]) -> String {
    let output = demo(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    message
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn a_simulated_kill_is_reported_in_words_json_and_a_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("deep/inside");
    let json = folder.path().join("copy.json");
    let arguments = ["run", "--rig", "sim", "--fault", "kill@5s", "--out", out.to_str().unwrap()];
    let output = demo(&[&arguments[..], &["--json", json.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("left stopped driving, right drives on"));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["schema"], &report["rig"]), (&2.into(), &"sim".into()));
    assert_eq!(report["missed_deadlines"], 0);
    assert_eq!(report["handovers"][0]["cause"], "kill@5s");
    assert!(std::fs::read_to_string(out.join("report.svg")).unwrap().contains("</svg>"));
    let shown = demo(&["report", json.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(text(&shown.stdout).contains("PASS"));
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let run = |seed: &str| text(&demo(&["run", "--rig", "sim", "--seed", seed, "--fault", "hang@4s:1s"]).stdout);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn the_baselines_show_what_a_hot_standby_saves() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |standby: &str| {
        let path = folder.path().join(standby);
        let path = path.to_str().unwrap();
        demo(&["run", "--rig", "sim", "--standby", standby, "--fault", "kill@5s", "--json", path]);
        let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        report["missed_deadlines"].as_u64().unwrap()
    };
    let [none, fresh, hot] = ["none", "fresh", "hot"].map(run);
    assert!(none > fresh && fresh > 100 && hot == 0, "{none} {fresh} {hot}");
    let paths = ["none", "fresh", "hot"].map(|name| folder.path().join(name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    let table = text(&demo(&["report", paths[0], paths[1], paths[2]]).stdout);
    assert!(table.contains("none (simulated)") && table.contains("deadlines missed"), "{table}");
}

#[test]
fn a_broken_bound_is_exit_code_1_and_the_report_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let strict = "name = \"strict\"\nabout = \"no takeover allowed\"\nfaults = [\"kill@3s\"]\nduration_s = 5.0\n\
                  [bounds]\ntakeovers_max = 0\n";
    let scenario = file(folder.path(), "strict.toml", strict);
    let json = folder.path().join("report.json");
    let output = demo(&["run", "--rig", "sim", "--scenario", &scenario, "--json", json.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("FAIL") && json.is_file());
}

#[test]
fn bad_configurations_are_answered_with_place_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |name: &str, content: &str| {
        let path = file(folder.path(), name, content);
        assert_eq!(refused(&["run", "--rig", "sim", "--config", &path]), refused(&["check", &path]));
        refused(&["check", &path])
    };
    let typo = check("typo.toml", "[timing]\nperod_ms = 10.0\n");
    assert!(typo.contains("typo.toml:2:1") && typo.contains("period_ms"), "{typo}");
    let unit = check("unit.toml", "[timing]\nperiod_ms = \"10ms\"\n");
    assert!(unit.contains("unit.toml:2") && unit.contains("number"), "{unit}");
    let negative = check("negative.toml", "[timing]\nperiod_ms = -10.0\n");
    assert!(negative.contains("period_ms"), "{negative}");
    let nan = check("nan.toml", "[timing]\nperiod_ms = nan\n");
    assert!(nan.contains("period_ms"), "{nan}");
    let budget = check("budget.toml", "[timing]\ncommand_timeout_ms = 40.0\n");
    assert!(budget.contains("gate_lease + period + margin < command_timeout"), "{budget}");
    let cut = check("cut.toml", "[timing\nperiod");
    assert!(cut.contains("cut.toml:1"), "{cut}");
    assert!(refused(&["check", "no-such-file.toml"]).contains("no-such-file.toml"));
}

#[test]
fn bad_faults_scenarios_and_reports_are_answered_with_what_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(refused(&["run", "--rig", "sim", "--fault", "explode@5s"]).contains("KIND is one of kill"));
    assert!(refused(&["run", "--rig", "sim", "--fault", "kill@5"]).contains("write a number with a unit"));
    assert!(refused(&["run", "--rig", "sim", "--fault", "kill@99s"]).contains("raise --duration"));
    assert!(refused(&["run", "--rig", "sim", "--period", "10"]).contains("10ms"));
    assert!(refused(&["run", "--rig", "sim", "--scenario", "kil"]).contains("kill"));
    let point =
        file(folder.path(), "point.toml", "name = \"p\"\nabout = \"one point\"\n[course]\npoints = [[0.0, 0.0]]\n");
    assert!(refused(&["run", "--rig", "sim", "--scenario", &point]).contains("point.toml"));
    let truncated = file(folder.path(), "cut.json", "{ \"schema\": 1, \"rig\": ");
    assert!(refused(&["report", &truncated]).contains("cut off"));
    let other = file(folder.path(), "other.json", "{ \"schema\": 99 }");
    assert!(refused(&["report", &other]).contains("schema 99"));
    let nowhere = folder.path().join("point.toml/inside");
    assert!(refused(&["run", "--rig", "sim", "--out", nowhere.to_str().unwrap()]).contains("folder"));
}

#[test]
fn profiles_are_named_and_the_faster_one_needs_its_bus() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(refused(&["run", "--rig", "sim", "--profile", "2khz"]).contains("write 100hz, 1khz or 25hz"));
    let shown = text(&demo(&["check", "--profile", "1khz"]).stdout);
    let fast = file(folder.path(), "fast.toml", &shown);
    assert_eq!(demo(&["check", &fast]).status.code(), Some(0), "{shown}");
    let slow = file(folder.path(), "slow.toml", &shown.replace("= 1000000", "= 500000"));
    let message = refused(&["check", &slow]);
    assert!(message.contains("1.35 ms is not below 1 ms") && message.contains("raise the bitrate"), "{message}");
    let output = demo(&["run", "--rig", "sim", "--profile", "1khz", "--fault", "kill@5s"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("0 deadlines missed"), "{}", text(&output.stdout));
}

#[test]
fn scenarios_are_listed_for_people_and_machines() {
    assert!(text(&demo(&["scenarios"]).stdout).lines().any(|line| line.starts_with("kill ")));
    let list: serde_json::Value = serde_json::from_slice(&demo(&["scenarios", "--json"]).stdout).unwrap();
    assert!(list.as_array().unwrap().iter().any(|scenario| scenario["name"] == "kill"));
}

#[test]
fn help_teaches() {
    let help = text(&demo(&["run", "--help"]).stdout);
    for word in ["KIND[=AMOUNT]@TIME", "--standby", "--rig", "hot"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(text(&demo(&["--help"]).stdout).contains("Exit codes"));
}

#[test]
fn the_page_on_boards_shows_the_example_of_the_rig() {
    let page = include_str!("../../../docs/hardware.md");
    let example = include_str!("../../../hil-tests/rigs/boards.toml");
    assert!(page.contains(example), "copy hil-tests/rigs/boards.toml into docs/hardware.md");
}

#[test]
fn a_gate_prints_its_example_checks_it_and_says_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = demo(&["gate"]);
    assert_eq!(example.status.code(), Some(0));
    let path = folder.path().join("board.toml");
    // On a board the example would drive what is there.
    let example = text(&example.stdout).replace("/dev/gpiochip0", "/dev/no-such-gpiochip");
    std::fs::write(&path, example).expect("a file");
    let path = path.to_str().expect("a path");
    let checked = demo(&["gate", path, "--check"]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(0), format!("{path}: ok\n")));
    let opened = demo(&["gate", path]);
    let why = text(&opened.stderr);
    assert_eq!(opened.status.code(), Some(3), "{why}");
    assert!(why.contains("there is no /dev/no-such-gpiochip: load the board's GPIO driver"), "{why}");
    for option in ["--check", "--rest"] {
        assert!(refused(&["gate", option]).contains("<BOARD>"));
    }
    let missing = demo(&["gate", "no-such.toml"]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));
}

#[test]
fn the_rig_of_boards_wants_to_know_where_they_are() {
    let asked = demo(&["run", "--rig", "boards"]);
    let why = text(&asked.stderr);
    assert_eq!(asked.status.code(), Some(2), "{why}");
    assert!(why.contains("--rig boards needs --boards FILE") && why.contains("[left]"), "{why}");
    let stray = demo(&["run", "--boards", "boards.toml"]);
    assert!(text(&stray.stderr).contains("--boards is for --rig boards"), "{}", text(&stray.stderr));
}
