//! The gate's rules, one test a fact.

use super::*;
use crate::signals::table::{Signal, Table};
use crate::signals::{Layout, Signals};
use crate::term::Slot;

const P: u64 = 10_000;
const M: u64 = 2_000;
static LAYOUT: Layout =
    Layout::of(&Table::of(&[Signal::of_counts("First", [-100, 100]), Signal::of_counts("Second", [-100, 100])]));

fn at(us: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + us * 1_000)
}

fn gate() -> Gate {
    Gate::new(
        0,
        Timing {
            period: Duration::from_micros(P),
            margin: Duration::from_micros(M),
            gate_lease: Duration::from_micros(3 * P),
            command_timeout: Duration::from_micros(5 * P),
        },
        &LAYOUT,
    )
}

fn command(term: u32, cycle: u64) -> Frame {
    CommandFrame {
        slot: Term::new(term).slot(),
        term: Term::new(term).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals: Signals::of_16_bits([1, 2]),
    }
    .encode()
}

fn how(verdict: Verdict) -> Result<How, Drop> {
    match verdict {
        Verdict::Acted { how, .. } => Ok(how),
        Verdict::Dropped { why } => Err(why),
        Verdict::Probe { .. } | Verdict::Followed { .. } | Verdict::EStopped { .. } | Verdict::Ignored => {
            panic!("neither acted nor dropped: {verdict:?}")
        }
    }
}

/// A gate that slot 0 opened in term 4; cycle 1 was acted on at P.
fn open_gate() -> Gate {
    let mut gate = gate();
    assert_eq!(how(gate.on_frame(at(0), &command(4, 0))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(P), &command(4, 1))), Ok(How::Opening));
    gate
}

#[test]
fn the_holder_is_acted_on_and_keeps_its_lease() {
    let mut gate = open_gate();
    for cycle in 2..50 {
        assert_eq!(how(gate.on_frame(at(cycle * P), &command(4, cycle))), Ok(How::Holder));
    }
}

#[test]
fn a_frame_of_the_holder_that_was_held_for_half_the_counters_range_or_more_is_no_frame_of_now() {
    // Cycle 2 was held; the holder drove on, and what was held looks thousands of cycles ahead.
    for held in [2_049_u64, 2_500, 3_000, 4_000, 4_090] {
        let mut gate = open_gate();
        let last = 2 + held;
        for cycle in 2..=last {
            assert_eq!(how(gate.on_frame(at(cycle * P), &command(4, cycle))), Ok(How::Holder));
        }
        assert_eq!(how(gate.on_frame(at(last * P + P / 2), &command(4, 2))), Err(Drop::NotDue), "{held}");
        let next = last + 1;
        assert_eq!(how(gate.on_frame(at(next * P), &command(4, next))), Ok(How::Holder), "{held}");
    }
}

#[test]
fn a_holder_whose_clock_slipped_by_less_than_a_lease_is_acted_on() {
    let mut gate = open_gate();
    // Three cycles further than the time that has passed; G3's margin would refuse it for good.
    assert_eq!(how(gate.on_frame(at(2 * P), &command(4, 5))), Ok(How::Holder));
    assert_eq!(how(gate.on_frame(at(3 * P), &command(4, 10))), Err(Drop::NotDue));
}

#[test]
fn a_higher_term_that_is_not_due_is_dropped() {
    let mut gate = open_gate();
    assert_eq!(how(gate.on_frame(at(2 * P - M - 1), &command(5, 2))), Err(Drop::NotDue));
    assert_eq!(how(gate.on_frame(at(2 * P), &command(4, 2))), Ok(How::Holder));
}

#[test]
fn an_empty_cycle_is_covered_and_after_the_lease_taken_over() {
    let mut gate = open_gate();
    assert_eq!(how(gate.on_frame(at(2 * P + M), &command(5, 2))), Ok(How::Cover));
    assert_eq!(gate.term(), Some(Term::new(4)));
    assert_eq!(how(gate.on_frame(at(3 * P + M), &command(5, 3))), Ok(How::Cover));
    assert_eq!(how(gate.on_frame(at(4 * P + M), &command(5, 4))), Ok(How::Takeover));
    assert_eq!(gate.term(), Some(Term::new(5)));
    assert_eq!(how(gate.on_frame(at(5 * P), &command(4, 5))), Err(Drop::StaleTerm));
}

#[test]
fn a_cover_that_is_a_hair_early_is_still_due() {
    let mut gate = open_gate();
    assert_eq!(how(gate.on_frame(at(2 * P + M), &command(5, 2))), Ok(How::Cover));
    assert_eq!(how(gate.on_frame(at(3 * P + M - 50), &command(5, 3))), Ok(How::Cover));
}

#[test]
fn late_frames_of_the_holder_renew_nothing() {
    let mut gate = open_gate();
    for cycle in 2..4 {
        assert_eq!(how(gate.on_frame(at(cycle * P + M), &command(5, cycle))), Ok(How::Cover));
        assert_eq!(how(gate.on_frame(at(cycle * P + M + 100), &command(4, cycle))), Err(Drop::OldCycle));
    }
    assert_eq!(how(gate.on_frame(at(4 * P + M), &command(5, 4))), Ok(How::Takeover));
}

#[test]
fn a_cycle_number_must_fit_the_time_that_has_passed() {
    let mut gate = open_gate();
    assert_eq!(how(gate.on_frame(at(2 * P + M), &command(5, 3))), Err(Drop::NotDue));
    assert_eq!(how(gate.on_frame(at(3 * P), &command(5, 3))), Ok(How::Cover));
}

#[test]
fn a_repeated_or_old_cycle_is_dropped() {
    let mut gate = open_gate();
    assert_eq!(how(gate.on_frame(at(2 * P), &command(4, 2))), Ok(How::Holder));
    assert_eq!(how(gate.on_frame(at(2 * P + 1), &command(4, 2))), Err(Drop::OldCycle));
    assert_eq!(how(gate.on_frame(at(2 * P + 2), &command(4, 1))), Err(Drop::OldCycle));
    assert_eq!(gate.dropped(Drop::OldCycle), 2);
}

#[test]
fn silence_closes_the_gate_and_it_keeps_its_term() {
    let mut gate = open_gate();
    assert!(!gate.on_tick(at(6 * P - 1)));
    assert!(gate.on_tick(at(6 * P)));
    assert!(!gate.is_open());
    // The old holder's frames, held back for seconds, open nothing.
    assert_eq!(how(gate.on_frame(at(90 * P), &command(4, 2))), Err(Drop::ClosedToTerm));
    assert_eq!(how(gate.on_frame(at(90 * P + 1), &command(4, 3))), Err(Drop::ClosedToTerm));
    // Its next term does, with the second frame.
    assert_eq!(how(gate.on_frame(at(91 * P), &command(8, 4))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(92 * P), &command(8, 5))), Ok(How::Opening));
}

#[test]
fn two_claimers_do_not_keep_each_other_out() {
    let mut gate = gate();
    assert_eq!(how(gate.on_frame(at(0), &command(0, 0))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(10), &command(1, 0))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(P), &command(0, 1))), Err(Drop::OtherCandidate));
    assert_eq!(how(gate.on_frame(at(P + 10), &command(1, 1))), Ok(How::Opening));
}

#[test]
fn a_candidate_that_waits_too_long_is_forgotten() {
    let mut gate = gate();
    assert_eq!(how(gate.on_frame(at(0), &command(5, 0))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(2 * P + 1), &command(0, 7))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(3 * P), &command(0, 8))), Ok(How::Opening));
}

#[test]
fn a_term_on_another_devices_identifier_is_dropped() {
    let mut gate = open_gate();
    let forged = CommandFrame {
        slot: Slot::RIGHT,
        term: 4,
        cycle: 2,
        probe: false,
        estop: false,
        signals: Signals::default(),
    };
    assert_eq!(how(gate.on_frame(at(2 * P), &forged.encode())), Err(Drop::WrongSlot));
}

#[test]
fn what_is_out_of_range_moves_nothing() {
    let mut gate = open_gate();
    let wild = CommandFrame { signals: Signals::of_16_bits([101, 0]), ..decoded(&command(4, 2)) };
    assert_eq!(how(gate.on_frame(at(2 * P), &wild.encode())), Err(Drop::OutOfRange));
    assert_eq!(gate.last(), Cycle::new(1));
}

fn decoded(frame: &Frame) -> CommandFrame {
    CommandFrame::decode(frame).expect("a frame of ours")
}

#[test]
fn a_probe_is_echoed_and_nothing_else() {
    let mut gate = open_gate();
    let probe = CommandFrame {
        slot: Slot::RIGHT,
        term: 0,
        cycle: 17,
        probe: true,
        estop: false,
        signals: Signals::default(),
    };
    assert_eq!(gate.on_frame(at(P + 1), &probe.encode()), Verdict::Probe { slot: Slot::RIGHT });
    let status = StatusFrame::decode(&gate.status(at(P + 1), 0)).expect("a status");
    assert_eq!(status.echo, Some(Echo { slot: Slot::RIGHT, number: 17 }));
    assert_eq!(gate.last(), Cycle::new(1));
}

#[test]
fn an_estop_latches_until_the_local_reset() {
    let mut gate = open_gate();
    let stop = CommandFrame { estop: true, ..decoded(&command(4, 2)) };
    assert_eq!(gate.on_frame(at(2 * P), &stop.encode()), Verdict::EStopped { slot: Slot::LEFT });
    assert!(!gate.is_open());
    assert_eq!(how(gate.on_frame(at(3 * P), &command(5, 3))), Err(Drop::EStop));
    gate.reset_estop();
    assert_eq!(how(gate.on_frame(at(4 * P), &command(5, 4))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(5 * P), &command(5, 5))), Ok(How::Opening));
}

#[test]
fn an_estop_of_a_superseded_term_stops_nothing() {
    let mut gate = open_gate();
    let stop = CommandFrame { estop: true, ..decoded(&command(0, 2)) };
    assert_eq!(how(gate.on_frame(at(2 * P), &stop.encode())), Err(Drop::StaleTerm));
    assert!(gate.is_open());
}

#[test]
fn a_gate_reports_by_itself_and_never_more_than_four_times_a_period() {
    let mut gate = open_gate();
    let mut sent = 0;
    for us in 0..1_000 {
        let _ = gate.on_frame(at(2 * P + us), &command(4, 2));
        if gate.is_status_due(at(2 * P + us)) {
            let _ = gate.status(at(2 * P + us), 0);
            sent += 1;
        }
    }
    assert_eq!(sent, u32::from(STATUSES_A_PERIOD_MAX));
    assert!(gate.is_status_due(at(4 * P)));
}

#[test]
fn an_open_gate_follows_another_open_gates_higher_term() {
    let mut gate = open_gate();
    let status = |term: u8, open| StatusFrame {
        gate: 1,
        term,
        cycle: 2,
        open,
        term_known: true,
        safe_state: !open,
        estop: false,
        echo: None,
        speed_mm_s: 0,
    };
    assert_eq!(gate.on_frame(at(P), &status(5, false).encode()), Verdict::Ignored);
    assert_eq!(gate.on_frame(at(P), &status(5, true).encode()), Verdict::Followed { gate: 1, term: Term::new(5) });
    assert_eq!(how(gate.on_frame(at(2 * P), &command(4, 2))), Err(Drop::StaleTerm));
    assert_eq!(how(gate.on_frame(at(2 * P), &command(5, 2))), Ok(How::Holder));
}

#[test]
fn counters_tell_every_reason_in_turn() {
    let mut gate = open_gate();
    let mut bad = command(4, 2);
    bad.data[0] ^= 1;
    assert_eq!(how(gate.on_frame(at(2 * P), &bad)), Err(Drop::BadCrc));
    let frame = CountersFrame::decode(&gate.counters(0)).expect("counters");
    assert_eq!(frame.counters, [1, 0, 0]);
    let last = CountersFrame::decode(&gate.counters(3)).expect("counters");
    assert_eq!((last.group, last.counters), (3, [1, 0, 0]));
}

#[test]
fn another_gates_counters_are_no_frame_of_an_unknown_kind() {
    let mut gate = open_gate();
    let other: Gate = Gate::new(1, gate.timing, gate.layout);
    assert_eq!(gate.on_frame(at(P + 1), &other.counters(0)), Verdict::Ignored);
    assert_eq!(gate.dropped(Drop::UnknownKind), 0);
}

#[test]
fn identifiers_behind_the_last_gates_are_of_an_unknown_kind() {
    let mut gate = open_gate();
    for id in [STATUS_ID, COUNTERS_ID].map(|first| first + u16::from(GATES)) {
        let stranger = Frame { id, ..command(4, 2) };
        assert_eq!(how(gate.on_frame(at(P + 1), &stranger)), Err(Drop::UnknownKind), "{id:#x}");
    }
}

#[test]
fn a_second_candidate_of_the_same_term_does_not_displace_the_first() {
    let mut gate = gate();
    assert_eq!(how(gate.on_frame(at(0), &command(4, 10))), Err(Drop::FirstOfTwo));
    assert_eq!(how(gate.on_frame(at(1), &command(4, 12))), Err(Drop::OtherCandidate));
    assert_eq!(how(gate.on_frame(at(2), &command(4, 11))), Ok(How::Opening));
}

#[test]
fn an_open_gate_of_the_same_term_renews_no_lease() {
    let mut gate = open_gate();
    let status = StatusFrame {
        gate: 1,
        term: 4,
        cycle: 2,
        open: true,
        term_known: true,
        safe_state: false,
        estop: false,
        echo: None,
        speed_mm_s: 0,
    };
    for cycle in 2..=4 {
        assert_eq!(gate.on_frame(at(cycle * P), &status.encode()), Verdict::Ignored);
        let verdict = gate.on_frame(at(cycle * P), &command(5, cycle));
        let taken = if cycle == 4 { How::Takeover } else { How::Cover };
        assert_eq!(how(verdict), Ok(taken), "cycle {cycle}");
    }
}

#[test]
fn a_gate_says_whether_it_is_stopped() {
    let mut gate = open_gate();
    assert!(!gate.is_stopped());
    gate.stop();
    assert!(gate.is_stopped());
    gate.reset_estop();
    assert!(!gate.is_stopped());
}

#[test]
fn each_reason_has_a_name_of_its_own_in_small_letters() {
    for (place, why) in Drop::ALL.iter().enumerate() {
        let name = why.name();
        assert!(!name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()), "{name}");
        assert!(Drop::ALL[..place].iter().all(|other| other.name() != name), "{name}");
    }
}
