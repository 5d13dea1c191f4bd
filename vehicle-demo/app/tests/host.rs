//! The host rig: real processes, real Zenoh, real time. The safety invariants and the course are asserted; gaps and
//! misses are reported there, never asserted, because this machine is shared.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::vehicle::{Vehicle, device};
use tools::{assert_nothing_wrong_was_acted_on, program, stalled, text};

use twinhelm_hal::term::Slot;
use twinhelm_rigs::host::spec::{Role, Says};
use twinhelm_standby::{Config, Parameters};

mod tools;

/// Runs on this machine; nothing that must not be acted on may be. Returns the report, or `None` when the machine stalled
/// too much for its figures to be judged.
fn run(arguments: &[&str]) -> Option<serde_json::Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let output = program().args(["run", "--rig", "host", "--json"]).arg(&json).args(arguments).output();
    let output = output.expect("the program runs");
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect(&said)).expect("a report");
    assert_nothing_wrong_was_acted_on(&report, &shown);
    if stalled(&report) {
        println!("not judged, the machine stalled: {shown}");
        return None;
    }
    assert_eq!(report["broken"], serde_json::json!([]), "{shown}{said}");
    assert_eq!(output.status.code(), Some(0), "{shown}{said}");
    println!("{shown}");
    Some(report)
}

#[test]
fn the_right_device_completes_the_course_when_the_left_one_is_killed() {
    let Some(report) = run(&["--fault", "kill@5s:2s"]) else {
        return;
    };
    assert_eq!(report["course_completed"], true);
    assert_eq!(report["false_takeovers"], 0, "{report}");
    assert_eq!(report["handovers"][0]["to"], "right", "{report}");
    assert_eq!(report["redundancy_restored"], true, "{report}");
}

#[test]
fn every_kind_of_fault_is_survived() {
    for fault in [
        "hang@1s:500ms",
        "bus-cut@1s:500ms",
        "bus-errors=passive@1s:500ms",
        "bus-errors=off@1s:500ms",
        "late@1s:500ms",
        "nan@1s:500ms",
        "frozen=counter@1s:500ms",
    ] {
        let Some(report) = run(&["--duration", "2500ms", "--fault", fault]) else {
            continue;
        };
        let handover = &report["handovers"][0];
        assert_ne!(handover["from"], handover["to"], "{fault}: {report}");
    }
}

#[test]
fn a_cut_link_moves_no_wheel_and_blocks_a_switchover() {
    let Some(report) = run(&["--duration", "3s", "--fault", "link-cut@1s:1s", "--fault", "switchover@1500ms"])
    else {
        return;
    };
    assert_eq!(report["handovers"], serde_json::json!([]), "{report}");
    assert!(report["time_without_redundancy_s"].as_f64().is_some_and(|seconds| seconds > 0.9), "{report}");
}

#[test]
fn a_fresh_standby_is_started_when_the_heartbeat_is_missed() {
    let Some(report) = run(&["--standby", "fresh", "--duration", "4s", "--fault", "kill@1s"]) else {
        return;
    };
    let gap = report["handovers"][0]["handover_gap_ms"].as_f64().expect("a gap");
    assert!(gap > 1_000.0, "{report}");
}

#[test]
fn a_device_that_is_started_as_the_run_ends_takes_no_report_with_it() {
    // It comes to the bus when the vehicle has just left it, some milliseconds sooner or later.
    for duration in ["403ms", "405ms", "407ms", "410ms", "415ms"] {
        run(&["--duration", duration, "--fault", "kill@200ms:200ms"]);
    }
}

/// Returns the processes that were started from this test's program and belong to `parent`.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    let number = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The parent's id is the second word behind the command's closing bracket.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).and_then(|word| word.parse().ok()) == Some(parent)
    };
    processes.filter_map(number).filter(is_child).collect()
}

/// Starts a run and waits until the pair is ready.
fn start(folder: &Path, duration: &str) -> (Child, Vec<u32>) {
    let mut runner = program()
        .args(["run", "--rig", "host", "--duration", duration, "--out"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(runner.stderr.take().expect("its messages"));
    let ready = said.lines().map_while(Result::ok).any(|line| line.contains("the pair is ready"));
    assert!(ready, "the pair was never ready");
    let children = children_of(runner.id());
    assert_eq!(children.len(), 3, "vehicle, left and right");
    (runner, children)
}

/// Waits until `is_so`, with a deadline.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(40);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// Returns whether a process runs; a zombie that nobody reaps does not.
fn runs(pid: &u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Ends a run by a signal, and asserts that these files are all that is left of it.
fn leaves_behind(signal: &str, codes: &[Option<i32>], files: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut runner, children) = start(folder.path(), "60s");
    let sockets = || std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let name = format!("twinhelm-{}-", runner.id());
    assert!(sockets().contains(&name), "the bus has a name");
    let kill = Command::new("kill").args([signal, &runner.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let status = runner.wait().expect("the runner ends");
    assert!(codes.contains(&status.code()), "{status}");
    wait_until("a process is left behind", || !children.iter().any(runs));
    // The kernel closes a process's sockets with its last thread, which may be a moment after its first.
    wait_until("a socket is left behind", || !sockets().contains(&name));
    let left = std::fs::read_dir(folder.path()).expect("the folder").flatten();
    let mut left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, files);
}

#[test]
fn ctrl_c_leaves_the_report_and_nothing_else_behind() {
    leaves_behind("-INT", &[Some(0), Some(1)], &["report.json", "report.svg"]);
}

#[test]
fn a_signal_ends_a_run_with_its_report_and_a_second_one_at_once() {
    for (signal, name) in [("-INT", "SIGINT"), ("-TERM", "SIGTERM"), ("-HUP", "SIGHUP")] {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("report.json");
        let mut run = program()
            .args(["run", "--plain", "--duration", "60s", "--json"])
            .arg(&json)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let said = BufReader::new(run.stderr.take().expect("a pipe"));
        let ready = said.lines().map_while(Result::ok).any(|line| line.contains("the pair is ready"));
        assert!(ready, "it begins");
        let kill = Command::new("kill").args([signal, &run.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        let output = run.wait_with_output().expect("it ends");
        let report: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&json).expect("a report")).expect("JSON");
        assert!(report["notes"].to_string().contains(&format!("ended by {name} after")), "{report}");
        assert_nothing_wrong_was_acted_on(&report, &text(&output.stdout));
        assert_eq!(report["verdict"] == "pass", output.status.code() == Some(0), "{report}");
    }
}

#[test]
fn a_killed_runner_leaves_nothing_behind() {
    leaves_behind("-KILL", &[None], &[]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("vehicle.toml");
    std::fs::write(&config, format!("[link]\nport = {port}\n")).expect("a file");
    let output = program().args(["run", "--rig", "host", "--config"]).arg(&config).output().expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains(&port.to_string()), "{message}");
}

#[test]
fn a_device_that_a_service_manager_starts_has_no_input_and_runs_until_a_signal() {
    let config = Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile");
    let bus = format!("service-{}", std::process::id());
    let vehicle = Vehicle::start(config, &bus, None);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("role.json");
    let role = Role::Device(device(config, &bus, Slot::LEFT, None));
    std::fs::write(&path, serde_json::to_vec(&role).expect("it has a form")).expect("a file");
    let mut process = program()
        .args(["role", "--spec"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(process.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let steps = said.filter(|line| matches!(serde_json::from_str(line), Ok(Says::Steps(_))));
    assert_eq!(steps.take(20).count(), 20, "it turns, and goes on turning");
    let kill = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
    assert!(kill.success());
    assert_eq!(process.wait().expect("it ends").code(), Some(0));
    vehicle.finish();
}

/// Returns which of `processes` has the vehicle's thread.
fn vehicle_among(processes: &[u32]) -> u32 {
    let is_vehicle = |pid: &&u32| {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.any(|name| name.trim() == "vehicle")
    };
    *processes.iter().find(is_vehicle).expect("a vehicle")
}

#[test]
fn a_vehicle_that_stands_still_to_the_end_of_the_run_is_no_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut runner, children) = start(folder.path(), "3s");
    let vehicle = rustix::process::Pid::from_raw(vehicle_among(&children).cast_signed()).expect("a process");
    let told = std::fs::File::open(format!("/proc/{}/fd/0", vehicle.as_raw_nonzero())).expect("its input");
    rustix::process::kill_process(vehicle, rustix::process::Signal::STOP).expect("it is stopped");
    // The pause outlasts the run, and then all is as if nothing had been: the runner tells the vehicle that it is over.
    let mut input = [PollFd::new(&told, PollFlags::IN)];
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(poll(&mut input, Some(&patience)).expect("a pipe"), 1, "the run does not end");
    rustix::process::kill_process(vehicle, rustix::process::Signal::CONT).expect("it goes on");
    let code = runner.wait().expect("it ends").code();
    let report = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((code, &report["verdict"]), (Some(1), &"invalid".into()), "{report}");
    assert!(report["observer_stall_max_ms"].as_f64().is_some_and(|stall_ms| stall_ms > 1_500.0), "{report}");
}
