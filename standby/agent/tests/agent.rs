//! The agent as its users have it: a process with a configuration, a bus to listen to, a store, and containers.

mod ground;

use ground::{Bus, Ground, PATIENCE, TWINHELM, may_make_containers, twinhelm, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use twinhelm_mission::image::Digest;

const STAY: &str = "echo up; exec /bin/busybox sleep 1000";

#[test]
fn an_agent_holds_its_rung_and_leaves_nothing() {
    if !may_make_containers() {
        return;
    }
    for (readiness, has_process) in [("cold", false), ("pulled", false), ("created", true), ("shadow", true)] {
        let ground = Ground::new();
        let agent = ground.start(&ground.config(readiness, STAY, &[]));
        let report = ground.wait_for(readiness, |report| report["holds"] == readiness && report["busy"].is_null());
        assert_eq!(report["pid"].is_u64(), has_process, "{report}");
        assert_eq!(report["image"], json!(ground.image), "{report}");
        let said = agent.end();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(said.stdout == b"up\n", readiness == "shadow", "the mission's output is the agent's");
        ground.assert_nothing_left();
    }
}

#[test]
fn an_agent_tells_the_service_manager_that_it_is_up_that_its_loop_goes_round_and_that_it_ends() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let manager = UnixDatagram::bind(ground.path("service-manager")).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let next = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("it says something");
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    };
    let agent = ground.start(&ground.config("cold", STAY, &[]));
    assert_eq!(next(), "READY=1");
    for _ in 0..4 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    assert!(agent.end().status.success());
    let mut last = next();
    while last == "WATCHDOG=1" {
        last = next();
    }
    assert_eq!(last, "STOPPING=1");
}

#[test]
fn an_agent_below_shadow_starts_the_mission_when_nobody_drives() {
    if !may_make_containers() {
        return;
    }
    for readiness in ["cold", "pulled", "created"] {
        let ground = Ground::new();
        let agent = ground.start(&ground.config(readiness, STAY, &[]));
        let report = ground.wait_for(readiness, |report| report["holds"] == readiness && report["busy"].is_null());
        assert_eq!(report["urged"], false);
        ground.bus.open.store(false, Ordering::Relaxed);
        let report = ground.wait_for("it drives", |report| report["holds"] == "shadow");
        assert_eq!(report["urged"], true);
        assert_eq!(report["steps"][0]["name"], "noticed", "{report}");
        assert!(agent.end().status.success());
        ground.assert_nothing_left();
    }
}

#[test]
fn a_mission_that_exits_at_once_is_made_anew_and_named() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let agent = ground.start(&ground.config("shadow", "exit 3", &[]));
    let report = ground.wait_for("three restarts", |report| report["restarts"].as_u64() >= Some(3));
    let problem = report["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem.is_empty() || problem.contains("status 3"), "{report}");
    let said = agent.end();
    assert!(String::from_utf8_lossy(&said.stderr).contains("it ended with status 3"));
    ground.assert_nothing_left();
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_and_its_next_life_drives() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = ground.config("shadow", STAY, &[]);
    let mut agent = ground.start(&config);
    ground.wait_for("it runs", |report| report["holds"] == "shadow");
    agent.signal(Signal::KILL);
    agent.0.wait().expect("it is dead");
    ground.assert_nothing_left();
    let agent = ground.start(&config);
    ground.wait_for("it runs again", |report| report["holds"] == "shadow");
    assert!(agent.end().status.success());
    ground.assert_nothing_left();
}

#[test]
fn a_runner_that_is_killed_is_started_anew_with_its_mission() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let agent = ground.start(&ground.config("shadow", STAY, &[]));
    let before = ground.wait_for("it runs", |report| report["holds"] == "shadow")["pid"].clone();
    let mut guards = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", agent.0.id())).expect("it runs").flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        guards.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    assert_eq!(guards.len(), 1, "the agent starts one process");
    kill_process(Pid::from_raw(guards[0]).expect("a process"), Signal::KILL).expect("it runs");
    let report = ground.wait_for("it runs again", |report| report["holds"] == "shadow" && report["pid"] != before);
    assert_eq!(report["restarts"], 1);
    assert!(agent.end().status.success());
    ground.assert_nothing_left();
}

#[test]
fn an_agent_whose_bus_is_gone_is_not_ready_until_it_is_back() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    let agent = ground.start(&ground.config("pulled", STAY, &[]));
    ground.wait_for("it holds", |report| report["holds"] == "pulled" && report["ready"] == true);
    let name = ground.bus.name.clone();
    ground.bus.end();
    let report = ground.wait_for("it notices", |report| report["ready"] == false);
    assert!(report["problem"].as_str().is_some_and(|problem| problem.contains("the bus is gone")), "{report}");
    ground.bus = Bus::start(&name);
    ground.wait_for("it is back", |report| report["ready"] == true);
    ground.bus.open.store(false, Ordering::Relaxed);
    ground.wait_for("it drives", |report| report["holds"] == "shadow");
    assert!(agent.end().status.success());
}

#[test]
fn two_agents_do_not_share_a_store() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = ground.config("pulled", STAY, &[]);
    let agent = ground.start(&config);
    ground.wait_for("it holds", |report| report["holds"] == "pulled");
    let second = twinhelm(&["agent", "--config", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("process {} writes there; wait for its end", agent.0.id())), "{said}");
    assert!(agent.end().status.success());
}

#[test]
fn an_image_that_is_nowhere_is_a_problem_that_status_shows() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let another = Digest::of(b"another");
    let agent = ground.start(&ground.config("shadow", STAY, &[("mission.image", json!(another))]));
    let report = ground.wait_for("the problem", |report| report["problem"].is_string());
    let problem = report["problem"].as_str().unwrap_or_default();
    assert!(problem.contains(another.as_str()) && problem.contains("; look at the path"), "{problem}");
    assert_eq!((&report["holds"], &report["pid"]), (&json!("cold"), &Value::Null));
    assert!(agent.end().status.success());
    ground.assert_nothing_left();
}

#[test]
fn a_pull_that_is_killed_at_any_point_is_gone_on_with() {
    let ground = Ground::new();
    let from = format!("oci:{}@{}", ground.path("images").display(), ground.image);
    let to = format!("oci:{}:mission", ground.path("pulled").display());
    for number in 1..=8 {
        let pull = Command::new(TWINHELM)
            .args(["image", "pull", "--rate", "20", &from, &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let pull = RefCell::new(pull);
        // Killed when so much has come, or when it has ended.
        let partial = ground.path("pulled/.partial");
        let enough = number * (4 << 20) / 9;
        wait_until("it fetches", || {
            let sizes = fs::read_dir(&partial).into_iter().flatten().flatten();
            let fetched: u64 = sizes.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum();
            fetched >= enough || pull.borrow_mut().try_wait().expect("a child").is_some()
        });
        let mut pull = pull.into_inner();
        // It may have ended meanwhile.
        let _ = pull.kill();
        pull.wait().expect("it is dead");
        // Whatever has a name is what its name says.
        for entry in fs::read_dir(ground.path("pulled/blobs/sha256")).expect("a store").flatten() {
            let name = format!("sha256:{}", entry.file_name().to_string_lossy());
            assert_eq!(Digest::of(&fs::read(entry.path()).expect("a blob")).as_str(), name);
        }
    }
    let last = twinhelm(&["image", "pull", "--json", &from, &to]);
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let verified = twinhelm(&["image", "verify", &to]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn a_full_disk_is_named_and_what_was_fetched_is_kept() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let small = ground.path("small");
    fs::create_dir(&small).expect("a folder");
    let from = format!("oci:{}@{}", ground.path("images").display(), ground.image);
    // In a mount namespace of its own, which ends with the shell.
    let line = format!(
        "mount -t tmpfs -o size=2m tmpfs {0} && {TWINHELM} image pull {from} oci:{0}/store:mission; code=$?; \
         mount -o remount,size=32m {0} && {TWINHELM} image pull --json {from} oci:{0}/store:mission; exit $code",
        small.display()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &line]).output().expect("util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("make room, and call it again: what is there already is kept"), "{said}");
    let pulled: Value = serde_json::from_slice(&output.stdout).expect("the second one says what it did");
    assert_eq!(pulled["image"], json!(ground.image));
}

#[test]
fn a_machine_that_cannot_have_containers_says_so_at_once() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = ground.config("shadow", STAY, &[]);
    let everybody = "chmod -R a+rwX";
    let line = format!(
        "{everybody} {} && exec setpriv --reuid=65534 --regid=65534 --clear-groups {TWINHELM} agent --config {}",
        ground.folder.path().display(),
        config.display()
    );
    let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().expect("util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("containers need root"), "{said}");
}

#[test]
fn a_configuration_is_checked_without_being_used() {
    let ground = Ground::new();
    let config = ground.config("created", STAY, &[]);
    let checked = twinhelm(&["agent", "--check", "--config", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("at created"), "{said}");
    let config = ground.config("warm", STAY, &[]);
    let checked = twinhelm(&["agent", "--check", "--config", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2));
    assert!(said.contains("\"warm\" is no readiness: write cold, pulled, created, paused or shadow"), "{said}");
}

#[test]
fn nobody_who_answers_is_said_so() {
    let nobody = twinhelm(&["status", "--wait", "0.2", "--connect", "tcp/127.0.0.1:1"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(3));
    assert!(said.contains("no agent of vehicle \"demo\" answers at tcp/127.0.0.1:1"), "{said}");
}
