//! V2, V3, V4, V5: a standby follows, covers, falls silent when it is blind, and becomes primary.

use super::*;

#[test]
fn a_standby_is_silent_while_the_gate_reports_each_cycle() {
    let mut flight = Flight::standby();
    for n in 11..300 {
        assert_eq!(flight.follow(n).sent, None);
    }
}

#[test]
fn a_standby_computes_each_cycle_that_it_does_not_send() {
    let mut flight = Flight::standby();
    let did = flight.follow(11);
    assert_eq!((did.computed, did.published), (Some(11), true));
}

#[test]
fn a_standby_covers_the_cycle_that_the_holder_left_empty() {
    let mut flight = Flight::standby();
    assert_eq!(flight.node.next_wake(ms(105.0)), ms(112.0));
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)));
}

#[test]
fn each_decision_point_sets_the_next_one_a_period_later() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    assert_eq!(flight.node.next_wake(ms(112.1)), ms(122.0));
    flight.gate(112.5, 0, open(THEIRS, 11));
    assert_eq!(flight.turn(122.0).sent, Some((OURS, 12)));
}

#[test]
fn the_gates_report_is_the_witness_not_the_bus() {
    let mut flight = Flight::standby();
    // The standby hears the command; the gate missed it.
    flight.command(110.0, THEIRS, 11);
    flight.gate(110.5, 0, open(THEIRS, 10));
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)));
}

#[test]
fn a_later_cycle_reported_is_as_good() {
    let mut flight = Flight::standby();
    flight.gate(110.5, 0, open(THEIRS, 12));
    assert_eq!(flight.turn(112.0).sent, None);
}

#[test]
fn one_open_gate_that_missed_the_cycle_is_enough() {
    let mut flight = Flight::standby();
    flight.command(110.0, THEIRS, 11);
    flight.gate(110.5, 0, open(THEIRS, 11));
    flight.gate(110.6, 1, open(THEIRS, 10));
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)));
}

#[test]
fn a_gate_that_is_not_live_is_not_asked() {
    let mut flight = Flight::standby();
    flight.gate(100.6, 1, open(THEIRS, 10));
    for n in 11..=13 {
        flight.gate(n as f64 * 10.0 + 0.4, 1, open(THEIRS, n));
        flight.follow(n);
    }
    // Gate 1 falls silent. For a gate lease it counts as one that missed the cycle, then no more.
    assert_eq!(flight.follow(14).sent, Some((OURS, 14)));
    flight.follow(15);
    flight.follow(16);
    assert_eq!(flight.follow(17).sent, None);
}

#[test]
fn a_closed_gate_is_not_asked() {
    let mut flight = Flight::standby();
    flight.gate(105.0, 1, closed(None, 0));
    assert_eq!(flight.follow(11).sent, None);
}

#[test]
fn without_a_live_open_gate_the_bus_is_the_witness() {
    let mut flight = Flight::standby();
    // The gate's status is lost from now on; the holder is heard.
    for n in 11..=13 {
        flight.command(n as f64 * 10.0, THEIRS, n);
        flight.turn(n as f64 * 10.0 + 2.0);
    }
    flight.command(140.0, THEIRS, 14);
    assert_eq!(flight.turn(142.0).sent, None);
    assert_eq!(flight.turn(152.0).sent, Some((OURS, 15)));
}

#[test]
fn a_blind_standby_sends_nothing_until_it_hears_something() {
    let mut flight = Flight::standby();
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)), "11.5 ms of silence are less than the blind limit");
    assert_eq!(flight.turn(122.0).sent, None, "21.5 ms are more");
    flight.gate(130.0, 0, open(THEIRS, 11));
    assert_eq!(flight.turn(132.0).sent, Some((OURS, 13)));
}

#[test]
fn a_frame_on_the_own_identifier_is_not_heard() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.command(121.0, OURS, 11);
    assert_eq!(flight.turn(122.0).sent, None);
}

#[test]
fn a_late_frame_for_the_covered_cycle_moves_the_next_decision_point_by_the_margin() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.command(113.0, THEIRS, 11);
    assert_eq!(flight.node.next_wake(ms(114.0)), ms(124.0));
}

#[test]
fn it_locks_on_again_once_a_cycle() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.command(113.0, THEIRS, 11);
    flight.command(114.0, THEIRS, 11);
    assert_eq!(flight.node.next_wake(ms(115.0)), ms(124.0));
}

#[test]
fn a_late_frame_for_another_cycle_moves_nothing() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.command(113.0, THEIRS, 10);
    assert_eq!(flight.node.next_wake(ms(114.0)), ms(122.0));
}

#[test]
fn a_late_frame_for_a_cycle_that_was_not_sent_for_moves_nothing() {
    let mut flight = Flight::standby();
    flight.follow(11);
    flight.command(113.0, THEIRS, 11);
    assert_eq!(flight.node.next_wake(ms(114.0)), ms(122.0));
}

#[test]
fn a_command_below_the_reported_term_moves_nothing() {
    let mut flight = Flight::standby();
    flight.gate(103.0, 0, open(HIGHER, 10));
    flight.command(108.0, THEIRS, 11);
    assert_eq!(flight.node.next_wake(ms(109.0)), ms(112.0));
}

#[test]
fn starts_that_were_missed_are_skipped() {
    let mut flight = Flight::standby();
    flight.gate(110.5, 0, open(THEIRS, 11));
    flight.gate(125.0, 0, open(THEIRS, 11));
    // 17 ms late, less than a lease: the cycle that is due now, not the one that was.
    assert_eq!(flight.turn(129.0).sent, Some((OURS, 12)));
    assert_eq!(flight.node.next_wake(ms(129.1)), ms(132.0));
}

#[test]
fn a_count_that_ran_ahead_of_a_late_holders_follows_the_gate_again() {
    let mut flight = Flight::standby();
    // What it sends for these does not arrive.
    for n in 11..=12 {
        let at = n as f64 * 10.0 + 2.0;
        flight.gate(at - 0.5, 0, open(THEIRS, 10));
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
    }
    // The holder's comes late, and is acted on: two cycles behind the count.
    flight.command(128.0, THEIRS, 11);
    flight.gate(128.5, 0, open(THEIRS, 11));
    assert_eq!(flight.turn(132.0).sent, None, "the gate would act on nothing of it now");
    let due = 128.0 + 10.0 + 2.0;
    assert_eq!(flight.node.next_wake(ms(132.1)), ms(due));
    assert_eq!(flight.turn(due).sent, Some((OURS, 12)));
}

#[test]
fn two_covers_go_out_in_one_term() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.gate(112.5, 0, open(THEIRS, 11));
    assert_eq!(flight.turn(122.0).sent, Some((OURS, 12)));
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn a_standby_holds_the_wheel_when_an_open_gate_reports_its_chosen_term() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.gate(112.5, 0, open(OURS, 11));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Primary, Some(OURS)));
    assert_eq!(flight.turn(122.0).sent, Some((OURS, 12)));
}

#[test]
fn a_closed_gate_makes_nobody_primary() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.gate(112.5, 0, closed(Some(OURS), 11));
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn a_term_of_the_own_slot_that_was_not_chosen_makes_nobody_primary() {
    let mut flight = Flight::standby();
    flight.gate(105.0, 0, open(OURS, 10));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Standby, None));
}

#[test]
fn a_standby_only_forgets_its_chosen_term_when_a_higher_one_is_reported() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    assert_eq!(flight.chosen(), Some(OURS));
    flight.gate(112.5, 0, open(HIGHER, 12));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Standby, None));
    // The next cover is of a new term.
    assert_eq!(flight.turn(132.0).sent, Some((5, 13)));
}

#[test]
fn a_standby_that_overslept_joins_before_any_effect() {
    let mut flight = Flight::standby();
    flight.gate(132.0, 0, open(THEIRS, 10));
    assert_eq!(flight.turn(132.1), Did { published: true, ..Did::default() });
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn what_is_not_finite_is_not_sent() {
    let mut flight = Flight::standby();
    flight.signals = None;
    let did = flight.turn(112.0);
    assert_eq!((did.sent, did.published), (None, true));
}

#[test]
fn a_command_held_for_half_the_counters_range_is_nobodys_cycle() {
    let mut flight = Flight::standby();
    for n in 11..40 {
        flight.follow(n);
    }
    // It looks 2,000 cycles ahead, and any gate drops it as not due.
    flight.command(400.5, THEIRS, 39 + 2_000);
    assert_eq!(flight.follow(40).sent, None);
    assert!(flight.node.is_current(Cycle::new(40)), "states of now are taken over");
    assert_eq!(flight.node.next_wake(ms(405.0)), ms(412.0), "and it decides for the next cycle");
    // What a holder's clock may slip by within a lease is its own.
    flight.command(410.0, THEIRS, 43);
    assert_eq!(flight.node.align(Cycle::new(43)), Cycle::new(43));
    assert!(flight.node.is_current(Cycle::new(45)));
}
