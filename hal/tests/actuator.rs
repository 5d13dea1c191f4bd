//! The actuator and the pins, each in the suite of all places.

mod conformance;

use conformance::{LAYOUT, Place, TIMING};
use core::convert::Infallible;
use twinhelm_hal::actuator::{Actuator, SafeState, Told};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::gate::Gate;
use twinhelm_hal::pins::{GuardedPins, Outputs, Pulse, Pulses, Servo, Setup, Travel};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::time::Instant;

/// The actuator by itself.
struct Bare {
    actuator: Actuator,
    pressed: bool,
    speed: Option<i16>,
    told: Told,
}

impl Place for Bare {
    type Shown = Signals;
    const MEASURES_SPEED: bool = true;

    fn hear(&mut self, now: Instant, frame: &Frame) {
        let _verdict = self.actuator.on_frame(now, frame);
        self.told = self.actuator.told(now);
    }

    fn turn(&mut self, now: Instant) {
        if self.pressed {
            self.actuator.stop(now);
        }
        let _timed_out = self.actuator.on_tick(now, self.speed);
        self.told = self.actuator.told(now);
    }

    fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    fn measure(&mut self, speed_mm_s: i16) {
        self.speed = Some(speed_mm_s);
    }

    fn shown(&self) -> Option<Signals> {
        match self.told {
            Told::Rest => None,
            Told::Signals(signals) => Some(signals),
        }
    }

    fn expected(&self, signals: Signals, _counts: [i64; 2]) -> Signals {
        signals
    }
}

fn bare(safe: SafeState) -> Bare {
    let actuator = Actuator::new(Gate::new(0, TIMING, &LAYOUT), safe);
    Bare { actuator, pressed: false, speed: Some(0), told: Told::Rest }
}

/// Pins that show what they were given.
#[derive(Default)]
struct SimPins {
    pulses: Option<Pulses>,
    selected: bool,
}

impl Outputs for SimPins {
    type Error = Infallible;

    fn drive(&mut self, pulses: Pulses) -> Result<(), Infallible> {
        self.pulses = Some(pulses);
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Infallible> {
        self.pulses = None;
        Ok(())
    }

    fn select(&mut self, selected: bool) -> Result<(), Infallible> {
        self.selected = selected;
        Ok(())
    }
}

struct OnPins {
    pins: GuardedPins<SimPins>,
    setup: Setup,
    pressed: bool,
    speed: Option<i16>,
}

impl Place for OnPins {
    type Shown = Pulses;
    const MEASURES_SPEED: bool = true;

    fn hear(&mut self, now: Instant, frame: &Frame) {
        let _verdict = self.pins.on_frame(now, frame);
    }

    fn turn(&mut self, now: Instant) {
        self.pins.on_estop_line(now, self.pressed);
        let _timed_out = self.pins.on_tick(now, self.speed);
    }

    fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    fn measure(&mut self, speed_mm_s: i16) {
        self.speed = Some(speed_mm_s);
    }

    fn shown(&self) -> Option<Pulses> {
        let SimPins { pulses, selected } = self.pins.outputs();
        assert_eq!(pulses.is_some(), *selected, "the line goes with the pulses");
        *pulses
    }

    fn expected(&self, _signals: Signals, [first, second]: [i64; 2]) -> Pulses {
        Pulses { steering: self.setup.steering.pulse(first), drive: self.setup.drive.pulse(second) }
    }
}

fn on_pins(safe: SafeState) -> OnPins {
    let us = |us| Pulse::from_us(us).expect("a pulse");
    let travel = Travel { at_min: us(1_000), at_zero: us(1_500), at_max: us(2_000) };
    let servo = |min, max| Servo::new(travel, 0, min, max).expect("a servo");
    let setup = Setup { steering: servo(-5_000, 5_000), drive: servo(-6_000, 4_000), safe, own_slot: None };
    let pins = GuardedPins::new(Gate::new(0, TIMING, &LAYOUT), setup, SimPins::default());
    OnPins { pins, setup, pressed: false, speed: Some(0) }
}

#[test]
fn the_actuator_itself() {
    conformance::check(bare);
}

#[test]
fn pins() {
    conformance::check(on_pins);
}
