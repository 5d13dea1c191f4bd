//! What the program's tests have in common: starting it, and the independent readers in Python.

#![allow(dead_code, reason = "each test is a program of its own, and takes what it needs")]

pub mod vehicle;

use std::path::Path;
use std::process::{Command, Output};

/// Returns the program, to be given arguments.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vehicle-demo"))
}

/// Runs the program to its end.
pub fn demo(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program runs")
}

/// Returns bytes as text, for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the body of what a page on this machine answers.
pub fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// Returns the migration that put `device` into the pair: a pair that takes its time to become whole may have begun, and ended, one
/// before.
#[track_caller]
pub fn migration_to<'a>(of: &'a serde_json::Value, device: &str) -> &'a serde_json::Value {
    let all = of["migrations"].as_array().expect("a list");
    all.iter().find(|migration| migration["to"] == device).unwrap_or_else(|| panic!("none to {device}: {of}"))
}

/// At 100 Hz a gate lease is 30 ms, and the next command is due after 10.
const HOLDER_MAY_BE_LATE_MS: f64 = 20.0;

/// Returns whether the machine stalled too much for a run at 100 Hz to be judged: enough for the gate to take a healthy holder for
/// silent, or too many handovers were disturbed. What must never happen is asserted all the same.
pub fn stalled(report: &serde_json::Value) -> bool {
    stalled_for(report, HOLDER_MAY_BE_LATE_MS)
}

/// Returns whether cores and gate stood still for longer than `limit_ms` within one gate lease, or too many handovers were disturbed.
pub fn stalled_for(report: &serde_json::Value, limit_ms: f64) -> bool {
    let in_one_lease = report["stalled_in_one_lease_ms"].as_f64();
    report["verdict"] == "invalid" || in_one_lease.is_some_and(|ms| ms > limit_ms)
}

/// Asserts which devices took the wheel over, where the machine let that be judged.
#[track_caller]
pub fn assert_handed_to(report: &serde_json::Value, expected: &[&str]) {
    if stalled(report) {
        println!("handovers are not judged, the machine stalled: {}", report["handovers"]);
        return;
    }
    let handovers = report["handovers"].as_array().expect("a list");
    let to: Vec<&str> = handovers.iter().filter_map(|handover| handover["to"].as_str()).collect();
    assert_eq!(to, expected, "{report}");
}

/// Asserts that nothing was acted on that must not be.
pub fn assert_nothing_wrong_was_acted_on(report: &serde_json::Value, shown: &str) {
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {shown}");
    }
}

/// Returns the Python that has the readers: `./dev setup` makes an environment of its own in the target folder.
pub fn interpreter() -> String {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/bin/python");
    let usual = if Path::new(made).exists() { made } else { "python3" };
    std::env::var("TWINHELM_PYTHON").unwrap_or_else(|_| usual.to_owned())
}

/// Runs the Python script of this folder with `arguments`; it must end well.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let python = interpreter();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(&python)
        .arg(&script)
        .args(arguments)
        .output()
        .unwrap_or_else(|cause| panic!("starting {python}: {cause}; run `./dev setup`"));
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(!complained.contains("ModuleNotFoundError"), "{complained}\nrun `./dev setup`, which installs it");
    assert!(output.status.success(), "{}:\n{said}\n{complained}", script.display());
    said
}
