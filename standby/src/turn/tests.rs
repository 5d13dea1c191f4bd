//! The turn's own order: what is told first, when the holder's state is taken over, when the next turn is.

use super::*;
use crate::config::{Config, Parameters};
use crate::role::RoleName;
use crate::sample::Header;
use core::time::Duration;
use twinhelm_hal::frame::{CommandFrame, Frame, StatusFrame};
use twinhelm_hal::ports::Received;
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::signals::{self, Signals};
use twinhelm_hal::term::{Slot, Term};

/// A law that counts its steps.
#[derive(Clone, Copy)]
struct Counts(u16);

#[derive(Clone, Copy, Debug)]
struct Count(i16);

impl signals::Command for Count {
    const TABLE: Table = Table::of(&[Signal::of_counts("Count", [i16::MIN, i16::MAX])]);

    fn values(&self, values: &mut [f64]) {
        values[0] = self.0.into();
    }

    #[expect(clippy::cast_possible_truncation, reason = "16 bits carry it")]
    fn from_values(values: &[f64]) -> Self {
        Self(values[0] as i16)
    }
}

/// Returns the count that `signals` carry.
fn count_of(signals: &Signals) -> i16 {
    <Count as signals::Command>::decode(signals).0
}

impl Controller for Counts {
    type State = u8;
    type Command = Count;
    type Memory = u16;

    fn step(&mut self, _state: &u8, _period: Duration) -> Count {
        self.0 += 1;
        Count(self.0.cast_signed())
    }

    fn standstill(&mut self, state: &u8, period: Duration) -> Count {
        self.step(state, period)
    }

    fn export(&self) -> u16 {
        self.0
    }

    fn import(&mut self, memory: &u16) {
        self.0 = *memory;
    }

    fn track(&mut self, _applied: &Count) {}
}

/// Ports whose past and future stand in a list.
#[derive(Default)]
struct Listed {
    now: Instant,
    inbox: Vec<Received>,
    peer: Option<HeardSample<u8, u16>>,
    readings: u8,
    told: Vec<Input>,
}

impl Bus for Listed {
    fn send(&mut self, _frame: Frame) {}

    fn receive(&mut self) -> Option<Received> {
        (!self.inbox.is_empty()).then(|| self.inbox.remove(0))
    }
}

impl Ports<u8, u16> for Listed {
    fn now(&self) -> Instant {
        self.now
    }

    fn readings(&mut self) -> Option<u8> {
        self.readings = self.readings.wrapping_add(1);
        Some(self.readings)
    }

    fn peer(&mut self) -> Option<HeardSample<u8, u16>> {
        self.peer
    }

    fn publish(&mut self, _sample: &Sample<u8, u16>) {}

    fn order(&mut self) -> Option<Order> {
        None
    }

    fn refuse(&mut self, refusal: Refusal) {
        panic!("nothing was ordered: {refusal}");
    }

    fn note(&mut self, _now: Instant, input: &Input, _effects: &Effects) {
        self.told.push(*input);
    }
}

fn us(us: u64) -> Instant {
    Instant::from_nanos(us * 1_000)
}

struct Flight {
    node: Node,
    pilot: Pilot<Counts>,
    ports: Listed,
    /// What the holder's law made of its memory and its readings, as it says.
    made: i16,
    /// It drives.
    drives: bool,
}

impl Flight {
    /// Returns a standby that has followed the left device up to cycle 10; its next decision is due at 112 ms.
    fn standby() -> Self {
        let config = Config::new(Parameters::at_period(Duration::from_millis(10))).expect("it keeps the promise");
        let node = Node::new(Instant::ZERO, Slot::RIGHT, config, <Count as signals::Command>::LAYOUT);
        let pilot = Pilot::new(Counts(0), Counts(0), config.period);
        let mut flight = Self { node, pilot, ports: Listed::default(), made: 501, drives: true };
        for n in 0..=10 {
            flight.follow(n, n);
        }
        assert_eq!(flight.node.role().name(), RoleName::Standby);
        flight
    }

    /// One cycle, with the holder's state of cycle `of`; returns when the next turn is due.
    fn follow(&mut self, n: u64, of: u64) -> Instant {
        let at = n * 10_000;
        let cycle = Cycle::new(n).to_wire();
        let command = CommandFrame {
            slot: Slot::LEFT,
            term: 0,
            cycle,
            probe: false,
            estop: false,
            signals: Signals::of_16_bits([1, 0]),
        };
        let status = StatusFrame {
            gate: 0,
            term: 0,
            cycle,
            open: true,
            term_known: true,
            safe_state: false,
            estop: false,
            echo: None,
            speed_mm_s: 0,
        };
        let heard = [(at, command.encode()), (at + 500, status.encode())];
        self.ports.inbox.extend(heard.map(|(at, frame)| Received { at: us(at), frame }));
        let header = Header {
            slot: Slot::LEFT,
            cycle: Cycle::new(of),
            term: Some(Term::new(0)),
            role: RoleName::Primary,
            ready: Err(crate::NotReady::Role),
            sent: self.drives,
            checked: true,
            divergence: None,
            disputes: false,
            digest: 0,
            relayed: [None; 4],
        };
        let signals = Some(Signals::of_16_bits([self.made, 0]));
        let published = Published { memory: 500, readings: 1, own_readings: true, standstill: false, signals };
        self.ports.peer =
            Some(HeardSample { at: us(at + 1_000), sample: Some(Sample { header, published: Some(published) }) });
        self.ports.now = us(at + 2_000);
        self.ports.told.clear();
        turn(self.ports.now, &mut self.ports, &mut self.pilot, &mut self.node)
    }

    /// Returns what the last turn told the node, in short.
    fn told(&self) -> Vec<&'static str> {
        let name = |input: &Input| match input {
            Input::Woke => "woke",
            Input::Confined(_) => "confined",
            Input::Heard(_) => "heard",
            Input::Peer { .. } => "peer",
            Input::Ordered(_) => "ordered",
            Input::Decide => "decide",
            Input::Computed { .. } => "computed",
            Input::Adopted { .. } => "adopted",
        };
        self.ports.told.iter().map(name).collect()
    }
}

#[test]
fn a_turn_says_when_the_next_one_is_due() {
    let mut flight = Flight::standby();
    assert_eq!(flight.follow(11, 11), us(122_000));
}

#[test]
fn state_of_this_very_cycle_is_taken_over_after_the_step() {
    let mut flight = Flight::standby();
    flight.follow(11, 11);
    assert_eq!(flight.told(), ["woke", "heard", "heard", "peer", "decide", "computed", "adopted"]);
}

#[test]
fn state_of_a_cycle_before_is_taken_over_before_the_step_which_goes_on_from_there() {
    let mut flight = Flight::standby();
    flight.follow(11, 10);
    assert_eq!(
        flight.told(),
        ["woke", "heard", "heard", "peer", "decide", "computed"],
        "it holds that of cycle 10"
    );
    flight.follow(12, 11);
    assert_eq!(flight.told(), ["woke", "heard", "heard", "peer", "decide", "adopted", "computed"]);
    let computed = flight.ports.told.iter().find_map(|input| match input {
        Input::Computed { signals, .. } => Some(count_of(&signals.expect("it gives a number"))),
        Input::Woke | Input::Confined(_) | Input::Heard(_) | Input::Peer { .. } => None,
        Input::Ordered(_) | Input::Decide | Input::Adopted { .. } => None,
    });
    assert_eq!(computed, Some(502));
}

#[test]
fn state_that_does_not_come_out_the_same_here_is_not_taken_over() {
    let mut flight = Flight::standby();
    flight.made = 7;
    flight.follow(11, 11);
    assert_eq!(flight.told(), ["woke", "heard", "heard", "peer", "decide", "computed"]);
}

#[test]
fn state_of_a_device_that_does_not_drive_is_not_taken_over() {
    let mut flight = Flight::standby();
    flight.drives = false;
    flight.follow(11, 11);
    assert_eq!(flight.told(), ["woke", "heard", "heard", "peer", "decide", "computed"]);
}
