//! The loop's body with simulated peripherals.

extern crate std;

#[path = "../../tests/conformance/mod.rs"]
mod conformance;

use super::*;
use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use embedded_can::{ErrorKind, ExtendedId, Frame as CanFrame, Id, StandardId};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;
use twinhelm_hal::actuator::SafeState;
use twinhelm_hal::frame::{COMMAND_ID, CommandFrame, CountersFrame, Frame, StatusFrame};
use twinhelm_hal::gate::Timing;
use twinhelm_hal::pins::{Pulse, Pulses, Servo, Travel};
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::signals::{Layout, Signals};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Duration;

const PERIOD: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
struct SimFrame {
    id: Id,
    data: Vec<u8>,
    is_remote: bool,
}

impl CanFrame for SimFrame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        (data.len() <= 8).then(|| Self { id: id.into(), data: data.to_vec(), is_remote: false })
    }

    fn new_remote(id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        Some(Self { id: id.into(), data: Vec::new(), is_remote: true })
    }

    fn is_extended(&self) -> bool {
        matches!(self.id, Id::Extended(_))
    }

    fn is_remote_frame(&self) -> bool {
        self.is_remote
    }

    fn id(&self) -> Id {
        self.id
    }

    fn dlc(&self) -> usize {
        self.data.len()
    }

    fn data(&self) -> &[u8] {
        &self.data
    }
}

/// A controller with three mailboxes towards the bus. Clones are handles of one.
#[derive(Clone, Debug, Default)]
struct SimCan(Rc<RefCell<SimController>>);

#[derive(Debug, Default)]
struct SimController {
    heard: VecDeque<Result<SimFrame, ErrorKind>>,
    mailboxes: Vec<SimFrame>,
}

impl Can for SimCan {
    type Frame = SimFrame;
    type Error = ErrorKind;

    fn transmit(&mut self, frame: &SimFrame) -> nb::Result<Option<SimFrame>, ErrorKind> {
        let mailboxes = &mut self.0.borrow_mut().mailboxes;
        if mailboxes.len() >= 3 {
            return Err(nb::Error::WouldBlock);
        }
        mailboxes.push(frame.clone());
        Ok(None)
    }

    fn receive(&mut self) -> nb::Result<SimFrame, ErrorKind> {
        let heard = self.0.borrow_mut().heard.pop_front();
        heard.ok_or(nb::Error::WouldBlock)?.map_err(nb::Error::Other)
    }
}

impl SimCan {
    fn hear(&self, frame: &Frame) {
        self.0.borrow_mut().heard.push_back(Ok(to_can(frame).expect("a frame")));
    }

    fn sent(&self) -> Vec<Frame> {
        self.0.borrow_mut().mailboxes.drain(..).filter_map(|frame| from_can(&frame)).collect()
    }
}

#[derive(Clone, Debug, Default)]
struct SimPins(Rc<Cell<(Option<Pulses>, bool)>>);

impl Outputs for SimPins {
    type Error = Infallible;

    fn drive(&mut self, pulses: Pulses) -> Result<(), Infallible> {
        self.0.set((Some(pulses), self.0.get().1));
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Infallible> {
        self.0.set((None, self.0.get().1));
        Ok(())
    }

    fn select(&mut self, selected: bool) -> Result<(), Infallible> {
        self.0.set((self.0.get().0, selected));
        Ok(())
    }
}

/// A button: pressed, released, or its line cannot be read.
#[derive(Clone, Debug)]
struct SimButton(Rc<Cell<Result<bool, embedded_hal::digital::ErrorKind>>>);

impl embedded_hal::digital::ErrorType for SimButton {
    type Error = embedded_hal::digital::ErrorKind;
}

impl InputPin for SimButton {
    fn is_high(&mut self) -> Result<bool, Self::Error> {
        self.0.get()
    }

    fn is_low(&mut self) -> Result<bool, Self::Error> {
        self.0.get().map(|is_high| !is_high)
    }
}

#[derive(Clone, Debug, Default)]
struct SimWatchdog(Rc<Cell<u32>>);

impl Watchdog for SimWatchdog {
    fn feed(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Returns two servos that have their full travel over the limits.
fn setup_of(layout: &Layout, safe: SafeState) -> Setup {
    let us = |us| Pulse::from_us(us).expect("a pulse");
    let travel = Travel { at_min: us(1_000), at_zero: us(1_500), at_max: us(2_000) };
    let mut servos = layout.fields().iter().map(|field| {
        let [min, max] = field.limits();
        Servo::new(travel, 0, min, max).expect("a servo")
    });
    let mut next = || servos.next().expect("two signals");
    Setup { steering: next(), drive: next(), safe, own_slot: None }
}

struct Bench {
    node: ActuatorNode<SimCan, SimPins, SimButton, SimWatchdog>,
    can: SimCan,
    pins: SimPins,
    button: SimButton,
    watchdog: SimWatchdog,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        static LAYOUT: Layout = Layout::of(&Table::of(&[
            Signal::of_counts("First", [-100, 100]),
            Signal::of_counts("Second", [-100, 100]),
        ]));
        let timing = Timing {
            period: PERIOD,
            margin: Duration::from_millis(2),
            gate_lease: 3 * PERIOD,
            command_timeout: 5 * PERIOD,
        };
        let setup = setup_of(&LAYOUT, SafeState::hold_and_brake(0, Duration::ZERO));
        Self::with(Gate::new(0, timing, &LAYOUT), setup)
    }

    fn with(gate: Gate, setup: Setup) -> Self {
        let (can, pins, watchdog) = (SimCan::default(), SimPins::default(), SimWatchdog::default());
        let button = SimButton(Rc::new(Cell::new(Ok(false))));
        let peripherals = Peripherals {
            can: can.clone(),
            outputs: pins.clone(),
            estop: button.clone(),
            watchdog: watchdog.clone(),
        };
        let node = ActuatorNode::new(gate, setup, peripherals);
        Self { node, can, pins, button, watchdog, now: Instant::from_nanos(1_000_000_000) }
    }

    fn turn(&mut self) {
        self.now += PERIOD;
        self.node.turn(self.now);
    }

    /// Opens the gate by the cycles 0 and 1.
    fn opened() -> Self {
        let mut bench = Self::new();
        for cycle in 0..2 {
            bench.can.hear(&command(cycle));
            bench.turn();
        }
        assert!(bench.pins.0.get().1);
        let _ = bench.can.sent();
        bench
    }
}

fn command(cycle: u16) -> Frame {
    let signals = Signals::of_16_bits([50, 100]);
    CommandFrame { slot: Slot::LEFT, term: 0, cycle, probe: false, estop: false, signals }.encode()
}

#[test]
fn a_command_becomes_pulses_and_the_status_says_so() {
    let mut bench = Bench::opened();
    bench.can.hear(&command(2));
    bench.turn();
    let (pulses, selected) = bench.pins.0.get();
    assert_eq!(pulses.map(|pulses| (pulses.steering.us(), pulses.drive.us())), Some((1_750, 2_000)));
    assert!(selected);
    let sent = bench.can.sent();
    let status = sent.iter().find_map(|frame| StatusFrame::decode(frame).ok()).expect("a status");
    assert_eq!((status.open, status.cycle), (true, 2));
}

#[test]
fn silence_brings_the_pins_to_rest_and_the_node_goes_on_reporting() {
    let mut bench = Bench::opened();
    for _ in 0..5 {
        bench.turn();
    }
    assert_eq!(bench.pins.0.get(), (None, false));
    let _ = bench.can.sent();
    bench.turn();
    assert!(bench.can.sent().iter().any(|frame| StatusFrame::decode(frame).is_ok_and(|status| status.safe_state)));
}

#[test]
fn an_estop_that_is_pressed_or_cannot_be_read_stops_before_the_frame_that_waits() {
    for line in [Ok(true), Err(embedded_hal::digital::ErrorKind::Other)] {
        let mut bench = Bench::opened();
        bench.button.0.set(line);
        bench.can.hear(&command(2));
        bench.turn();
        assert_eq!(bench.pins.0.get(), (None, false));
        bench.button.0.set(Ok(false));
        for cycle in 3..6 {
            bench.can.hear(&command(cycle));
            bench.turn();
        }
        assert_eq!(bench.pins.0.get(), (None, false), "it is latched");
    }
}

#[test]
fn a_flooded_bus_keeps_neither_the_estop_nor_the_watchdog_waiting() {
    let mut bench = Bench::opened();
    for _ in 0..1_000 {
        bench.can.hear(&command(1));
    }
    let fed = bench.watchdog.0.get();
    bench.turn();
    assert_eq!((bench.can.0.borrow().heard.len(), bench.watchdog.0.get()), (1_000 - FRAMES_A_TURN_MAX, fed + 1));
}

#[test]
fn what_is_no_frame_of_ours_and_an_overrun_hide_no_frame_behind_them() {
    let mut bench = Bench::opened();
    let extended = ExtendedId::new(0x100).expect("an identifier");
    let mut foreign = to_can::<SimFrame>(&command(2)).expect("a frame");
    foreign.id = Id::Extended(extended);
    let id = StandardId::new(COMMAND_ID).expect("an identifier");
    let remote = SimFrame::new_remote(id, 8).expect("a frame");
    bench.can.0.borrow_mut().heard.extend([Ok(foreign), Err(ErrorKind::Overrun), Ok(remote)]);
    bench.can.hear(&command(2));
    bench.turn();
    assert_eq!((bench.node.pins().gate().last().number(), bench.node.errors()), (2, 1));
}

#[test]
fn a_controller_without_room_loses_statuses_and_nothing_else() {
    let mut bench = Bench::opened();
    for cycle in 2..20 {
        bench.can.hear(&command(cycle));
        bench.turn();
    }
    assert!(bench.node.errors() > 10 && bench.pins.0.get().1);
    let sent = bench.can.sent();
    assert_eq!(sent.len(), 3);
    bench.turn();
    assert!(!bench.can.sent().is_empty(), "when there is room it reports again");
}

#[test]
fn counters_go_out_beside_the_statuses() {
    let mut bench = Bench::new();
    let mut groups = 0_u8;
    for _ in 0..50 {
        bench.turn();
        let sent = bench.can.sent();
        groups |= sent
            .iter()
            .filter_map(|frame| CountersFrame::decode(frame).ok())
            .fold(0, |all, one| all | 1 << one.group);
    }
    assert_eq!((groups, bench.node.errors()), (0b1111, 0));
}

/// The firmware, in the suite of all places.
struct Firmware {
    bench: Bench,
    setup: Setup,
}

impl Firmware {
    fn new(safe: SafeState) -> Self {
        let setup = setup_of(&conformance::LAYOUT, safe);
        Self { bench: Bench::with(Gate::new(0, conformance::TIMING, &conformance::LAYOUT), setup), setup }
    }
}

impl conformance::Place for Firmware {
    type Shown = Pulses;
    const MEASURES_SPEED: bool = false;

    fn hear(&mut self, now: Instant, frame: &Frame) {
        self.bench.can.hear(frame);
        self.turn(now);
    }

    fn turn(&mut self, now: Instant) {
        self.bench.node.turn(now);
        let _ = self.bench.can.sent();
    }

    fn press(&mut self, pressed: bool) {
        self.bench.button.0.set(Ok(pressed));
    }

    fn measure(&mut self, _speed_mm_s: i16) {}

    fn shown(&self) -> Option<Pulses> {
        let (pulses, selected) = self.bench.pins.0.get();
        assert_eq!(pulses.is_some(), selected, "the line goes with the pulses");
        pulses
    }

    fn expected(&self, _signals: Signals, [first, second]: [i64; 2]) -> Pulses {
        Pulses { steering: self.setup.steering.pulse(first), drive: self.setup.drive.pulse(second) }
    }
}

#[test]
fn the_firmware_does_what_all_do() {
    conformance::check(Firmware::new);
}
