//! The ground that the container tests stand on: a root with one static program, a runner, and a look at what is left.

#![allow(dead_code, reason = "each test program uses a part of it")]

use mission_wire::{ContainerId, Exit};
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinhelm_mission::bundle::{Allowance, Bundle, Recipe};
use twinhelm_mission::container::{Container, Created, Running};
use twinhelm_mission::runner::{Runner, RunnerError, RunnerEvent};

/// Nothing here takes as long as this; what does, hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Returns whether this process may make containers; says aloud when not.
pub fn may_make_containers() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: containers need root");
    }
    root
}

/// A folder with a root, a runner that keeps its state there, and what it tells.
pub struct Ground {
    pub runner: Option<Runner>,
    pub events: Receiver<RunnerEvent>,
    pub folder: TempDir,
    pub allowance: Allowance,
}

impl Ground {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let bin = folder.path().join("root/bin");
        fs::create_dir_all(&bin).expect("a root");
        for empty in ["proc", "dev", "run/mission", "data"] {
            fs::create_dir_all(folder.path().join("root").join(empty)).expect("a place to mount");
        }
        fs::create_dir_all(folder.path().join("run")).expect("a folder to share");
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox: apt-get install busybox-static");
        for applet in ["cat", "chrt", "cut", "grep", "id", "ls", "mount", "sh", "sleep", "tail", "true"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a name for it");
        }
        let (runner, events) = start(folder.path());
        let allowance = Allowance {
            memory_bytes: 64 << 20,
            pids_max: 16,
            realtime_us: 100_000,
            devices: Vec::new(),
            network: None,
        };
        Self { runner: Some(runner), events, folder, allowance }
    }

    pub fn runner(&self) -> &Runner {
        self.runner.as_ref().expect("it runs")
    }

    /// Returns a name that no other test has.
    pub fn id(&self, name: &str) -> ContainerId {
        ContainerId::new(format!("test-{}-{name}", std::process::id())).expect("a name")
    }

    pub fn bundle(&self, id: &ContainerId, args: &[&str]) -> Bundle {
        let recipe = Recipe {
            id,
            root: &self.folder.path().join("root"),
            args: args.iter().map(ToString::to_string).collect(),
            environment: vec!["PATH=/bin".to_owned()],
            run: &self.folder.path().join("run"),
            data: None,
            allowance: &self.allowance,
        };
        Bundle::write(&self.folder.path().join("bundles").join(id.as_str()), &recipe).expect("a bundle")
    }

    /// Makes a container that runs a line of shell, and returns it with what it writes.
    pub fn create(&self, id: &ContainerId, line: &str) -> (Result<Container<Created>, RunnerError>, Output) {
        let bundle = self.bundle(id, &["/bin/busybox", "sh", "-c", line]);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let nothing = fs::File::open("/dev/null").expect("nothing to read");
        let stdio = [nothing.as_fd(), writer.as_fd(), writer.as_fd()];
        (Container::create(self.runner(), id.clone(), &bundle, stdio), Output(reader))
    }

    /// Makes a container that stays, starts it, and waits until it runs.
    pub fn up(&self, id: &ContainerId) -> Container<Running> {
        let (created, mut output) = self.create(id, "echo up; exec sleep 1000");
        let running = created.expect("it is made").start().expect("it starts");
        assert_eq!(output.line(), "up");
        running
    }

    /// Waits for the end of a container.
    pub fn end_of(&self, id: &ContainerId) -> Exit {
        match self.events.recv_timeout(PATIENCE).expect("it ends") {
            RunnerEvent::Ended(ended, exit) => {
                assert_eq!(&ended, id);
                exit
            }
            RunnerEvent::Gone => panic!("the runner is gone"),
        }
    }

    /// Waits until the runner is gone and has removed everything: both of its processes.
    pub fn wait_until_gone(&mut self) {
        loop {
            if self.events.recv_timeout(PATIENCE).expect("the runner ends") == RunnerEvent::Gone {
                break;
            }
        }
        // Waits for the guard.
        drop(self.runner.take());
    }
}

pub fn start(folder: &Path) -> (Runner, Receiver<RunnerEvent>) {
    let program = twinhelm_mission::runner::beside_this_program().expect("a folder of programs");
    assert!(program.exists(), "{} is not there: cargo build -p mission-runner", program.display());
    let (tell, events) = channel();
    let runner = Runner::start(&program, &folder.join("state"), move |event| {
        // A test that has ended hears nothing.
        let _ = tell.send(event);
    });
    (runner.expect("a runner"), events)
}

/// What a container writes.
pub struct Output(std::io::PipeReader);

impl Output {
    /// Returns everything, when the container has closed it.
    pub fn all(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("it can be read");
        text
    }

    /// Returns the next line.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte).expect("it can be read") > 0 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }
}

/// Returns the cgroups of a container that are there, in any hierarchy.
pub fn cgroups(id: &ContainerId) -> Vec<PathBuf> {
    let name = format!("twinhelm-{id}");
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    roots.extend(fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten().map(|entry| entry.path()));
    roots.into_iter().map(|root| root.join(&name)).filter(|group| group.exists()).collect()
}

pub fn is_alive(pid: u32) -> bool {
    // One that has ended and was not waited for is not alive.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Asserts that nothing is left of a container, on the machine and in the runner's folder.
pub fn assert_nothing_left(folder: &Path, id: &ContainerId, pid: Option<u32>) {
    assert_eq!(cgroups(id), Vec::<PathBuf>::new());
    assert!(!folder.join("state/journal").join(id.as_str()).exists(), "it is forgotten");
    assert!(!folder.join("state/crun").join(id.as_str()).exists(), "libcrun has forgotten it");
    assert!(!pid.is_some_and(is_alive), "its process is gone");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&folder.display().to_string()), "no mount is left");
}

/// Waits until `holds`, at most for [`PATIENCE`].
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}
