//! The actuator node, one test a fact.

use super::*;
use crate::plant::{Plant, PlantConfig};
use crate::signals::State;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, CountersFrame, StatusFrame};
use twinhelm_hal::gate::Drop;
use twinhelm_hal::term::{Slot, Term};

const PERIOD: Duration = Duration::from_millis(10);
const STEERING_RAD: f64 = 0.2;

fn timing() -> Timing {
    Timing { period: PERIOD, margin: Duration::from_millis(2), gate_lease: 3 * PERIOD, command_timeout: 5 * PERIOD }
}

fn command(cycle: u64, estop: bool) -> Frame {
    let command = Command { steering_rad: STEERING_RAD, drive_mps2: 1.0 };
    CommandFrame {
        slot: Slot::LEFT,
        term: Term::new(4).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop,
        signals: command.encode().expect("in range"),
    }
    .encode()
}

/// Returns an open node and the time.
fn opened() -> (ActuatorNode, Instant) {
    let mut node = ActuatorNode::new(0, timing());
    let mut now = Instant::from_nanos(1_000_000_000);
    for cycle in 1..=2 {
        now += PERIOD;
        let _ = node.on_frame(now, &command(cycle, false));
    }
    assert!(node.gate().is_open());
    (node, now)
}

/// Drives the plant behind `node` for `seconds` without a frame; returns wheels and speed, step by step.
fn let_go(node: &mut ActuatorNode, mut now: Instant, seconds: u32) -> Vec<(f64, f64)> {
    let step = Duration::from_millis(1);
    let start = State { speed_mps: 2.5, ..State::default() };
    let mut plant = Plant::new(PlantConfig::default(), start);
    (0..seconds * 1_000)
        .map(|_| {
            now += step;
            let setpoints = node.setpoints(now, plant.state().speed_mps, step);
            plant.step(step.as_secs_f64(), setpoints.steering_rad, setpoints.drive_mps2);
            (setpoints.steering_rad, plant.state().speed_mps)
        })
        .collect()
}

#[test]
fn an_open_gate_passes_the_command_on() {
    let (mut node, now) = opened();
    let setpoints = node.setpoints(now, 2.5, PERIOD);
    assert!((setpoints.steering_rad - STEERING_RAD).abs() < 1e-9 && (setpoints.drive_mps2 - 1.0).abs() < 1e-9);
}

#[test]
fn a_closing_gate_brings_the_vehicle_to_standstill_with_the_wheels_held_at_speed() {
    let (mut node, now) = opened();
    let track = let_go(&mut node, now, 4);
    assert!(!node.gate().is_open());
    for (steering, speed) in &track {
        assert!(*speed < WALKING_MPS || (steering - STEERING_RAD).abs() < 1e-9, "{steering} at {speed}");
    }
    assert_eq!(track.last(), Some(&(0.0, 0.0)));
    // Centred smoothly: no step larger than the slew rate.
    assert!(track.windows(2).all(|pair| (pair[1].0 - pair[0].0).abs() < CENTRING_RAD_PER_S * 1.1e-3));
    assert!(track.windows(2).skip(300).all(|pair| pair[1].1 <= pair[0].1));
}

#[test]
fn a_node_that_nobody_ticks_times_out_all_the_same() {
    let (mut node, now) = opened();
    let last = node.setpoints(now + 5 * PERIOD - Duration::from_nanos(1), 2.5, PERIOD);
    assert!((last.drive_mps2 - 1.0).abs() < 1e-9);
    let safe = node.setpoints(now + 5 * PERIOD, 2.5, PERIOD);
    assert!((safe.drive_mps2 - SAFE_DRIVE_MPS2).abs() < 1e-9);
}

#[test]
fn an_e_stop_brakes_and_holds() {
    let (mut node, now) = opened();
    let verdict = node.on_frame(now + PERIOD, &command(3, true));
    assert_eq!(verdict, Verdict::EStopped { slot: Slot::LEFT });
    let safe = node.setpoints(now + PERIOD, 2.5, PERIOD);
    assert_eq!(safe, Setpoints { steering_rad: Command::decode(LIMITS.max).steering_rad * 0.4, drive_mps2: -2.0 });
    let _ = node.on_frame(now + 2 * PERIOD, &command(4, false));
    assert!(!node.gate().is_open());
}

#[test]
fn a_speed_that_is_no_number_brakes_and_holds() {
    let (mut node, now) = opened();
    let safe = node.setpoints(now + 6 * PERIOD, f64::NAN, PERIOD);
    assert!((safe.drive_mps2 - SAFE_DRIVE_MPS2).abs() < 1e-9 && (safe.steering_rad - STEERING_RAD).abs() < 1e-9);
}

#[test]
fn the_status_carries_the_speed_and_the_counters_all_reasons_in_turn() {
    let (mut node, mut now) = opened();
    let status = StatusFrame::decode(&node.status(now, -1.2345)).expect("a status");
    assert_eq!((status.speed_mm_s, status.open), (-1_235, true));
    assert_eq!(StatusFrame::decode(&node.status(now, 1e9)).map(|status| status.speed_mm_s), Ok(i16::MAX));
    let _ = node.on_frame(now, &command(2, false));
    let mut counted = Vec::new();
    for _ in 0..COUNTER_GROUPS {
        assert!(node.is_counters_due(now));
        counted.extend(CountersFrame::decode(&node.counters(now)).expect("counters").counters);
        assert!(!node.is_counters_due(now + PERIOD));
        now += COUNTERS_EVERY;
    }
    let of = |why: Drop| counted[why as usize];
    assert_eq!((counted.len(), of(Drop::FirstOfTwo), of(Drop::OldCycle)), (DROPS, 1, 1));
}
