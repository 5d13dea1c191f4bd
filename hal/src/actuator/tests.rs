//! The safe state: what each signal does, and when it is let go.

extern crate std;

use super::*;
use crate::cycle::Cycle;
use crate::frame::{CommandFrame, CountersFrame, StatusFrame};
use crate::gate::{Drop, Timing};
use crate::signals::Layout;
use crate::signals::table::{Signal, Table};
use crate::term::{Slot, Term};
use std::vec::Vec;

const MS: Duration = Duration::from_millis(1);
const PERIOD: Duration = Duration::from_millis(10);
static LAYOUT: Layout = Layout::of(&Table::of(&[
    Signal::of_counts("First", [-5_000, 5_000]),
    Signal::of_counts("Second", [-6_000, 4_000]),
]));
const COMMAND: Signals = Signals::of_16_bits([1_000, 500]);
const AT_LATEST: Duration = Duration::from_secs(10);

fn release(value: Option<i64>, at_latest: Option<Duration>) -> Release {
    Release { value, slower_than_mm_s: 20, at_latest }
}

/// Holds the first signal until it is slower than 0.5 m/s, and has it come to 0 within 0.2 s then; brakes after 5 ms.
fn safe(at_latest: Option<Duration>) -> SafeState {
    SafeState::of(
        &[
            SafeSignal {
                delay: Duration::ZERO,
                action: Action::HoldUntilSlower(500, Ramp { to: 0, counts_per_s: Some(5_000) }),
                release: release(None, at_latest),
            },
            SafeSignal {
                delay: 5 * MS,
                action: Action::Ramp(Ramp { to: -2_000, counts_per_s: None }),
                release: release(Some(0), at_latest),
            },
        ],
        3_000,
    )
}

fn actuator(safe: SafeState) -> Actuator {
    let timing = Timing { period: PERIOD, margin: 2 * MS, gate_lease: 3 * PERIOD, command_timeout: 5 * PERIOD };
    Actuator::new(Gate::new(0, timing, &LAYOUT), safe)
}

fn frame(cycle: u64, estop: bool) -> Frame {
    CommandFrame {
        slot: Slot::LEFT,
        term: Term::new(4).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop,
        signals: COMMAND,
    }
    .encode()
}

/// Returns one that follows [`COMMAND`] at `speed`, and the time at which it closes when it hears nothing more.
fn following(safe: SafeState, speed: Option<i16>) -> (Actuator, Instant) {
    let mut actuator = actuator(safe);
    let mut now = Instant::from_nanos(1_000_000_000);
    for cycle in 1..=3 {
        now += PERIOD;
        let _ = actuator.on_tick(now, speed);
        let _ = actuator.on_frame(now, &frame(cycle, false));
    }
    assert_eq!(actuator.told(now), Told::Signals(COMMAND));
    (actuator, now + 5 * PERIOD)
}

fn told(actuator: &mut Actuator, now: Instant, speed: Option<i16>) -> Told {
    let _ = actuator.on_tick(now, speed);
    actuator.told(now)
}

fn signals(first: i16, second: i16) -> Told {
    Told::Signals(Signals::of_16_bits([first, second]))
}

#[test]
fn each_signal_does_what_the_safe_state_says_and_both_are_let_go_at_a_standstill() {
    let (mut actuator, closes) = following(safe(None), Some(2_500));
    assert_eq!(told(&mut actuator, closes - Duration::from_nanos(1), Some(2_500)), Told::Signals(COMMAND));
    assert!(actuator.on_tick(closes, Some(2_500)));
    assert_eq!(actuator.told(closes), signals(1_000, 500), "the delay");
    // It slows down by 2 m/s², a step a millisecond.
    let seen: Vec<(i16, Told)> = (5..2_000_u16)
        .map(|ms| {
            let speed = 2_500_i16.saturating_sub(i16::try_from(2 * ms).expect("small")).max(0);
            (speed, told(&mut actuator, closes + u32::from(ms) * MS, Some(speed)))
        })
        .collect();
    for (speed, told) in &seen {
        match told {
            Told::Rest => assert!(*speed < 20, "let go at {speed} mm/s"),
            Told::Signals(signals) => {
                let [first, second] = counts(signals);
                assert!(*speed < 500 || first == 1_000, "{first} at {speed} mm/s");
                assert_eq!(second, if *speed < 20 { 0 } else { -2_000 }, "at {speed} mm/s");
            }
        }
    }
    let firsts: Vec<i64> = seen.iter().filter_map(|(_, told)| first_of(*told)).collect();
    assert!(firsts.windows(2).all(|pair| (0..=5).contains(&(pair[0] - pair[1]))), "no faster than the ramp");
    assert!(firsts.contains(&500) && seen.last().is_some_and(|(_, told)| *told == Told::Rest));
}

fn counts(signals: &Signals) -> [i64; 2] {
    let mut counts = LAYOUT.counts(signals);
    [(); 2].map(|()| counts.next().expect("two signals"))
}

fn first_of(told: Told) -> Option<i64> {
    match told {
        Told::Signals(signals) => Some(counts(&signals)[0]),
        Told::Rest => None,
    }
}

#[test]
fn one_that_nobody_ticks_times_out_all_the_same() {
    let (mut actuator, closes) = following(safe(None), Some(2_500));
    assert_eq!(actuator.told(closes - Duration::from_nanos(1)), Told::Signals(COMMAND));
    assert_eq!((actuator.told(closes), actuator.gate().is_open()), (signals(1_000, 500), false));
    assert_eq!(actuator.told(closes + 5 * MS), signals(1_000, -2_000));
}

#[test]
fn a_speed_that_is_not_known_is_driving_until_the_time_is_over() {
    let (mut actuator, closes) = following(safe(Some(AT_LATEST)), None);
    assert!(actuator.on_tick(closes, None));
    for ms in [5, 500, 9_999] {
        assert_eq!(told(&mut actuator, closes + ms * MS, None), signals(1_000, -2_000), "{ms} ms");
    }
    assert!(actuator.next_tick(closes + AT_LATEST - MS) <= closes + AT_LATEST);
    assert_eq!(told(&mut actuator, closes + AT_LATEST, None), Told::Rest);
}

/// The wheels are not straightened, and the brake is not let go, because a cable broke.
#[test]
fn an_encoder_that_says_at_once_that_the_vehicle_stands_is_not_believed() {
    let (mut actuator, closes) = following(safe(None), Some(2_500));
    // From 2.5 m/s to 0.5 m/s takes two thirds of a second at 3 m/s².
    let mut centres_at = None;
    for ms in 0..1_000 {
        let told = told(&mut actuator, closes + ms * MS, Some(0));
        if centres_at.is_none() && first_of(told) != Some(1_000) {
            centres_at = Some(ms);
        }
    }
    let since_last_believed = centres_at.expect("it is believed in the end") + 50;
    assert!((660..=670).contains(&since_last_believed), "{since_last_believed} ms");
}

/// Its cable was off from the beginning.
#[test]
fn an_encoder_that_never_said_that_the_vehicle_moves_is_not_believed() {
    let (mut actuator, closes) = following(safe(Some(AT_LATEST)), Some(0));
    assert!(actuator.on_tick(closes, Some(0)));
    for ms in [5, 9_999] {
        assert_eq!(told(&mut actuator, closes + ms * MS, Some(0)), signals(1_000, -2_000), "{ms} ms");
    }
}

#[test]
fn whoever_is_let_go_stays_so_until_the_gate_acts_on_a_command() {
    let (mut actuator, closes) = following(safe(Some(Duration::ZERO)), Some(2_500));
    assert_eq!(told(&mut actuator, closes, Some(2_500)), Told::Rest, "with no time it is let go at once");
    assert_eq!(told(&mut actuator, closes + PERIOD, Some(2_500)), Told::Rest);
    let again = |cycle| frame(cycle, false);
    for (count, cycle) in [(2, 10), (3, 11)] {
        let _ = actuator.on_frame(closes + count * PERIOD, &again(cycle));
    }
    let open = actuator.gate().is_open();
    assert_eq!(actuator.told(closes + 3 * PERIOD) == Told::Signals(COMMAND), open);
}

#[test]
fn an_e_stop_begins_the_safe_state_at_once_and_what_does_not_listen_is_told_nothing() {
    let (mut actuator, closes) = following(safe(None), Some(2_500));
    let now = closes - 4 * PERIOD;
    assert!(matches!(actuator.on_frame(now, &frame(4, true)), Verdict::EStopped { .. }));
    assert_eq!(told(&mut actuator, now + 5 * MS, Some(2_500)), signals(1_000, -2_000));
    actuator.give_up();
    assert_eq!((actuator.told(now + PERIOD), actuator.gate().is_stopped()), (Told::Rest, true));
}

#[test]
fn one_that_comes_up_while_the_vehicle_moves_stops_it_if_it_knows_the_speed() {
    let now = Instant::from_nanos(1_000_000_000);
    for (speed, brakes) in [(Some(2_500), true), (Some(-2_500), true), (Some(0), false), (None, false)] {
        let mut actuator = actuator(safe(None));
        assert_eq!(actuator.told(now), Told::Rest);
        let _ = actuator.on_tick(now, speed);
        let told = told(&mut actuator, now + 5 * MS, speed);
        assert_eq!(told, if brakes { signals(0, -2_000) } else { Told::Rest }, "{speed:?}");
    }
}

#[test]
fn the_status_carries_the_speed_and_the_counters_all_reasons_in_turn() {
    let (mut actuator, closes) = following(safe(None), Some(0));
    let mut now = closes - 4 * PERIOD;
    let status = actuator.outgoing(now, Some(-1_235)).expect("a status is due");
    let status = StatusFrame::decode(&status).expect("a status");
    assert_eq!((status.speed_mm_s, status.open), (-1_235, true));
    let _ = actuator.on_frame(now, &frame(2, false));
    let mut counted = Vec::new();
    for _ in 0..COUNTER_GROUPS {
        while let Some(frame) = actuator.outgoing(now, None) {
            counted.extend(CountersFrame::decode(&frame).iter().flat_map(|counters| counters.counters));
        }
        let later = core::iter::from_fn(|| actuator.outgoing(now + PERIOD, None));
        assert!(later.into_iter().all(|frame| CountersFrame::decode(&frame).is_err()), "not due again in a period");
        now += COUNTERS_EVERY;
    }
    let of = |why: Drop| counted[why as usize];
    assert_eq!((counted.len(), of(Drop::FirstOfTwo), of(Drop::OldCycle)), (DROPS, 1, 1));
}

#[test]
fn a_signal_that_the_safe_state_says_nothing_of_stays_as_it_was() {
    let braked = SafeSignal {
        delay: Duration::ZERO,
        action: Action::Ramp(Ramp { to: 0, counts_per_s: None }),
        release: release(None, Some(100 * MS)),
    };
    let (mut actuator, closes) = following(SafeState::of(&[braked], 0), None);
    assert_eq!(told(&mut actuator, closes, None), signals(0, 500));
    assert_eq!(told(&mut actuator, closes + 100 * MS, None), Told::Rest);
}
