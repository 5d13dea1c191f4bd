//! The agent as its users have it: a process with a configuration, a bus to listen to, a store, and containers.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::StatusFrame;
use twinhelm_linux::bus::Server;
use twinhelm_linux::clock::now;
use twinhelm_mission::image::pack::{Contents, pack};
use twinhelm_mission::image::{Digest, Layout, Platform};

const TWINHELM: &str = env!("CARGO_BIN_EXE_twinhelm");
/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn may_make_containers() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: containers need root");
    }
    root
}

/// A vehicle's bus with one gate, which is open as long as it is told to be.
struct Bus {
    name: String,
    open: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    fn start(name: &str) -> Self {
        let name = name.to_owned();
        let mut server = Server::bind(&name, 500_000).expect("a bus of our own");
        let gate = Station::of_gate(0);
        server.attach_local(gate, 1);
        let (open, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (is_open, is_over) = (open.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let open = is_open.load(Ordering::Relaxed);
                let status = StatusFrame {
                    gate: 0,
                    term: 0,
                    cycle: 0,
                    open,
                    term_known: true,
                    safe_state: !open,
                    estop: false,
                    echo: None,
                    speed_mm_s: 0,
                };
                let at = now();
                server.poll(at, |_, frame| Some(frame));
                server.offer_local(at, gate, status.encode());
                let next = at + Duration::from_millis(10);
                while now() < next {
                    while server.next_delivery(now()).is_some() {}
                    server.wait(next);
                }
            }
        });
        Self { name, open, stop, thread: Some(thread) }
    }
}

impl Bus {
    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.end();
    }
}

/// What an agent needs: an image, a bus, a configuration.
struct Ground {
    folder: TempDir,
    bus: Bus,
    image: Digest,
    endpoint: String,
    device: String,
}

impl Ground {
    fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let folder = TempDir::new().expect("a folder");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [_, beyond, high, low] = std::process::id().to_be_bytes();
        let endpoint = format!("tcp/127.{high}.{low}.{count}:{}", 7_449 + u16::from(beyond));
        let layout = Layout::create(&folder.path().join("images")).expect("a folder of images");
        let noise = folder.path().join("noise");
        // So large that fetching it can be interrupted.
        let mut file = fs::File::open("/dev/urandom").expect("a device").take(4 << 20);
        std::io::copy(&mut file, &mut fs::File::create(&noise).expect("a file")).expect("it is written");
        let contents = Contents {
            name: "busybox".to_owned(),
            version: "1".to_owned(),
            programs: [(Platform::of_this_machine().expect("a known one"), PathBuf::from("/bin/busybox"))].into(),
            data: [("noise".to_owned(), noise)].into(),
        };
        let image = pack(&layout, &contents, "mission").expect("it is packed");
        let device = format!("t{}-{count}", std::process::id());
        let bus = Bus::start(&format!("agent-test-{device}"));
        Self { folder, bus, image, endpoint, device }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration whose mission is a line of shell; `change` writes other values.
    fn config(&self, readiness: &str, line: &str, change: &[(&str, Value)]) -> PathBuf {
        let mut values = vec![
            ("device", json!(self.device)),
            ("vehicle", json!("demo")),
            ("slot", json!(1)),
            ("store", json!(self.path("store"))),
            ("run", json!(self.path("run"))),
            ("mission.image", json!(self.image)),
            ("mission.sources", json!([format!("oci:{}", self.path("images").display())])),
            ("mission.readiness", json!(readiness)),
            ("mission.args", json!(["sh", "-c", line])),
            ("limits.pull_mib_s", json!(0.0)),
            ("bus.name", json!(self.bus.name)),
            ("bus.gate_lease_ms", json!(30.0)),
            ("link.listen", json!([self.endpoint])),
        ];
        for (key, value) in change {
            values.retain(|(other, _)| other != key);
            values.push((key, value.clone()));
        }
        // Strings of JSON are strings of TOML. What belongs to no table comes first.
        values.sort_by_key(|(key, _)| key.contains('.'));
        let text: String = values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let path = self.path("agent.toml");
        fs::write(&path, text).expect("a file");
        path
    }

    fn start(&self, config: &Path) -> Agent {
        let process = Command::new(TWINHELM)
            .args(["agent", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A proxy that nobody answers: unpacking goes through loopback, which is none of its business.
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            // Nobody is there, but for the test that listens.
            .env("NOTIFY_SOCKET", self.path("service-manager"))
            .spawn()
            .expect("it starts");
        Agent(process)
    }

    /// Returns what the agent says of itself, when it `holds` what is waited for.
    fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < until {
            let output = twinhelm(&["status", "--json", "--wait", "0.5", "--connect", &self.endpoint]);
            if let Ok(reports) = serde_json::from_slice::<Value>(&output.stdout) {
                last = reports.to_string();
                if holds(&reports[0]) {
                    return reports[0].clone();
                }
            }
        }
        panic!("{what}: {last}");
    }

    fn assert_nothing_left(&self) {
        let name = format!("twinhelm-{}", self.device);
        wait_until("the agent's cgroups are gone", || {
            let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
            !hierarchies
                .flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten())
                .any(|group| group.file_name().to_string_lossy().starts_with(&name))
        });
        let here = self.folder.path().display().to_string();
        wait_until("no process of its is left", || {
            let processes = fs::read_dir("/proc").expect("processes").flatten();
            !processes.into_iter().any(|entry| {
                let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                line.contains("mission-runner") && line.contains(&here)
            })
        });
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&here), "no mount is left");
    }
}

struct Agent(Child);

impl Agent {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().cast_signed()).expect("a process"), signal).expect("it runs");
    }

    fn end(mut self) -> Output {
        self.signal(Signal::TERM);
        let status = self.0.wait().expect("it ends");
        let read = |pipe: Option<&mut dyn std::io::Read>| {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("it is closed");
            }
            bytes
        };
        let stdout = read(self.0.stdout.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
        let stderr = read(self.0.stderr.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
        Output { status, stdout, stderr }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn twinhelm(arguments: &[&str]) -> Output {
    Command::new(TWINHELM).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::yield_now();
    }
}

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
        let mut pull = Command::new(TWINHELM)
            .args(["image", "pull", "--rate", "20", &from, &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // Killed when so much has come, or when it has ended.
        let partial = ground.path("pulled/.partial");
        let enough = number * (4 << 20) / 9;
        wait_until("it fetches", || {
            let sizes = fs::read_dir(&partial).into_iter().flatten().flatten();
            let fetched: u64 = sizes.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum();
            fetched >= enough
        });
        pull.kill().expect("it runs");
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
