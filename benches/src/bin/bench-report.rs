//! Gathers what the benchmarks left under target/, and writes bench.json and the page; with `--readme` also
//! docs/figures/bench.json, docs/benchmarks.md and the README's table. `./dev bench` calls it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};
use twinhelm_benches::figures::{Bench, Micro, SCHEMA};
use twinhelm_benches::program::folder;
use twinhelm_benches::{page, tables};

fn main() -> ExitCode {
    match report() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(3)
        }
    }
}

fn report() -> Result<(), String> {
    let mut arguments = env::args().skip(1);
    let date = arguments.next().ok_or("the first argument is the date, as 2026-11-25")?;
    let rest: Vec<String> = arguments.collect();
    let asked = |word: &str| rest.iter().any(|argument| argument == word);
    let bench = gather(date, asked("--quick"))?;
    let json = serde_json::to_string_pretty(&bench).map_err(|error| error.to_string())? + "\n";
    write(&folder().join("bench.json"), &json)?;
    write(&folder().join("index.html"), &page::html(&bench)?)?;
    println!("target/bench/index.html\ntarget/bench/bench.json");
    if asked("--readme") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::create_dir_all(root.join("docs/figures")).map_err(|error| format!("docs/figures: {error}"))?;
        // For programs alone: without line breaks it is half the size.
        let kept = serde_json::to_string(&bench).map_err(|error| error.to_string())? + "\n";
        write(&root.join("docs/figures/bench.json"), &kept)?;
        write(&root.join("docs/benchmarks.md"), &tables::page(&bench))?;
        let readme = root.join("README.md");
        let text = read(&readme)?;
        write(&readme, &tables::replace(&text, &tables::readme(&bench))?)?;
        println!("docs/figures/bench.json\ndocs/benchmarks.md\nREADME.md");
    }
    Ok(())
}

fn gather(date: String, quick: bool) -> Result<Bench, String> {
    let mut failover = Vec::new();
    for rig in ["host", "netns"] {
        for profile in ["100hz", "1khz"] {
            let path = folder().join(format!("failover-{rig}-{profile}.json"));
            if path.is_file() {
                failover.push(parse::<twinhelm_benches::figures::Failover>(&path)?);
            }
        }
    }
    let first = failover.first().ok_or("no failover was measured; call `./dev bench`")?;
    let (machine, twinhelm) = (first.machine.clone(), first.twinhelm.clone());
    let link = folder().join("link.json");
    let link = if link.is_file() { Some(parse(&link)?) } else { None };
    let criterion = folder().join("../criterion");
    let mut micro = BTreeMap::new();
    find_micro(&criterion, &mut micro)?;
    let micro = micro.into_values().collect();
    Ok(Bench { schema: SCHEMA, date, machine, twinhelm, quick, failover, link, micro })
}

/// Reads what criterion keeps of its last measurements: a folder `new` for each.
fn find_micro(folder: &Path, found: &mut BTreeMap<String, Micro>) -> Result<(), String> {
    let new = folder.join("new");
    if new.join("benchmark.json").is_file() {
        let about: serde_json::Value = parse(&new.join("benchmark.json"))?;
        let estimates: serde_json::Value = parse(&new.join("estimates.json"))?;
        let name = about["full_id"].as_str().unwrap_or_default().to_owned();
        // Those have their own tables: what criterion sees of them is less than is known.
        if !name.starts_with("failover ") && !name.starts_with("one way") {
            let median_ns = estimates["median"]["point_estimate"].as_f64().ok_or("an estimate without a median")?;
            let elements = about["throughput"]["Elements"].as_u64();
            found.insert(name.clone(), Micro { name, median_ns, elements });
        }
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        find_micro(&entry.path(), found)?;
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
}
