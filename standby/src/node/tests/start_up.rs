//! V1, V6, V8: a device comes up, listens, and joins a holder or claims.

use super::*;

/// A device that hears gate 0 closed, knowing `known`, each period up to and at `until` ms, and takes its turns.
fn hears_closed(number: u8, known: Option<u32>, until: u64) -> (Flight, Did) {
    let mut flight = Flight::of(number);
    let mut did = Did::default();
    for at in (0..=until).step_by(10) {
        flight.gate(at as f64, 0, closed(known, 0));
        did = flight.turn(at as f64);
    }
    (flight, did)
}

#[test]
fn a_new_device_listens_for_one_gate_lease() {
    let mut flight = Flight::of(1);
    for n in 0..3 {
        flight.follow(n);
        assert_eq!(flight.role(), RoleName::Joining);
    }
    flight.follow(3);
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn a_joining_device_sends_nothing_at_all() {
    let mut flight = Flight::of(1);
    for n in 0..100 {
        flight.gate(n as f64 * 10.0, 0, open(THEIRS, 0));
        let did = flight.turn(n as f64 * 10.0);
        assert_eq!(did, Did { published: true, ..Did::default() });
    }
}

#[test]
fn the_first_decision_point_is_the_margin_after_the_holders_command() {
    let mut flight = Flight::of(1);
    flight.gate(29.0, 0, open(THEIRS, 2));
    flight.turn(29.0);
    flight.command(31.0, THEIRS, 3);
    assert_eq!(flight.node.next_wake(ms(31.0)), ms(33.0));
    assert_eq!(flight.turn(33.0).computed, Some(3));
}

#[test]
fn a_device_does_not_follow_a_command_below_the_reported_term() {
    let mut flight = Flight::of(1);
    flight.gate(29.0, 0, open(HIGHER, 2));
    flight.command(31.0, THEIRS, 3);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_device_does_not_follow_while_no_live_gate_is_open() {
    let mut flight = Flight::of(1);
    flight.gate(29.0, 0, closed(Some(THEIRS), 2));
    flight.command(31.0, THEIRS, 3);
    assert_eq!(flight.role(), RoleName::Joining);
    // Open, but not heard of for more than a lease.
    flight.gate(32.0, 0, open(THEIRS, 3));
    flight.command(62.1, THEIRS, 6);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_device_that_hears_no_gate_stays_and_says_so() {
    let mut flight = Flight::of(0);
    for n in 0..100 {
        assert_eq!(flight.turn(n as f64 * 10.0).sent, None);
    }
    assert_eq!(flight.role(), RoleName::Joining);
    assert!(!flight.node.hears_a_gate(ms(990.0)));
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::NoGate));
    flight.gate(995.0, 0, closed(None, 0));
    assert!(flight.node.hears_a_gate(ms(1_000.0)));
}

#[test]
fn a_device_that_hears_an_open_gate_but_no_holder_says_so() {
    let mut flight = Flight::of(1);
    for n in 0..20 {
        flight.gate(n as f64 * 10.0 - 1.0, 0, open(THEIRS, n));
        let _ = flight.turn(n as f64 * 10.0);
    }
    assert_eq!(flight.role(), RoleName::Joining);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::NoHolder));
}

#[test]
fn the_first_slot_claims_after_one_lease() {
    assert_eq!(hears_closed(0, None, 20).0.role(), RoleName::Joining);
    let (flight, did) = hears_closed(0, None, 30);
    assert_eq!(flight.role(), RoleName::Claiming);
    assert_eq!(did.sent, Some((0, 0)), "the claim is sent in the same turn");
}

#[test]
fn the_second_slot_claims_after_two_leases() {
    assert_eq!(hears_closed(1, None, 50).0.role(), RoleName::Joining);
    let (flight, did) = hears_closed(1, None, 60);
    assert_eq!(flight.role(), RoleName::Claiming);
    assert_eq!(did.sent, Some((1, 0)));
}

#[test]
fn a_spare_never_claims() {
    for number in [2, 3] {
        assert_eq!(hears_closed(number, None, 1_000).0.role(), RoleName::Joining);
    }
}

#[test]
fn nobody_claims_while_one_gate_is_open() {
    let mut flight = Flight::of(0);
    for n in 0..=20 {
        flight.gate(n as f64 * 10.0, 0, closed(None, 0));
        flight.gate(n as f64 * 10.0, 1, open(THEIRS, n));
        flight.turn(n as f64 * 10.0);
    }
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_device_that_is_blind_does_not_claim() {
    let (mut flight, _) = hears_closed(0, None, 10);
    flight.turn(20.0);
    // The gate's status is still within the gate lease, but nothing was heard for the blind limit.
    flight.turn(30.1);
    assert_eq!(flight.role(), RoleName::Joining);
    flight.gate(31.0, 0, closed(None, 0));
    flight.turn(32.0);
    assert_eq!(flight.role(), RoleName::Claiming);
}

#[test]
fn a_claim_is_of_the_own_next_term_and_the_next_cycle() {
    let mut flight = Flight::of(0);
    for at in [0.0, 10.0, 20.0] {
        flight.gate(at, 0, closed(Some(5), 77));
        flight.turn(at);
    }
    flight.gate(30.0, 0, closed(Some(5), 77));
    assert_eq!(flight.turn(30.0).sent, Some((8, 78)));
}

#[test]
fn a_term_in_a_probe_is_not_heard() {
    let mut flight = Flight::of(0);
    for at in [0.0, 10.0, 20.0, 30.0] {
        let probe = CommandFrame {
            slot: slot(1),
            term: 41,
            cycle: 5,
            probe: true,
            estop: false,
            signals: Signals::default(),
        };
        flight.hear(at, probe.encode());
        flight.gate(at, 0, closed(None, 0));
        flight.turn(at);
    }
    assert_eq!(flight.chosen(), Some(0));
}

#[test]
fn a_claimer_sends_each_period() {
    let (mut flight, _) = hears_closed(0, None, 30);
    for n in 1..10_u64 {
        let at = 30.0 + n as f64 * 10.0;
        assert_eq!(flight.node.next_wake(ms(at - 5.0)), ms(at));
        assert_eq!(flight.turn(at).sent, Some((0, n)));
    }
}

#[test]
fn a_claimer_holds_the_wheel_when_an_open_gate_reports_its_claim() {
    let (mut flight, _) = hears_closed(0, None, 30);
    flight.turn(40.0);
    flight.gate(40.5, 0, closed(None, 0));
    assert_eq!(flight.role(), RoleName::Claiming);
    flight.gate(41.0, 0, open(0, 1));
    assert_eq!(flight.role(), RoleName::Primary);
    assert_eq!(flight.turn(50.0).sent, Some((0, 2)));
}

#[test]
fn a_claimer_chooses_a_new_term_when_a_closed_gate_knows_its_claim() {
    let (mut flight, _) = hears_closed(0, None, 30);
    flight.gate(31.0, 0, closed(Some(0), 0));
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Claiming, Some(4)));
    assert_eq!(flight.turn(40.0).sent, Some((4, 1)));
}

#[test]
fn a_claimer_makes_way_when_the_gate_opens_for_a_lower_term() {
    // Its law cannot give a command that passes its check, so nothing of its claim reaches the gate.
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    assert_eq!(flight.chosen(), Some(8));
    flight.gate(35.0, 0, open(OURS, 4));
    assert_eq!(flight.role(), RoleName::Claiming, "until all that was heard is known");
    flight.turn(40.0);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_claimer_stays_when_the_gate_is_open_in_a_term_of_its_own_earlier_life() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    assert_eq!(flight.chosen(), Some(8));
    flight.gate(35.0, 0, open(4, 3));
    assert_eq!(flight.turn(40.0).sent, Some((8, 4)), "nobody else drives there");
}

#[test]
fn a_claimer_goes_on_while_another_live_gate_is_closed() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    flight.gate(31.0, 1, closed(None, 0));
    flight.gate(35.0, 0, open(OURS, 4));
    assert_eq!(flight.role(), RoleName::Claiming);
    flight.gate(36.0, 1, open(OURS, 4));
    flight.turn(40.0);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_spare_claims_only_as_a_member() {
    for (member, role) in [(false, RoleName::Joining), (true, RoleName::Claiming)] {
        let mut flight = Flight::of(2);
        if member {
            flight.node = flight.node.as_member();
        }
        for n in 0..=10 {
            flight.gate(n as f64 * 10.0, 0, closed(Some(5), 0));
            flight.turn(n as f64 * 10.0);
        }
        assert_eq!(flight.role(), role, "member: {member}");
    }
}

#[test]
fn a_claimer_waits_for_no_gate_that_is_stopped() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    flight.gate(31.0, 1, closed(None, 0));
    flight.gate(35.0, 0, open(OURS, 4));
    assert_eq!(flight.role(), RoleName::Claiming);
    // It would go on claiming beside whoever drives by the other gate, until somebody reset this one.
    flight.gate(36.0, 1, stopped(None, 0));
    flight.turn(40.0);
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn one_stopped_gate_holds_all_closed_gates_closed() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    flight.gate(31.0, 1, stopped(None, 0));
    assert_eq!(flight.role(), RoleName::Joining);
    assert_eq!(flight.turn(40.0).sent, None);
    flight.gate(41.0, 1, closed(None, 0));
    flight.gate(41.0, 0, closed(Some(5), 0));
    flight.turn(75.0);
    assert_eq!(flight.role(), RoleName::Joining, "it listens first, as at boot");
}

#[test]
fn a_closed_gate_that_knows_less_does_not_drive_terms_up() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    assert_eq!(flight.chosen(), Some(8));
    for n in 4..50 {
        flight.gate(n as f64 * 10.0, 0, closed(Some(5), 0));
        flight.turn(n as f64 * 10.0);
    }
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Claiming, Some(8)));
}

#[test]
fn of_two_claimers_the_gate_says_which_goes_on() {
    // The other one claims a higher term; the gate may open for either, and may say so a turn later.
    let (mut flight, _) = hears_closed(0, None, 30);
    flight.command(35.0, 1, 7);
    assert_eq!(flight.turn(40.0).sent, Some((0, 1)));
    let mut named = flight.clone();
    named.gate(41.0, 0, open(0, 1));
    assert_eq!(named.role(), RoleName::Primary);
    flight.gate(41.0, 0, open(1, 8));
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
    assert_eq!(flight.turn(50.0).sent, None);
}

#[test]
fn a_claimer_with_its_peers_readings_alone_leaves_it_to_the_peer() {
    let (mut flight, _) = hears_closed(0, None, 30);
    flight.readings = Readings::Peers;
    assert_eq!(flight.turn(40.0).sent, None);
    assert_eq!(flight.role(), RoleName::Joining);
    for n in 5..20 {
        let at = n as f64 * 10.0;
        flight.gate(at, 0, closed(None, 0));
        assert_eq!(flight.turn(at).sent, None, "it looks for its sensors, and sends nothing");
    }
    flight.readings = Readings::Own;
    flight.gate(200.0, 0, closed(None, 0));
    assert_eq!(flight.turn(200.0).sent, None, "it sees that they are back");
    flight.gate(210.0, 0, closed(None, 0));
    assert!(flight.turn(210.0).sent.is_some());
}

#[test]
fn a_claimer_stays_when_it_hears_a_command_of_a_lower_term() {
    let (mut flight, _) = hears_closed(0, Some(5), 30);
    flight.command(35.0, 5, 7);
    assert_eq!(flight.role(), RoleName::Claiming);
}

#[test]
fn a_claimer_is_fenced_by_an_open_gate_with_a_higher_term() {
    let (mut flight, _) = hears_closed(0, None, 30);
    flight.gate(35.0, 0, open(1, 7));
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
}

#[test]
fn a_term_of_an_earlier_life_is_never_resumed() {
    let mut flight = Flight::of(1);
    for n in 0..=4_u64 {
        flight.gate(n as f64 * 10.0, 0, open(OURS, 50));
        let did = flight.turn(n as f64 * 10.0);
        assert_eq!((flight.role(), did.sent), (RoleName::Joining, None));
    }
    // The gate waits for a holder that nobody is any more, and closes.
    for n in 5..=11_u64 {
        flight.gate(n as f64 * 10.0, 0, closed(Some(OURS), 50));
        flight.turn(n as f64 * 10.0);
    }
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Claiming, Some(5)));
}

#[test]
fn a_claimer_that_overslept_joins_before_any_effect() {
    let (mut flight, _) = hears_closed(0, None, 30);
    assert_eq!(flight.turn(61.0).sent, None);
    assert_eq!(flight.role(), RoleName::Joining);
}
