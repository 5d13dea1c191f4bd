//! `explore`: searches areas, says what each came to, and leaves what is broken as recordings and scenario files.

#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use twinhelm_explorer::plan::{Area, From, Outcome, Rate, areas};
use twinhelm_explorer::{Detail, Found};
use twinhelm_hal::gate::rules::AsDesigned as DesignedGate;
use twinhelm_standby::node::rules::AsDesigned as DesignedNode;

/// Searches what can go wrong with a pair, exhaustively, with the shipped node, turn, gate and bus.
///
/// Without options it does what each change is tested with. Exit code 0: nothing is broken; 1: something is; 2: the question was
/// not understood.
#[derive(Parser)]
#[command(
    name = "explore",
    version,
    after_help = "Example: explore --full --from whole --rate 100hz --out target/explored"
)]
struct Cli {
    /// Search finer grids, all ways to wake, and ordered pairs of troubles. This takes hours on one core.
    #[arg(long)]
    full: bool,
    /// Only what starts from there; may be given several times.
    #[arg(long, value_name = "START")]
    from: Vec<From>,
    /// Only this timing; may be given several times.
    #[arg(long)]
    rate: Vec<Rate>,
    /// Only where devices wake so.
    #[arg(long)]
    jitter: Option<Wakes>,
    /// Where recordings and scenario files of what is broken go.
    #[arg(long, default_value = "target/explored")]
    out: PathBuf,
    /// One JSON object a line, an area each.
    #[arg(long)]
    json: bool,
}

/// How devices wake.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Wakes {
    /// Each in one way, always.
    Fixed,
    /// Each in one way but for a wake or two, any of them; only with --full.
    Departing,
}

impl Cli {
    fn is_asked(&self, area: &Area) -> bool {
        let begins = self.from.is_empty() || self.from.contains(&area.from);
        let timed = self.rate.is_empty() || self.rate.contains(&area.rate);
        let wakes = self.jitter.is_none_or(|wakes| (wakes == Wakes::Departing) == (area.jitter.departures > 0));
        begins && timed && wakes
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let all = areas(if cli.full { Detail::Full } else { Detail::Quick });
    let asked: Vec<&Area> = all.iter().filter(|area| cli.is_asked(area)).collect();
    if asked.is_empty() {
        eprintln!("error: no area is as asked; ordered pairs are searched at 100hz, and with --full alone");
        return ExitCode::from(2);
    }
    let mut broken = 0;
    for (number, area) in asked.iter().enumerate() {
        if !cli.json {
            eprint!("\r\x1b[K{} of {}: {} …", number + 1, asked.len(), area.name());
        }
        let begun = Instant::now();
        let outcome = match area.explore::<DesignedGate, DesignedNode>() {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("\nerror: {}: {error}", area.name());
                return ExitCode::from(2);
            }
        };
        broken += outcome.found.len();
        say(&cli, area, &outcome, begun.elapsed().as_secs_f64());
        for (number, found) in outcome.found.iter().enumerate() {
            if let Err(error) = keep(&cli.out, area, number, found) {
                eprintln!("error: {}: {error}", cli.out.display());
                return ExitCode::from(2);
            }
        }
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(cli: &Cli, area: &Area, outcome: &Outcome, seconds: f64) {
    let figures = outcome.figures;
    if cli.json {
        let line = serde_json::json!({
            "area": area.name(),
            "runs": figures.runs,
            "periods": figures.periods,
            "states": figures.states,
            "gap_max_ms": figures.gap_max.as_secs_f64() * 1e3,
            "whole_after_periods": figures.whole_after,
            "watched_without_an_end": figures.given_up,
            "broken": outcome.found.len(),
            "seconds": seconds,
            "memory_mib": memory_mib(),
        });
        println!("{line}");
        return;
    }
    eprint!("\r\x1b[K");
    let memory = memory_mib().map_or_else(String::new, |mib| format!(", {mib} MiB at most until now"));
    println!("{}: {figures}; {seconds:.1} s{memory}", area.name());
}

/// Returns the most memory that this process has had, where the kernel tells it.
fn memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024)
}

/// Tells what is broken, and leaves it as files.
fn keep(folder: &Path, area: &Area, number: usize, found: &Found) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let name: String = area.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = folder.join(format!("{name}-{number}"));
    std::fs::write(path.with_extension("mcap"), found.record::<DesignedGate, DesignedNode>())?;
    eprintln!("{found}\n  recorded: twinhelm replay {}.mcap", path.display());
    if let Some(scenario) = found.scenario() {
        std::fs::write(path.with_extension("toml"), scenario)?;
        eprintln!("  as a scenario: {}.toml", path.display());
    }
    Ok(())
}
