//! The doors to a board's lines, chips and watchdog, against the kernel: lines of gpio-sim, which another side pulls and sees,
//! and registers of i2c-stub.

use embedded_hal::digital::{InputPin as _, OutputPin as _};
use embedded_hal::i2c::I2c as _;
use rustix::process::Uid;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use twinhelm_hal::pins::{ActiveLevel, Outputs as _, Pulse, Pulses};
use twinhelm_hal::ports::Backend;
use twinhelm_hal::units::{Metres, Volts};
use twinhelm_linux::boards::{BatteryMonitor, EncoderLines, I2cBus, InputLine, LineAt, OutputLine, Plausible};
use twinhelm_linux::boards::{ServoBoard, Watchdog, Wiring};
use twinhelm_linux::clock;
use twinhelm_rigs::guest::inside::{CHIP, is_high, make_chip, pull};

fn at(offset: u32, active: ActiveLevel) -> LineAt {
    LineAt { chip: CHIP.into(), offset, active }
}

#[test]
#[ignore = "runs in the guest"]
fn inside_lines_are_driven_and_read_and_one_that_is_taken_is_named() {
    make_chip();
    for (offset, active) in [(0, ActiveLevel::High), (1, ActiveLevel::Low)] {
        let mut enable = OutputLine::open(Backend::Linux, &at(offset, active)).unwrap();
        let yes = active == ActiveLevel::High;
        assert_eq!(is_high(offset), !yes, "open, it says no");
        enable.set_high().unwrap();
        assert_eq!(is_high(offset), yes);
        enable.set_low().unwrap();
        assert_eq!(is_high(offset), !yes);

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
fn inside_edges_come_with_the_kernels_time_and_make_way_and_speed() {
    make_chip();
    let metres = Metres::new(0.001).unwrap();
    let silence = Duration::from_secs(3_600);
    let mut wheel = EncoderLines::open(Path::new(CHIP), 4, 5, metres, silence).unwrap();
    let taken = EncoderLines::open(Path::new(CHIP), 5, 6, metres, silence).unwrap_err().to_string();
    assert!(taken.contains(&format!("line 5 of {CHIP} is in use by \"twinhelm\"")), "{taken}");
    // It pulls its lines up: from there forward is A down, B down, A up, B up.
    let mut turns = |lines: [u32; 2], times: usize, by: i64| {
        let mut expected = wheel.poll().unwrap().ticks();
        let began = clock::now();
        for (high, line) in
            [false, true].into_iter().cycle().take(times).flat_map(|high| lines.map(|line| (high, line)))
        {
            pull(line, high);
            expected += by;
            // The simulated interrupt comes a little later, and a second edge before it would be lost.
            while wheel.poll().unwrap().ticks() != expected {
                assert!(clock::now().since(began) < Duration::from_secs(20), "no edge comes");
            }
        }
        let took = clock::now().seconds_after(began);
        let wheel = wheel.poll().unwrap();
        (wheel.ticks(), wheel.missed(), wheel.speed(clock::now()).get(), took)
    };
    let (ticks, missed, speed, took) = turns([4, 5], 20, 1);
    assert_eq!((ticks, missed), (40, 0));
    // Over the last period of the lines, by the kernel's times: 3 ticks of 40 in a part of all that it took.
    assert!(speed > 0.003 / took, "{speed} m/s, all of it took {took} s");
    let (ticks, missed, speed, took) = turns([5, 4], 20, -1);
    assert_eq!((ticks, missed), (0, 0), "and back again");
    assert!(speed < -0.003 / took, "{speed} m/s, all of it took {took} s");
}

#[test]
#[ignore = "runs in the guest"]
fn inside_registers_go_over_an_adapter_that_knows_smbus_alone_and_who_does_not_answer_is_named() {
    let wiring = Wiring { address: 0x41, steering: 2, drive: 3, rate_hz: 50 };
    make_chip();
    let enable = |offset| OutputLine::open(Backend::Linux, &at(offset, ActiveLevel::Low)).unwrap();
    let open = || I2cBus::open(Backend::Linux, 0).unwrap();
    let mut board = ServoBoard::new(open(), wiring, enable(0)).unwrap();
    let us = |us| Pulse::from_us(us).unwrap();
    board.drive(Pulses { steering: us(1_500), drive: us(2_000) }).unwrap();
    // 4,096 counts are 20 ms; a channel has four registers from 0x06 on, the count of its end in the last two.
    let counts = |channel: u8| {
        let mut registers = [0; 4];
        open().write_read(0x41, &[0x06 + 4 * channel], &mut registers).unwrap();
        u16::from_le_bytes([registers[2], registers[3]])
    };
    assert_eq!((counts(2), counts(3)), (307, 410));

    let silent = Wiring { address: 0x42, ..wiring };
    let error = ServoBoard::new(open(), silent, enable(1)).unwrap_err().to_string();
    assert!(error.contains("the PCA9685 at 0x42 (to sleep)") && error.contains("check its supply"), "{error}");
    let range = Plausible { voltage_min: Volts::new(5.0).unwrap(), voltage_max: Volts::new(9.0).unwrap() };
    // The stub keeps what is written, and so it does not come up as that chip does.
    let error = BatteryMonitor::new(open(), 0x40, 0.1, range).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("what answers at 0x40 is no INA219"), "{error}");
    let absent = I2cBus::open(Backend::Linux, 9).unwrap_err().to_string();
    assert!(absent.contains("there is no /dev/i2c-9"), "{absent}");
}

#[test]
#[ignore = "runs in the guest"]
fn inside_device_files_of_others_say_how_to_be_allowed() {
    make_chip();
    for file in ["/dev/gpiochip0", "/dev/i2c-0", "/dev/watchdog"] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let tried = std::thread::spawn(|| {
        // This thread's alone: without root's rights from here on.
        let nobody = Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        [
            I2cBus::open(Backend::Linux, 0).map(drop).unwrap_err().to_string(),
            InputLine::open(Backend::Linux, &at(0, ActiveLevel::High)).map(drop).unwrap_err().to_string(),
            Watchdog::start(Path::new("/dev/watchdog"), Duration::from_secs(30)).map(drop).unwrap_err().to_string(),
        ]
    });
    let [i2c, line, watchdog] = tried.join().unwrap();
    assert!(i2c.contains("no permission for /dev/i2c-0: `usermod -a -G i2c $USER`"), "{i2c}");
    assert!(line.contains("no permission for /dev/gpiochip0: `usermod -a -G gpio $USER`"), "{line}");
    assert!(watchdog.contains("no permission for /dev/watchdog: call as root"), "{watchdog}");
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
