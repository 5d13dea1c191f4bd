//! Orders as people give them, to an agent that asks for keys: by whom they are taken, from whom they are refused, and that it is told.

mod ground;

use ground::{Ground, PATIENCE, TWINHELM, may_make_containers};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// A spare that listens at `quic/`, in a fleet with anna, who may order, and page, who may look.
fn with_keys(ground: &Ground) -> std::path::PathBuf {
    let keys = ground.path("keys");
    let made = Command::new(TWINHELM)
        .args(["keys", "init", &format!("{}=1", ground.device), "--person", "anna", "--watcher", "page", "--to"])
        .arg(&keys)
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    ground.config(
        "pulled",
        "exec /bin/busybox sleep 1000",
        &[
            ("link.listen", json!([door(ground)])),
            ("link.keys", json!(keys.join(&ground.device))),
            ("pool.spare", json!(true)),
        ],
    )
}

fn door(ground: &Ground) -> String {
    ground.endpoint.replace("tcp/", "quic/")
}

fn ask(ground: &Ground, what: &[&str], keys: Option<&Path>) -> Output {
    let mut command = Command::new(TWINHELM);
    // An answer ends the wait; others wait for more, or for what does not come.
    let wait = if what[0] == "fence" && keys.is_some() { "10" } else { "3" };
    command.args(what).args(["--connect", &door(ground), "--wait", wait, "--json"]);
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    command.stdin(Stdio::null()).output().expect("it runs")
}

#[track_caller]
fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn orders_are_taken_from_who_may_give_them_and_others_are_told_of() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = with_keys(&ground);
    let agent = ground.start(&config);
    let (anna, page) = (ground.path("keys").join("anna"), ground.path("keys").join("page"));
    let device = ground.device.as_str();

    // Somebody who may look sees how it stands, and may not order.
    part(&ground, &page);
    let pool = ask(&ground, &["pool"], Some(&page));
    assert!(pool.status.success(), "{pool:?}");
    let refused = ask(&ground, &["fence", device], Some(&page));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = answer(&refused);
    let why = said["said"].as_str().unwrap_or_default().to_owned();
    assert!(said["done"] == json!(false) && why.contains("is a watcher, which may not say that"), "{said}");

    // A stranger is not let in.
    let other = ground.path("others");
    let made = Command::new(TWINHELM)
        .args(["keys", "init", &format!("{device}=1"), "--person", "anna", "--to"])
        .arg(&other)
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let refused = ask(&ground, &["fence", device], Some(&other.join("anna")));
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let refused = ask(&ground, &["fence", device], None);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(!ground.path("store").join("fenced").exists(), "nothing of it was obeyed");

    // A person who may order is obeyed, and the device stays off the bus until it is readmitted.
    let fenced = ask(&ground, &["fence", device], Some(&anna));
    assert!(fenced.status.success() && answer(&fenced)["done"] == json!(true), "{fenced:?}");
    assert!(ground.path("store").join("fenced").exists());
    let refused = ask(&ground, &["readmit", device], Some(&page));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(ground.path("store").join("fenced").exists());
    let readmitted = ask(&ground, &["readmit", device], Some(&anna));
    assert!(readmitted.status.success(), "{readmitted:?}");
    assert!(!ground.path("store").join("fenced").exists());

    // The timeline tells of what was refused.
    told(&ground, &page, |told| told.lines().any(|line| line.contains(&why)));
    let log = String::from_utf8_lossy(&agent.end().stderr).into_owned();
    assert!(log.contains("is a watcher"), "{log}");
}

#[test]
fn an_agent_that_takes_orders_beyond_loopback_without_keys_does_not_start() {
    let ground = Ground::new();
    let config = ground.config(
        "pulled",
        "true",
        &[("link.listen", json!(["tcp/0.0.0.0:7449"])), ("pool.spare", json!(true))],
    );
    let checked = ground::twinhelm(&["agent", "--check", "--config", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2));
    assert!(
        said.contains("tcp/0.0.0.0:7449 asks nobody for a key, and an agent with [pool] takes orders: write quic/ and link.keys"),
        "{said}"
    );
}

#[test]
fn an_order_that_the_disk_does_not_take_is_obeyed_and_the_answer_says_so() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = with_keys(&ground);
    let anna = ground.path("keys").join("anna");
    let _agent = ground.start(&config);
    part(&ground, &anna);
    // Where it writes the order there is something that it cannot write to.
    let beside = ground.path("store").join("fenced.new");
    std::fs::create_dir(&beside).expect("a folder");
    let fenced = answer(&ask(&ground, &["fence", &ground.device], Some(&anna)));
    let said = fenced["said"].as_str().unwrap_or_default();
    let says = "it is off the bus until its agent ends, and no longer: the order cannot be kept: ";
    assert!(said.starts_with(says) && fenced["done"] == json!(false), "{fenced}");
    // Once the disk takes it, the order is kept.
    std::fs::remove_dir(&beside).expect("it is empty");
    ground::wait_until("the order is kept", || ground.path("store").join("fenced").exists());
    let fenced = answer(&ask(&ground, &["fence", &ground.device], Some(&anna)));
    assert_eq!(fenced["said"], json!("it is off the bus"));
}

/// Waits until the agent says what it is.
#[track_caller]
fn part(ground: &Ground, keys: &Path) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = ask(ground, &["status"], Some(keys));
        let reports: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if let Some(part) = reports[0]["part"].as_str() {
            return part.to_owned();
        }
        assert!(Instant::now() < until, "{status:?}");
    }
}

/// Returns the timeline when it has what is waited for: what comes within one question may be a part.
#[track_caller]
fn told(ground: &Ground, keys: &Path, has_all: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let events = ask(ground, &["events"], Some(keys));
        let told = String::from_utf8_lossy(&events.stdout).into_owned();
        if has_all(&told) {
            return told;
        }
        assert!(Instant::now() < until, "{told}");
    }
}

#[test]
fn an_agent_that_is_killed_while_it_obeys_has_kept_what_it_answered() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let config = with_keys(&ground);
    let anna = ground.path("keys").join("anna");
    let (order, beside) = (ground.path("store").join("fenced"), ground.path("store").join("fenced.new"));
    let mut was_fenced = false;
    let mut lives = 0;
    for (what, at_the_answer) in
        [("fence", false), ("fence", true), ("readmit", false), ("fence", false), ("readmit", true)]
    {
        let mut agent = ground.start(&config);
        lives += 1;
        let fenced = part(&ground, &anna) == "fenced";
        assert_eq!(fenced, order.exists(), "it is what the order on its disk says");
        if was_fenced {
            assert!(fenced, "what was answered holds");
        }
        // In the middle of what it writes, or when the answer has come.
        let mut command = Command::new(TWINHELM);
        command.args([what, &ground.device, "--connect", &door(&ground), "--wait", "2", "--keys"]).arg(&anna);
        let mut asked = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let answered = loop {
            if let Some(status) = asked.try_wait().expect("a child") {
                break status.success();
            }
            let is_written = if what == "fence" { order.exists() || beside.exists() } else { !order.exists() };
            if !at_the_answer && is_written {
                break false;
            }
            std::thread::yield_now();
        };
        agent.0.kill().expect("it runs");
        agent.0.wait().expect("it is gone");
        asked.wait().expect("it gives up");
        was_fenced = answered && what == "fence";
        if answered {
            assert_eq!(order.exists(), what == "fence", "{what} was answered");
        }
    }
    let _agent = ground.start(&config);
    part(&ground, &anna);
    let ups = |told: &str| told.lines().filter(|line| line.contains("\"what\":\"up\"")).count();
    let told = told(&ground, &anna, |told| ups(told) > lives);
    assert_eq!(ups(&told), lives + 1, "no entry is lost, and none is half: {told}");
}
