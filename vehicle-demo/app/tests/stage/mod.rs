//! A run with spares that goes on beside a test: what it says is read, its agents are asked, killed, stopped and cut off.

#![allow(dead_code, reason = "each test is a program of its own, and takes what it needs")]

use crate::tools::{self, text};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(40);

pub fn may_make_containers() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: containers need root");
    }
    root
}

fn demo() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_vehicle-demo"))
}

/// Returns the program `twinhelm`, which is beside the demo.
pub fn twinhelm() -> PathBuf {
    demo().with_file_name("twinhelm")
}

fn images() -> PathBuf {
    demo().with_file_name("images")
}

/// Copies the mission's image.
pub fn copy_images(to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(images()).arg(to).status().expect("cp");
    assert!(copied.success(), "the image is copied");
}

/// Returns the processes of agents whose configuration is below `folder`, by their command lines.
pub fn agents_of(folder: &Path) -> BTreeMap<u32, Vec<String>> {
    let is_config = |word: &String| word.ends_with("/agent.toml") && Path::new(word).starts_with(folder);
    processes(|words| words.iter().any(|word| word == "agent") && words.iter().any(is_config))
}

fn processes(is_it: impl Fn(&[String]) -> bool) -> BTreeMap<u32, Vec<String>> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let line = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Some((pid, words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>()))
    };
    entries.filter_map(line).filter(|(_, words)| is_it(words)).collect()
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, signal).expect("it runs");
}

/// A network namespace that is gone with this.
struct Inside(String);

impl Inside {
    fn new() -> Self {
        let inside = Self(format!("twinhelm-fleet-{}", std::process::id()));
        inside.ip(&["netns", "add", &inside.0], false);
        inside.ip(&["link", "set", "lo", "up"], true);
        inside
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        // The network alone: the mounts, with the cgroups, stay the machine's.
        command.arg(format!("--net=/run/netns/{}", self.0)).arg(program);
        command
    }

    fn ip(&self, words: &[&str], in_it: bool) {
        let mut command = if in_it { self.command(Path::new("ip")) } else { Command::new("ip") };
        let output = command.args(words).output().expect("iproute2");
        assert!(output.status.success(), "ip {words:?}: {}", text(&output.stderr));
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A run, and all that belongs to it.
pub struct Stage {
    run: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Where its agents are asked, and with whose keys.
    how: Vec<String>,
    pub page: String,
    /// The folder of its agents.
    pub fleet: PathBuf,
    report: PathBuf,
    /// The cloud application that was started again, and what it was told.
    cloud: Option<(Child, Vec<String>)>,
    inside: Option<Inside>,
    _folder: TempDir,
}

impl Stage {
    /// Starts a run, and waits until the pair is ready; `off` sets the clock of one device's agent so far off.
    pub fn start(more: &[&str], off: Option<(&str, &str)>) -> Self {
        Self::start_in(more, off, None)
    }

    /// The same in a network of its own, which can be cut.
    pub fn start_inside(more: &[&str]) -> Self {
        Self::start_in(more, None, Some(Inside::new()))
    }

    fn start_in(more: &[&str], off: Option<(&str, &str)>, inside: Option<Inside>) -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let report = folder.path().join("report.json");
        let program = off.map_or_else(demo, |(device, off)| with_a_clock_that_is_off(folder.path(), device, off));
        let mut command = match &inside {
            Some(inside) => inside.command(&program),
            None => Command::new(&program),
        };
        command.args(["run", "--plain", "--runtime", "container", "--cloud"]);
        command.arg("--json").arg(&report);
        if !more.contains(&"--image") {
            command.arg("--image").arg(images());
        }
        let mut run = command.args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a run");
        let read = BufReader::new(run.stderr.take().expect("a pipe"));
        let (tell, lines) = channel();
        // Read to its end, or the run would wait for somebody who reads.
        std::thread::spawn(move || read.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let mut stage = Self {
            run,
            lines,
            said: Vec::new(),
            how: Vec::new(),
            page: String::new(),
            fleet: PathBuf::new(),
            report,
            cloud: None,
            inside,
            _folder: folder,
        };
        let page = stage.wait_for("the page: http://");
        stage.page = page.split("http://").nth(1).expect("where").trim_end_matches('/').to_owned();
        let asks = stage.wait_for("the fleet: twinhelm pool");
        stage.how = asks.split(' ').skip_while(|word| *word != "--connect").map(str::to_owned).collect();
        let keys = Path::new(stage.how.last().expect("whose keys"));
        stage.fleet = keys.parent().and_then(Path::parent).expect("a folder").to_owned();
        stage.wait_for("the pair is ready");
        stage
    }

    /// Reads on until a line has `what` in it, and returns it.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str) -> String {
        self.wait_for_one_of(&[what])
    }

    /// Reads on until a line has one of these in it, and returns it.
    #[track_caller]
    pub fn wait_for_one_of(&mut self, what: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if what.iter().any(|what| line.contains(what)) {
                        return line;
                    }
                }
                Err(_) => panic!("never {what:?}:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Reads on for so long.
    pub fn listen_for(&mut self, span: Duration) {
        let until = Instant::now() + span;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("it has ended:\n{}", self.said.join("\n")),
            }
        }
    }

    fn agent(&self, device: &str) -> u32 {
        let agents = agents_of(&self.fleet.join(device));
        agents.keys().next().copied().unwrap_or_else(|| panic!("{device} has no agent"))
    }

    pub fn signal_agent(&self, device: &str, signal: Signal) {
        send(self.agent(device), signal);
    }

    pub fn kill_agent(&self, device: &str) {
        self.signal_agent(device, Signal::KILL);
    }

    /// Kills the cloud application, and starts it again with what it was told.
    pub fn kill_cloud_and_start_it_again(&mut self) {
        let words = match self.cloud.take() {
            // Right after its start the kernel does not know yet what it was told.
            Some((mut before, words)) => {
                before.kill().expect("it runs");
                before.wait().expect("it is gone");
                words
            }
            None => {
                let here = self.fleet.join("cloud").display().to_string();
                let is_cloud =
                    |words: &[String]| words.get(1).is_some_and(|word| word == "cloud") && words.contains(&here);
                let (pid, words) = processes(is_cloud).pop_first().expect("a cloud application");
                send(pid, Signal::KILL);
                words
            }
        };
        let again = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).spawn();
        self.cloud = Some((again.expect("it starts"), words));
    }

    /// Returns what `twinhelm` says, and its exit code.
    pub fn ask(&self, words: &[&str]) -> (Value, Option<i32>) {
        let mut command = match &self.inside {
            Some(inside) => inside.command(&twinhelm()),
            None => Command::new(twinhelm()),
        };
        let output = command.args(words).args(&self.how).arg("--json").output().expect("it runs");
        let lines = text(&output.stdout);
        // One value, or a line each.
        let value = serde_json::from_str(&lines).unwrap_or_else(|_| {
            lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
        });
        (value, output.status.code())
    }

    /// Asks until the answer is as wanted.
    #[track_caller]
    pub fn wait_for_answer(&self, words: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let (said, _) = self.ask(words);
            if is_so(&said) {
                return said;
            }
            if Instant::now() >= until {
                let since: Vec<_> = self.lines.try_iter().collect();
                panic!("{words:?}: {said}\n{}\n{}", self.said.join("\n"), since.join("\n"));
            }
        }
    }

    /// Looks at the page's state until it is as wanted.
    #[track_caller]
    pub fn wait_for_page(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            // One that was started again is not there at once.
            let is_there = TcpStream::connect(&self.page).is_ok();
            let text = if is_there { tools::get(&self.page, "/api/state") } else { "null".to_owned() };
            let state = serde_json::from_str(&text).expect("JSON");
            if is_so(&state) {
                return state;
            }
            assert!(Instant::now() < until, "{state}");
        }
    }

    /// Returns the address at which the agent of a device listens.
    fn address(&self, device: &str) -> String {
        let endpoints = self.how.iter().filter_map(|word| word.strip_prefix("quic/"));
        let place = ["left", "right", "spare-2", "spare-3"].iter().position(|name| *name == device);
        let endpoint = endpoints.take(4).nth(place.expect("a device")).expect("its endpoint");
        endpoint.rsplit_once(':').expect("a port").0.to_owned()
    }

    /// Has nothing reach the agent of a device any more.
    pub fn cut(&self, device: &str) {
        let inside = self.inside.as_ref().expect("a network of its own");
        inside.ip(&["route", "add", "blackhole", &format!("{}/32", self.address(device)), "table", "local"], true);
    }

    pub fn heal(&self, device: &str) {
        let inside = self.inside.as_ref().expect("a network of its own");
        inside.ip(&["route", "del", "blackhole", &format!("{}/32", self.address(device)), "table", "local"], true);
    }

    /// Ends the run, and returns its report.
    #[track_caller]
    pub fn end(&mut self) -> Value {
        send(self.run.id(), Signal::INT);
        self.run.wait().expect("it ends");
        let report = fs::read_to_string(&self.report);
        let report = report.unwrap_or_else(|error| panic!("{error}:\n{}", self.said.join("\n")));
        serde_json::from_str(&report).expect("JSON")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let cloud = self.cloud.as_mut().map(|(child, _)| child);
        for child in [Some(&mut self.run), cloud].into_iter().flatten() {
            // It may have ended by itself; either way it is waited for.
            if child.try_wait().ok().flatten().is_none() {
                send(child.id(), Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

/// Has the demo's program in `folder`, with a `twinhelm` beside it that sets the clock of one device off.
fn with_a_clock_that_is_off(folder: &Path, device: &str, off: &str) -> PathBuf {
    let program = folder.join("vehicle-demo");
    fs::hard_link(demo(), &program).expect("a link");
    let library = fs::read_dir("/usr/lib").expect("libraries").flatten();
    let library = library.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    let library = library.expect("./dev setup installs faketime");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *\"/{device}/\"*) export LD_PRELOAD={} FAKETIME={off} DONT_FAKE_MONOTONIC=1 ;; esac\nexec {} \"$@\"\n",
        library.display(),
        twinhelm().display()
    );
    let path = folder.join("twinhelm");
    fs::write(&path, script).expect("a script");
    let made = Command::new("chmod").arg("755").arg(&path).status().expect("chmod");
    assert!(made.success(), "it may be run");
    program
}
