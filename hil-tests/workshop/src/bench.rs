//! `./dev bench`: calls the benchmarks one after the other, and the programs that make a page and tables of their figures.

use crate::kernel;
use crate::program::{Call, Failed, is_root};
use std::fs;
use std::path::Path;

const FIGURES: &str = "target/bench";
const KEPT: &str = "docs/figures";

/// Runs what there is to measure here.
pub(crate) fn run(quick: bool, readme: bool) -> Result<(), Failed> {
    Call::new("./dev image").run()?;
    for folder in [FIGURES, "target/criterion"] {
        // There may be none.
        let _ = fs::remove_dir_all(folder);
    }
    let mut rigs = vec!["host:100hz"];
    if !quick {
        rigs.push("host:1khz");
        if is_root() {
            rigs.extend(["netns:100hz", "netns:1khz"]);
        } else {
            println!("not root: the rig netns is left out");
        }
    }
    let quick_too = quick.then_some("--quick");
    let bench = Call::new("cargo bench -p twinhelm-benches --profile dev --").args(quick_too);
    bench.env("TWINHELM_RIGS", rigs.join(" ")).env("TWINHELM_RUNS", if quick { "10" } else { "20" }).run()?;
    over_can(quick_too)?;
    let today = Call::new("date -I").output()?;
    let page = Call::new("cargo run --quiet -p twinhelm-benches --bin bench-report --").arg(today.trim());
    page.args(quick_too).args(readme.then_some("--readme")).run()?;
    if quick { Ok(()) } else { containers(readme) }
}

/// The way over SocketCAN, in a guest kernel that has it.
fn over_can(quick: Option<&str>) -> Result<(), Failed> {
    let built = "cargo bench --quiet -p twinhelm-benches --profile dev --bench can --no-run --message-format=json";
    let messages = Call::new(built).output()?;
    let executable = messages.lines().filter_map(|line| line.split("\"executable\":\"").nth(1));
    let binary = executable.filter_map(|rest| rest.split('"').next()).find(|path| path.contains("/can-"));
    let binary = binary.ok_or_else(|| Failed::Wrong("cargo names no benchmark `can`".to_owned()))?;
    let script = format!(
        "ip link add vcan0 type vcan && ip link set vcan0 up && mkdir -p /mnt/out && \
         CRITERION_HOME=/mnt/out '{binary}' --bench {}",
        quick.unwrap_or_default()
    );
    let mut guest = Call::new("cargo run --quiet -p twinhelm-rigs --example in_guest -- target/criterion sh -c");
    if let Some(kernel) = kernel::for_this_processor()? {
        guest = guest.env(kernel::VARIABLE, kernel);
    }
    guest.arg(script).run()
}

/// The ladder, containers and pulls beside other programs, and fleets; into target/bench, and with `readme` into docs and README.
fn containers(readme: bool) -> Result<(), Failed> {
    if !is_root() {
        println!("not root: containers are left out");
        return Ok(());
    }
    Call::new("cargo build --quiet --workspace --examples").run()?;
    let ladder =
        Call::new("target/debug/vehicle-demo ladder --runs 5 --json").arg(format!("{FIGURES}/ladder.json"));
    ladder.run()?;
    let measured = Call::new("target/debug/examples/measure").arg(format!("{FIGURES}/containers.json")).output()?;
    keep("containers.md", &measured)?;
    let mut fleet = Vec::new();
    for (example, figures) in
        [("recruiting", Some("recruiting.json")), ("sessions", Some("sessions.json")), ("pools", None)]
    {
        let call = Call::new(&format!("target/debug/examples/{example}"));
        fleet.push(call.args(figures.map(|name| format!("{FIGURES}/{name}"))).output()?);
    }
    keep("fleet.md", &fleet.join("\n"))?;
    if !readme {
        return Ok(());
    }
    for name in ["ladder.json", "ladder.svg", "containers.json", "containers.md", "fleet.md"] {
        let (from, to) = (Path::new(FIGURES).join(name), Path::new(KEPT).join(name));
        fs::copy(&from, &to).map_err(|error| Failed::Machine(format!("{}: {error}", from.display())))?;
    }
    Call::new("cargo nextest run -p twinhelm-benches -E test(ladder)").env("TWINHELM_BLESS", "1").run()
}

/// Shows figures, and keeps them.
fn keep(name: &str, text: &str) -> Result<(), Failed> {
    print!("{text}");
    let path = format!("{FIGURES}/{name}");
    fs::write(&path, text).map_err(|error| Failed::Machine(format!("{path}: {error}")))
}
