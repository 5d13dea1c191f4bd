//! Frames, ticks, e-stops and resets into the gate, in any sequence: what of rules G1 to G8 holds for all of them.

use crate::input::Input;
use twinhelm_hal::frame::{COUNTERS_ID, CommandFrame, CountersFrame, Frame, GATES, STATUS_ID, StatusFrame};
use twinhelm_hal::gate::{Gate, How, STATUSES_A_PERIOD_MAX, Timing, Verdict};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_vehicle::signals::LAYOUT;

const TIMING: Timing = Timing {
    period: Duration::from_millis(10),
    margin: Duration::from_millis(2),
    gate_lease: Duration::from_millis(30),
    command_timeout: Duration::from_millis(50),
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut watched = Watched::new(input.u8() % GATES);
    while !input.is_empty() {
        let now = watched.now + input.span();
        watched.now = now;
        match input.u8() % 8 {
            0..=2 => {
                let frame = command(&mut input, watched.gate.last().to_wire());
                watched.hear(&frame);
            }
            3 => watched.hear(&status(&mut input)),
            4 => watched.hear(&raw(&mut input)),
            5 => watched.tick(),
            6 => watched.report(input.i16()),
            _ => watched.press(input.u8()),
        }
        watched.check();
    }
}

/// A gate, and what was seen of it.
struct Watched {
    now: Instant,
    gate: Gate,
    term: Option<Term>,
    acted_at: Option<Instant>,
    reports: Vec<Instant>,
}

impl Watched {
    fn new(number: u8) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        Self { now, gate: Gate::new(number, TIMING, LAYOUT), term: None, acted_at: None, reports: Vec::new() }
    }

    fn hear(&mut self, frame: &Frame) {
        let (now, was_open, was_stopped) = (self.now, self.gate.is_open(), self.gate.is_stopped());
        let (last, own) = (self.gate.last(), self.gate.term());
        match self.gate.on_frame(now, frame) {
            Verdict::Acted { how, slot, term, cycle, signals, gap } => {
                assert!(!was_stopped, "a stopped gate acts on nothing (G8)");
                assert!(LAYOUT.allows(&signals), "what is acted on is in range (G1)");
                assert_eq!((self.gate.term(), self.gate.last()), (Some(term), cycle));
                assert!(self.gate.is_open() && gap.is_some() != (how == How::Opening));
                let sent = CommandFrame::decode(frame).expect("what is acted on is well-formed");
                let sent = Term::from_wire(sent.term, own).expect("what is acted on has a term");
                assert!(sent.slot() == slot, "a term belongs to its sender");
                assert!(Some(sent) >= own, "no command below the adopted term (G1)");
                if how != How::Opening {
                    assert!(was_open && cycle > last, "while open, a cycle comes once and in order (G1)");
                    assert!(gap < Some(TIMING.command_timeout), "a gate that timed out has closed (G4)");
                }
                match how {
                    How::Holder => assert_eq!(Some(sent), own),
                    How::Cover => assert!(Some(sent) > own && Some(term) == own),
                    How::Takeover | How::Opening => assert!(sent == term && Some(term) > own),
                }
                self.acted_at = Some(now);
            }
            Verdict::Followed { gate, term } => {
                assert!(was_open && gate < GATES && Some(term) > own, "an open gate follows a higher term (G7)");
            }
            Verdict::EStopped { .. } => assert!(self.gate.is_stopped() && !self.gate.is_open()),
            Verdict::Dropped { .. } | Verdict::Probe { .. } | Verdict::Ignored => {}
        }
    }

    fn tick(&mut self) {
        let was_open = self.gate.is_open();
        assert_eq!(self.gate.on_tick(self.now), was_open && !self.gate.is_open());
        let silent = self.acted_at.is_none_or(|at| self.now.since(at) >= TIMING.command_timeout);
        assert!(!(silent && self.gate.is_open()), "a gate closes by itself at the command timeout (G4)");
        let next = self.gate.next_tick(self.now);
        assert!(next <= self.now + TIMING.command_timeout, "a gate wakes before its timeout");
    }

    fn report(&mut self, speed_mm_s: i16) {
        if self.gate.is_status_due(self.now) {
            let frame = self.gate.status(self.now, speed_mm_s);
            let status = StatusFrame::decode(&frame).expect("a gate's own status");
            assert_eq!(status.open, self.gate.is_open());
            assert_eq!((status.term_known, status.estop), (self.gate.term().is_some(), self.gate.is_stopped()));
            assert_eq!((status.cycle, status.speed_mm_s), (self.gate.last().to_wire(), speed_mm_s));
            self.reports.push(self.now);
            // Within a period there may be the end of one window and the beginning of the next.
            let recent = self.reports.iter().filter(|at| self.now.since(**at) < TIMING.period).count();
            assert!(
                recent <= 2 * usize::from(STATUSES_A_PERIOD_MAX),
                "a flood of commands is none of statuses (G6)"
            );
        }
        for group in 0..4 {
            CountersFrame::decode(&self.gate.counters(group)).expect("a gate's own counters");
        }
    }

    fn press(&mut self, what: u8) {
        if what % 2 == 0 {
            self.gate.stop();
            assert!(!self.gate.is_open() && self.gate.is_stopped());
        } else {
            self.gate.reset_estop();
        }
    }

    fn check(&mut self) {
        assert!(self.gate.term() >= self.term, "a term never goes down");
        self.term = self.gate.term();
        assert!(!(self.gate.is_open() && self.gate.is_stopped()), "a stopped gate is closed");
    }
}

/// A well-formed command: its cycle is told from `last`, and mostly its signals are in range.
pub(crate) fn command(input: &mut Input<'_>, last: u16) -> Frame {
    let [who, flags] = input.bytes();
    let (reign, ahead) = (input.u8(), input.u8());
    let slot = Slot::from_low_bits(who);
    // Another device's slot in the term, once in a while.
    let low = if who >= 0xF0 { who >> 2 } else { who };
    let ahead = if flags & 0x40 == 0 { u16::from(ahead % 8) } else { input.u16() };
    let range = if flags & 0x20 == 0 { 100 } else { i16::MAX };
    let mut signal = || if flags & 0x10 == 0 { 0 } else { input.i16() % range };
    let signals = Signals::of_16_bits([signal(), signal()]);
    let (probe, estop) = (flags & 0x0F == 1, flags & 0x0F == 2);
    let cycle = last.wrapping_add(ahead) & 0x0FFF;
    CommandFrame { slot, term: reign << 2 | low & 3, cycle, probe, estop, signals }.encode()
}

/// Another gate's status, or its counters.
pub(crate) fn status(input: &mut Input<'_>) -> Frame {
    let [flags, gate, term, speed] = input.bytes();
    let frame = StatusFrame {
        gate: gate % GATES,
        term,
        cycle: input.u16() & 0x0FFF,
        open: flags & 1 != 0,
        term_known: flags & 2 != 0,
        safe_state: flags & 4 != 0,
        estop: flags & 24 == 24,
        echo: None,
        speed_mm_s: i16::from(speed),
    };
    frame.encode()
}

/// Any frame; half of them on an identifier of ours.
pub(crate) fn raw(input: &mut Input<'_>) -> Frame {
    let ids = [0x100, STATUS_ID, COUNTERS_ID];
    let [which, len] = input.bytes();
    let id = if which < 128 { ids[usize::from(which % 3)] + u16::from(which >> 4) } else { input.u16() & 0x7FF };
    Frame { id, len: len % 9, data: input.bytes() }
}
