//! `./dev test`: what is built before what is tested, and what goes on beside the tests.
//!
//! Tests in real time wait most of their time, so lints, documentation and cross builds run beside them, at the lowest
//! priority: those tests judge safety, and no times. What the tests need is built before.

use crate::program::{Call, Failed, say};
use crate::stages::{Stage, Stages};
use crate::{kernel, outcome};
use std::fs;
use std::path::Path;

/// The nextest profile that runs everything, and where it leaves its outcome.
const PROFILE: &str = "whole";
const JUNIT: &str = "target/nextest/whole/junit.xml";
/// Which binaries there are, so that the tests need not ask cargo, which may be busy with the lints.
const BINARIES: &str = "target/workshop/binaries.json";
const METADATA: &str = "target/workshop/metadata.json";
/// Reasons for which a test may skip something in continuous integration, separated by `|`; `.ci/run` names them.
const ALLOWED: &str = "TWINHELM_SKIPS_ALLOWED";
const SLOWEST: usize = 20;

/// Runs all stages, and prints times, the slowest tests, and what was skipped.
pub(crate) fn run() -> Result<(), Failed> {
    let mut stages = Stages::new()?;
    let preparing = stages.beside(vec![
        Stage::of_calls("what the tests need", 420, vec![low("./dev setup")]),
        Stage::new("a guest kernel with GPIO", 420, |log| kernel::find_or_build(log).map(drop)),
    ]);
    stages.run("format", 10, || Call::new("cargo fmt --all --check").run());
    let built = stages.run("build of everything", 720, || {
        Call::new("cargo build --workspace --all-targets").run()?;
        Call::new("./dev image").run()
    });
    let prepared = stages.join(preparing);
    if built && prepared {
        stages.run("the Debian package", 120, || Call::new("./dev deb --quick").run());
        let listed = stages.run("list of the tests", 20, list_binaries);
        let beside = stages.beside(beside());
        if listed {
            stages.run("tests", 960, test);
        }
        stages.join(beside);
        stages.run("the slowest tests, and what was skipped", 1, show_outcome);
    }
    stages.end()
}

fn beside() -> Vec<Stage> {
    let doc = low("cargo doc --workspace --no-deps --quiet").env("RUSTDOCFLAGS", "-D warnings");
    let firmware = Path::new("hal/actuator-node");
    let build = low("/usr/bin/cargo build --quiet -Zbuild-std=core --target thumbv7em-none-eabi --release");
    vec![
        Stage::of_calls(
            "lints",
            420,
            vec![
                low("cargo clippy --workspace --all-targets --quiet -- -D warnings"),
                low("shellcheck dev .ci/run"),
            ],
        ),
        Stage::of_calls("documentation", 120, vec![doc]),
        Stage::of_calls("documentation's examples", 60, vec![low("cargo test --workspace --doc --quiet")]),
        Stage::of_calls(
            "the actuator node's firmware: thumbv7em",
            120,
            vec![
                low("cargo test --quiet --lib").within(firmware),
                low("cargo clippy --quiet --lib -- -D warnings").within(firmware),
                build.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").within(firmware),
                low("arm-none-eabi-size target/thumbv7em-none-eabi/release/actuator-node").within(firmware),
            ],
        ),
        Stage::of_calls(
            "the mission for a board, under qemu: linux/arm/v6",
            900,
            vec![low("./dev images --quick linux/arm/v6")],
        ),
    ]
}

/// A call that gives way to the tests beside it.
fn low(words: &str) -> Call {
    Call::new("nice -n 19").args(words.split(' '))
}

fn list_binaries() -> Result<(), Failed> {
    let binaries =
        Call::new("cargo nextest list --workspace --list-type binaries-only --message-format json").output()?;
    let metadata = Call::new("cargo metadata --format-version 1").output()?;
    for (path, text) in [(BINARIES, binaries), (METADATA, metadata)] {
        fs::write(path, text).map_err(|error| Failed::Machine(format!("{path}: {error}")))?;
    }
    Ok(())
}

fn test() -> Result<(), Failed> {
    let nextest = Call::new("cargo nextest run --profile").arg(PROFILE);
    let nextest = nextest.args(["--binaries-metadata", BINARIES, "--cargo-metadata", METADATA]);
    let python = std::env::current_dir().map(|folder| folder.join("target/venv/bin/python"));
    let python = python.map_err(|error| Failed::Machine(format!("this folder: {error}")))?;
    let kernel = kernel::find_or_build(Path::new(kernel::LOG))?;
    nextest.env("TWINHELM_PYTHON", python).env(kernel::VARIABLE, kernel).run()
}

/// Prints the slowest tests, and what was skipped.
///
/// # Errors
/// In continuous integration, when something was skipped that is not allowed to be.
fn show_outcome() -> Result<(), Failed> {
    let wrong = |error: String| Failed::Wrong(format!("{JUNIT}: {error}"));
    let text = fs::read_to_string(JUNIT).map_err(|error| wrong(error.to_string()))?;
    let all = outcome::read(&text).map_err(wrong)?;
    say(format_args!("the slowest {SLOWEST} of {} tests", all.len()));
    for ran in outcome::slowest(&all, SLOWEST) {
        println!("{:7.1} s  {}", ran.took_s, ran.name);
    }
    let allowed = std::env::var(ALLOWED).unwrap_or_default();
    let allowed: Vec<&str> = allowed.split('|').collect();
    let skips = outcome::skips(&all, &allowed);
    say(format_args!("skipped: {}", skips.len()));
    for (name, why, _) in &skips {
        println!("  {name}: {why}");
    }
    let unforeseen = skips.iter().filter(|(_, _, allowed)| !allowed).count();
    if unforeseen > 0 && std::env::var_os("CI").is_some() {
        return Err(Failed::Wrong(format!(
            "{unforeseen} of these skips are not allowed here: .ci/run names those that are, in {ALLOWED}"
        )));
    }
    Ok(())
}
