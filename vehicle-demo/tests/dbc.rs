//! `twinhelm_hal::frame`, the code generated from `vehicle.dbc` and python's `cantools` read the same frames alike.

use std::io::Write as _;
use std::process::{Command as Process, Stdio};
use twinhelm_hal::frame::{CommandFrame, CountersFrame, Echo, Frame, StatusFrame};
use twinhelm_hal::signals::{Command as _, Signals};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_vehicle::dbc::{
    Command0, Command1, Command2, Command3, Counters0, Counters1, Counters2, Counters3, Status0, Status1, Status2,
    Status3,
};
use twinhelm_vehicle::signals::{Command, LAYOUT, SIGNALS};

/// What a reader found in a frame: names and values, in the order of the names.
type Reading = Vec<(String, f64)>;

const DBC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vehicle.dbc");

fn slot(number: u8) -> Slot {
    Slot::new(number).expect("below 4")
}

/// Returns the command with the smallest values that are allowed (end 0), or the largest (end 1).
fn extreme(end: usize) -> Signals {
    let counts: Vec<_> = LAYOUT.fields().iter().map(|field| field.limits()[end]).collect();
    LAYOUT.pack(&counts)
}

fn commands() -> Vec<CommandFrame> {
    let values = [
        (0x00, 0, false, false, Signals::default()),
        (0xA4, 0xABC, false, true, Signals::of_16_bits([-1234, 3999])),
        (0x5C, 4095, true, false, Signals::default()),
        (0xFC, 1, false, false, extreme(1)),
        (0x04, 2048, false, false, extreme(0)),
    ];
    let of = |number: u8| {
        values.map(|(reign, cycle, probe, estop, signals)| CommandFrame {
            slot: slot(number),
            term: reign + number,
            cycle,
            probe,
            estop,
            signals,
        })
    };
    (0..SLOTS).flat_map(of).collect()
}

fn statuses() -> Vec<StatusFrame> {
    (0..4)
        .flat_map(|gate| {
            (0..16_u8).map(move |flags| StatusFrame {
                gate,
                term: 0x5A ^ flags,
                cycle: 0xFFF - u16::from(flags) * 200,
                open: flags & 1 != 0,
                term_known: flags & 2 != 0,
                safe_state: flags & 4 != 0,
                estop: flags & 8 != 0,
                echo: (flags > 2).then(|| Echo { slot: slot(flags % 4), number: 4 * flags + 3 }),
                speed_mm_s: i16::from(flags) * 321 - 2_500,
            })
        })
        .collect()
}

fn counters() -> Vec<CountersFrame> {
    let of = |gate| {
        (0..4).map(move |group| CountersFrame { gate, group, counters: [0, 65_535, 1_000 + u16::from(group)] })
    };
    (0..4).flat_map(of).collect()
}

fn all_frames() -> Vec<Frame> {
    let commands = commands().into_iter().map(|frame| frame.encode());
    let statuses = statuses().into_iter().map(|frame| frame.encode());
    commands.chain(statuses).chain(counters().into_iter().map(|frame| frame.encode())).collect()
}

fn reading(pairs: &[(&str, f64)]) -> Reading {
    let mut reading: Reading = pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    reading.sort_by(|a, b| a.0.cmp(&b.0));
    reading
}

/// The names of the drop counters, group by group.
const REASONS: [[&str; 3]; 4] = [
    ["Dropped_Bad_Crc", "Dropped_Wrong_Length", "Dropped_Unknown_Kind"],
    ["Dropped_Wrong_Slot", "Dropped_Stale_Term", "Dropped_Old_Cycle"],
    ["Dropped_Out_Of_Range", "Dropped_Not_Due", "Dropped_Closed_To_Term"],
    ["Dropped_First_Of_Two", "Dropped_Other_Candidate", "Dropped_E_Stop"],
];

/// Reads a frame as the devices and the gate do.
fn read_by_hal(frame: &Frame) -> Reading {
    let crc = f64::from(frame.data[0]);
    let term = |term: u8| (f64::from(term % 4), f64::from(term / 4));
    if let Ok(command) = CommandFrame::decode(frame) {
        let decoded = Command::decode(&command.signals);
        let (term_slot, reign) = term(command.term);
        return reading(&[
            ("Crc", crc),
            ("Term_Slot", term_slot),
            ("Term_Reign", reign),
            ("Cycle", f64::from(command.cycle)),
            ("Probe", f64::from(u8::from(command.probe))),
            ("E_Stop", f64::from(u8::from(command.estop))),
            ("Reserved", 0.0),
            ("Steering_rad", decoded.steering_rad),
            ("Drive_mps2", decoded.drive_mps2),
        ]);
    }
    if let Ok(status) = StatusFrame::decode(frame) {
        let (term_slot, reign) = term(status.term);
        return reading(&[
            ("Crc", crc),
            ("Term_Slot", term_slot),
            ("Term_Reign", reign),
            ("Last_Cycle", f64::from(status.cycle)),
            ("Open", f64::from(u8::from(status.open))),
            ("Term_Known", f64::from(u8::from(status.term_known))),
            ("Safe_State", f64::from(u8::from(status.safe_state))),
            ("E_Stop", f64::from(u8::from(status.estop))),
            ("Gate_Number", f64::from(status.gate)),
            ("Echo_Slot", status.echo.map_or(0.0, |echo| f64::from(echo.slot.number()))),
            ("Echo_Number", status.echo.map_or(0.0, |echo| f64::from(echo.number))),
            ("Speed_mps", f64::from(status.speed_mm_s) / 1_000.0),
        ]);
    }
    let counters = CountersFrame::decode(frame).expect("a frame of ours");
    let [a, b, c] = REASONS[usize::from(counters.group)];
    let [x, y, z] = counters.counters.map(f64::from);
    reading(&[("Crc", crc), ("Group", f64::from(counters.group)), (a, x), (b, y), (c, z)])
}

/// Reads a frame with the generated code; its accessors are methods of twelve types, hence the macros.
fn read_by_generated_code(frame: &Frame) -> Reading {
    macro_rules! command {
        ($message:ident) => {{
            let message = $message::try_from(&frame.data[..]).expect("8 bytes");
            reading(&[
                ("Crc", f64::from(message.crc())),
                ("Term_Slot", f64::from(message.term_slot())),
                ("Term_Reign", f64::from(message.term_reign())),
                ("Cycle", f64::from(message.cycle())),
                ("Probe", f64::from(u8::from(message.probe()))),
                ("E_Stop", f64::from(u8::from(message.e_stop()))),
                ("Reserved", f64::from(message.reserved())),
                ("Steering_rad", f64::from(message.steering_rad())),
                ("Drive_mps2", f64::from(message.drive_mps2())),
            ])
        }};
    }
    macro_rules! status {
        ($message:ident) => {{
            let message = $message::try_from(&frame.data[..]).expect("8 bytes");
            reading(&[
                ("Crc", f64::from(message.crc())),
                ("Term_Slot", f64::from(message.term_slot())),
                ("Term_Reign", f64::from(message.term_reign())),
                ("Last_Cycle", f64::from(message.last_cycle())),
                ("Open", f64::from(u8::from(message.open()))),
                ("Term_Known", f64::from(u8::from(message.term_known()))),
                ("Safe_State", f64::from(u8::from(message.safe_state()))),
                ("E_Stop", f64::from(u8::from(message.e_stop()))),
                ("Gate_Number", f64::from(message.gate_number())),
                ("Echo_Slot", f64::from(message.echo_slot())),
                ("Echo_Number", f64::from(message.echo_number())),
                ("Speed_mps", f64::from(message.speed_mps())),
            ])
        }};
    }
    macro_rules! counters {
        ($message:ident, $index:ident) => {{
            use twinhelm_vehicle::dbc::$index as Index;
            let mut message = $message::try_from(&frame.data[..]).expect("8 bytes");
            let crc = ("Crc", f64::from(message.crc()));
            let three = |group: u8, [x, y, z]: [u16; 3]| {
                let [a, b, c] = REASONS[usize::from(group)];
                let group = ("Group", f64::from(group));
                reading(&[crc, group, (a, f64::from(x)), (b, f64::from(y)), (c, f64::from(z))])
            };
            match message.group_multiplexed().expect("a known group") {
                Index::M0(m) => three(0, [m.dropped_bad_crc(), m.dropped_wrong_length(), m.dropped_unknown_kind()]),
                Index::M1(m) => three(1, [m.dropped_wrong_slot(), m.dropped_stale_term(), m.dropped_old_cycle()]),
                Index::M2(m) => {
                    three(2, [m.dropped_out_of_range(), m.dropped_not_due(), m.dropped_closed_to_term()])
                }
                Index::M3(m) => {
                    three(3, [m.dropped_first_of_two(), m.dropped_other_candidate(), m.dropped_e_stop()])
                }
            }
        }};
    }
    match frame.id {
        0x100 => command!(Command0),
        0x101 => command!(Command1),
        0x102 => command!(Command2),
        0x103 => command!(Command3),
        0x110 => status!(Status0),
        0x111 => status!(Status1),
        0x112 => status!(Status2),
        0x113 => status!(Status3),
        0x120 => counters!(Counters0, Counters0GroupIndex),
        0x121 => counters!(Counters1, Counters1GroupIndex),
        0x122 => counters!(Counters2, Counters2GroupIndex),
        0x123 => counters!(Counters3, Counters3GroupIndex),
        id => panic!("{id:#x} is not in vehicle.dbc"),
    }
}

/// Reads a line "id hex" each from the standard input, writes the names and values of each as JSON.
const SCRIPT: &str = r#"
import json, sys
try:
    import cantools
except ImportError:
    sys.exit(42)
database = cantools.database.load_file(sys.argv[1], strict=True)
for line in sys.stdin:
    identifier, data = line.split()
    values = database.decode_message(int(identifier), bytes.fromhex(data), decode_choices=False)
    print(json.dumps({name: float(value) for name, value in values.items()}))
cycle_times = {message.name: message.cycle_time for message in database.messages}
print(json.dumps({name: float(cycle_time) for name, cycle_time in cycle_times.items()}))
"#;

/// Returns what python's `cantools` reads in `frames`, and after that the messages' cycle times in ms.
fn read_by_cantools(frames: &[Frame]) -> Vec<Reading> {
    // `./dev setup` makes an environment of its own in the target folder.
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python");
    let usual = if std::path::Path::new(made).exists() { made } else { "python3" };
    let python = std::env::var("TWINHELM_PYTHON").unwrap_or_else(|_| usual.to_owned());
    let mut process = Process::new(&python)
        .args(["-c", SCRIPT, DBC])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|cause| panic!("starting {python}: {cause}; run `./dev setup`"));
    let lines: String = frames
        .iter()
        .map(|frame| {
            let hex: String = frame.data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} {hex}\n", frame.id)
        })
        .collect();
    // A python without cantools closes its input at once; its exit code says so below.
    let _ = process.stdin.take().expect("piped").write_all(lines.as_bytes());
    let output = process.wait_with_output().expect("python ends");
    assert_ne!(output.status.code(), Some(42), "{python} has no `cantools`: run `./dev setup`, which installs it");
    assert!(output.status.success(), "{python} failed: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let read = |line: &str| {
        let values: std::collections::BTreeMap<String, f64> = serde_json::from_str(line).expect("JSON");
        values.into_iter().collect()
    };
    text.lines().map(read).collect()
}

fn assert_alike(frame: &Frame, ours: &Reading, theirs: &Reading) {
    let names = |reading: &Reading| reading.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs), "{frame:x?}");
    for ((name, our), (_, their)) in ours.iter().zip(theirs) {
        // The generated code computes in f32.
        assert!((our - their).abs() <= 1e-6 * our.abs().max(1.0), "{name} of {frame:x?}: {our} and {their}");
    }
}

#[test]
fn the_generated_code_reads_what_hal_reads() {
    for frame in all_frames() {
        assert_alike(&frame, &read_by_hal(&frame), &read_by_generated_code(&frame));
    }
}

#[test]
fn cantools_reads_what_hal_reads() {
    let frames = all_frames();
    let readings = read_by_cantools(&frames);
    assert_eq!(readings.len(), frames.len() + 1);
    for (frame, theirs) in frames.iter().zip(&readings) {
        assert_alike(frame, &read_by_hal(frame), theirs);
    }
    for (message, cycle_time_ms) in &readings[frames.len()] {
        let expected = if message.starts_with("COUNTERS") { 100.0 } else { 10.0 };
        assert!((cycle_time_ms - expected).abs() < 1e-9, "{message}: {cycle_time_ms} ms");
    }
}

#[test]
fn the_names_of_the_counters_are_those_of_the_gates_reasons() {
    let reasons = REASONS.concat();
    for (why, name) in twinhelm_hal::gate::Drop::ALL.iter().zip(&reasons) {
        assert_eq!(name.to_ascii_lowercase(), format!("dropped_{}", why.name()));
    }
    assert_eq!(reasons.len(), twinhelm_hal::gate::DROPS);
}

#[test]
fn the_mechanical_limits_in_the_dbc_are_those_of_the_gate() {
    let (min, max) = (Command::decode(&extreme(0)), Command::decode(&extreme(1)));
    let near = |dbc: f32, ours: f64| (f64::from(dbc) - ours).abs() < 1e-6;
    assert!(
        near(Command0::STEERING_RAD_MIN, min.steering_rad) && near(Command0::STEERING_RAD_MAX, max.steering_rad)
    );
    assert!(near(Command3::DRIVE_MPS2_MIN, min.drive_mps2) && near(Command3::DRIVE_MPS2_MAX, max.drive_mps2));
}

/// The bits in front of the signals of a command.
const HEADER_BITS: u32 = 32;

#[test]
fn the_file_has_the_lines_that_follow_from_the_table() {
    SIGNALS.check().expect("a table that can be");
    assert!(SIGNALS.is_classic());
    let file = std::fs::read_to_string(DBC).expect("the file");
    for slot in 0..SLOTS {
        let devices = (0..SLOTS).filter(|other| *other != slot).map(|other| format!("DEVICE_{other}"));
        let receivers: Vec<String> = devices.chain((0..4).map(|gate| format!("GATE_{gate}"))).collect();
        let lines = SIGNALS.dbc(HEADER_BITS, &receivers.join(",")).to_string();
        assert!(file.contains(&lines), "vehicle.dbc, COMMAND_{slot}: write\n{lines}");
    }
}

#[test]
fn a_frame_carries_what_the_table_packs() {
    for counts in [[0, 0], [-1234, 3999], [-5_000, -6_000], [5_000, 4_000]] {
        let signals = Signals::of_16_bits(counts);
        let command = CommandFrame { slot: slot(1), term: 0xA5, cycle: 0xABC, probe: false, estop: false, signals };
        let frame = command.encode();
        let [first, second] = counts.map(i16::to_le_bytes);
        assert_eq!(frame.data[4..], [first, second].concat());
        let counts = counts.map(i64::from);
        assert_eq!(LAYOUT.pack(&counts), signals);
        assert_eq!(LAYOUT.counts(&signals).collect::<Vec<_>>(), counts);
    }
}
