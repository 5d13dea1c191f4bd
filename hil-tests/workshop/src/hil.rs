//! `./dev hil`: the storm, and scenarios on the rigs that show them best; with `--full` what is too long for every change.

use crate::program::{Call, Failed, is_root};
use crate::stages::Stages;
use crate::{boards, fuzz, kernel, mutants};
use std::fs;
use std::path::Path;

const PROGRAM: &str = "target/debug/vehicle-demo";
const SCENARIOS: &str = "hil-tests/scenarios";

/// So long each fuzz target is run: what breaks on something near a seed is found.
const FUZZ_SECONDS: u32 = 30;

/// What each rig shows best: faults of a process, of a network, of a CAN bus.
const ON_HOST: &[&str] =
    &["kill", "hang", "nan", "frozen-output", "late", "switchover", "rejoin", "bus-off", "estop"];
const ON_NETNS: &[&str] = &["power", "link-cut", "link-slow", "standby-cut-off"];
const ON_GUEST: &[&str] = &["kill", "hang", "power", "link-cut", "bus-cut", "bus-cut-tx", "bus-cut-rx", "estop"];

/// Runs them all, and prints how long each stage took.
pub(crate) fn run(full: bool, seeds: Option<u32>) -> Result<(), Failed> {
    let mut stages = Stages::new()?;
    let seeds = seeds.unwrap_or(if full { 10_000 } else { 1_000 }).to_string();
    // Debian's does for what is run without --full, where it starts.
    let guest =
        if full { Some(kernel::find_or_build(Path::new(kernel::LOG))?) } else { kernel::for_this_processor()? };
    let guest = guest.unwrap_or_default();
    let storm = "cargo nextest run -p twinhelm-hil --test storm";
    stages.run("the storm", 120, || Call::new(storm).env("TWINHELM_SEEDS", seeds).run());
    stages.run("the programs", 600, || Call::new("./dev image").run());
    let all = if full { Some(all_scenarios()?) } else { None };
    let of = |few: &[&str]| all.clone().unwrap_or_else(|| few.iter().map(|name| (*name).to_owned()).collect());
    stages.run("rig host", 400, || drive_on("host", &of(ON_HOST), &guest));
    if is_root() {
        stages.run("rig netns", 400, || drive_on("netns", &of(ON_NETNS), &guest));
    } else {
        println!("skipped: the rig netns needs root");
    }
    let on_guest: Vec<String> = ON_GUEST.iter().map(|name| (*name).to_owned()).collect();
    stages.run("rig guest", 400, || drive_on("guest", &on_guest, &guest));
    if full {
        stages.run("the newcomer's command", 900, || Call::new("./dev demo -y").run());
        // Sorted by what it tells: the ordered pairs last, they take longest.
        stages.run("the explorer's finer grids", 14_400, || {
            Call::new("cargo run -p twinhelm-explorer -- --full --json").run()
        });
        stages.run("the tests, those that are too long for every change among them", 3_600, || {
            let nextest = Call::new("cargo nextest run --workspace --profile whole");
            nextest.env("TWINHELM_FULL", "1").env(kernel::VARIABLE, &guest).run()
        });
        stages.run("mutants of the gate, the node and the turn", 7_200, mutants::run);
        stages.run("the fuzz targets, from their seeds", 1_500, || fuzz::run(FUZZ_SECONDS));
        let platforms = ["linux/arm/v6", "linux/arm/v7", "linux/386"].map(str::to_owned);
        stages.run("the mission for boards, under qemu", 3_600, || boards::run(&platforms, false));
    }
    stages.end()
}

/// Returns the names of all built-in scenarios.
fn all_scenarios() -> Result<Vec<String>, Failed> {
    let unreadable = |error: std::io::Error| Failed::Machine(format!("{SCENARIOS}: {error}"));
    let files = fs::read_dir(SCENARIOS).map_err(unreadable)?.flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let names = files.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Drives scenarios on one rig, a line for each that breaks a bound. A stall of the machine can break one: the line shows which.
fn drive_on(rig: &str, names: &[String], guest: &Path) -> Result<(), Failed> {
    let folder = Path::new("target/hil").join(rig);
    fs::create_dir_all(&folder).map_err(|error| Failed::Machine(format!("{}: {error}", folder.display())))?;
    let mut passed = 0;
    for name in names {
        let (said, report) = (folder.join(format!("{name}.txt")), folder.join(format!("{name}.json")));
        // Of an earlier call; there may be none.
        let _ = fs::remove_file(&said);
        let run =
            Call::new(PROGRAM).args(["run", "--plain", "--rig", rig, "--scenario", name, "--json"]).arg(&report);
        let code = run.env(kernel::VARIABLE, guest).into_log(&said)?.code()?;
        let text = fs::read_to_string(&said).unwrap_or_default();
        match code {
            Some(0) => passed += 1,
            Some(1) => println!("{rig:<6} {name:<45} {}", broken_bounds(&text)),
            _ => {
                let last = text.lines().last().unwrap_or("it said nothing");
                return Err(Failed::Wrong(format!("{rig}, {name}: {last}")));
            }
        }
    }
    println!("{rig}: {passed} of {} scenarios pass; their reports are in {}", names.len(), folder.display());
    Ok(())
}

/// Returns what a run says of the bounds that it broke, in one line.
fn broken_bounds(said: &str) -> String {
    let is_verdict = |line: &&str| line.starts_with("  FAIL") || line.starts_with("  INVALID");
    let lines = said.lines().skip_while(|line| !is_verdict(line)).take(4);
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
