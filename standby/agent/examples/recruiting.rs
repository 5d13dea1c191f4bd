//! Measures what a spare is worth that has something already: with the image, without it, and with nothing at all after both
//! controllers are dead, the poster's sequence, in which everything is downloaded after the fault. In turn, on the rig host.
//! Called by `./dev bench`; prints Markdown, and writes JSON into the file that it is given.
//!
//! The program `vehicle-demo` and the mission's image (`./dev image`) are those beside it.

use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: u32 = 3;
const FAULT: &[&str] = &["--fault", "kill@3s:left"];
const BOTH: &[&str] = &["--fault", "kill@3s:left", "--fault", "kill@3s:right"];

struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    faults: &'static [&'static str],
}

const CASES: [Case; 3] = [
    Case { name: "a standby, and a spare with the image", arguments: &["--duration", "14s"], faults: FAULT },
    Case {
        name: "a standby, and a spare that pulls it",
        arguments: &["--duration", "14s", "--spare-readiness", "cold"],
        faults: FAULT,
    },
    Case {
        name: "neither: all is downloaded after the fault",
        arguments: &["--duration", "14s", "--spare-readiness", "cold", "--spares-at", "3s"],
        faults: BOTH,
    },
];

/// What one run was like, in ms and bytes.
struct Recruiting {
    gap: f64,
    whole: f64,
    pull: f64,
    bytes: f64,
}

fn main() -> Outcome<()> {
    let to = std::env::args().nth(1).ok_or("name a file for the figures")?;
    let programs =
        std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder of programs")?.to_owned();
    let mut all = CASES.map(|_| Vec::new());
    let mut machine = Value::Null;
    for _ in 0..RUNS {
        for (case, runs) in CASES.iter().zip(&mut all) {
            let report = run(&programs, case)?;
            machine = report["machine"].clone();
            runs.push(read(&report).ok_or_else(|| format!("{}: nobody was recruited: {report}", case.name))?);
        }
    }
    println!(
        "| a device that drives is killed, medians of {RUNS} in turn | no command for | recruited after | of that, pulling | bytes |"
    );
    println!("|---|---:|---:|---:|---:|");
    let mut figures = Vec::new();
    for (case, runs) in CASES.iter().zip(&all) {
        let of = |value: fn(&Recruiting) -> f64| median(runs.iter().map(value).collect());
        let (gap, whole, pull) = (of(|run| run.gap), of(|run| run.whole), of(|run| run.pull));
        let bytes = of(|run| run.bytes);
        let pulled = if pull > 0.0 { format!("{pull:.0} ms") } else { "-".to_owned() };
        println!("| {} | {gap:.1} ms | {whole:.0} ms | {pulled} | {bytes:.0} |", case.name);
        figures.push(
            json!({"case": case.name, "gap_ms": gap, "recruited_ms": whole, "pull_ms": pull, "bytes": bytes}),
        );
    }
    println!(
        "\nThe image comes from a folder of the same machine: what a network costs is not in it. The vehicle stands before the last \
         one begins: each gate has to have been in the safe state for 2 s. Rig host on {}.",
        machine.as_str().unwrap_or("an unknown machine")
    );
    let figures = json!({"schema": 1, "machine": machine, "runs": RUNS, "cases": figures});
    fs::write(to, serde_json::to_string_pretty(&figures)? + "\n")?;
    Ok(())
}

fn run(programs: &Path, case: &Case) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report.json");
    let mut drive = Command::new(programs.join("vehicle-demo"));
    drive
        .args(["run", "--plain", "--runtime", "container", "--spares", "1"])
        .args(case.arguments)
        .args(case.faults);
    let status = drive.arg("--json").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    // 1: a bound was broken, by a stall of the machine; the figures are there.
    if !matches!(status.code(), Some(0 | 1)) {
        return Err(format!("vehicle-demo: {status}").into());
    }
    Ok(serde_json::from_slice(&fs::read(&path)?)?)
}

fn read(report: &Value) -> Option<Recruiting> {
    let migration = report["migrations"].as_array()?.iter().find(|migration| migration["to"] == "spare-2")?;
    let steps = migration["steps"].as_object()?;
    // The pair is whole before the faulty device has answered, or not.
    let counted = steps.iter().filter(|(name, _)| *name != "fence");
    Some(Recruiting {
        gap: report["handovers"][0]["handover_gap_ms"].as_f64()?,
        whole: counted.filter_map(|(_, ms)| ms.as_f64()).sum(),
        pull: if migration["bytes"].as_u64()? > 0 {
            steps.get("pull").and_then(Value::as_f64).unwrap_or(0.0)
        } else {
            0.0
        },
        bytes: migration["bytes"].as_f64()?,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
