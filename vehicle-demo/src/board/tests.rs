//! The example is read as it stands, and bad files are answered with what to write.

#![allow(clippy::arithmetic_side_effects, reason = "a test may panic")]

use super::*;
use crate::config::Settings;
use twinhelm_hal::term::Slot;

fn vehicle() -> Config {
    Settings::default().config(None).unwrap()
}

fn parse(text: &str) -> Result<BoardConfig, FileError> {
    BoardConfig::parse("board.toml", text, &vehicle())
}

/// Returns the message about the example with `from` replaced, which has to be there once.
fn refused(from: &str, to: &str) -> String {
    assert_eq!(EXAMPLE.matches(from).count(), 1, "{from}");
    parse(&EXAMPLE.replace(from, to)).expect_err("a bad file").to_string()
}

/// Returns line and column of `text` in the example.
fn place(text: &str) -> (usize, usize) {
    let before = &EXAMPLE[..EXAMPLE.find(text).unwrap()];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Asserts that the message about the example with `from` replaced points there and says `what`.
fn assert_refused(from: &str, to: &str, what: &str) {
    let (line, column) = place(from);
    let column = column + to.find(" = ").map_or(0, |equals| equals + 3);
    assert_eq!(refused(from, to), format!("board.toml:{line}:{column}: {what}"));
}

#[test]
fn the_example_is_read_as_it_stands() {
    let board = parse(EXAMPLE).unwrap();
    assert_eq!((board.backend, board.can.interface.as_str(), board.setup.own_slot), (Backend::Linux, "can0", None));
    let chip = ServoChip { i2c_bus: 1, address: 0x41, rate_hz: 50, steering: 0, drive: 1 };
    assert_eq!(board.servos, chip);
    let setup = &board.setup;
    let steering = [-5_000, 0, 5_000].map(|counts| setup.steering.pulse(counts).us());
    let drive = [-6_000, 0, 4_000].map(|counts| setup.drive.pulse(counts).us());
    assert_eq!((steering, drive), ([1_000, 1_500, 2_000], [1_000, 1_500, 2_000]));
    assert_eq!(setup.safe, safe_state(-2_000, Some(Duration::from_millis(1_500))));
    assert_eq!((board.output_enable.offset, board.output_enable.active_low), (17, true));
    assert_eq!(board.watchdog.map(|watchdog| watchdog.timeout_ms), Some(3_000));
}

#[test]
fn a_board_with_a_servo_chip_alone_is_a_board() {
    let text = "[can]\ninterface = \"can0\"\n[servos]\ni2c_bus = 1\ni2c_bit_s = 400000\naddress = 0x40\nsteering = { channel = 3 }\n\
                drive = { channel = 4 }\n[output_enable]\nchip = \"/dev/gpiochip0\"\noffset = 17\nactive_low = true\n";
    let board = parse(text).unwrap();
    let example = parse(EXAMPLE).unwrap();
    assert_eq!((board.setup, board.backend, board.can), (example.setup, example.backend, example.can));
    assert_eq!(board.servos, ServoChip { address: 0x40, steering: 3, drive: 4, ..example.servos });
    assert!(
        board.estop.is_none() && board.encoder.is_none() && board.battery.is_none() && board.watchdog.is_none()
    );
}

#[test]
fn backend_and_slot_are_words_and_numbers_of_ours() {
    let board =
        parse(&EXAMPLE.replace("backend = \"linux\"", "backend = \"raspberry-pi\"").replace("#slot", "slot"));
    let board = board.unwrap();
    assert_eq!((board.backend, board.setup.own_slot), (Backend::RaspberryPi, Some(Slot::LEFT)));
    assert_refused(
        "backend = \"linux\"",
        "backend = \"pi\"",
        "`backend` cannot be `pi`; write \"linux\" or \"raspberry-pi\"",
    );
    assert_refused("#slot = 0", "slot = 4", "`slot`: a slot is 0, 1, 2 or 3; write another value");
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let (line, _) = place("rate_hz = 50");
    assert_eq!(
        refused("rate_hz = 50", "rat_hz = 50"),
        format!("board.toml:{line}:1: unknown key `rat_hz` in [servos]; write `rate_hz`")
    );
    let (line, _) = place("[output_enable]");
    assert_eq!(
        refused("offset = 17", ""),
        format!("board.toml:{line}:2: `offset` is missing in [output_enable]; write `offset = ...`")
    );
    assert!(parse("").unwrap_err().to_string().ends_with("`can` is missing; write `can = ...`"));
}

#[test]
fn numbers_out_of_range_are_refused_where_they_stand() {
    for (from, to, what) in [
        ("address = 0x41", "address = 0x3f", "`address` in [servos] is 63; write a number from 64 to 127"),
        ("rate_hz = 50", "rate_hz = 400", "`rate_hz` in [servos] is 400; write a number from 24 to 390"),
        ("channel = 0", "channel = 16", "`channel` in [servos.steering] is 16; write a number from 0 to 15"),
        ("brake_mps2 = -2.0", "brake_mps2 = 1", "`brake_mps2` in [safe_state] is 1; write a number from -6 to 0"),
        (
            "right_us = 1000",
            "right_us = 499",
            "`right_us` in [servos.steering] is 499; write a pulse from 500 to 2500",
        ),
        ("shunt_ohm = 0.1", "shunt_ohm = nan", "`shunt_ohm` in [battery] is NaN; write a number from 0.0001 to 10"),
        (
            "voltage_max_v = 9.0",
            "voltage_max_v = 4",
            "`voltage_max_v` in [battery] is 4; write a number from 5 to 32",
        ),
        ("silence_ms = 100", "silence_ms = 1", "`silence_ms` in [encoder] is 1; write a number from 10 to 2000"),
        (
            "timeout_ms = 3000",
            "timeout_ms = 500",
            "`timeout_ms` in [watchdog] is 500; write a number from 1000 to 60000",
        ),
        (
            "timeout_ms = 3000",
            "timeout_ms = 3500",
            "`timeout_ms` in [watchdog] is 3500; write whole seconds, as 3000: Linux's watchdogs count in them",
        ),
        (
            "path = \"/dev/watchdog\"",
            "path = \"watchdog\"",
            "`path` in [watchdog] is \"watchdog\", which is no device file; write its whole path, as \"/dev/...\"",
        ),
        (
            "interface = \"can0\"",
            "interface = \"a-name-of-sixteen\"",
            "`interface` in [can] is \"a-name-of-sixteen\", which is no name of an interface; write one of `ip link \
             show type can`",
        ),
    ] {
        assert_refused(from, to, what);
    }
}

#[test]
fn a_middle_that_is_not_between_the_ends_is_refused() {
    assert_refused(
        "neutral_us = 1500",
        "neutral_us = 2000",
        "`neutral_us` = 2000 with a trim of 0 does not lie between `brake_us` = 1000 and `forward_us` = 2000; write \
         the pulses as measured, the middle one between the ends",
    );
    let exchanged =
        EXAMPLE.replace("right_us = 1000", "right_us = 2000").replace("left_us = 2000", "left_us = 1000");
    assert_eq!(parse(&exchanged).unwrap().setup.steering.pulse(5_000).us(), 1_000);
}

#[test]
fn what_is_used_twice_is_refused() {
    assert_refused(
        "channel = 1",
        "channel = 0",
        "channel 0 has both the servo and the speed controller; write the channel that the speed controller is plugged \
         into",
    );
    assert_refused(
        "address = 0x40",
        "address = 0x41",
        "address 0x41 on I2C bus 1 is the servo chip's and the battery monitor's; set one of the chips to another \
         address by its pins, and write that one",
    );
    assert_refused(
        "offset = 27",
        "offset = 17",
        "line 17 of /dev/gpiochip0 is used in [output_enable] already; write the line that it is wired to",
    );
    assert_refused(
        "b = 6",
        "b = 5",
        "line 5 of /dev/gpiochip0 is used in [encoder] already; write the line that it is wired to",
    );
}

#[test]
fn what_does_not_fit_the_vehicle_is_refused() {
    assert_refused(
        "bitrate_bit_s = 500000",
        "bitrate_bit_s = 250000",
        "`bitrate_bit_s` in [can] is 250000, and the vehicle's bus has another one; write `bitrate_bit_s = 500000`",
    );
    assert_refused("gate = 0", "gate = 1", "`gate` is 1, and the vehicle has 1; write a number below 1");
    assert_refused(
        "i2c_bit_s = 400000",
        "i2c_bit_s = 100000",
        "(gates + 1) × frame time + jitter + I2C time < margin does not hold: 1.04 + 1.12 ms is not below 2 ms; raise \
         i2c_bit_s here and where the bus gets its clock from, or margin_ms in the vehicle's file; the gate's status is \
         behind 112 bits of pulses",
    );
    assert_refused(
        "timeout_ms = 3000",
        "timeout_ms = 1000",
        "command_timeout + brake_for < timeout does not hold: 1550 ms is not below 1000 ms; raise timeout_ms; the \
         vehicle must stand before its board is restarted",
    );
}
