//! The loop around a board's pins, with simulated chips, lines and bus, in virtual time.

#![allow(clippy::unwrap_used)]

#[path = "../../../../hal/tests/conformance/mod.rs"]
mod conformance;

use super::*;
use rtrb::{Consumer, RingBuffer};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use twinhelm_hal::actuator::SafeState;
use twinhelm_hal::frame::{CommandFrame, Frame, StatusFrame};
use twinhelm_hal::gate::Gate;
use twinhelm_hal::pins::{ActiveLevel, Setup};
use twinhelm_hal::ports::Received;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::Slot;
use twinhelm_hil::boards::{SimI2c, SimInput, SimOutput, SimPca9685, SimWire, Wire};
use twinhelm_linux::boards::{ServoBoard, Wiring};
use twinhelm_standby::Config;
use twinhelm_vehicle::board::{BoardConfig, EXAMPLE};
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::signals::LAYOUT;

const MS: Duration = Duration::from_millis(1);

/// A bus, seen from its far end. Clones are handles of the same one.
#[derive(Clone, Default)]
struct SimBus(Rc<RefCell<Wires>>);

#[derive(Default)]
struct Wires {
    /// On its way to the gate.
    coming: VecDeque<Frame>,
    /// What the gate has sent.
    sent: Vec<Frame>,
    stands: Confinement,
}

impl Bus for SimBus {
    fn send(&mut self, frame: Frame) {
        self.0.borrow_mut().sent.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        let frame = self.0.borrow_mut().coming.pop_front()?;
        Some(Received { at: Instant::ZERO, frame })
    }

    fn confinement(&self) -> Confinement {
        self.0.borrow().stands
    }
}

type Pins = ServoBoard<SimI2c<SimPca9685>, SimOutput>;

/// An encoder, as the loop reads it.
type Measure = fn(Instant) -> Speed;

/// A board on the table: the loop, and all that hangs on it.
struct Table {
    gate: LocalGate<SimBus, Pins, SimInput, Measure>,
    bus: SimBus,
    chip: SimI2c<SimPca9685>,
    enable: SimWire,
    button: SimWire,
    wishes: Wishes,
    told: Consumer<(Instant, Standing)>,
    now: Instant,
    cycle: u64,
}

impl Table {
    fn new() -> Self {
        Self::with_latch(None)
    }

    fn with_latch(latch: Option<Latch>) -> Self {
        let config: Config = Settings::default().config(None).unwrap();
        let setup = BoardConfig::parse("board.toml", EXAMPLE, &config).unwrap().setup;
        Self::with(Gate::new(0, config.gate_timing(), LAYOUT), setup, latch)
    }

    fn with(mut gate: Gate, setup: Setup, latch: Option<Latch>) -> Self {
        let (bus, chip) = (SimBus::default(), SimI2c::new(0x41, SimPca9685::default()));
        let (enable, button) = (SimWire::default(), SimWire::default());
        let wiring = Wiring { address: 0x41, steering: 0, drive: 1, rate_hz: 50 };
        let pins = ServoBoard::new(chip.clone(), wiring, enable.output(ActiveLevel::Low)).unwrap();
        if latch.as_ref().is_some_and(Latch::is_set) {
            gate.stop();
        }
        let pins = GuardedPins::new(gate, setup, pins);
        let speed: Measure = |_| Speed::Of(0);
        let estop = Some(button.input(ActiveLevel::High));
        let (tell, told) = RingBuffer::new(64);
        let wishes = Wishes::default();
        let doors = Doors { bus: bus.clone(), estop, speed, latch };
        let spans = (2 * MS, setup.safe.lasts_at_most().unwrap_or_default() + 100 * MS);
        let gate = LocalGate::new(pins, doors, wishes.clone(), tell, spans);
        let now = Instant::from_nanos(1_000_000_000);
        Self { gate, bus, chip, enable, button, wishes, told, now, cycle: 0 }
    }

    /// Lets `span` pass, with a command of `slot` each period if it drives. Returns `false` when the loop has ended.
    fn pass(&mut self, span: Duration, drives: Option<(Slot, u32)>) -> bool {
        let until = self.now + span;
        while self.now < until {
            if let Some((slot, term)) = drives.filter(|_| self.now.as_nanos().is_multiple_of(10_000_000)) {
                self.cycle += 1;
                self.bus.0.borrow_mut().coming.push_back(command(slot, term, self.cycle));
            }
            match self.gate.turn(self.now) {
                Next::At(next) => assert!(next <= self.now + 2 * MS, "the e-stop line is looked at"),
                Next::Stop => return false,
            }
            self.now += MS;
        }
        true
    }

    fn pulses(&self) -> [Option<u32>; 2] {
        let chip = self.chip.chip();
        [0, 1].map(|channel| chip.pulse_ns(channel).map(|ns| ns / 10_000))
    }

    fn is_at_rest(&self) -> bool {
        // The chip's pin is active low.
        self.pulses() == [None, None] && self.enable.is_high()
    }

    fn last_told(&mut self) -> String {
        std::iter::from_fn(|| self.told.pop().ok()).last().unwrap().1.to_string()
    }
}

fn command(slot: Slot, term: u32, cycle: u64) -> Frame {
    CommandFrame {
        slot,
        term: Term::new(term).to_wire(),
        cycle: twinhelm_hal::cycle::Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals: Signals::of_16_bits([1_000, 2_000]),
    }
    .encode()
}

const LEFT: Option<(Slot, u32)> = Some((Slot::LEFT, 4));

#[test]
fn commands_become_pulses_and_statuses_say_the_speed() {
    let mut table = Table::new();
    assert!(table.is_at_rest());
    assert!(table.pass(50 * MS, None) && table.is_at_rest());
    assert_eq!(table.last_told(), "closed: nobody drives");
    table.gate.doors.speed = |_| Speed::Of(-123);
    assert!(table.pass(100 * MS, LEFT));
    let [steering, drive] = table.pulses().map(Option::unwrap);
    assert!((159..=161).contains(&steering) && (152..200).contains(&drive), "{steering} {drive}");
    assert!(!table.enable.is_high());
    assert_eq!(table.last_told(), "open: slot 0 drives");
    let status = table.bus.0.borrow().sent.iter().rev().find_map(|frame| StatusFrame::decode(frame).ok()).unwrap();
    assert!(status.open && status.speed_mm_s == -123);
}

#[test]
fn silence_brakes_and_then_releases() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    assert!(table.pass(100 * MS, None));
    let [_, drive] = table.pulses().map(Option::unwrap);
    assert!(drive < 150, "it brakes: {drive}");
    assert!(table.pass(1_500 * MS, None) && table.is_at_rest());
    assert_eq!(table.last_told(), "closed: nobody drives");
}

/// As the simulated vehicle: the encoder of a board says when the wheels may centre, and when the vehicle stands.
#[test]
fn with_an_encoder_the_wheels_centre_below_walking_speed_and_it_ends_at_a_standstill() {
    let mut table = Table::new();
    table.gate.doors.speed = |_| Speed::Of(600);
    table.pass(100 * MS, LEFT);
    let [steering, _] = table.pulses().map(Option::unwrap);
    table.pass(100 * MS, None);
    assert_eq!(table.pulses()[0], Some(steering), "held at speed");
    table.gate.doors.speed = |_| Speed::Of(300);
    table.pass(600 * MS, None);
    let [centred, drive] = table.pulses().map(Option::unwrap);
    assert!((149..=151).contains(&centred) && drive < 149, "{centred} {drive}");
    table.gate.doors.speed = |_| Speed::Of(0);
    table.pass(200 * MS, None);
    assert!(table.is_at_rest(), "long before the 1.5 s are over");
}

#[test]
fn a_flood_keeps_neither_the_estop_nor_the_statuses_waiting() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    let stranger = Frame { id: 0x7FF, len: 8, data: [0; 8] };
    table.bus.0.borrow_mut().coming.extend([stranger; 10_000]);
    let before = table.bus.0.borrow().sent.len();
    table.button.set(true);
    assert!(table.pass(20 * MS, None));
    assert_eq!(table.last_told(), "stopped: the e-stop is pressed");
    assert!(table.bus.0.borrow().sent.len() >= before + 2);
    assert!(table.bus.0.borrow().coming.len() > 9_000, "it does not read for ever");
}

#[test]
fn the_estop_is_latched_until_it_is_reset_here_and_not_while_it_is_pressed() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    table.button.set(true);
    table.pass(2_000 * MS, LEFT);
    assert!(table.is_at_rest());
    table.wishes.reset.store(true, Ordering::Relaxed);
    table.pass(20 * MS, LEFT);
    assert_eq!(table.last_told(), "stopped: the e-stop is pressed");
    table.button.set(false);
    table.pass(20 * MS, LEFT);
    assert_eq!(table.last_told(), "stopped: the e-stop is latched, until it is reset here");
    table.wishes.reset.store(true, Ordering::Relaxed);
    table.pass(50 * MS, LEFT);
    assert_eq!(table.last_told(), "closed: nobody drives", "the old term opens nothing");
    table.pass(50 * MS, Some((Slot::RIGHT, 5)));
    assert_eq!(table.last_told(), "open: slot 1 drives");
    assert!(!table.enable.is_high());
}

#[test]
fn a_chip_that_does_not_answer_is_an_estop_that_says_so() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    table.chip.set_wire(Wire::Silent);
    table.pass(50 * MS, LEFT);
    let told = table.last_told();
    assert!(told.starts_with("stopped: the PCA9685 at 0x41 (") && told.contains("check its supply"), "{told}");
    table.pass(50 * MS, LEFT);
    assert!(table.told.pop().is_err(), "it is said once");
    assert!(table.enable.is_high(), "the line is released whatever the chip does");
    table.bus.0.borrow_mut().stands = Confinement::Off;
    table.pass(20 * MS, None);
    assert!(table.last_told().ends_with("; it is off the bus"));
    table.chip.set_wire(Wire::Whole);
    table.wishes.reset.store(true, Ordering::Relaxed);
    table.pass(20 * MS, None);
    assert_eq!(
        table.last_told(),
        "closed: nobody drives; it is off the bus",
        "the reset is one of what failed, too"
    );
}

#[test]
fn whoever_ends_it_brings_the_vehicle_to_rest_first() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    table.wishes.end.store(true, Ordering::Relaxed);
    // Whatever the device goes on sending.
    assert!(table.pass(1_400 * MS, LEFT), "it brakes");
    assert!(table.pulses()[1].unwrap() < 150);
    assert!(!table.pass(1_000 * MS, LEFT), "and ends");
    assert!(table.is_at_rest() && table.gate.is_at_rest());
    assert_eq!(table.last_told(), "ending: at rest");
}

#[test]
fn a_latched_estop_outlives_the_process_and_ending_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let latch = || Some(Latch::at(folder.path().join("estop")));
    let mut table = Table::with_latch(latch());
    table.pass(100 * MS, LEFT);
    table.button.set(true);
    table.pass(20 * MS, LEFT);
    // It crashes, and the button comes back.
    drop(table);
    let mut table = Table::with_latch(latch());
    table.pass(100 * MS, Some((Slot::RIGHT, 9)));
    assert_eq!(table.last_told(), "stopped: the e-stop is latched, until it is reset here");
    assert!(table.is_at_rest());
    table.wishes.reset.store(true, Ordering::Relaxed);
    table.pass(20 * MS, None);
    table.wishes.end.store(true, Ordering::Relaxed);
    assert!(!table.pass(100 * MS, None));
    drop(table);
    let mut table = Table::with_latch(latch());
    table.pass(100 * MS, Some((Slot::RIGHT, 13)));
    assert_eq!(table.last_told(), "open: slot 1 drives");
}

#[test]
fn an_encoder_that_cannot_be_read_is_told_and_is_no_speed() {
    let mut table = Table::new();
    table.gate.doors.speed = |_| Speed::Unreadable;
    table.pass(50 * MS, None);
    assert_eq!(table.last_told(), "closed: nobody drives; its encoder cannot be read");
    let status = table.bus.0.borrow().sent.iter().rev().find_map(|frame| StatusFrame::decode(frame).ok()).unwrap();
    assert_eq!(status.speed_mm_s, 0);
}

#[test]
fn pins_that_cannot_be_brought_to_rest_do_not_hold_the_end_up() {
    let mut table = Table::new();
    table.pass(100 * MS, LEFT);
    table.chip.set_wire(Wire::Silent);
    table.wishes.end.store(true, Ordering::Relaxed);
    assert!(!table.pass(2_000 * MS, LEFT));
    assert!(table.enable.is_high() && !table.gate.is_at_rest(), "nobody says that the chip's pulses have ended");
}

/// The gate program, in the suite of all places.
struct Program {
    table: Table,
    setup: Setup,
}

thread_local! {
    /// What the program's encoder says.
    static SPEED_MM_S: Cell<i16> = const { Cell::new(0) };
}

/// Two pulses in steps of 10 µs. The chip's own steps are half as large.
#[derive(Debug)]
struct Seen([u32; 2]);

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, other)| own.abs_diff(other) <= 1)
    }
}

impl Program {
    fn new(safe: SafeState) -> Self {
        let config: Config = Settings::default().config(None).unwrap();
        let setup = Setup { safe, ..BoardConfig::parse("board.toml", EXAMPLE, &config).unwrap().setup };
        let mut table = Table::with(Gate::new(0, conformance::TIMING, &conformance::LAYOUT), setup, None);
        SPEED_MM_S.set(0);
        table.gate.doors.speed = |_| Speed::Of(SPEED_MM_S.get());
        Self { table, setup }
    }
}

impl conformance::Place for Program {
    type Shown = Seen;
    const MEASURES_SPEED: bool = true;

    fn hear(&mut self, now: Instant, frame: &Frame) {
        self.table.bus.0.borrow_mut().coming.push_back(*frame);
        self.turn(now);
    }

    fn turn(&mut self, now: Instant) {
        assert!(matches!(self.table.gate.turn(now), Next::At(_)));
    }

    fn press(&mut self, pressed: bool) {
        self.table.button.set(pressed);
    }

    fn measure(&mut self, speed_mm_s: i16) {
        SPEED_MM_S.set(speed_mm_s);
    }

    fn shown(&self) -> Option<Seen> {
        let [steering, drive] = self.table.pulses();
        let seen = steering.zip(drive).map(|(steering, drive)| Seen([steering, drive]));
        // The chip's pin is active low.
        assert_eq!(seen.is_none(), self.table.enable.is_high(), "the line goes with the pulses");
        seen
    }

    fn expected(&self, _signals: Signals, [first, second]: [i64; 2]) -> Seen {
        let pulses = [self.setup.steering.pulse(first), self.setup.drive.pulse(second)];
        Seen(pulses.map(|pulse| u32::from(pulse.us()) / 10))
    }
}

#[test]
fn the_gate_program_does_what_all_do() {
    conformance::check(Program::new);
}
