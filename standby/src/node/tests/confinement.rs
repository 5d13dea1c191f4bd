//! V12 and V13: the own bus controller, and another device on the own identifier.

use super::*;
use twinhelm_hal::ports::Confinement;

impl Flight {
    /// A turn in which the controller is not in order.
    fn confined_turn(&mut self, at: f64, confinement: Confinement) -> Did {
        self.tell(at, Input::Woke);
        self.tell(at, Input::Confined(confinement));
        self.decided(at)
    }
}

#[test]
fn an_error_passive_primary_steps_aside_for_a_ready_peer() {
    let mut flight = Flight::primary();
    flight.peer_is(141.0, 13, RoleName::Standby, Ok(()));
    let did = flight.confined_turn(142.0, Confinement::Passive);
    assert_eq!((flight.role(), did.sent), (RoleName::Standby, None));
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::BusErrors));
}

#[test]
fn an_error_passive_primary_without_a_ready_peer_drives_on() {
    let mut flight = Flight::primary();
    flight.peer_is(141.0, 13, RoleName::Standby, Err(NotReady::BusErrors));
    let did = flight.confined_turn(142.0, Confinement::Passive);
    assert_eq!((flight.role(), did.sent), (RoleName::Primary, Some((OURS, 14))));
}

#[test]
fn an_error_passive_standby_is_not_ready_at_once_and_ready_again_with_the_next_cycle_after() {
    let mut flight = Flight::standby();
    assert_eq!(flight.node.takeover_ready(), Ok(()));
    let did = flight.confined_turn(112.0, Confinement::Passive);
    assert_eq!(did.sent, None, "the holder is silent, but this device may not be heard");
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::BusErrors));
    flight.follow(12);
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

#[test]
fn a_device_off_the_bus_joins_and_says_why() {
    for mut flight in [Flight::primary(), Flight::standby()] {
        let did = flight.confined_turn(142.0, Confinement::Off);
        assert_eq!((flight.role(), did.sent), (RoleName::Joining, None));
        assert_eq!(flight.node.takeover_ready(), Err(NotReady::BusErrors));
    }
}

#[test]
fn a_device_that_comes_back_to_the_bus_listens_and_proves_its_output_path_anew() {
    let mut flight = Flight::standby();
    flight.echoes = false;
    flight.confined_turn(112.0, Confinement::Off);
    let roles: Vec<RoleName> = (12..=17)
        .map(|n| {
            flight.follow(n);
            flight.role()
        })
        .collect();
    assert_eq!(roles[..3], [RoleName::Joining; 3], "for a gate lease");
    assert_eq!(roles[3..], [RoleName::Standby; 3]);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::OutputPath));
    flight.echoes = true;
    for n in 18..=19 {
        flight.follow(n);
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

#[test]
fn a_device_that_hears_its_own_identifier_falls_silent_for_a_second() {
    let mut flight = Flight::primary();
    flight.command(141.0, OURS, 14);
    assert_eq!(flight.role(), RoleName::Joining);
    assert_eq!(flight.turn(142.0).sent, None);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::TwoSenders));
    let standby_from = (15..=130).find(|n| {
        flight.follow(*n);
        flight.role() == RoleName::Standby
    });
    assert_eq!(standby_from, Some(115));
}

#[test]
fn a_device_that_hears_its_own_identifier_does_not_claim() {
    let mut flight = Flight::of(1);
    for n in 0..=20 {
        let at = f64::from(n) * 10.0;
        flight.gate(at, 0, closed(Some(THEIRS), 5));
        flight.command(at, OURS, 5);
        assert_eq!(flight.turn(at).sent, None);
    }
    assert_eq!(flight.role(), RoleName::Joining);
}
