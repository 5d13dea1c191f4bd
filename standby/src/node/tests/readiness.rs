//! V10: readiness, and what is shown for "not ready". Disputes.

use super::*;

/// Follows cycles 0 to 25 with something changed, and returns what the standby says of itself.
fn judged(change: impl FnOnce(&mut Flight)) -> Result<(), NotReady> {
    let mut flight = Flight::of(1);
    change(&mut flight);
    for n in 0..=25 {
        flight.follow(n);
    }
    assert_eq!(flight.role(), RoleName::Standby);
    flight.node.takeover_ready()
}

#[test]
fn a_standby_is_ready_when_everything_is_there() {
    assert_eq!(judged(|_| {}), Ok(()));
}

#[test]
fn without_the_primarys_state_it_is_the_link() {
    assert_eq!(judged(|flight| flight.adopts = false), Err(NotReady::Link));
}

#[test]
fn a_peer_of_another_version_is_named_so() {
    assert_eq!(judged(|flight| flight.peer = None), Err(NotReady::Version));
}

#[test]
fn a_peer_with_another_digest_is_named_so() {
    let change = |flight: &mut Flight| flight.peer = flight.peer.map(|peer| Header { digest: 7, ..peer });
    assert_eq!(judged(change), Err(NotReady::Version));
}

#[test]
fn without_readings_it_is_the_sensors() {
    assert_eq!(judged(|flight| flight.readings = Readings::Missing), Err(NotReady::Sensors));
}

#[test]
fn a_law_that_fails_its_check_is_named_so() {
    assert_eq!(judged(|flight| flight.checked = false), Err(NotReady::SelfCheck));
}

#[test]
fn without_an_echo_the_output_path_is_not_proven() {
    assert_eq!(judged(|flight| flight.echoes = false), Err(NotReady::OutputPath));
}

#[test]
fn commands_far_apart_are_a_dispute() {
    assert_eq!(judged(|flight| flight.signals = Some(FAR_OFF)), Err(NotReady::Dispute));
}

#[test]
fn a_new_standby_is_not_judged_yet() {
    let mut flight = Flight::of(1);
    flight.gate(29.0, 0, open(THEIRS, 2));
    flight.command(31.0, THEIRS, 3);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::NotJudged));
}

#[test]
fn other_roles_are_not_ready() {
    assert_eq!(Flight::of(1).node.takeover_ready(), Err(NotReady::Role));
    assert_eq!(Flight::primary().node.takeover_ready(), Err(NotReady::Role));
}

#[test]
fn a_standby_that_is_not_ready_does_not_cover() {
    let mut flight = Flight::of(1);
    flight.echoes = false;
    for n in 0..=10 {
        flight.follow(n);
    }
    let did = flight.turn(112.0);
    assert_eq!((did.sent, did.computed), (None, Some(11)));
}

#[test]
fn readiness_is_latched_while_the_holder_is_silent() {
    let mut flight = Flight::standby();
    // The holder and its state are gone; the gate acts on the covers, of which it reports cycle after cycle.
    for n in 11..=15 {
        let at = n as f64 * 10.0 + 2.0;
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
        flight.gate(at + 0.5, 0, open(THEIRS, n));
        assert_eq!(flight.node.takeover_ready(), Ok(()), "at {at} ms, {} ms after the last state", at - 101.0);
    }
}

#[test]
fn the_holders_late_frame_is_no_occasion_to_judge() {
    let mut flight = Flight::standby();
    let mut at = 112.0;
    for n in 11..=15 {
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
        flight.gate(at + 0.5, 0, open(THEIRS, n));
        // Heard all the same, after the cover: the gate dropped it and reports the cycle again.
        flight.command(at + 1.0, THEIRS, n);
        flight.gate(at + 1.5, 0, open(THEIRS, n));
        assert_eq!(flight.node.takeover_ready(), Ok(()), "the state is {} ms old", at - 101.0);
        // It locked on again.
        at += 12.0;
    }
}

#[test]
fn a_cycle_that_this_device_sent_is_no_occasion_to_judge() {
    let mut flight = Flight::standby();
    let mut at = 112.0;
    // More than a second of covers, which leave no room for a probe: the last proof of the output path grows old.
    for n in 11..=120 {
        assert_eq!(flight.turn(at).sent, Some((OURS, n)));
        // The holder's frame comes late, but before the gate's report of the cover.
        flight.command(at + 0.3, THEIRS, n);
        flight.gate(at + 0.5, 0, open(THEIRS, n));
        at += 12.0;
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

#[test]
fn a_repeated_report_is_no_occasion_to_judge() {
    let mut flight = Flight::standby();
    for n in 11..=15 {
        let at = n as f64 * 10.0;
        flight.gate(at, 0, open(THEIRS, n));
        flight.turn(at + 2.0);
        // The command is heard only after its report, which is then repeated.
        flight.command(at + 3.0, THEIRS, n);
        flight.gate(at + 3.5, 0, open(THEIRS, n));
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()), "the state is 50 ms old");
}

#[test]
fn a_cycle_that_was_not_heard_from_the_holder_is_no_occasion_to_judge() {
    let mut flight = Flight::standby();
    for n in 11..=15 {
        flight.gate(n as f64 * 10.0, 0, open(THEIRS, n));
        flight.turn(n as f64 * 10.0 + 2.0);
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()), "the state is 50 ms old");
}

#[test]
fn a_dead_link_is_noticed_at_the_holders_next_cycles() {
    let mut flight = Flight::standby();
    for n in 11..=14 {
        let at = n as f64 * 10.0;
        flight.command(at, THEIRS, n);
        flight.gate(at + 0.5, 0, open(THEIRS, n));
        flight.turn(at + 2.0);
    }
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::Link));
}

#[test]
fn a_standby_that_is_not_ready_joins_when_all_live_gates_are_closed() {
    let mut flight = Flight::of(1);
    flight.adopts = false;
    for n in 0..=10 {
        flight.follow(n);
    }
    flight.gate(111.0, 0, closed(Some(THEIRS), 10));
    assert_eq!(flight.turn(112.0), Did { published: true, ..Did::default() });
    assert_eq!(flight.role(), RoleName::Joining);
}

#[test]
fn a_ready_standby_stays_when_all_live_gates_are_closed_and_covers() {
    let mut flight = Flight::standby();
    flight.gate(111.0, 0, closed(Some(THEIRS), 10));
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)));
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn a_standby_that_is_not_ready_stays_when_it_hears_no_gate() {
    let mut flight = Flight::of(1);
    flight.adopts = false;
    for n in 0..=10 {
        flight.follow(n);
    }
    for n in 11..=20 {
        flight.turn(n as f64 * 10.0 + 2.0);
    }
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn the_state_that_a_device_held_while_it_drove_counts_as_fresh() {
    let mut flight = Flight::primary();
    flight.turn(142.0);
    flight.gate(142.5, 0, open(OURS, 14));
    flight.peer_is(143.0, 14, RoleName::Standby, Ok(()));
    flight.switchover(143.5).expect("the peer is ready");
    // The peer's first cycle is judged before any state of the peer's came.
    flight.command(154.0, HIGHER, 15);
    flight.gate(154.5, 0, open(OURS, 15));
    flight.turn(156.0);
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

/// A standby in a lasting dispute; the peer's self-check says `checked`.
fn disputing() -> Flight {
    let mut flight = Flight::standby();
    flight.signals = Some(FAR_OFF);
    for n in 11..=15 {
        flight.follow(n);
    }
    flight
}

#[test]
fn a_dispute_is_told_after_a_gate_lease_of_divergence() {
    let mut flight = Flight::standby();
    flight.signals = Some(FAR_OFF);
    for n in 11..=12 {
        flight.follow(n);
        assert!(!flight.node.header().disputes);
    }
    flight.follow(13);
    assert!(flight.node.header().disputes);
}

#[test]
fn a_dispute_ends_with_one_cycle_of_agreement() {
    let mut flight = disputing();
    flight.signals = Some(CALM);
    flight.follow(16);
    assert!(!flight.node.header().disputes);
    flight.follow(17);
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

/// What a primary configured with `on_dispute` asks of its law when the standby disputes.
fn standstill(on_dispute: OnDispute, peer_checked: bool) -> bool {
    let mut flight = Flight::primary_with(Parameters { on_dispute, ..parameters() });
    flight.peer = flight.peer.map(|peer| Header { disputes: true, checked: peer_checked, ..peer });
    flight.sample(141.0, 13);
    let did = flight.turn(142.0);
    assert_eq!(did.sent, Some((OURS, 14)));
    did.standstill
}

#[test]
fn in_a_dispute_the_primary_drives_on_or_stops_as_configured() {
    assert!(!standstill(OnDispute::Keep, true));
    assert!(standstill(OnDispute::Stop, true));
}

#[test]
fn a_standby_that_fails_its_own_check_disputes_nothing() {
    assert!(!standstill(OnDispute::Stop, false));
}

#[test]
fn a_device_that_is_late_for_a_lease_is_not_ready_and_for_less_it_is() {
    let after = |late: u64, takes: f64| {
        let mut flight = Flight::standby();
        for n in 11..11 + late {
            let at = n as f64 * 10.0;
            flight.command(at, THEIRS, n);
            flight.gate(at + 0.5, 0, open(THEIRS, n));
            flight.receive_state(at + 1.0, n);
            flight.turn_that_takes(at + 2.0, takes);
        }
        flight.follow(11 + late);
        flight.node.takeover_ready()
    };
    assert_eq!([after(2, 0.6), after(3, 0.6)], [Ok(()), Err(NotReady::Late)]);
    assert_eq!(after(5, 0.5), Ok(()), "as late as the machine may make it");
}

#[test]
fn with_the_gates_closed_a_standby_whose_law_fails_is_not_ready() {
    let mut flight = Flight::standby();
    // Both laws fail at once: the holder falls silent, and this device has no command to give.
    flight.checked = false;
    for n in 11..=15 {
        let at = n as f64 * 10.0 + 2.0;
        assert_eq!(flight.turn(at).sent, None);
        flight.gate(at + 0.5, 0, open(THEIRS, 10));
        assert_eq!(flight.node.takeover_ready(), Ok(()), "nothing has been judged at {at} ms");
    }
    flight.gate(163.0, 0, closed(Some(THEIRS), 10));
    flight.turn(164.0);
    assert_eq!(flight.role(), RoleName::Joining, "nobody is left to wait for");
    assert!(flight.node.takeover_ready().is_err());
}

#[test]
fn a_standby_that_hears_no_gate_any_more_is_not_ready() {
    let mut flight = Flight::standby();
    let mut ready_until = None;
    for n in 11..=20 {
        let at = n as f64 * 10.0 + 2.0;
        flight.turn(at);
        if flight.node.takeover_ready().is_ok() {
            ready_until = Some(n);
        }
    }
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::NoGate));
    assert!(ready_until >= Some(14), "a ready standby outlasts the command timeout of 50 ms: {ready_until:?}");
    // As soon as the bus is back, the next cycle of the holder is judged.
    for n in 21..=25 {
        flight.follow(n);
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}
