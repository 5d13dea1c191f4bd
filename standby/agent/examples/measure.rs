//! Measures containers and pulls on this machine, each beside the program that people use otherwise, in turn: `crun`,
//! and `skopeo` with `umoci`. Called by `./dev bench`; prints Markdown, and writes JSON into the file that it is given.
//!
//! The programs `twinhelm`, `mission-runner` and `vehicle-demo` are those beside it.

use mission_wire::ContainerId;
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinhelm_mission::bundle::{Allowance, Bundle, Recipe};
use twinhelm_mission::container::{Container, Created};
use twinhelm_mission::image::pack::{Contents, pack};
use twinhelm_mission::image::{Digest, Layout, Platform};
use twinhelm_mission::runner::Runner;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where the cgroups of v2 say what they offer; see `mission-runner`, which covers it likewise.
const OFFERED: &str = "/sys/fs/cgroup/unified/cgroup.controllers";
/// Tells the second life that the first has prepared its mount namespace.
const PREPARED: &str = "TWINHELM_MEASURE_PREPARED";
const RUNS: u32 = 30;
const PULLS: u32 = 3;
const DRIVES: u32 = 4;
const IMAGE_BYTES: u64 = 100_000_000;

fn main() -> Outcome<()> {
    let to = std::env::args().nth(1).ok_or("name a file for the figures")?;
    if std::env::var_os(PREPARED).is_none() {
        return again_in_a_mount_namespace();
    }
    let programs =
        std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of programs")?.to_owned();
    let containers = containers(&programs)?;
    let pulls = pulls(&programs)?;
    let driving = driving(&programs)?;
    let figures = json!({"schema": 1, "containers": containers, "pulls": pulls, "driving": driving});
    fs::write(to, serde_json::to_string_pretty(&figures)? + "\n")?;
    Ok(())
}

/// Both runtimes have to live where libcrun accepts the machine's cgroups; that is prepared before anything is measured.
fn again_in_a_mount_namespace() -> Outcome<()> {
    let cover = format!("grep -qs . {OFFERED} && mount --bind /dev/null {OFFERED}; exec \"$0\" \"$@\"");
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", &cover])
        .arg(std::env::current_exe()?)
        .args(std::env::args().skip(1))
        .env(PREPARED, "1")
        .status()?;
    if status.success() { Ok(()) } else { Err("it needs root, and util-linux".into()) }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// A root with one static program, and what a container of it is made of.
struct Ground {
    folder: TempDir,
    runner: Runner,
    count: u32,
}

impl Ground {
    fn new(programs: &Path) -> Outcome<Self> {
        let folder = TempDir::new()?;
        for name in ["root/bin", "root/proc", "root/dev", "root/run/mission", "run"] {
            fs::create_dir_all(folder.path().join(name))?;
        }
        fs::copy("/bin/busybox", folder.path().join("root/bin/busybox"))?;
        let runner = Runner::start(&programs.join("mission-runner"), &folder.path().join("state"), drop)?;
        Ok(Self { folder, runner, count: 0 })
    }

    fn next(&mut self) -> Outcome<(ContainerId, Bundle)> {
        self.count += 1;
        let id = ContainerId::new(format!("measure-{}-{}", std::process::id(), self.count))?;
        let allowance = Allowance {
            memory_bytes: 64 << 20,
            pids_max: 16,
            realtime_us: 100_000,
            devices: Vec::new(),
            network: None,
        };
        let recipe = Recipe {
            id: &id,
            root: &self.folder.path().join("root"),
            args: ["/bin/busybox", "echo", "x"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            run: &self.folder.path().join("run"),
            data: None,
            allowance: &allowance,
        };
        let bundle = Bundle::write(&self.folder.path().join("bundle"), &recipe)?;
        Ok((id, bundle))
    }

    /// Returns how long it took from `start` until the mission said something: prepared, and from nothing.
    fn by_runner(&mut self) -> Outcome<(f64, f64)> {
        let (id, bundle) = self.next()?;
        let (mut said, says) = std::io::pipe()?;
        let nothing = fs::File::open("/dev/null")?;
        let cold = Instant::now();
        let stdio = [nothing.as_fd(), says.as_fd(), says.as_fd()];
        let created: Container<Created> = Container::create(&self.runner, id, &bundle, stdio)?;
        drop(says);
        let prepared = Instant::now();
        let running = created.start()?;
        said.read_exact(&mut [0])?;
        let times = (milliseconds(prepared), milliseconds(cold));
        running.delete()?;
        Ok(times)
    }

    fn by_command(&mut self) -> Outcome<(f64, f64)> {
        let (id, _) = self.next()?;
        let state = self.folder.path().join("crun");
        let (mut said, says) = std::io::pipe()?;
        let crun = |arguments: &[&str]| {
            let mut command = Command::new("crun");
            command.arg("--root").arg(&state).args(arguments).stdin(Stdio::null());
            command
        };
        let cold = Instant::now();
        let bundle = self.folder.path().join("bundle").display().to_string();
        let mut create = crun(&["create", "--bundle", &bundle, id.as_str()]);
        run(create.stdout(says))?;
        // It holds the pipe.
        drop(create);
        let prepared = Instant::now();
        run(&mut crun(&["start", id.as_str()]))?;
        said.read_exact(&mut [0])?;
        let times = (milliseconds(prepared), milliseconds(cold));
        run(&mut crun(&["delete", "--force", id.as_str()]))?;
        Ok(times)
    }
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn containers(programs: &Path) -> Outcome<Value> {
    let mut ground = Ground::new(programs)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(ground.by_runner()?);
        theirs.push(ground.by_command()?);
    }
    let split = |times: &[(f64, f64)]| {
        let (mut prepared, mut cold): (Vec<f64>, Vec<f64>) = times.iter().copied().unzip();
        (median(&mut prepared), median(&mut cold))
    };
    let ((prepared, cold), (their_prepared, their_cold)) = (split(&ours), split(&theirs));
    let (prepared_ratio, cold_ratio) = (prepared / their_prepared, cold / their_cold);
    println!("| a container until its program runs, medians of {RUNS} in turn | mission-runner | `crun` | ratio |");
    println!("|---|---:|---:|---:|");
    println!("| start of a prepared one | {prepared:.2} ms | {their_prepared:.2} ms | {prepared_ratio:.2} |");
    println!("| create and start | {cold:.1} ms | {their_cold:.1} ms | {cold_ratio:.2} |\n");
    Ok(json!({"runs": RUNS, "prepared_ms": prepared, "crun_prepared_ms": their_prepared, "cold_ms": cold,
              "crun_cold_ms": their_cold, "prepared_ratio": prepared_ratio, "cold_ratio": cold_ratio}))
}

/// A registry with a large image in it; it ends with this value.
struct Registry {
    process: Child,
    name: String,
    digest: Digest,
    folder: TempDir,
}

impl Registry {
    fn start(programs: &Path) -> Outcome<Self> {
        let folder = TempDir::new()?;
        let [_, beyond, high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, high, low, 1), 5_000 + u16::from(beyond)));
        let config = folder.path().join("registry.yml");
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            data.display()
        );
        fs::write(&config, text)?;
        let mut registry = Command::new("docker-registry");
        registry.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = registry.spawn()?;
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until {
                return Err("the registry does not come up".into());
            }
        }
        let noise = folder.path().join("noise");
        let mut random = fs::File::open("/dev/urandom")?.take(IMAGE_BYTES);
        std::io::copy(&mut random, &mut fs::File::create(&noise)?)?;
        let layout = Layout::create(&folder.path().join("images"))?;
        let platform = Platform::of_this_machine().ok_or("an unknown machine")?;
        let contents = Contents {
            name: "busybox".to_owned(),
            version: "1".to_owned(),
            programs: [(platform, PathBuf::from("/bin/busybox"))].into(),
            data: [("noise".to_owned(), noise)].into(),
        };
        let digest = pack(&layout, &contents, "mission")?;
        drop(layout);
        let name = format!("docker://{address}/mission:1");
        let from = format!("oci:{}:mission", folder.path().join("images").display());
        run(Command::new(programs.join("twinhelm"))
            .args(["image", "push", "--json", &from, &name])
            .stdout(Stdio::null()))?;
        Ok(Self { process, name, digest, folder })
    }

    /// Writes the configuration of an agent that holds the image, and returns it with the endpoint that it listens at.
    fn agent(&self, place: &str, rate_mib_s: f64) -> Outcome<(PathBuf, String)> {
        let home = self.folder.path().join(place);
        fs::create_dir_all(&home)?;
        let [_, beyond, high, low] = std::process::id().to_be_bytes();
        let endpoint = format!("tcp/127.{high}.{low}.9:{}", 7_449 + u16::from(beyond));
        let source = self.name.trim_end_matches(":1");
        let text = format!(
            "device = \"measure\"\nvehicle = \"measure\"\nslot = 3\nstore = {:?}\nrun = {:?}\n\
             mission.image = \"{}\"\nmission.sources = [\"{source}\"]\nmission.readiness = \"shadow\"\n\
             mission.args = [\"sleep\", \"1000\"]\nlimits.pull_mib_s = {rate_mib_s:?}\nbus.name = \"none\"\n\
             bus.gate_lease_ms = 30.0\nlink.listen = [\"{endpoint}\"]\n",
            home.join("store"),
            home.join("run"),
            self.digest
        );
        let path = home.join("agent.toml");
        fs::write(&path, text)?;
        Ok((path, endpoint))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a command to its end; returns how long it took and the most memory that its process had, in MiB.
fn watched(command: &mut Command) -> Outcome<(f64, f64)> {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(memory_mib(child.id(), "VmHWM:"));
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok((milliseconds(begun), peak));
            }
            return Err(format!("{command:?}: {status}").into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn memory_mib(pid: u32, what: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

fn pulls(programs: &Path) -> Outcome<Value> {
    let registry = Registry::start(programs)?;
    let (mut ours, mut theirs, mut peaks, mut their_peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut pulling) = (0.0_f64, 0.0_f64);
    for count in 0..PULLS {
        // An agent, from its start to a mission that runs: it fetches, verifies, unpacks, creates and starts.
        let (config, endpoint) = registry.agent(&format!("agent-{count}"), 0.0)?;
        let begun = Instant::now();
        let mut agent = Command::new(programs.join("twinhelm"));
        let mut agent = agent.arg("agent").arg("--config").arg(&config).stdin(Stdio::null()).spawn()?;
        let took = loop {
            pulling = pulling.max(memory_mib(agent.id(), "VmHWM:"));
            let status = Command::new(programs.join("twinhelm"))
                .args(["status", "--vehicle", "measure", "--json", "--wait", "0.5", "--connect", &endpoint])
                .stderr(Stdio::null())
                .output()?;
            let reports: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            if reports[0]["holds"] == "shadow" {
                let steps = reports[0]["steps"].as_array().cloned().unwrap_or_default();
                let of = |name: &str| {
                    let step = steps.iter().find(|step| step["name"] == name);
                    step.and_then(|step| step["took_ms"].as_f64()).unwrap_or(f64::NAN)
                };
                idle = idle.max(memory_mib(agent.id(), "VmRSS:"));
                break of("pulled") + of("unpacked");
            }
            if begun.elapsed() > Duration::from_secs(120) {
                return Err("the agent does not come up".into());
            }
        };
        ours.push(took);
        peaks.push(memory_mib(agent.id(), "VmHWM:"));
        agent.kill()?;
        agent.wait()?;

        let copy = registry.folder.path().join(format!("copy-{count}"));
        let bundle = registry.folder.path().join(format!("bundle-{count}"));
        let to = format!("oci:{}:mission", copy.display());
        let mut skopeo = Command::new("skopeo");
        let skopeo =
            skopeo.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &registry.name, &to]);
        let (copied, copy_peak) = watched(skopeo)?;
        let image = format!("{}:mission", copy.display());
        let mut umoci = Command::new("umoci");
        let (unpacked, unpack_peak) = watched(umoci.args(["unpack", "--image", &image]).arg(&bundle))?;
        theirs.push(copied + unpacked);
        their_peaks.push(copy_peak.max(unpack_peak));
        for place in [copy, bundle, registry.folder.path().join(format!("agent-{count}"))] {
            fs::remove_dir_all(place)?;
        }
    }
    let (took, their_took) = (median(&mut ours), median(&mut theirs));
    let (peak, their_peak) = (median(&mut peaks), median(&mut their_peaks));
    let ratio = took / their_took;
    println!(
        "| pull, verify and unpack 100 MB from loopback, medians of {PULLS} in turn | agent | `skopeo` and `umoci` | ratio |"
    );
    println!("|---|---:|---:|---:|");
    println!("| time | {:.2} s | {:.2} s | {ratio:.2} |", took / 1e3, their_took / 1e3);
    println!("| peak memory of the process | {peak:.0} MiB | {their_peak:.0} MiB | {:.2} |", peak / their_peak);
    println!("| agent's memory when its mission runs | {idle:.0} MiB | | |\n");
    Ok(json!({"runs": PULLS, "bytes": IMAGE_BYTES, "took_ms": took, "their_took_ms": their_took, "ratio": ratio,
              "peak_mib": peak, "their_peak_mib": their_peak, "idle_mib": idle}))
}

/// Drives in turn with and without an agent beside it that pulls, throttled and at idle priority.
fn driving(programs: &Path) -> Outcome<Value> {
    let registry = Registry::start(programs)?;
    let mut sums = [[0_u64; 3]; 2];
    let mut machine = Value::Null;
    for count in 0..DRIVES {
        for pulls in [false, true] {
            let report = registry.folder.path().join("report.json");
            let mut agent = None;
            if pulls {
                let (config, _) = registry.agent(&format!("beside-{count}"), 10.0)?;
                let mut command = Command::new(programs.join("twinhelm"));
                agent = Some(command.arg("agent").arg("--config").arg(config).stdin(Stdio::null()).spawn()?);
            }
            let mut drive = Command::new(programs.join("vehicle-demo"));
            drive.args(["run", "--plain", "--duration", "10s", "--json"]).arg(&report);
            let status = drive.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            if let Some(mut agent) = agent {
                agent.kill()?;
                agent.wait()?;
            }
            // 1: a bound was broken, by a stall of the machine; the figures are there.
            if !matches!(status.code(), Some(0 | 1)) {
                return Err(format!("vehicle-demo: {status}").into());
            }
            let report: Value = serde_json::from_slice(&fs::read(&report)?)?;
            machine = report["machine"].clone();
            let names = ["cycles", "missed_deadlines", "covers"];
            for (sum, name) in sums[usize::from(pulls)].iter_mut().zip(names) {
                *sum += report[name].as_u64().unwrap_or_default();
            }
        }
    }
    let [without, with] = sums;
    println!("| driving, {DRIVES} times 10 s each, in turn | cycles | missed deadlines | covers |");
    println!("|---|---:|---:|---:|");
    for (name, [cycles, missed, covers]) in
        [("without", without), ("while an agent pulls 100 MB at 10 MiB/s", with)]
    {
        println!("| {name} | {cycles} | {missed} | {covers} |");
    }
    println!("\nRig host on {}.", machine.as_str().unwrap_or("an unknown machine"));
    std::io::stdout().flush()?;
    let of = |[cycles, missed, covers]: [u64; 3]| json!({"cycles": cycles, "missed_deadlines": missed, "covers": covers});
    Ok(json!({"machine": machine, "runs": DRIVES, "without": of(without), "with": of(with)}))
}
