//! The program `vehicle-demo`, called for what takes real processes. The benchmarks themselves see no door: what they
//! report was measured at the gate by the vehicle's process, or between two sessions by the program.

use crate::figures::{Failover, Link, OfFault};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the program is: `TWINHELM_PROGRAM`, or where `cargo build` leaves it.
fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/vehicle-demo");
    std::env::var_os("TWINHELM_PROGRAM").map_or(built, PathBuf::from)
}

/// Returns where figures are left for the page.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

/// Runs the program, and reads what it wrote as JSON.
///
/// # Panics
/// When the program is not there, or ends without figures: there is nothing to measure then.
fn run<T: DeserializeOwned>(arguments: &[&str]) -> T {
    let program = program();
    let path = folder().join("last.json");
    std::fs::create_dir_all(folder()).expect("a folder for figures");
    let output = Command::new(&program).args(arguments).arg("--json").arg(&path).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "starting {}: {error}; call `cargo build -p vehicle-demo` first, as `./dev bench` does",
            program.display()
        )
    });
    // 1: it ran, and a bound was broken or the machine stalled; the figures say so.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {said}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// Measures one fault `runs` times.
///
/// # Panics
/// When the program gives no figures.
#[must_use]
pub fn failover(rig: &str, profile: &str, fault: &str, runs: usize) -> (Failover, OfFault) {
    let runs = runs.to_string();
    let arguments = ["failover", "--rig", rig, "--profile", profile, "--fault", fault, "--runs", &runs];
    let mut figures: Failover = run(&arguments);
    let of_fault = figures.faults.pop().expect("one fault was asked for");
    (figures, of_fault)
}

/// Measures the link.
///
/// # Panics
/// When the program gives no figures.
#[must_use]
pub fn link(samples: usize) -> Link {
    run(&["link", "--samples", &samples.to_string()])
}

/// Leaves figures for the page.
///
/// # Panics
/// When they cannot be written.
pub fn leave(name: &str, figures: &impl serde::Serialize) {
    let text = serde_json::to_string(figures).expect("figures have a form in JSON");
    std::fs::write(folder().join(name), text).expect("a folder for figures");
}

/// Returns a number from the environment, for whoever wants the measurement shorter or longer.
#[must_use]
pub fn count(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
