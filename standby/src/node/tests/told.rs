//! What a node tells its shell besides effects: when to wake it, whose state to take over, what decided.

use super::*;

#[test]
fn a_device_that_waits_for_nothing_looks_again_after_a_period() {
    let flight = Flight::of(1);
    assert_eq!(flight.node.next_wake(ms(5.0)), ms(15.0));
}

#[test]
fn what_was_due_before_now_is_due_behind_now() {
    let flight = Flight::primary();
    assert_eq!(flight.node.next_wake(ms(141.0)), ms(142.0));
    assert_eq!(flight.node.next_wake(ms(150.0)), ms(150.001));
}

#[test]
fn what_decided_is_told_until_the_law_has_computed() {
    let mut flight = Flight::standby();
    assert_eq!(flight.node.grounds(), None);
    flight.tell(112.0, Input::Woke);
    let effects = flight.node.step(ms(112.0), Input::Decide);
    assert!(matches!(effects[..], [Effect::Compute { .. }]), "{effects:?}");
    let grounds = flight.node.grounds().expect("it decides about a cycle");
    assert_eq!((grounds.cycle, grounds.ready, grounds.hears), (Cycle::new(11), Ok(()), true));
    let cycle = grounds.cycle;
    let computed = Input::Computed { cycle, signals: None, readings: Readings::Own, checked: true };
    let _ = flight.node.step(ms(112.1), computed);
    assert_eq!(flight.node.grounds(), None);
}

#[test]
fn only_a_newer_state_of_now_is_taken_over_and_by_a_standby_alone() {
    let flight = Flight::standby();
    let adopts = |n| flight.node.adopts(Cycle::new(n));
    // It holds that of cycle 10.
    assert!(adopts(11) && adopts(12));
    assert!(!adopts(9) && !adopts(10), "it is not newer");
    assert!(!adopts(13), "it is of another time");
    assert!(!Flight::primary().node.adopts(Cycle::new(14)));
    assert!(!Flight::of(1).node.adopts(Cycle::new(1)));
}

#[test]
fn a_missing_state_that_arrives_is_an_occasion_to_judge_and_any_other_is_none() {
    let mut flight = Flight::standby();
    // Another mission: it would be told at the next judgement.
    flight.peer = flight.peer.map(|peer| Header { digest: 99, ..peer });
    flight.receive_state(111.0, 11);
    assert!(flight.turn(112.0).sent.is_some(), "it was not judged again");

    let mut flight = Flight::standby();
    flight.adopts = false;
    for n in 11..=14 {
        flight.follow(n);
    }
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::Link));
    flight.adopts = true;
    flight.receive_state(151.0, 15);
    assert!(flight.turn(152.0).sent.is_some(), "what was missing is here");
}

#[test]
fn a_cover_in_anothers_term_proves_no_way_to_the_gate() {
    let mut flight = Flight::standby();
    flight.echoes = false;
    flight.echo = None;
    for n in 11..=130 {
        if n == 60 {
            // The holder leaves one out, and this device's command is acted on in its place.
            assert_eq!(flight.turn(602.0).sent, Some((OURS, 60)));
            flight.gate(602.5, 0, open(THEIRS, 60));
        } else {
            flight.follow(n);
        }
    }
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::OutputPath));
}

#[test]
fn commands_that_no_gate_acts_on_for_a_lease_are_a_reason_whatever_else_it_reports() {
    let mut flight = Flight::standby();
    for n in 11..=13 {
        let at = n as f64 * 10.0 + 2.0;
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
        // Open, and it has acted on none of them.
        flight.gate(at + 0.5, 0, open(THEIRS, 10));
    }
    flight.follow(14);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::Refused));
}

#[test]
fn a_primary_does_not_claim_for_a_gate_that_is_stopped_while_another_is_open() {
    let mut flight = Flight::primary();
    flight.gate(140.0, 0, open(OURS, 13));
    flight.gate(140.1, 1, stopped(Some(OURS), 13));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Primary, Some(OURS)));
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 14)));
}

#[test]
fn a_superseded_primary_does_not_even_probe_in_that_turn() {
    let mut flight = Flight::primary();
    // Long enough for a probe to be due.
    for n in 14..=40 {
        let at = n as f64 * 10.0 + 2.0;
        flight.turn(at);
        flight.gate(at + 0.5, 0, open(OURS, n));
    }
    flight.tell(412.0, Input::Woke);
    flight.gate(412.0, 0, open(HIGHER, 41));
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
    assert_eq!(flight.decided(412.0), Did { published: true, ..Did::default() });
}

#[test]
fn a_peer_that_has_lived_longer_is_heard_in_this_devices_count() {
    let mut flight = Flight::primary();
    // Cycle 13, three times around the wire's counter later.
    flight.relayed(140.0, 13 + 3 * 4_096, true, HIGHER);
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
}

#[test]
fn what_a_device_waits_for_is_said_when_it_has_listened() {
    let after = |until: f64, gate: Option<Says>| {
        let mut flight = Flight::of(1);
        let turns = (until / 10.0) as u64;
        for n in 0..=turns {
            let at = n as f64 * 10.0;
            if let Some(says) = gate {
                flight.gate(at, 0, says);
            }
            flight.turn(at);
        }
        flight.node.takeover_ready()
    };
    for gate in [None, Some(open(THEIRS, 3)), Some(closed(None, 0))] {
        assert_eq!(after(20.0, gate), Err(NotReady::Role), "it listens");
    }
    assert_eq!(after(30.0, None), Err(NotReady::NoGate));
    assert_eq!(after(30.0, Some(open(THEIRS, 3))), Err(NotReady::NoHolder));
    assert_eq!(after(30.0, Some(closed(None, 0))), Err(NotReady::Role), "it is not its turn to claim");
}
