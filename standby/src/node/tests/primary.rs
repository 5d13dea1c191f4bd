//! V4 to V9: a primary drives, is fenced, chooses a new term, sleeps too long, hands over.

use super::*;

#[test]
fn a_primary_sends_every_period() {
    let mut flight = Flight::primary();
    for n in 14..50 {
        let at = n as f64 * 10.0 + 2.0;
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
        flight.gate(at + 0.5, 0, open(OURS, n));
    }
}

#[test]
fn a_primary_goes_on_sending_when_it_hears_nothing() {
    let mut flight = Flight::primary();
    for n in 14..50 {
        assert_eq!(flight.turn(n as f64 * 10.0 + 2.0).sent, Some((OURS, n)));
    }
}

#[test]
fn a_higher_term_at_an_open_gate_fences_in_the_same_step() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, open(HIGHER, 14));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Fenced(FencedBy::Gate), None));
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::Role));
}

#[test]
fn a_fenced_device_joins_at_its_next_step() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, open(HIGHER, 14));
    assert_eq!(flight.turn(142.0), Did { published: true, ..Did::default() });
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn another_devices_frames_never_fence() {
    let mut flight = Flight::primary();
    flight.command(141.0, HIGHER, 14);
    assert_eq!(flight.role(), RoleName::Primary);
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 14)));
}

#[test]
fn a_primary_whose_gate_closed_chooses_a_new_term() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, closed(Some(OURS), 13));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Claiming, Some(5)));
    assert_eq!(flight.turn(142.0).sent, Some((5, 14)), "without missing a period");
}

#[test]
fn a_closed_gate_of_a_higher_term_makes_it_climb_too() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, closed(Some(HIGHER + 4), 13));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Claiming, Some(9)));
}

#[test]
fn a_gate_that_restarted_does_not_make_a_primary_climb() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, closed(None, 0));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Primary, Some(OURS)));
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 14)));
}

#[test]
fn a_primarys_cycle_is_lifted_above_the_last_reported() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, open(OURS, 20));
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 21)));
}

#[test]
fn a_primarys_cycle_is_never_lowered() {
    let mut flight = Flight::primary();
    flight.gate(141.0, 0, open(OURS, 9));
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 14)));
}

#[test]
fn a_primary_that_overslept_joins_before_any_effect() {
    let mut flight = Flight::primary();
    assert_eq!(flight.turn(162.1), Did { published: true, ..Did::default() });
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_sleep_of_exactly_a_lease_is_no_oversleep() {
    let mut flight = Flight::primary();
    // 132.02 ms was the end of its last turn.
    assert_eq!(flight.turn(162.02).sent, Some((OURS, 16)));
}

#[test]
fn a_law_that_slept_through_a_lease_gets_nothing_sent() {
    let mut flight = Flight::primary();
    assert_eq!(flight.turn_that_takes(142.0, 30.1).sent, None);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_command_that_fails_the_self_check_is_not_sent() {
    let mut flight = Flight::primary();
    flight.checked = false;
    assert_eq!(flight.turn(142.0).sent, None);
    assert_eq!(flight.role(), RoleName::Primary);
    assert!(!flight.node.header().checked);
}

/// A primary whose peer says at 141 ms what it is.
fn with_peer(role: RoleName, ready: Result<(), NotReady>) -> Flight {
    let mut flight = Flight::primary();
    flight.peer_is(141.0, 13, role, ready);
    flight
}

#[test]
fn a_switchover_makes_the_primary_a_standby_at_once() {
    let mut flight = with_peer(RoleName::Standby, Ok(()));
    assert_eq!(flight.switchover(141.5), Ok(()));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Standby, None));
    assert_eq!(flight.node.takeover_ready(), Ok(()), "nobody's state is fresher");
}

#[test]
fn after_a_switchover_the_first_decision_point_is_two_margins_after_the_next_command() {
    let mut flight = with_peer(RoleName::Standby, Ok(()));
    flight.switchover(141.5).expect("the peer is ready");
    assert_eq!(flight.node.next_wake(ms(141.6)), ms(146.0));
    // The peer fails at that very moment: the old primary covers it, in a new term.
    assert_eq!(flight.turn(146.0).sent, Some((5, 14)));
}

#[test]
fn after_a_switchover_the_peers_covers_are_followed() {
    let mut flight = with_peer(RoleName::Standby, Ok(()));
    flight.switchover(141.5).expect("the peer is ready");
    flight.command(144.0, HIGHER, 14);
    flight.gate(144.5, 0, open(OURS, 14));
    assert_eq!(flight.turn(146.0).sent, None);
}

#[test]
fn a_switchover_is_refused_while_the_peer_is_not_ready_and_says_why() {
    let mut flight = with_peer(RoleName::Standby, Err(NotReady::OutputPath));
    assert_eq!(flight.switchover(141.5), Err(Refusal::PeerNotReady(NotReady::OutputPath)));
    assert_eq!(flight.turn(142.0).sent, Some((OURS, 14)), "it drives on");
}

#[test]
fn a_switchover_is_refused_while_the_peer_is_no_standby() {
    let mut flight = with_peer(RoleName::Joining, Ok(()));
    assert_eq!(flight.switchover(141.5), Err(Refusal::PeerNotReady(NotReady::Role)));
}

#[test]
fn a_switchover_is_refused_while_the_link_is_cut() {
    let mut flight = with_peer(RoleName::Standby, Ok(()));
    for n in 14..=17 {
        flight.turn(n as f64 * 10.0 + 2.0);
    }
    assert_eq!(flight.switchover(173.0), Err(Refusal::PeerNotReady(NotReady::Link)));
}

#[test]
fn a_switchover_is_refused_when_the_peers_sample_is_of_an_old_cycle() {
    let mut flight = Flight::primary();
    flight.peer_is(141.0, 10, RoleName::Standby, Ok(()));
    assert_eq!(flight.switchover(141.5), Err(Refusal::PeerNotReady(NotReady::Link)));
}

#[test]
fn a_switchover_is_refused_when_the_peer_speaks_another_version() {
    let mut flight = Flight::primary();
    flight.tell(141.0, Input::Peer { at: ms(141.0), header: None });
    assert_eq!(flight.switchover(141.5), Err(Refusal::PeerNotReady(NotReady::Version)));
}

#[test]
fn a_device_that_does_not_hold_the_wheel_cannot_hand_it_over() {
    assert_eq!(Flight::standby().switchover(105.0), Err(Refusal::NotPrimary));
    assert_eq!(Flight::of(1).switchover(5.0), Err(Refusal::NotPrimary));
}

#[test]
fn a_primary_that_no_gate_listens_to_joins_after_a_lease_of_it() {
    let mut flight = Flight::primary();
    // The gate restarted, and opened in the old holder's term.
    for n in 14..=16 {
        let at = n as f64 * 10.0;
        flight.gate(at, 0, open(THEIRS, n + 20));
        flight.turn(at + 2.0);
        assert_eq!(flight.role(), RoleName::Primary, "at {at}: another gate may be about to follow it");
    }
    flight.gate(170.0, 0, open(THEIRS, 37));
    flight.turn(172.0);
    assert_eq!(flight.role(), RoleName::Joining);
}
