//! What tests do inside a guest, as its root: call its programs, and be the far side of its simulated lines. What fails, panics.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The chip of [`make_chip`].
pub const CHIP: &str = "/dev/gpiochip0";
/// Its lines, from outside.
const FAR_SIDE: &str = "/sys/devices/platform/gpio-sim.0/gpiochip0";

/// Runs a program with its arguments, as the words of `line`.
///
/// # Panics
/// When it does not end well.
pub fn call(line: &str) {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap_or_default()).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Makes a chip of eight lines, by gpio-sim.
///
/// # Panics
/// When this guest's kernel has none.
pub fn make_chip() {
    call("mount -t configfs none /sys/kernel/config");
    let chip = Path::new("/sys/kernel/config/gpio-sim/board");
    fs::create_dir(chip).expect("gpio-sim");
    fs::create_dir(chip.join("bank0")).expect("a bank");
    fs::write(chip.join("bank0/num_lines"), "8").expect("lines");
    fs::write(chip.join("live"), "1").expect("a chip");
}

/// Pulls a line of that chip from outside.
///
/// # Panics
/// When there is no such line.
pub fn pull(offset: u32, high: bool) {
    let way = if high { "pull-up" } else { "pull-down" };
    fs::write(format!("{FAR_SIDE}/sim_gpio{offset}/pull"), way).expect("a line");
}

/// Returns whether a line of that chip is high, as it is seen from outside.
///
/// # Panics
/// When there is no such line.
#[must_use]
pub fn is_high(offset: u32) -> bool {
    fs::read_to_string(format!("{FAR_SIDE}/sim_gpio{offset}/value")).expect("a line").trim() == "1"
}
