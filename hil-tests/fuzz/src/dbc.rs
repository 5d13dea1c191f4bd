//! Frames, read by `hal` and by the code generated from the vehicle's DBC file: both say the same of what both can read.

use crate::gate::raw;
use crate::input::Input;
use twinhelm_hal::frame::{CommandFrame, CountersFrame, Frame, GATES, StatusFrame};
use twinhelm_hal::signals::{Command as _, Signals};
use twinhelm_hal::term::Slot;
use twinhelm_vehicle::dbc::{
    Command0, Command1, Command2, Command3, Counters0, Counters1, Counters2, Counters3, Status0, Status1, Status2,
    Status3,
};
use twinhelm_vehicle::signals::{Command, LAYOUT};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        let frame = match input.u8() % 4 {
            0 => command(&mut input).encode(),
            1 => status(&mut input).encode(),
            2 => counters(&mut input).encode(),
            _ => raw(&mut input),
        };
        read(&frame);
    }
}

/// Reads a frame by both.
fn read(frame: &Frame) {
    let data = frame.data.as_slice();
    if let Ok(command) = CommandFrame::decode(frame) {
        assert_eq!(command.encode(), *frame, "a command is written as it was read");
        let CommandFrame { slot, term, cycle, probe, estop, signals } = command;
        let [first, second] =
            [0, 1].map(|place| LAYOUT.counts(&signals).nth(place).and_then(|counts| i16::try_from(counts).ok()));
        let (first, second) = first.zip(second).expect("two signals of 16 bits");
        let by_hal = (term % 4, term / 4, cycle, probe, estop, first, second);
        assert_eq!(command_by_dbc(slot, data), Some(by_hal));
        let decoded = Command::decode(&command.signals);
        assert!(decoded.steering_rad.is_finite() && decoded.drive_mps2.is_finite());
        // Beyond the mechanics' range nothing is written.
        assert!(decoded.encode().is_none_or(|signals| signals == command.signals));
    }
    if let Ok(status) = StatusFrame::decode(frame) {
        assert_eq!(StatusFrame::decode(&status.encode()), Ok(status));
        let by_hal = (status.term % 4, status.term / 4, status.cycle, status.open);
        assert_eq!(status_by_dbc(status.gate, data), Some(by_hal));
    }
    if let Ok(counters) = CountersFrame::decode(frame) {
        assert_eq!(counters.encode(), *frame, "counters are written as they were read");
        // What they count depends on their group, which whoever reads them asks for first.
        assert_eq!(group_by_dbc(counters.gate, data), Some(counters.group));
    }
}

type CommandRead = (u8, u8, u16, bool, bool, i16, i16);

/// Each slot's command is a type of its own in the generated code.
fn command_by_dbc(slot: Slot, data: &[u8]) -> Option<CommandRead> {
    macro_rules! read {
        ($message:ident) => {{
            let read = $message::try_from(data).ok()?;
            let (steering, drive) = (read.steering_rad_raw_val(), read.drive_mps2_raw_val());
            (read.term_slot(), read.term_reign(), read.cycle(), read.probe(), read.e_stop(), steering, drive)
        }};
    }
    Some(match slot.number() {
        0 => read!(Command0),
        1 => read!(Command1),
        2 => read!(Command2),
        _ => read!(Command3),
    })
}

fn status_by_dbc(gate: u8, data: &[u8]) -> Option<(u8, u8, u16, bool)> {
    macro_rules! read {
        ($message:ident) => {{
            let read = $message::try_from(data).ok()?;
            (read.term_slot(), read.term_reign(), read.last_cycle(), read.open())
        }};
    }
    Some(match gate {
        0 => read!(Status0),
        1 => read!(Status1),
        2 => read!(Status2),
        _ => read!(Status3),
    })
}

fn group_by_dbc(gate: u8, data: &[u8]) -> Option<u8> {
    Some(match gate {
        0 => Counters0::try_from(data).ok()?.raw()[1],
        1 => Counters1::try_from(data).ok()?.raw()[1],
        2 => Counters2::try_from(data).ok()?.raw()[1],
        _ => Counters3::try_from(data).ok()?.raw()[1],
    })
}

fn command(input: &mut Input<'_>) -> CommandFrame {
    let [slot, term, flags] = input.bytes();
    CommandFrame {
        slot: Slot::from_low_bits(slot),
        term,
        cycle: input.u16() & 0x0FFF,
        probe: flags & 1 != 0,
        estop: flags & 2 != 0,
        signals: Signals::of_16_bits([input.i16(), input.i16()]),
    }
}

fn status(input: &mut Input<'_>) -> StatusFrame {
    let [gate, term, flags] = input.bytes();
    StatusFrame {
        gate: gate % GATES,
        term,
        cycle: input.u16() & 0x0FFF,
        open: flags & 1 != 0,
        term_known: flags & 2 != 0,
        safe_state: flags & 4 != 0,
        estop: flags & 8 != 0,
        echo: None,
        speed_mm_s: input.i16(),
    }
}

fn counters(input: &mut Input<'_>) -> CountersFrame {
    let [gate, group] = input.bytes();
    CountersFrame { gate: gate % GATES, group, counters: [input.u16(), input.u16(), input.u16()] }
}
