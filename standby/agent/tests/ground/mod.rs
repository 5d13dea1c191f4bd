//! What an agent needs, and an agent: a bus to listen to, an image, a configuration, a process.

#![allow(dead_code, reason = "each test is a program of its own, and takes what it needs")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
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

pub const TWINHELM: &str = env!("CARGO_BIN_EXE_twinhelm");
/// Far beyond what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn may_make_containers() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: containers need root");
    }
    root
}

/// A vehicle's bus with one gate, which is open as long as it is told to be.
pub struct Bus {
    pub name: String,
    pub open: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    pub fn start(name: &str) -> Self {
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
    pub fn end(&mut self) {
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
pub struct Ground {
    pub folder: TempDir,
    pub bus: Bus,
    pub image: Digest,
    pub endpoint: String,
    pub device: String,
}

impl Ground {
    pub fn new() -> Self {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration whose mission is a line of shell; `change` writes other values.
    pub fn config(&self, readiness: &str, line: &str, change: &[(&str, Value)]) -> PathBuf {
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

    pub fn start(&self, config: &Path) -> Agent {
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
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
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

    pub fn assert_nothing_left(&self) {
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

pub struct Agent(pub Child);

impl Agent {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().cast_signed()).expect("a process"), signal).expect("it runs");
    }

    pub fn end(mut self) -> Output {
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

pub fn twinhelm(arguments: &[&str]) -> Output {
    Command::new(TWINHELM).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::yield_now();
    }
}
