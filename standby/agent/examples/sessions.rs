//! Measures fleets of 10 and of 50 real sessions against one router, with and without keys: memory, what the fleet's own rate costs
//! the router, and how much it passes on at most. All on loopback. Called by `./dev bench`; prints Markdown, and writes JSON into
//! the file that it is given.
//!
//! The router is a process of its own, and so is each fleet (this program again): their memory and time are their own. The program `twinhelm`, which
//! makes the keys, is the one beside this.

use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use twinhelm_hal::term::Slot;
use twinhelm_zenoh::agents::AgentLine;
use twinhelm_zenoh::fleet::{FleetLine, Heard};
use twinhelm_zenoh::{Hub, Settings};

type Outcome<T> = Result<T, Box<dyn Error>>;

const FLEETS: [usize; 2] = [10, 50];
const TRANSPORTS: [&str; 2] = ["tcp", "quic"];
const PORT: u16 = 7_530;
/// An offer of an agent, as JSON, has some hundred bytes.
const OFFER_BYTES: usize = 400;
/// The fleet's own rate: an offer a second.
const STEADY: Duration = Duration::from_secs(5);
const FULL: Duration = Duration::from_secs(3);
const ALL_HEAR_WITHIN: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(10);
/// The kernel counts a process's time in so many parts of a second (`USER_HZ`, 100 on every Linux that this runs on).
const TICKS_A_SECOND: f64 = 100.0;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().ok_or("name a file for the figures")?;
    let mut next = || arguments.next().ok_or("it is started by itself");
    match first.as_str() {
        "router" => return route(&next()?, next().ok().map(PathBuf::from)),
        "fleet" => {
            let (transport, count, keys) = (next()?, next()?.parse()?, PathBuf::from(next()?));
            println!("{}", fleet(&transport, count, (transport == "quic").then_some(keys.as_path()))?);
            return Ok(());
        }
        _ => {}
    }
    let programs =
        std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of programs")?.to_owned();
    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("keys");
    let most = FLEETS.into_iter().max().unwrap_or_default();
    let made = Command::new(programs.join("twinhelm"))
        .args(["keys", "init", "--router", "cloud", "--to"])
        .arg(&keys)
        .args((0..most).map(device))
        .stdout(Stdio::null())
        .status()?;
    if !made.success() {
        return Err(format!("twinhelm keys init: {made}").into());
    }
    println!(
        "| sessions at one router | router's memory | a session's | messages a second at the fleet's own rate | router's share of a core then | at most |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    let mut figures = Vec::new();
    for transport in TRANSPORTS {
        for count in FLEETS {
            // In a process of its own: so its memory is that of its sessions.
            let output = Command::new(std::env::current_exe()?)
                .args(["fleet", transport, &count.to_string()])
                .arg(&keys)
                .stderr(Stdio::inherit())
                .output()?;
            let found: Value = serde_json::from_slice(&output.stdout)?;
            let of = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
            println!(
                "| {count}, {transport} | {:.1} MiB | {:.2} MiB | {:.0} | {:.1} % | {:.0} |",
                of("router_mib"),
                of("session_mib"),
                of("messages_s"),
                of("router_core_share") * 100.0,
                of("messages_s_max")
            );
            figures.push(found);
        }
    }
    println!(
        "\nOne machine, loopback: router and sessions share its cores ({}). With keys (quic) the sessions are agents', each a region to the router; without (tcp) they are those of somebody who asks.",
        machine()
    );
    fs::write(
        first,
        serde_json::to_string_pretty(&json!({"schema": 1, "machine": machine(), "fleets": figures}))? + "\n",
    )?;
    Ok(())
}

fn device(count: usize) -> String {
    format!("device-{count}")
}

fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": an unknown processor");
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

fn settings(listen: Vec<String>, connect: Vec<String>, keys: Option<PathBuf>) -> Settings {
    Settings { vehicle: "demo".to_owned(), listen, connect, link_lease: LEASE, keep_alive: 4, keys }
}

/// Is a router until its input ends.
fn route(endpoint: &str, keys: Option<PathBuf>) -> Outcome<()> {
    let hub = Hub::open(&settings(vec![endpoint.to_owned()], Vec::new(), keys))?;
    println!("up");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(hub);
    Ok(())
}

struct Router(Child);

impl Router {
    fn start(endpoint: &str, keys: Option<&Path>) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["router", endpoint]).args(keys.map(|keys| keys.join("cloud")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self(child))
    }

    /// Returns the time that it has computed, in seconds.
    fn computed(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // Behind the name, which may have spaces: the 12th and 13th field are the time in the program and in the kernel.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn memory_mib(process: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

fn fleet(transport: &str, count: usize, keys: Option<&Path>) -> Outcome<Value> {
    let [_, beyond, high, low] = std::process::id().to_be_bytes();
    let endpoint = format!("{transport}/127.{high}.{low}.8:{}", PORT + u16::from(beyond));
    let router = Router::start(&endpoint, keys)?;
    let alone = memory_mib("self");
    // What comes from others, and so through the router.
    let passed = Arc::new(AtomicU64::new(0));
    // With keys they are agents; without, a router passes nothing on between those, and they are of the sort that asks.
    let (mut agents, mut lines) = (Vec::new(), Vec::new());
    for own in 0..count {
        let (name, passed) = (device(own), Arc::clone(&passed));
        let settings = settings(Vec::new(), vec![endpoint.clone()], keys.map(|keys| keys.join(&name)));
        let hear = {
            let name = name.clone();
            move |heard| {
                if matches!(&heard, Heard::Offer { device, .. } if *device != name) {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        if keys.is_some() {
            // A device without a place on the bus says nothing in the name of this slot.
            let agent = AgentLine::open(Slot::LEFT, &settings)?;
            lines.push(agent.fleet(&name, "demo", hear)?);
            agents.push(agent);
        } else {
            lines.push(FleetLine::open(&name, &settings, hear)?);
        }
    }
    let offer = vec![b' '; OFFER_BYTES];
    let others = (count * (count - 1)) as u64;
    let all_offer = || lines.iter().for_each(|line| line.offer(offer.clone()));
    // Until each hears each: what was declared has to come round first.
    let begun = Instant::now();
    loop {
        let before = passed.load(Ordering::Relaxed);
        all_offer();
        thread::sleep(Duration::from_secs(1));
        if passed.load(Ordering::Relaxed) - before >= others {
            break;
        }
        if begun.elapsed() > ALL_HEAR_WITHIN {
            return Err("not all hear all".into());
        }
    }
    let (before, computed, begun) = (passed.load(Ordering::Relaxed), router.computed(), Instant::now());
    while begun.elapsed() < STEADY {
        all_offer();
        thread::sleep(Duration::from_secs(1));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let steady = (passed.load(Ordering::Relaxed) - before) as f64 / seconds;
    let share = (router.computed() - computed) / seconds;
    let of_router = memory_mib(&router.0.id().to_string());
    let of_session = (memory_mib("self") - alone) / count as f64;

    let is_over = AtomicBool::new(false);
    let (before, begun) = (passed.load(Ordering::Relaxed), Instant::now());
    thread::scope(|scope| {
        // Two that never rest are more than two cores can pass on.
        for half in lines.chunks(count.div_ceil(2)) {
            let (is_over, offer) = (&is_over, &offer);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    half.iter().for_each(|line| line.offer(offer.clone()));
                }
            });
        }
        thread::sleep(FULL);
        is_over.store(true, Ordering::Relaxed);
    });
    let most = (passed.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    Ok(json!({
        "sessions": count, "transport": transport, "router_mib": of_router, "session_mib": of_session,
        "messages_s": steady, "router_core_share": share, "messages_s_max": most,
    }))
}
