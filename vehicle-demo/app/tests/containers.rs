//! The devices in containers, each kept by its agent: the mission drives, takes over from every rung, and leaves nothing.
//! `./dev test` packs the image before.

use stage::Stage;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tools::{assert_handed_to, demo, migration_to, program, text};

mod stage;
mod tools;

/// For what takes a moment, or many on a machine that stalls.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the page says while a standby is ready.
const PROTECTED: &str = "Protected: a standby could take the wheel now";

/// Returns the report that a run has written; one that has written none is shown with how it ended.
fn report_of(path: &std::path::Path, ran: &std::process::Output) -> serde_json::Value {
    let written = fs::read_to_string(path).unwrap_or_else(|cause| {
        panic!("{}: {cause}; {}\n{}{}", path.display(), ran.status, text(&ran.stderr), text(&ran.stdout))
    });
    serde_json::from_str(&written).expect("JSON")
}

/// Returns the cgroups of runs' containers on this machine.
fn cgroups_of_runs() -> Vec<String> {
    let groups = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
    let names = groups.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten());
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            ["left", "right", "spare"].iter().any(|device| name.starts_with(&format!("twinhelm-{device}-")))
        })
        .collect()
}

/// What was there before the test: a session that was ended by force cannot remove its own.
static BEFORE: LazyLock<Vec<String>> = LazyLock::new(cgroups_of_runs);

/// Whether this machine can do it; otherwise it has said so. What is there before is no test's fault.
fn may_make_containers() -> bool {
    LazyLock::force(&BEFORE);
    stage::may_make_containers()
}

/// Asserts that no container of this test's runs is left on this machine.
fn assert_nothing_left() {
    let left: Vec<String> = cgroups_of_runs().into_iter().filter(|name| !BEFORE.contains(name)).collect();
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
    let report = report_of(&json, &output);
    assert_handed_to(&report, &["right"]);
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    assert!(said.contains("right's agent holds shadow"), "{said}");
    assert_nothing_left();
}

/// Processes that keep every core busy, gone with this.
struct Busy(Vec<std::process::Child>);

impl Busy {
    /// Two a core: more than the cores can do at once.
    fn cores() -> Self {
        let count = 2 * std::thread::available_parallelism().expect("cores").get();
        let spin = |_| std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        Self((0..count).map(spin).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns how many threads of the agent of `device` give way.
fn threads_that_give_way(device: &str) -> usize {
    let numbers = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let config = format!("/{device}/agent.toml\0");
    let is_agent = |process: &String| {
        fs::read_to_string(format!("{process}/cmdline")).is_ok_and(|line| line.contains(&config))
    };
    let nice = |thread: &String| -> Option<i32> {
        let stat = fs::read_to_string(format!("{thread}/stat")).ok()?;
        // Its name may have spaces in it. Behind it: the state, which is field 3; `nice` is field 19.
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
    };
    let agents = numbers("/proc").into_iter().filter(is_agent);
    let threads = agents.flat_map(|agent| numbers(&format!("{agent}/task")));
    threads.filter(|thread| nice(thread) == Some(18)).count()
}

/// A pull at the lowest priority gives way, and not for ever: with every core taken twice over by others, it gets its priority
/// back with all of its threads, and the pair is ready before the run gives it up.
#[test]
fn a_machine_that_is_busy_makes_the_pair_ready_all_the_same() {
    if !may_make_containers() {
        return;
    }
    let _busy = Busy::cores();
    let mut raised = Vec::new();
    let output = run_until_and(&["run", "--plain", "--runtime", "container"], "the pair is ready", |line| {
        let Some((device, _)) = line.split_once(": this machine is busy; the pull gives way to it no longer")
        else {
            return;
        };
        // One that was just being started is raised next.
        let until = Instant::now() + PATIENCE;
        while threads_that_give_way(device) > 0 {
            assert!(Instant::now() < until, "{device}'s pull has threads that still give way");
        }
        raised.push(device.to_owned());
    });
    println!("{}", text(&output.stderr));
    assert_eq!(raised, ["left", "right"]);
    assert_nothing_left();
}

#[test]
fn a_run_that_is_interrupted_leaves_no_container() {
    if !may_make_containers() {
        return;
    }
    // Before there is anything to report.
    let output = run_until(&["run", "--plain", "--runtime", "container"], "left's agent holds");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert_nothing_left();
}

#[test]
fn a_mission_finds_its_files_whatever_the_umask() {
    if !may_make_containers() {
        return;
    }
    let words = "umask 077; exec \"$0\" run --runtime container --plain --duration 1s";
    let output = std::process::Command::new("bash")
        .args(["-c", words, env!("CARGO_BIN_EXE_vehicle-demo")])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("bash");
    let said = text(&output.stderr);
    assert!(!said.contains("Permission denied") && said.contains("the pair is ready"), "{said}");
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
    let ladder = report_of(&json, &output);
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

/// Starts a run, has it end as soon as it has said `until`, and returns how it ended, with all that it said.
fn run_until(arguments: &[&str], until: &str) -> std::process::Output {
    run_until_and(arguments, until, |_| {})
}

/// The same, and shows each line that it says to `look` at once.
fn run_until_and(arguments: &[&str], until: &str, mut look: impl FnMut(&str)) -> std::process::Output {
    let mut run =
        program().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let pid = rustix::process::Pid::from_child(&run);
    let mut said = String::new();
    for line in BufReader::new(run.stderr.take().expect("a pipe")).lines().map_while(Result::ok) {
        look(&line);
        let is_time = line.contains(until);
        said += &format!("{line}\n");
        if is_time {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
    }
    let status = run.wait().expect("it ends");
    assert!(said.contains(until), "never {until:?}:\n{said}");
    std::process::Output { status, stdout: Vec::new(), stderr: said.into_bytes() }
}

/// Drives in containers with a spare, until it says so or to its end; returns the report and what was said.
fn drive_with_a_spare(more: &[&str], until: Option<&str>) -> (serde_json::Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json").display().to_string();
    let arguments = ["run", "--plain", "--runtime", "container", "--spares", "1", "--json", &json];
    let arguments = [&arguments[..], more].concat();
    let output = until.map_or_else(|| demo(&arguments), |until| run_until(&arguments, until));
    let said = text(&output.stderr);
    let report = report_of(json.as_ref(), &output);
    assert_eq!(report["notes"].to_string().contains("ended by SIGINT after"), until.is_some(), "{report}");
    assert_nothing_left();
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    (report, said)
}

#[test]
fn a_spare_is_recruited_for_a_dead_device_and_drives_on_when_the_other_dies_too() {
    if !may_make_containers() {
        return;
    }
    let faults = ["--duration", "60s", "--fault", "kill@2s:left", "--fault", "kill@14s:right"];
    let (report, said) = drive_with_a_spare(&faults, Some("spare-2 is primary"));
    let migration = migration_to(&report, "spare-2");
    assert_eq!(migration["from"], "left", "{said}");
    for step in ["detect", "notify", "pull", "fetch", "create", "start", "join", "fence"] {
        assert!(migration["steps"][step].as_f64() >= Some(0.0), "{step}: {migration}");
    }
    assert_eq!(migration["bytes"], 0, "it had the image: {migration}");
    assert_handed_to(&report, &["right", "spare-2"]);
    assert!(said.contains("from right"), "it has its plan from the neighbour: {said}");
    assert_eq!(report["mission_data_lost_bytes"], 0, "{report}");
}

#[test]
fn a_spare_without_the_image_pulls_it_first() {
    if !may_make_containers() {
        return;
    }
    let arguments = ["--duration", "60s", "--spare-readiness", "cold", "--fault", "kill@2s:right"];
    let (report, said) = drive_with_a_spare(&arguments, Some("the pair is whole again with spare-2"));
    let migration = migration_to(&report, "spare-2");
    assert_eq!(migration["from"], "right", "{said}");
    assert!(migration["bytes"].as_u64() > Some(1 << 20), "{migration}");
    // The holder drives on.
    assert_handed_to(&report, &[]);
}

#[test]
fn a_spare_that_overheard_nothing_resumes_the_mission_from_object_storage() {
    if !may_make_containers() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let storage = format!("dir:{}", folder.path().display());
    // To its end: the spare keeps data, too.
    let faults = ["--duration", "18s", "--fault", "kill@3s:left", "--fault", "kill@3500ms:right"];
    let more = [&faults[..], &["--spares-at", "5s", "--storage", &storage]].concat();
    let (report, said) = drive_with_a_spare(&more, None);
    assert!(said.contains(&format!("from {storage}")), "{said}");
    assert!(said.contains("the mission goes on with the state of cycle"), "{said}");
    assert!(said.contains("spare-2 is primary"), "{said}");
    assert_eq!(report["mission_data_lost_bytes"], 0, "{report}");
    // A part of the recording is a file that others read, too.
    let twinhelm = std::path::Path::new(env!("CARGO_BIN_EXE_vehicle-demo")).with_file_name("twinhelm");
    let to = folder.path().join("got");
    let get = std::process::Command::new(twinhelm)
        .args(["data", "get", "--json", "--storage", &storage, "--to"])
        .arg(&to)
        .output()
        .expect("it runs");
    let got: serde_json::Value = serde_json::from_slice(&get.stdout).expect("JSON");
    assert!(got["segments"].as_u64() > Some(2) && to.join("plan.json").exists(), "{got}");
    let names = fs::read_dir(&to).expect("a folder").flatten().map(|entry| entry.path());
    let segment = names.filter(|path| path.extension().is_some_and(|end| end == "mcap")).min().expect("a segment");
    let python = std::env::var("TWINHELM_PYTHON").expect("TWINHELM_PYTHON: `./dev test` sets it");
    let program = "import sys, json\nfrom mcap.reader import make_reader\n\
                   for schema, channel, message in make_reader(open(sys.argv[1], 'rb')).iter_messages():\n\
                   \x20   if channel.topic.endswith('/header'): print(json.loads(message.data)['cycle'])";
    let read = std::process::Command::new(python).args(["-c", program]).arg(&segment).output().expect("it runs");
    let cycles = text(&read.stdout);
    // A device that has lost the count for a moment, because the machine stood still, says 0.
    let cycles = cycles.lines().map(|line| line.parse::<u64>().expect("a number")).filter(|cycle| *cycle > 0);
    let cycles: Vec<u64> = cycles.collect();
    assert!(cycles.len() > 50 && cycles.is_sorted(), "{cycles:?}: {}", text(&read.stderr));
}

#[test]
fn a_spare_resumes_the_mission_when_no_controller_is_left() {
    if !may_make_containers() {
        return;
    }
    let faults = ["--duration", "60s", "--fault", "kill@2s:left", "--fault", "kill@2500ms:right"];
    let (report, said) = drive_with_a_spare(&faults, Some("spare-2 is primary"));
    assert!(said.contains("no controller is left: it resumes the mission"), "{said}");
    assert!(said.contains("spare-2 is primary"), "{said}");
    assert!(report["missed_deadlines"].as_u64() > Some(200), "the vehicle stood first: {report}");
}

/// Asserts that the page says that the vehicle is protected, and shows where it is and who stands by.
fn is_shown_in_a_browser(beside: &Stage) {
    let until = Instant::now() + PATIENCE;
    while
        serde_json::from_str::<serde_json::Value>(&tools::get(&beside.page, "/api/state")).expect("JSON")["stored"]
            ["plan"]
            .is_null()
    {
        assert!(Instant::now() < until, "it reads object storage");
    }
    while serde_json::from_str::<serde_json::Value>(&tools::get(&beside.page, "/api/state")).expect("JSON")["protected"]
        != true
    {
        assert!(Instant::now() < until, "it hears the devices");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("page.png");
    let browse = |what: &str| {
        let output = std::process::Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--window-size=1280,900", "--virtual-time-budget=3000", what])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("http://{}/", beside.page))
            .output();
        text(&output.expect("a browser: ./dev setup installs it").stdout)
    };
    // It says so of the moment: whoever stalled is not protected for that long.
    let mut shown = browse("--dump-dom");
    while !shown.contains(PROTECTED) && Instant::now() < until {
        shown = browse("--dump-dom");
    }
    for words in [PROTECTED, "id=\"vehicle\"", "spare-2", "waits in the pool", "parts,"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    browse(&format!("--screenshot={}", picture.display()));
    // Whoever wants to look at it finds it there.
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    let bytes = fs::copy(&picture, kept).expect("a picture");
    assert!(bytes > 20_000, "{bytes} bytes show nothing");
}

#[test]
fn people_see_the_pool_and_the_timeline_and_their_orders_are_obeyed() {
    if !may_make_containers() {
        return;
    }
    let beside = Stage::start(&["--spares", "1", "--duration", "120s"], None);
    is_shown_in_a_browser(&beside);
    let (pool, _) = beside.ask(&["pool"]);
    let spare = pool.as_array().and_then(|pool| pool.first()).expect("a pool");
    assert_eq!((&spare["device"], &spare["fit"]), (&"spare-2".into(), &true.into()), "{pool}");

    // Left drives, unless the machine has stalled.
    let state: serde_json::Value = serde_json::from_str(&tools::get(&beside.page, "/api/state")).expect("JSON");
    let is_primary = |device: &serde_json::Value| device["device"] == "right" && device["role"] == "primary";
    let right_drives = state["devices"].as_array().is_some_and(|all| all.iter().any(is_primary));
    let (drives, beside_it) = if right_drives { ("right", "left") } else { ("left", "right") };

    // Whoever orders that does not know yet who has the wheel.
    let (said, code) = beside.ask(&["fence", drives]);
    assert!(code == Some(1) && said["said"].as_str().is_some_and(|said| said.starts_with("it drives")), "{said}");
    let (said, code) = beside.ask(&["fence", "le/**"]);
    assert_eq!(code, Some(2), "{said}");

    let (said, code) = beside.ask(&["fence", beside_it]);
    assert_eq!((&said["said"], code), (&"it is off the bus".into(), Some(0)), "{said}");

    // Nobody stands by for now: who asks is told what came of it, and not that it was asked.
    let (said, code) = beside.ask(&["switchover", drives]);
    assert!(
        code == Some(1) && said["said"].as_str().is_some_and(|said| said.contains("peer is not ready")),
        "{said}"
    );
    let refuses = |told: &serde_json::Value| {
        let is_it = |entry: &serde_json::Value| entry["what"]["not_done"]["order"] == "switchover";
        told.as_array().is_some_and(|all| all.iter().any(is_it))
    };
    beside.wait_for_answer(&["events"], refuses);
    let is_whole = |told: &serde_json::Value| {
        let ended = |entry: &serde_json::Value| entry["what"]["migration"]["Ended"]["Whole"]["fencing"] == "fenced";
        told.as_array().is_some_and(|all| all.iter().any(ended))
    };
    beside.wait_for_answer(&["events"], is_whole);
    let part_of = |said: &serde_json::Value, device: &str| {
        let all = said.as_array().cloned().unwrap_or_default();
        all.iter().find(|report| report["device"] == device).map(|report| report["part"].clone())
    };
    beside.wait_for_answer(&["status", "--wait", "2"], |said| {
        part_of(said, beside_it) == Some("fenced".into()) && part_of(said, "spare-2") == Some("member".into())
    });

    // There are two on the bus: it may come back, as a spare.
    let (said, code) = beside.ask(&["readmit", beside_it]);
    assert_eq!((&said["said"], code), (&"it may come back".into(), Some(0)), "{said}");
    beside.wait_for_answer(&["status", "--wait", "2"], |said| part_of(said, beside_it) == Some("spare".into()));

    // One who does not drive cannot hand the wheel over; the one who does is asked, and somebody else has it when that is answered.
    let (said, code) = beside.ask(&["switchover", "spare-2"]);
    assert_eq!((&said["said"], code), (&"it does not drive".into(), Some(1)), "{said}");
    let (said, code) = beside.ask(&["switchover", drives]);
    assert_eq!((&said["said"], code), (&"has handed the wheel over to spare-2".into(), Some(0)), "{said}");

    let (said, code) = beside.ask(&["drain", "spare-2"]);
    assert_eq!((&said["said"], code), (&"has left the pair".into(), Some(0)), "{said}");
    // Whoever ranks first is recruited in its place.
    beside.wait_for_answer(&["status", "--wait", "2"], |said| {
        ["spare-2", beside_it].iter().any(|device| part_of(said, device) == Some("member".into()))
    });

    let (said, code) = beside.ask(&["switchover", "nobody", "--wait", "1"]);
    assert_eq!(code, Some(3), "{said}");
    drop(beside);
    assert_nothing_left();
}
