//! The doors to a board's lines and to its watchdog, against the kernel: lines of gpio-sim, which another side pulls and sees.

use embedded_hal::digital::{InputPin as _, OutputPin as _};
use std::fs;
use std::path::Path;
use std::time::Duration;
use twinhelm_hal::pins::ActiveLevel;
use twinhelm_hal::ports::Backend;
use twinhelm_linux::boards::{InputLine, LineAt, OutputLine, Watchdog};

const CHIP: &str = "/dev/gpiochip0";
const SIM: &str = "/sys/devices/platform/gpio-sim.0/gpiochip0";

/// Makes a chip of eight lines.
fn make_chip() {
    super::conformance::call("mount -t configfs none /sys/kernel/config");
    let chip = Path::new("/sys/kernel/config/gpio-sim/board");
    fs::create_dir(chip).unwrap();
    fs::create_dir(chip.join("bank0")).unwrap();
    fs::write(chip.join("bank0/num_lines"), "8").unwrap();
    fs::write(chip.join("live"), "1").unwrap();
}

fn at(offset: u32, active: ActiveLevel) -> LineAt {
    LineAt { chip: CHIP.into(), offset, active }
}

/// Pulls a line from outside.
fn pull(offset: u32, high: bool) {
    let way = if high { "pull-up" } else { "pull-down" };
    fs::write(format!("{SIM}/sim_gpio{offset}/pull"), way).unwrap();
}

/// Returns the level of a line as it is seen from outside.
fn level(offset: u32) -> bool {
    fs::read_to_string(format!("{SIM}/sim_gpio{offset}/value")).unwrap().trim() == "1"
}

#[test]
#[ignore = "runs in the guest"]
fn inside_lines_are_driven_and_read_and_one_that_is_taken_is_named() {
    make_chip();
    for (offset, active) in [(0, ActiveLevel::High), (1, ActiveLevel::Low)] {
        let mut enable = OutputLine::open(Backend::Linux, &at(offset, active)).unwrap();
        let yes = active == ActiveLevel::High;
        assert_eq!(level(offset), !yes, "open, it says no");
        enable.set_high().unwrap();
        assert_eq!(level(offset), yes);
        enable.set_low().unwrap();
        assert_eq!(level(offset), !yes);

        let taken = OutputLine::open(Backend::Linux, &at(offset, active)).unwrap_err().to_string();
        assert!(taken.contains(&format!("line {offset} of {CHIP} is in use by \"twinhelm\"")), "{taken}");
    }
    for (offset, active) in [(2, ActiveLevel::High), (3, ActiveLevel::Low)] {
        let mut estop = InputLine::open(Backend::Linux, &at(offset, active)).unwrap();
        for high in [true, false, true] {
            pull(offset, high);
            assert_eq!(estop.is_high().unwrap(), high == (active == ActiveLevel::High));
        }
    }
    let absent = InputLine::open(Backend::Linux, &at(8, ActiveLevel::High)).unwrap_err().to_string();
    assert!(absent.contains("has no line 8"), "{absent}");
    let elsewhere = LineAt { chip: "/dev/gpiochip7".into(), ..at(0, ActiveLevel::High) };
    let absent = InputLine::open(Backend::Linux, &elsewhere).unwrap_err().to_string();
    assert!(absent.contains("there is no /dev/gpiochip7"), "{absent}");
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_watchdog_is_fed_by_one_and_busy_for_another() {
    let path = Path::new("/dev/watchdog");
    let mut watchdog = Watchdog::start(path, Duration::from_secs(30)).unwrap();
    watchdog.feed().unwrap();
    let busy = Watchdog::start(path, Duration::from_secs(30)).unwrap_err().to_string();
    assert!(busy.contains("/dev/watchdog is in use"), "{busy}");
    watchdog.stop().unwrap();
    // Stopped properly it may be had again.
    Watchdog::start(path, Duration::from_secs(30)).unwrap().stop().unwrap();
}
