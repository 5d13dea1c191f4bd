//! Packing, limits, bounds, and what is written of them.

extern crate std;

use super::table::tests::{ANGLE, GEAR};
use super::table::{Signal, Table};
use super::*;
use std::string::String;
use std::vec::Vec;

static ODD: Layout = Layout::of(&Table::of(&[
    GEAR,
    Signal { name: "A", bits: 12, min: -0.2, max: 0.2, ..ANGLE },
    Signal { name: "B", bits: 1, max: 1.0, ..GEAR },
    Signal { name: "C", bits: 32, ..ANGLE },
    Signal { name: "D", bits: 32, max: 4e9, ..GEAR },
]));
static TWO: Layout = Layout::of(&Table::of(&[ANGLE, Signal { name: "Second", ..ANGLE }]));
static THREE: Layout = Layout::of(&Table::of(&[ANGLE, Signal { name: "Second", ..ANGLE }, GEAR]));
static FULL: Layout = Layout::of(&Table::of(&[ANGLE; SIGNALS_MAX]));

#[test]
fn what_is_packed_comes_back_whatever_the_widths() {
    for counts in [
        [0, 0, 0, 0, 0],
        [7, -2048, 1, i64::from(i32::MIN), i64::from(u32::MAX)],
        [5, 2047, 0, i64::from(i32::MAX), 1],
        [2, -1, 1, -1, 0x8000_0000],
    ] {
        let signals = ODD.pack(&counts);
        assert_eq!(ODD.counts(&signals).collect::<Vec<_>>(), counts);
        assert!(signals.bytes()[10..].iter().all(|byte| *byte == 0), "80 bits are 10 bytes");
    }
}

#[test]
fn a_frame_that_is_full_to_the_last_bit_comes_back() {
    let counts: Vec<i64> = (0..SIGNALS_MAX as i64).map(|place| (place - 13) * 300).collect();
    let signals = FULL.pack(&counts);
    assert_eq!(FULL.counts(&signals).collect::<Vec<_>>(), counts);
    assert_ne!(signals.bytes().last(), Some(&0));
}

#[test]
fn two_of_16_bits_are_two_little_endian_numbers() {
    let signals = TWO.pack(&[-1234, 3999]);
    let [first, second] = [-1234_i16, 3999].map(i16::to_le_bytes);
    assert_eq!(signals.bytes()[..4], [first[0], first[1], second[0], second[1]]);
    assert_eq!(signals, Signals::of_16_bits([-1234, 3999]));
    assert_eq!(signals, Signals::from_bytes(&signals.bytes()[..4]));
}

#[test]
fn limits_include_both_ends() {
    for (counts, is_allowed) in [
        ([-5000, 5000, 5], true),
        ([5000, -5000, 0], true),
        ([5001, 0, 0], false),
        ([0, -5001, 0], false),
        ([0, 0, 6], false),
    ] {
        assert_eq!(THREE.allows(&THREE.pack(&counts)), is_allowed, "{counts:?}");
    }
}

#[test]
fn the_farthest_by_its_bound_is_told() {
    let bounds = Bounds::of(&[100, 10]);
    let apart = |one: [i64; 3], other: [i64; 3]| THREE.divergence(&THREE.pack(&one), &THREE.pack(&other), &bounds);
    for (other, signal, counts, is_near) in [
        ([0, 0, 0], 0, 0, true),
        ([50, 0, 0], 0, 50, true),
        ([50, 6, 0], 1, 6, true),
        ([-100, 9, 0], 0, 100, true),
        ([0, -11, 0], 1, 11, false),
        ([5000, -11, 0], 0, 5000, false),
        ([0, 0, 1], 2, 1, false),
        ([100, 10, 1], 2, 1, false),
    ] {
        let divergence = apart([0, 0, 0], other);
        assert_eq!(divergence, Divergence { signal, counts }, "{other:?}");
        assert_eq!(bounds.allow(divergence), is_near, "{other:?}");
        assert_eq!(apart(other, [0, 0, 0]), divergence, "{other:?}");
    }
}

#[test]
fn a_mode_has_no_bound_whatever_is_said() {
    let bounds = Bounds::of(&[100, 10, 5]);
    let divergence = THREE.divergence(&THREE.pack(&[90, 9, 1]), &THREE.pack(&[0, 0, 0]), &bounds);
    assert_eq!(divergence, Divergence { signal: 2, counts: 1 });
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it can be written")
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| std::format!("{error}"))
}

#[test]
fn what_is_written_is_read_again() {
    for signals in [Signals::default(), ODD.pack(&[5, -7, 1, -1, 77]), FULL.pack(&[-1; SIGNALS_MAX])] {
        assert_eq!(read(&json(&signals)), Ok(signals));
    }
    assert_eq!(json(&Signals::of_16_bits([-1234, 3999])), "\"2efb9f0f\"");
    let divergence = Divergence { signal: 3, counts: 70_000 };
    assert_eq!(read(&json(&divergence)), Ok(divergence));
    for bounds in [Bounds::default(), Bounds::of(&[1, 0, 3]), Bounds::of(&[u32::MAX; SIGNALS_MAX])] {
        assert_eq!(read(&json(&bounds)), Ok(bounds));
    }
}

#[test]
fn what_was_written_before_there_was_a_table_is_read() {
    assert_eq!(read(r#"{"first":-1234,"second":3999}"#), Ok(Signals::of_16_bits([-1234, 3999])));
    assert_eq!(read(r#"{"first":1000,"second":2000}"#), Ok(Bounds::of(&[1_000, 2_000])));
    assert_eq!(read(r#"{"first":3,"second":4}"#), Ok(Divergence { signal: 1, counts: 4 }));
}

#[test]
fn what_cannot_be_is_refused() {
    for text in [r#""0""#, r#""zz""#, r#""é0""#, "7", r#"{"first":1}"#, r#"{"first":70000,"second":1}"#] {
        assert!(read::<Signals>(text).is_err(), "{text}");
    }
    let long = std::format!("\"{}\"", "00".repeat(SIGNAL_BYTES_MAX + 1));
    assert!(read::<Signals>(&long).is_err());
    let many = json(&std::vec![1; SIGNALS_MAX + 1]);
    assert!(read::<Bounds>(&many).expect_err("27").contains("26 at most"));
}
