//! What devices say of themselves over a whole run: ready or not, and who knows that it was superseded.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_hil::world::ORIGIN;
use twinhelm_standby::{Config, NotReady, Parameters, RoleName};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::sensors::SensorConfig;

/// A run with `faults`.
fn run(seed: u64, seconds: u64, faults: &[&str]) -> Outcome {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile"),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(seconds),
        faults: faults.iter().map(|fault| Fault::parse(fault).expect("a fault")).collect(),
    };
    let outcome = simulate(&plan);
    assert_eq!(outcome.violations, []);
    outcome
}

/// Each change of the right device's readiness, with the seconds since the start.
fn readiness_of_right(outcome: &Outcome) -> Vec<(f64, Result<(), NotReady>)> {
    let ready = outcome.log.events.iter().filter_map(|(at, event)| {
        if let Event::Ready { slot: Slot::RIGHT, ready } = event {
            Some((at.seconds_after(ORIGIN), *ready))
        } else {
            None
        }
    });
    ready.collect()
}

#[test]
fn a_standby_that_is_ready_stays_ready() {
    // A sample that came in a turn without a decision was once lost: for a cycle now and then the state seemed old.
    for seed in 0..20 {
        let ready = readiness_of_right(&run(seed, 10, &[]));
        let first = ready.iter().position(|(_, ready)| ready.is_ok()).expect("it becomes ready");
        assert_eq!(ready.len(), first + 1, "seed {seed}: {ready:?}");
    }
}

#[test]
fn an_old_echo_proves_nothing() {
    // A gate shows the last echo for ever. After 63 probes that never arrived the number came round, and the old echo
    // was once taken for a new one: the standby called itself ready with its transmitter dead.
    let outcome = run(3, 40, &["bus-cut=tx@2s:right"]);
    let after: Vec<_> = readiness_of_right(&outcome).into_iter().filter(|(t_s, _)| *t_s > 2.0).collect();
    assert!(matches!(after.as_slice(), [(_, Err(NotReady::OutputPath))]), "{after:?}");
}

#[test]
fn a_device_that_is_cut_off_the_bus_learns_over_the_link_that_it_was_superseded() {
    for seed in 0..20 {
        let outcome = run(seed, 3, &["bus-cut@1s:left"]);
        let role = outcome.log.events.iter().rev().find_map(|(at, event)| {
            if let Event::Role { slot: Slot::LEFT, role } = event {
                Some((at.seconds_after(ORIGIN), *role))
            } else {
                None
            }
        });
        let (at_s, role) = role.expect("it had roles");
        assert_eq!(role, RoleName::Joining, "seed {seed}");
        assert!(at_s < 1.1, "seed {seed}: only after {at_s} s");
    }
}
