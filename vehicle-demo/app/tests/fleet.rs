//! What goes wrong in a fleet of real agents while a spare is recruited: it dies, storage or image are away, the cloud application is
//! killed, the network is cut, a clock is off, the faulty device comes back. After each the vehicle is under control, and `status`
//! and `events` say what is so. `./dev test` packs the image before.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stage::{Stage, agents_of, may_make_containers};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tools::{assert_handed_to, migration_to};

mod stage;
mod tools;

const LOST: &str = "nobody stands by: left is lost";
const CHOSEN: &str = "spare-2 is chosen";

/// Asserts that these took the wheel over in turn, and that nothing acknowledged is lost.
#[track_caller]
fn drove_on(report: &Value, in_turn: &[&str]) {
    assert_handed_to(report, in_turn);
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles", "mission_data_lost_bytes"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
}

fn parts(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = status.as_array().cloned().unwrap_or_default();
    all.iter().map(|report| (text(&report["device"]), text(&report["part"]))).collect()
}

fn are_members(status: &Value, expected: &[&str]) -> bool {
    let members = parts(status).into_iter().filter(|(_, part)| part == "member").map(|(device, _)| device);
    let mut members: Vec<_> = members.collect();
    members.sort();
    members == expected
}

#[test]
fn a_spare_that_dies_while_it_is_recruited_is_followed_by_the_next() {
    if !may_make_containers() {
        return;
    }
    // At once, and when it has made the container.
    for at in [CHOSEN, "spare-2 has done: create"] {
        let mut stage = Stage::start(&["--spares", "2", "--duration", "60s", "--fault", "kill@2s:left"], None);
        stage.wait_for(at);
        stage.kill_agent("spare-2");
        stage.wait_for("the pair is whole again with spare-3");
        stage.wait_for_answer(&["status", "--wait", "2"], |said| are_members(said, &["right", "spare-3"]));
        drove_on(&stage.end(), &["right"]);
    }
}

#[test]
fn object_storage_that_is_away_when_nobody_is_left_is_waited_for() {
    if !may_make_containers() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, away) = (folder.path().join("objects"), folder.path().join("away"));
    fs::create_dir(&storage).expect("a folder");
    let address = format!("dir:{}", storage.display());
    let faults = [
        "--duration",
        "60s",
        "--fault",
        "kill@3s:left",
        "--fault",
        "kill@3500ms:right",
        "--spares-at",
        "6s",
        "--storage",
        &address,
    ];
    let mut stage = Stage::start(&[&["--spares", "1"], &faults[..]].concat(), None);
    // It has opened it by then.
    stage.wait_for("spare-2's agent holds");
    fs::rename(&storage, &away).expect("it is taken away");
    fs::write(&storage, "").expect("nothing can be kept in a file");
    stage.wait_for("spare-2's agent: ");
    stage.wait_for_answer(&["status", "--wait", "2"], |said| {
        said.as_array().is_some_and(|all| all.iter().any(|report| report["problem"].is_string()))
    });
    fs::remove_file(&storage).expect("a file");
    fs::rename(&away, &storage).expect("it is back");
    stage.wait_for(&format!("from {address}"));
    stage.wait_for("spare-2 is primary");
    let report = stage.end();
    assert_eq!(report["mission_data_lost_bytes"], 0, "{report}");
    assert_eq!(migration_to(&report, "spare-2")["end"], "it drives", "{report}");
}

#[test]
fn an_image_that_is_nowhere_is_a_step_that_fails_until_it_is_back() {
    if !may_make_containers() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (images, away) = (folder.path().join("images"), folder.path().join("away"));
    stage::copy_images(&images);
    let image = images.display().to_string();
    let cold = [
        "--spares",
        "1",
        "--spare-readiness",
        "cold",
        "--image",
        &image,
        "--duration",
        "60s",
        "--fault",
        "kill@2s:left",
    ];
    let mut stage = Stage::start(&cold, None);
    stage.wait_for("kill@2s:left hits left");
    fs::rename(&images, &away).expect("it is taken away");
    stage.wait_for("spare-2 is given up at pull");
    stage.wait_for("no spare is left that could");
    fs::rename(&away, &images).expect("it is back");
    stage.wait_for("the pair is whole again with spare-2");
    drove_on(&stage.end(), &["right"]);
}

#[test]
fn a_cloud_application_that_is_killed_again_and_again_catches_up() {
    if !may_make_containers() {
        return;
    }
    let mut stage = Stage::start(&["--spares", "1", "--duration", "60s", "--fault", "kill@2s:left"], None);
    // In the middle of what it writes: it writes when it hears of these.
    for at in [LOST, CHOSEN, "spare-2 has done: start", "the pair is whole again"] {
        stage.wait_for(at);
        stage.kill_cloud_and_start_it_again();
    }
    // What it missed is caught up in any order.
    stage.wait_for_page(|state| {
        let told = state["timeline"].as_array().cloned().unwrap_or_default();
        let is_told =
            |what: &str| told.iter().any(|entry| entry["what"].as_str().is_some_and(|told| told.contains(what)));
        let is_by_right = |migration: &Value| migration["to"] == "spare-2" && migration["by"] == "right";
        is_told(LOST)
            && is_told("the pair is whole again with spare-2")
            && state["migrations"].as_array().is_some_and(|all| all.iter().any(is_by_right))
            && state["protected"] == true
    });
    drove_on(&stage.end(), &["right"]);
}

#[test]
fn a_spare_whose_clock_is_off_by_a_day_is_recruited_as_any_other() {
    if !may_make_containers() {
        return;
    }
    for off in ["+1d", "-1d"] {
        let faults = ["--spares", "1", "--duration", "60s", "--fault", "kill@2s:left", "--fault", "kill@14s:right"];
        let mut stage = Stage::start(&faults, Some(("spare-2", off)));
        stage.wait_for("the pair is whole again with spare-2");
        let of_spare = |entry: &&Value| entry["device"] == "spare-2";
        let told = stage.wait_for_answer(&["events"], |told| {
            told.as_array().is_some_and(|all| all.iter().any(|entry| of_spare(&entry)))
        });
        let times: Vec<u64> = told
            .as_array()
            .expect("a list")
            .iter()
            .filter(of_spare)
            .filter_map(|it| it["unix_ms"].as_u64())
            .collect();
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later").as_millis() as u64;
        let far = |time: &u64| now.abs_diff(*time) > 12 * 3_600_000;
        assert!(!times.is_empty() && times.iter().all(far), "its clock is off: {told}");
        stage.wait_for("spare-2 is primary");
        drove_on(&stage.end(), &["right", "spare-2"]);
    }
}

#[test]
fn a_fleet_whose_network_is_cut_and_healed_is_whole_in_the_end() {
    if !may_make_containers() {
        return;
    }
    let mut stage = Stage::start_inside(&["--spares", "1", "--duration", "60s", "--fault", "kill@2s:left"]);
    stage.wait_for(LOST);
    // Nobody reaches the agent that orchestrates; the bus is whole.
    stage.cut("right");
    stage.listen_for(Duration::from_secs(6));
    stage.heal("right");
    stage.wait_for_answer(&["status", "--wait", "2"], |said| are_members(said, &["right", "spare-2"]));
    drove_on(&stage.end(), &["right"]);
}

#[test]
fn an_orchestrator_that_stands_still_in_the_middle_goes_on_when_it_wakes() {
    if !may_make_containers() {
        return;
    }
    let mut stage = Stage::start(&["--spares", "1", "--duration", "60s", "--fault", "kill@2s:left"], None);
    stage.wait_for(CHOSEN);
    stage.signal_agent("right", Signal::STOP);
    // Far longer than a ticket holds without being renewed.
    stage.listen_for(Duration::from_secs(6));
    stage.signal_agent("right", Signal::CONT);
    stage.wait_for_answer(&["status", "--wait", "2"], |said| are_members(said, &["right", "spare-2"]));
    drove_on(&stage.end(), &["right"]);
}

#[test]
fn a_faulty_device_that_comes_back_in_the_middle_makes_no_third_member() {
    if !may_make_containers() {
        return;
    }
    let mut stage = Stage::start(&["--spares", "1", "--duration", "60s", "--fault", "kill@2s:left"], None);
    stage.wait_for(CHOSEN);
    let config = stage.fleet.join("left/agent.toml");
    // Its mission ends when its input does.
    let back = Command::new(stage::twinhelm())
        .args(["agent", "--parent", &std::process::id().to_string(), "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut back = back.expect("it starts");
    stage.wait_for_one_of(&["the pair is whole again with spare-2", "the faulty device came back"]);
    // Whoever was there first stays: two members, and left is one of them, a spare, or fenced.
    let settled = |said: &Value| {
        let parts = parts(said);
        let members = parts.iter().filter(|(_, part)| part == "member").count();
        members == 2 && parts.len() == 3
    };
    stage.wait_for_answer(&["status", "--wait", "2"], settled);
    stage.listen_for(Duration::from_secs(3));
    let (status, _) = stage.ask(&["status", "--wait", "2"]);
    let members = parts(&status).into_iter().filter(|(_, part)| part == "member").count();
    assert!(members <= 2, "no third one: {:?}", parts(&status));
    stage.wait_for_answer(&["status", "--wait", "2"], settled);
    kill_process(Pid::from_child(&back), Signal::TERM).expect("it runs");
    back.wait().expect("it ends");
    let report = stage.end();
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    assert!(agents_of(&stage.fleet).is_empty(), "no agent is left");
}
