//! Pins behind the gate: what moves them, what brings them to rest, and what happens when they fail.

use super::*;
use crate::actuator::SafeState;
use crate::cycle::Cycle;
use crate::frame::{CommandFrame, CountersFrame, Frame, STATUS_ID, StatusFrame};
use crate::gate::{Drop, Gate, How, Timing, Verdict};
use crate::signals::table::{Signal, Table};
use crate::signals::{Layout, Signals};
use crate::term::{Slot, Term};
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;

const P: u64 = 10_000;
const M: u64 = 2_000;
const BRAKE_US: u64 = 300_000;
/// The frames of a takeover: the left device's last and the right device's first.
const TAKEOVER: usize = 3;
static LAYOUT: Layout =
    Layout::of(&Table::of(&[Signal::of_counts("First", [-100, 100]), Signal::of_counts("Second", [-100, 100])]));

fn at(us: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + us * 1_000)
}

fn timing() -> Timing {
    Timing {
        period: Duration::from_micros(P),
        margin: Duration::from_micros(M),
        gate_lease: Duration::from_micros(3 * P),
        command_timeout: Duration::from_micros(5 * P),
    }
}

/// Pins that can fail: the call with number `fails_at`, and with `for_ever` all that follow.
#[derive(Clone, Debug, Default)]
struct SimOutputs {
    pulses: Option<Pulses>,
    selected: bool,
    calls: u32,
    changes: u32,
    fails_at: Option<u32>,
    for_ever: bool,
}

impl SimOutputs {
    fn call(&mut self) -> Result<(), u32> {
        self.calls += 1;
        match self.fails_at {
            Some(call) if call == self.calls || (self.for_ever && call < self.calls) => Err(self.calls),
            Some(_) | None => Ok(()),
        }
    }

    fn set(&mut self, pulses: Option<Pulses>) {
        self.changes += u32::from(self.pulses != pulses);
        self.pulses = pulses;
    }

    const fn is_at_rest(&self) -> bool {
        self.pulses.is_none() && !self.selected
    }
}

impl Outputs for SimOutputs {
    type Error = u32;

    fn drive(&mut self, pulses: Pulses) -> Result<(), u32> {
        self.call().map(|()| self.set(Some(pulses)))
    }

    fn rest(&mut self) -> Result<(), u32> {
        self.call().map(|()| self.set(None))
    }

    fn select(&mut self, selected: bool) -> Result<(), u32> {
        self.call().map(|()| self.selected = selected)
    }
}

fn setup() -> Setup {
    let us = |us| Pulse::from_us(us).expect("a pulse");
    let travel = Travel { at_min: us(1_000), at_zero: us(1_500), at_max: us(2_000) };
    let servo = Servo::new(travel, 0, -100, 100).expect("a servo");
    Setup {
        steering: servo,
        drive: servo,
        safe: SafeState::hold_and_brake(-40, Duration::from_micros(BRAKE_US)),
        own_slot: None,
    }
}

fn pins_with(setup: Setup, outputs: SimOutputs) -> GuardedPins<SimOutputs> {
    GuardedPins::new(Gate::new(0, timing(), &LAYOUT), setup, outputs)
}

fn pins() -> GuardedPins<SimOutputs> {
    pins_with(setup(), SimOutputs::default())
}

fn at_once() -> Setup {
    Setup { safe: SafeState::hold_and_brake(-40, Duration::ZERO), ..setup() }
}

fn command(term: u32, cycle: u64, signals: (i16, i16)) -> CommandFrame {
    CommandFrame {
        slot: Term::new(term).slot(),
        term: Term::new(term).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals: Signals::of_16_bits([signals.0, signals.1]),
    }
}

fn frame(term: u32, cycle: u64) -> Frame {
    command(term, cycle, (20, 30)).encode()
}

/// Has slot 0 open the gate in term 4; cycle 1 was acted on at P.
fn open(pins: &mut GuardedPins<SimOutputs>) {
    assert_eq!(pins.on_frame(at(0), &frame(4, 0)), Verdict::Dropped { why: Drop::FirstOfTwo });
    assert!(matches!(pins.on_frame(at(P), &frame(4, 1)), Verdict::Acted { how: How::Opening, .. }));
}

fn opened(setup: Setup) -> GuardedPins<SimOutputs> {
    let mut pins = pins_with(setup, SimOutputs::default());
    open(&mut pins);
    pins
}

fn pulses(steering_us: u16, drive_us: u16) -> Option<Pulses> {
    Some(Pulses { steering: Pulse::from_us(steering_us)?, drive: Pulse::from_us(drive_us)? })
}

#[test]
fn pins_come_up_at_rest_with_their_line_released() {
    let outputs = SimOutputs { selected: true, pulses: pulses(2_000, 2_000), ..SimOutputs::default() };
    assert!(pins_with(setup(), outputs).outputs().is_at_rest());
}

#[test]
fn a_command_acted_on_becomes_two_pulses() {
    let mut pins = pins();
    let _ = pins.on_frame(at(0), &frame(4, 0));
    assert!(pins.outputs().is_at_rest(), "the first of two opens nothing");
    let _ = pins.on_frame(at(P), &frame(4, 1));
    assert_eq!((pins.outputs().pulses, pins.outputs().selected), (pulses(1_600, 1_650), true));
    let _ = pins.on_frame(at(2 * P), &command(4, 2, (-100, 100)).encode());
    assert_eq!(pins.outputs().pulses, pulses(1_000, 2_000));
}

#[test]
fn no_frame_but_through_the_gate_ever_changes_a_pulse() {
    let mut pins = opened(setup());
    let good = frame(4, 2);
    let mut hostile: ArrayVec<Frame, 80> = ArrayVec::new();
    for bit in 0..64 {
        let mut flipped = good;
        flipped.data[bit / 8] ^= 1 << (bit % 8);
        hostile.push(flipped);
    }
    hostile.push(frame(0, 2)); // an older term
    hostile.push(frame(4, 1)); // the cycle that was acted on
    hostile.push(frame(4, 0)); // an older one
    hostile.push(frame(5, 2)); // a higher term that is not due
    hostile.push(command(4, 2, (101, 0)).encode());
    hostile.push(command(4, 2, (0, -101)).encode());
    hostile.push(CommandFrame { slot: Slot::RIGHT, ..command(4, 2, (1, 1)) }.encode());
    hostile.push(CommandFrame { probe: true, ..command(4, 2, (100, 100)) }.encode());
    hostile.push(Frame { len: 7, ..good });
    hostile.push(Frame { id: 0x7FF, ..good });
    hostile.push(Frame { id: STATUS_ID, ..good });
    let before = pins.outputs().clone();
    for (number, frame) in hostile.iter().enumerate() {
        let verdict = pins.on_frame(at(P + 1), frame);
        assert!(!matches!(verdict, Verdict::Acted { .. } | Verdict::EStopped { .. }), "{number}: {verdict:?}");
        assert_eq!((pins.outputs().pulses, pins.outputs().changes), (before.pulses, before.changes), "{number}");
    }
    assert!(matches!(pins.on_frame(at(2 * P), &good), Verdict::Acted { .. }));
}

#[test]
fn the_safe_state_holds_the_steering_brakes_and_releases_when_the_vehicle_stands() {
    let mut pins = opened(setup());
    assert!(!pins.on_tick(at(6 * P - 1), None));
    assert_eq!(pins.outputs().pulses, pulses(1_600, 1_650));
    assert!(pins.on_tick(at(6 * P), None));
    assert_eq!((pins.outputs().pulses, pins.outputs().selected), (pulses(1_600, 1_300), true));
    assert!(!pins.on_tick(at(6 * P + BRAKE_US - 1), None) && pins.outputs().selected);
    assert!(pins.next_tick(at(6 * P + BRAKE_US - 1)) <= at(6 * P + BRAKE_US));
    assert!(!pins.on_tick(at(6 * P + BRAKE_US), None) && pins.outputs().is_at_rest());
}

#[test]
fn without_time_to_brake_the_safe_state_releases_at_once() {
    let mut pins = opened(at_once());
    assert!(pins.on_tick(at(6 * P), None) && pins.outputs().is_at_rest());
}

#[test]
fn a_higher_term_ends_the_braking() {
    let mut pins = opened(setup());
    assert!(pins.on_tick(at(6 * P), None));
    let _ = pins.on_frame(at(7 * P), &frame(5, 2));
    let _ = pins.on_frame(at(8 * P), &frame(5, 3));
    assert_eq!((pins.outputs().pulses, pins.outputs().selected), (pulses(1_600, 1_650), true));
}

/// Calls `with` for each way in which the left device's frames (term 4) and the right device's (term 5) can be heard.
fn each_interleaving(mut with: impl FnMut(&[Frame])) {
    for choice in 0_u32..1 << (2 * TAKEOVER) {
        if choice.count_ones() as usize != TAKEOVER {
            continue;
        }
        let (mut left, mut right) = (2, 2);
        let heard: ArrayVec<Frame, { 2 * TAKEOVER }> = (0..2 * TAKEOVER)
            .map(|bit| {
                let (term, cycle) = if choice & 1 << bit == 0 { (4, &mut left) } else { (5, &mut right) };
                *cycle += 1;
                frame(term, *cycle - 1)
            })
            .collect();
        with(&heard);
    }
}

#[test]
fn an_estop_at_any_moment_of_a_takeover_brings_the_pins_to_rest_and_keeps_them_there() {
    let mut runs = 0;
    each_interleaving(|heard| {
        for stop_at in 0..=heard.len() {
            for by_line in [true, false] {
                let mut pins = opened(at_once());
                let moment = |step: usize| at(2 * P + M + step as u64 * P);
                for (step, frame) in heard[..stop_at].iter().enumerate() {
                    let _ = pins.on_frame(moment(step), frame);
                }
                if by_line {
                    pins.on_estop_line(moment(stop_at), true);
                    pins.on_estop_line(moment(stop_at), false);
                } else {
                    // Of the standby's term, which is the adopted one or a higher one.
                    let stop = CommandFrame { estop: true, ..command(5, 2, (0, 0)) };
                    let verdict = pins.on_frame(moment(stop_at), &stop.encode());
                    assert_eq!(verdict, Verdict::EStopped { slot: Slot::RIGHT });
                }
                assert!(pins.outputs().is_at_rest(), "stopped before frame {stop_at} of {heard:?}");
                let calls = pins.outputs().calls;
                for (step, frame) in heard.iter().enumerate().skip(stop_at) {
                    let _ = pins.on_frame(moment(step + 1), frame);
                }
                // And two consecutive frames of a higher term, which would open a closed gate.
                for step in 0..20 {
                    let _ = pins.on_frame(moment(10 + step), &frame(8, step as u64));
                    let _ = pins.on_tick(moment(10 + step), None);
                }
                assert_eq!(pins.outputs().calls, calls, "nothing is told to pins at rest");
                assert!(pins.outputs().is_at_rest());
                runs += 1;
            }
        }
    });
    assert_eq!(runs, 20 * 7 * 2, "20 interleavings of 3 and 3 frames, 7 moments, 2 ways");
}

#[test]
fn an_estop_with_time_to_brake_brakes_first() {
    let mut pins = opened(setup());
    pins.on_estop_line(at(P + 1), true);
    assert_eq!(pins.outputs().pulses, pulses(1_600, 1_300));
    let _ = pins.on_tick(at(P + 1 + BRAKE_US), None);
    assert!(pins.outputs().is_at_rest());
}

#[test]
fn an_estop_is_reset_locally_and_not_while_it_is_pressed() {
    let mut pins = opened(at_once());
    pins.on_estop_line(at(P + 1), true);
    assert_eq!(pins.reset(at(P + 2)), Err(StillPressed));
    pins.on_estop_line(at(P + 3), false);
    assert_eq!(pins.on_frame(at(2 * P), &frame(5, 2)), Verdict::Dropped { why: Drop::EStop });
    assert_eq!(pins.reset(at(2 * P + 1)), Ok(()));
    assert!(pins.outputs().is_at_rest(), "a reset moves nothing");
    assert_eq!(pins.on_frame(at(3 * P), &frame(4, 3)), Verdict::Dropped { why: Drop::ClosedToTerm });
    let _ = pins.on_frame(at(3 * P + 1), &frame(5, 3));
    let _ = pins.on_frame(at(4 * P), &frame(5, 4));
    assert!(pins.outputs().selected);
}

#[test]
fn the_line_is_the_boards_whose_device_holds_the_term() {
    let mut left = opened(Setup { own_slot: Some(Slot::LEFT), ..setup() });
    let mut right = opened(Setup { own_slot: Some(Slot::RIGHT), ..setup() });
    assert!(left.outputs().selected && !right.outputs().selected, "opened by the left device");
    // Two covers, and then the takeover.
    for (cycle, how) in [(2, How::Cover), (3, How::Cover), (4, How::Takeover)] {
        for pins in [&mut left, &mut right] {
            let verdict = pins.on_frame(at(cycle * P + M), &frame(5, cycle));
            assert!(matches!(verdict, Verdict::Acted { how: acted, .. } if acted == how));
            assert_eq!(pins.outputs().pulses, pulses(1_600, 1_650), "the pulses follow, selected or not");
        }
        let taken_over = how == How::Takeover;
        assert_eq!((left.outputs().selected, right.outputs().selected), (!taken_over, taken_over), "{how:?}");
    }
    assert!(left.on_tick(at(10 * P), None) && right.on_tick(at(10 * P), None));
    assert!(!left.outputs().selected && right.outputs().selected, "the board that had the line brakes");
}

#[test]
fn pins_that_fail_at_any_call_are_released_and_stay_so() {
    let mut good = opened(setup());
    for cycle in 2..6 {
        let _ = good.on_frame(at(cycle * P), &frame(4, cycle));
    }
    let _ = good.on_tick(at(20 * P), None);
    let calls = good.outputs().calls;
    assert!(calls > 10, "{calls}");
    for fails_at in 1..=calls {
        let mut pins = pins_with(setup(), SimOutputs { fails_at: Some(fails_at), ..SimOutputs::default() });
        for cycle in 0..6 {
            let _ = pins.on_frame(at(cycle * P), &frame(4, cycle));
        }
        let _ = pins.on_tick(at(20 * P), None);
        assert_eq!((pins.failure(), pins.failures()), (Some(&fails_at), 1), "call {fails_at}");
        assert!(pins.outputs().is_at_rest(), "call {fails_at}");
        let status = pins.outgoing(at(20 * P), None).and_then(|frame| StatusFrame::decode(&frame).ok());
        let status = status.expect("a status");
        assert!(status.estop && status.safe_state && !status.open, "dead pins are reported: call {fails_at}");
        // A higher term does not open it; the local reset and then a higher term do.
        for cycle in 30..33 {
            let _ = pins.on_frame(at(cycle * P), &frame(5, cycle));
        }
        assert!(pins.outputs().is_at_rest());
        assert_eq!((pins.reset(at(33 * P)), pins.failure()), (Ok(()), None));
        for cycle in 33..36 {
            let _ = pins.on_frame(at(cycle * P), &frame(5, cycle));
        }
        assert!(pins.outputs().selected && pins.failures() == 1, "call {fails_at}");
    }
}

#[test]
fn pins_that_fail_for_ever_are_told_to_rest_again_and_again() {
    for fails_at in 1..14 {
        let outputs = SimOutputs { fails_at: Some(fails_at), for_ever: true, ..SimOutputs::default() };
        let mut pins = pins_with(setup(), outputs);
        for cycle in 0..6 {
            let _ = pins.on_frame(at(cycle * P), &frame(4, cycle));
        }
        let _ = pins.on_tick(at(10 * P), None);
        let before = pins.failures();
        assert!(!pins.is_at_rest());
        for cycle in 10..15 {
            let _ = pins.on_frame(at(10 * P), &frame(5, cycle));
        }
        assert_eq!(pins.failures(), before, "a flood of frames is none of transfers");
        for tick in 0..5 {
            let _ = pins.on_tick(at((11 + tick) * P), None);
        }
        assert_eq!((pins.failure(), pins.failures()), (Some(&fails_at), before + 5));
        assert!(!pins.gate().is_open());
    }
}

#[test]
fn statuses_and_all_counters_go_out_in_turn() {
    let mut pins = opened(setup());
    let mut groups = 0_u8;
    let mut statuses = 0;
    for ms in 10..410 {
        let now = at(ms * 1_000);
        let _ = pins.on_tick(now, None);
        while let Some(frame) = pins.outgoing(now, Some(-7)) {
            if let Ok(status) = StatusFrame::decode(&frame) {
                assert_eq!(status.speed_mm_s, -7);
                statuses += 1;
            } else {
                groups |= 1 << CountersFrame::decode(&frame).expect("counters").group;
            }
        }
        assert!(pins.next_tick(now) > now, "nothing is due any more");
    }
    assert_eq!((groups, statuses), (0b1111, 40));
}
