//! What hangs on a board's ports, on simulated chips; and the real ports of this machine, where they are not there.

#![allow(clippy::unwrap_used)] // All of this file is a test.

use std::path::{Path, PathBuf};
use twinhelm_hal::actuator::SafeState;
use twinhelm_hal::frame::{CommandFrame, Frame, StatusFrame};
use twinhelm_hal::gate::{Gate, Timing};
use twinhelm_hal::pins::{ActiveLevel, GuardedPins, Outputs, Pulse, Pulses, Servo, Setup, Travel};
use twinhelm_hal::ports::Backend;
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::signals::{Layout, Signals};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hal::units::{Amperes, Metres, Volts};
use twinhelm_hil::boards::{SimI2c, SimIna219, SimOutput, SimPca9685, SimWire, Wire};
use twinhelm_linux::boards::{
    Battery, BatteryError, BatteryMonitor, EncoderLines, I2cBus, InputLine, LineAt, OpenError, OutputLine,
    Plausible, ServoBoard, ServoBoardError, Spi, SpiAt, Wiring,
};

const WIRING: Wiring = Wiring { address: 0x40, steering: 0, drive: 1, rate_hz: 50 };

type Board = ServoBoard<SimI2c<SimPca9685>, SimOutput>;

fn servo_board() -> (Board, SimI2c<SimPca9685>, SimWire) {
    let (bus, enable) = (SimI2c::new(0x40, SimPca9685::default()), SimWire::default());
    let board = ServoBoard::new(bus.clone(), WIRING, enable.output(ActiveLevel::Low)).unwrap();
    (board, bus, enable)
}

fn pulses(steering_us: u16, drive_us: u16) -> Pulses {
    let us = |us| Pulse::from_us(us).unwrap();
    Pulses { steering: us(steering_us), drive: us(drive_us) }
}

#[test]
fn a_servo_board_comes_up_at_50_hertz_without_pulses_and_released() {
    let (_board, bus, enable) = servo_board();
    assert_eq!(bus.chip().period_ns(), 19_988_480);
    assert_eq!((bus.chip().pulse_ns(0), bus.chip().pulse_ns(1)), (None, None));
    assert!(enable.is_high(), "the chip's pin is active low");
}

#[test]
fn a_chip_that_was_left_awake_and_driving_is_set_up_all_the_same() {
    let (mut board, bus, enable) = servo_board();
    board.drive(pulses(1_500, 1_900)).unwrap();
    board.select(true).unwrap();
    drop(board);
    let slow = Wiring { rate_hz: 100, ..WIRING };
    let mut board = ServoBoard::new(bus.clone(), slow, enable.output(ActiveLevel::Low)).unwrap();
    assert_eq!((bus.chip().pulse_ns(0), bus.chip().pulse_ns(1)), (None, None));
    assert!(enable.is_high());
    assert_eq!(bus.chip().period_ns(), 4_096 * 61 * 40, "the rate is taken only in sleep");
    board.drive(pulses(1_500, 1_500)).unwrap();
    assert!(bus.chip().pulse_ns(0).is_some());
}

#[test]
fn pulses_are_as_long_as_they_were_told_to_within_a_count() {
    let (mut board, bus, _enable) = servo_board();
    let count_ns = 122 * 40;
    for us in (500..=2_500).step_by(7) {
        board.drive(pulses(us, 3_000 - us)).unwrap();
        for (channel, us) in [(0, us), (1, 3_000 - us)] {
            let pulse_ns = bus.chip().pulse_ns(channel).unwrap();
            assert!(pulse_ns.abs_diff(u32::from(us) * 1_000) <= count_ns / 2, "{us} µs: {pulse_ns} ns");
        }
    }
    board.rest().unwrap();
    assert_eq!((bus.chip().pulse_ns(0), bus.chip().pulse_ns(1)), (None, None));
}

#[test]
fn a_chip_that_does_not_answer_is_named_with_what_to_check() {
    let (bus, enable) = (SimI2c::new(0x41, SimPca9685::default()), SimWire::default());
    let error = ServoBoard::new(bus, WIRING, enable.output(ActiveLevel::Low)).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the PCA9685 at 0x40 (to sleep): ") && text.contains("i2cdetect"), "{text}");
}

#[test]
fn impossible_wirings_are_refused() {
    for wiring in [
        Wiring { drive: 0, ..WIRING },
        Wiring { steering: 16, ..WIRING },
        Wiring { address: 0x3F, ..WIRING },
        Wiring { address: 0x70, ..WIRING },
        Wiring { rate_hz: 23, ..WIRING },
        Wiring { rate_hz: 400, ..WIRING },
    ] {
        let (bus, enable) = (SimI2c::new(wiring.address, SimPca9685::default()), SimWire::default());
        let board = ServoBoard::new(bus, wiring, enable.output(ActiveLevel::Low));
        assert!(matches!(board, Err(ServoBoardError::Wiring)), "{wiring:?}");
    }
}

const PERIOD: Duration = Duration::from_millis(10);

/// A gate in front of a simulated chip, opened by slot 0 in term 0; the next cycle is 2.
fn guarded() -> (GuardedPins<Board>, SimI2c<SimPca9685>, SimWire, Instant) {
    let (board, bus, enable) = servo_board();
    let timing = Timing {
        period: PERIOD,
        margin: Duration::from_millis(2),
        gate_lease: 3 * PERIOD,
        command_timeout: 5 * PERIOD,
    };
    static LAYOUT: Layout = Layout::of(&Table::of(&[
        Signal::of_counts("First", [-5_000, 5_000]),
        Signal::of_counts("Second", [-6_000, 4_000]),
    ]));
    let us = |us| Pulse::from_us(us).unwrap();
    let travel = Travel { at_min: us(1_000), at_zero: us(1_500), at_max: us(2_000) };
    let setup = Setup {
        steering: Servo::new(travel, 0, -5_000, 5_000).unwrap(),
        drive: Servo::new(travel, 0, -6_000, 4_000).unwrap(),
        safe: SafeState::hold_and_brake(-2_000, Duration::ZERO),
        own_slot: None,
    };
    let mut pins = GuardedPins::new(Gate::new(0, timing, &LAYOUT), setup, board);
    let mut now = Instant::from_nanos(1_000_000_000);
    for cycle in 0..2 {
        now += PERIOD;
        let _ = pins.on_frame(now, &command(cycle));
    }
    (pins, bus, enable, now)
}

fn command(cycle: u16) -> Frame {
    let signals = Signals::of_16_bits([2_500, 4_000]);
    CommandFrame { slot: Slot::LEFT, term: 0, cycle, probe: false, estop: false, signals }.encode()
}

fn is_at(bus: &SimI2c<SimPca9685>, channel: u8, us: u32) -> bool {
    bus.chip().pulse_ns(channel).is_some_and(|ns| ns.abs_diff(us * 1_000) <= 2_440)
}

#[test]
fn commands_go_through_the_gate_to_the_chips_pulses_and_silence_releases_them() {
    let (mut pins, bus, enable, now) = guarded();
    assert!(is_at(&bus, 0, 1_750) && is_at(&bus, 1, 2_000) && !enable.is_high());
    assert!(pins.on_tick(now + 5 * PERIOD, None));
    assert_eq!((bus.chip().pulse_ns(0), bus.chip().pulse_ns(1), enable.is_high()), (None, None, true));
}

#[test]
fn a_chip_that_fails_at_any_byte_is_released_and_the_gate_says_so() {
    // One command is two transfers of five bytes.
    for bytes in 0..10 {
        let (mut pins, bus, enable, now) = guarded();
        bus.set_wire(Wire::FailsAfter(bytes));
        let _ = pins.on_frame(now + PERIOD, &command(2));
        assert!(enable.is_high(), "byte {bytes}: the line is released");
        assert_eq!((bus.chip().pulse_ns(0), bus.chip().pulse_ns(1)), (None, None), "byte {bytes}");
        assert!(pins.failures() == 1 && matches!(pins.failure(), Some(ServoBoardError::Chip { .. })));
        let status = StatusFrame::decode(&pins.outgoing(now + PERIOD, None).unwrap()).unwrap();
        assert!(status.estop && !status.open);
    }
}

#[test]
fn a_chip_that_is_gone_is_released_by_its_line() {
    let (mut pins, bus, enable, now) = guarded();
    bus.set_wire(Wire::Silent);
    let _ = pins.on_frame(now + PERIOD, &command(2));
    assert!(enable.is_high() && is_at(&bus, 1, 2_000), "it has its pulses yet, and the line keeps them in");
    bus.set_wire(Wire::Whole);
    let _ = pins.on_tick(now + 2 * PERIOD, None);
    assert_eq!(bus.chip().pulse_ns(1), None, "it is told to rest as soon as it answers");
}

const PLAUSIBLE_V: (f64, f64) = (5.0, 9.0);

fn monitor(chip: SimIna219) -> (Result<BatteryMonitor<SimI2c<SimIna219>>, BatteryError>, SimI2c<SimIna219>) {
    let bus = SimI2c::new(0x40, chip);
    let plausible = Plausible {
        voltage_min: Volts::new(PLAUSIBLE_V.0).unwrap(),
        voltage_max: Volts::new(PLAUSIBLE_V.1).unwrap(),
    };
    (BatteryMonitor::new(bus.clone(), 0x40, 0.1, plausible), bus)
}

#[test]
fn a_battery_is_read_in_volts_and_amperes_and_discharging_is_negative() {
    let (monitor, bus) = monitor(SimIna219::new(7_400, 1_230));
    let mut monitor = monitor.unwrap();
    let battery = Battery { voltage: Volts::new(7.4).unwrap(), current: Amperes::new(-0.123).unwrap() };
    let read = monitor.read().unwrap();
    assert!(
        (read.current.get() - battery.current.get()).abs() < 1e-9 && read.voltage == battery.voltage,
        "{read:?}"
    );
    bus.chip_mut().shunt_10uv = -500;
    assert!(monitor.read().unwrap().current.get() > 0.0, "charging");
}

#[test]
fn what_is_no_reading_is_an_error() {
    let (monitor, bus) = monitor(SimIna219::new(7_400, 0));
    let mut monitor = monitor.unwrap();
    bus.set_wire(Wire::Silent);
    assert!(matches!(monitor.read(), Err(BatteryError::Chip { address: 0x40, .. })));
    bus.set_wire(Wire::ReadsHigh);
    assert_eq!(monitor.read(), Err(BatteryError::BeyondTheChip));
    bus.set_wire(Wire::Whole);
    bus.chip_mut().bus_mv = 0;
    assert_eq!(monitor.read(), Err(BatteryError::Implausible(Volts::ZERO)));
    bus.chip_mut().bus_mv = 12_000;
    assert!(matches!(monitor.read(), Err(BatteryError::Implausible(_))));
    bus.chip_mut().bus_mv = 7_400;
    assert!(monitor.read().is_ok());
    bus.chip_mut().converts = false;
    let _last = monitor.read();
    assert_eq!(monitor.read(), Err(BatteryError::NothingNew));
}

#[test]
fn a_monitor_that_is_none_is_refused() {
    let plausible = Plausible { voltage_min: Volts::ZERO, voltage_max: Volts::new(20.0).unwrap() };
    let new = |bus: SimI2c<SimIna219>, address, shunt_ohm| {
        BatteryMonitor::new(bus, address, shunt_ohm, plausible).unwrap_err()
    };
    let chip = || SimI2c::new(0x40, SimIna219::new(7_400, 0));
    assert!(matches!(new(chip(), 0x41, 0.1), BatteryError::Chip { .. }));
    assert_eq!(new(chip(), 0x20, 0.1), BatteryError::Wiring);
    assert_eq!(new(chip(), 0x40, 0.0), BatteryError::Wiring);
    // A PCA9685 has the same address as an INA219, from the factory.
    let other = BatteryMonitor::new(SimI2c::new(0x40, SimPca9685::default()), 0x40, 0.1, plausible).unwrap_err();
    assert_eq!(other, BatteryError::AnotherChip(0x40));
}

fn line(chip: &str) -> LineAt {
    LineAt { chip: PathBuf::from(chip), offset: 17, active: ActiveLevel::Low }
}

#[test]
fn a_machine_that_is_no_raspberry_pi_says_so_at_each_port() {
    if Path::new("/proc/device-tree/model").exists() {
        return; // A board of some sort: its ports may open.
    }
    let backend = Backend::RaspberryPi;
    let at = SpiAt { bus: 0, select: 0, clock_hz: 1_000_000 };
    let errors = [
        I2cBus::open(backend, 1).err(),
        Spi::open(backend, at).err(),
        OutputLine::open(backend, &line("/dev/gpiochip0")).err(),
        InputLine::open(backend, &line("/dev/gpiochip0")).err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(OpenError::NoRaspberryPi)), "{error:?}");
    }
}

#[test]
fn what_is_not_there_is_named_with_what_to_enable() {
    let text = |error: Option<OpenError>| error.expect("no such device").to_string();
    let i2c = text(I2cBus::open(Backend::Linux, 250).err());
    assert!(i2c.starts_with("there is no /dev/i2c-250: modprobe i2c-dev") && i2c.contains("overlay"), "{i2c}");
    let spi = text(Spi::open(Backend::Linux, SpiAt { bus: 99, select: 1, clock_hz: 1_000_000 }).err());
    assert!(spi.starts_with("there is no /dev/spidev99.1: ") && spi.contains("dtparam=spi=on"), "{spi}");
    for gpio in [
        OutputLine::open(Backend::Linux, &line("/dev/gpiochip250")).err(),
        InputLine::open(Backend::Linux, &line("/dev/gpiochip250")).err(),
        EncoderLines::open(
            Path::new("/dev/gpiochip250"),
            5,
            6,
            Metres::new(0.001).unwrap(),
            Duration::from_millis(100),
        )
        .err(),
    ] {
        let gpio = text(gpio);
        assert!(gpio.starts_with("there is no /dev/gpiochip250: load the board's GPIO driver"), "{gpio}");
    }
}

#[test]
fn a_file_that_is_no_gpio_chip_is_refused_by_its_name() {
    let error = OutputLine::open(Backend::Linux, &line("/dev/null")).expect_err("no chip");
    assert_eq!(error.to_string(), "opening /dev/null");
}
