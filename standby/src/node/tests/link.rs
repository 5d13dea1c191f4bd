//! What comes over the link decides nothing about who drives: it can stop a device (V5), never start one.

use super::*;

#[test]
fn a_relayed_status_fences_a_deaf_primary() {
    let mut flight = Flight::primary();
    flight.relayed(141.0, 13, true, HIGHER);
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
}

#[test]
fn a_relayed_status_makes_a_standby_forget_its_chosen_term() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.relayed(113.0, 11, true, HIGHER);
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Standby, None));
}

#[test]
fn a_relayed_status_of_a_closed_gate_does_nothing() {
    let mut flight = Flight::primary();
    flight.relayed(141.0, 13, false, HIGHER);
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Primary, Some(OURS)));
}

#[test]
fn a_relayed_status_never_makes_a_primary() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.relayed(113.0, 11, true, OURS);
    assert_eq!(flight.role(), RoleName::Standby);
}

#[test]
fn a_relayed_status_is_not_a_gate_that_was_heard() {
    let mut flight = Flight::of(0);
    for n in 0..=10 {
        flight.relayed(n as f64 * 10.0, n, false, THEIRS);
        flight.turn(n as f64 * 10.0);
    }
    assert_eq!(flight.role(), RoleName::Joining, "no claim");
    assert!(!flight.node.hears_a_gate(ms(100.0)));
}

#[test]
fn a_relayed_status_does_not_open_the_eyes_of_a_blind_standby() {
    let mut flight = Flight::standby();
    flight.turn(112.0);
    flight.relayed(121.0, 11, true, THEIRS);
    assert_eq!(flight.turn(122.0).sent, None);
}

#[test]
fn a_relayed_status_is_no_term_heard() {
    let mut flight = Flight::standby();
    flight.relayed(111.0, 10, true, HIGHER);
    assert_eq!(flight.turn(112.0).sent, Some((OURS, 11)));
}

#[test]
fn a_relayed_status_with_an_old_cycle_does_nothing() {
    let mut flight = Flight::primary();
    flight.relayed(141.0, 10, true, HIGHER);
    assert_eq!(flight.role(), RoleName::Primary);
}

#[test]
fn a_relayed_status_with_an_old_term_does_nothing() {
    let mut flight = Flight::primary();
    flight.relayed(141.0, 13, true, THEIRS);
    assert_eq!(flight.role(), RoleName::Primary);
}

#[test]
fn a_device_takes_over_the_wide_terms_of_a_peer_that_has_lived_longer() {
    let mut flight = Flight::standby();
    // The peer has lived through a whole range of terms: its 256 has the low bits of the 0 that is heard here.
    flight.relayed(111.0, 10, true, 256 + THEIRS);
    flight.turn(112.0);
    assert_eq!(flight.chosen(), Some(256 + OURS));
}

#[test]
fn a_chosen_term_moves_along_with_the_wide_count() {
    let mut flight = Flight::primary();
    flight.relayed(141.0, 13, true, 256 + OURS);
    assert_eq!((flight.role(), flight.chosen()), (RoleName::Primary, Some(256 + OURS)));
}

#[test]
fn after_the_move_an_old_relayed_term_is_below_not_above() {
    let mut flight = Flight::primary();
    flight.relayed(140.5, 13, true, 256 + OURS);
    // By its low bits alone, 253 lies near 257: as a wide term it is long gone.
    flight.relayed(141.0, 13, true, 253);
    flight.relayed(141.5, 13, true, HIGHER);
    assert_eq!(flight.role(), RoleName::Primary);
    flight.relayed(141.8, 13, true, 256 + HIGHER);
    assert_eq!(flight.role(), RoleName::Fenced(FencedBy::Gate));
}

#[test]
fn a_cycle_of_the_peers_wide_count_is_read_in_the_own_one() {
    let flight = Flight::standby();
    assert_eq!(flight.node.align(Cycle::new(4_096 * 5 + 9)), Cycle::new(9));
    assert!(flight.node.is_current(Cycle::new(8)));
    assert!(!flight.node.is_current(Cycle::new(7)));
}

#[test]
fn a_device_tells_what_the_gates_said_on_the_bus() {
    let mut flight = Flight::standby();
    flight.gate(105.0, 2, closed(None, 0));
    let relayed = flight.node.header().relayed;
    assert_eq!(relayed[0], Some(Relayed { open: true, term: Some(Term::new(THEIRS)) }));
    assert_eq!(relayed[1], None);
    assert_eq!(relayed[2], Some(Relayed { open: false, term: None }));
}

#[test]
fn a_peer_that_tells_of_the_last_term_there_could_be_breaks_nothing() {
    // The low bits are those of the term in which this device drives, so it takes the count over, as from a peer that has lived longer.
    for told in [1 << 31, u32::MAX - 255] {
        let mut flight = Flight::primary();
        flight.relayed(141.0, 13, false, told | OURS);
        flight.relayed(141.5, 13, true, u32::MAX);
        flight.turn(142.0);
        flight.gate(142.5, 0, open(OURS, 14));
        flight.turn(152.0);
    }
}
