//! The car behind its closed gate.

#[path = "../../../hal/tests/conformance/mod.rs"]
mod conformance;

use super::*;
use crate::plant::{Plant, PlantConfig};
use crate::signals::{LAYOUT, State};
use twinhelm_hal::actuator::Actuator;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::gate::{Gate, Timing};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;

const PERIOD: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(1);
const STEERING_RAD: f64 = 0.2;
const SPEED_MPS: f64 = 2.5;

fn command(cycle: u64) -> Frame {
    let command = Command { steering_rad: STEERING_RAD, drive_mps2: 1.0 };
    CommandFrame {
        slot: Slot::LEFT,
        term: Term::new(4).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals: command.encode().expect("in range"),
    }
    .encode()
}

/// Returns an actuator that follows a command, what it tells, and the time.
fn driving() -> (Actuator, Setpoints, Instant) {
    let timing = Timing {
        period: PERIOD,
        margin: Duration::from_millis(2),
        gate_lease: 3 * PERIOD,
        command_timeout: 5 * PERIOD,
    };
    let mut actuator = Actuator::new(Gate::new(0, timing, LAYOUT), safe_state(BRAKE_COUNTS, None));
    let mut now = Instant::from_nanos(1_000_000_000);
    for cycle in 1..=2 {
        now += PERIOD;
        let _ = actuator.on_tick(now, speed_mm_s(SPEED_MPS));
        let _ = actuator.on_frame(now, &command(cycle));
    }
    let mut setpoints = Setpoints::default();
    setpoints.follow(actuator.told(now));
    (actuator, setpoints, now)
}

/// The simulated actuators, in the suite of all places.
struct Simulated {
    actuator: Actuator,
    setpoints: Setpoints,
    told: Told,
    speed_mps: f64,
    pressed: bool,
}

impl Simulated {
    fn new(safe: SafeState) -> Self {
        let actuator = Actuator::new(Gate::new(0, conformance::TIMING, &conformance::LAYOUT), safe);
        Self { actuator, setpoints: Setpoints::default(), told: Told::Rest, speed_mps: 0.0, pressed: false }
    }

    fn follow(&mut self, now: Instant) {
        self.told = self.actuator.told(now);
        self.setpoints.follow(self.told);
    }
}

impl conformance::Place for Simulated {
    type Shown = Setpoints;
    const MEASURES_SPEED: bool = true;

    fn hear(&mut self, now: Instant, frame: &Frame) {
        let _ = self.actuator.on_frame(now, frame);
        self.follow(now);
    }

    fn turn(&mut self, now: Instant) {
        if self.pressed {
            self.actuator.stop(now);
        }
        let _ = self.actuator.on_tick(now, speed_mm_s(self.speed_mps));
        self.follow(now);
    }

    fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    fn measure(&mut self, speed_mm_s: i16) {
        self.speed_mps = f64::from(speed_mm_s) / 1e3;
    }

    fn shown(&self) -> Option<Setpoints> {
        (self.told != Told::Rest).then_some(self.setpoints)
    }

    fn expected(&self, signals: Signals, _counts: [i64; 2]) -> Setpoints {
        let mut setpoints = Setpoints::default();
        setpoints.follow(Told::Signals(signals));
        setpoints
    }
}

#[test]
fn the_simulated_actuators_do_what_all_do() {
    conformance::check(Simulated::new);
}

#[test]
fn an_open_gate_passes_the_command_on() {
    let (_, setpoints, _) = driving();
    assert!((setpoints.steering_rad - STEERING_RAD).abs() < 1e-9 && (setpoints.drive_mps2 - 1.0).abs() < 1e-9);
}

#[test]
fn a_closing_gate_brings_the_car_to_standstill_with_the_wheels_held_at_speed() {
    let (mut actuator, mut setpoints, mut now) = driving();
    let start = State { speed_mps: SPEED_MPS, ..State::default() };
    let mut plant = Plant::new(PlantConfig::default(), start);
    let track: Vec<(f64, f64)> = (0..4_000)
        .map(|_| {
            now += STEP;
            let _ = actuator.on_tick(now, speed_mm_s(plant.state().speed_mps));
            setpoints.follow(actuator.told(now));
            plant.step(STEP.as_secs_f64(), setpoints.steering_rad, setpoints.drive_mps2);
            (setpoints.steering_rad, plant.state().speed_mps)
        })
        .collect();
    let walking = f64::from(WALKING_MM_S) / 1e3;
    for (steering, speed) in &track {
        assert!(*speed < walking || (steering - STEERING_RAD).abs() < 1e-9, "{steering} at {speed}");
    }
    assert_eq!(track.last(), Some(&(0.0, 0.0)));
    // Centred smoothly: no step larger than the slew rate.
    assert!(track.windows(2).all(|pair| (pair[1].0 - pair[0].0).abs() < CENTRING_RAD_PER_S * 1.1e-3));
    assert!(track.windows(2).skip(300).all(|pair| pair[1].1 <= pair[0].1));
}

#[test]
fn a_speed_that_is_no_number_is_not_known() {
    assert_eq!([2.5, -0.0196, 1e9, f64::NAN].map(speed_mm_s), [Some(2_500), Some(-20), Some(i16::MAX), None]);
}

#[test]
fn told_nothing_the_wheels_stay_and_the_motor_coasts() {
    let (_, mut setpoints, _) = driving();
    setpoints.follow(Told::Rest);
    assert_eq!(setpoints, Setpoints { drive_mps2: 0.0, ..driving().1 });
}
