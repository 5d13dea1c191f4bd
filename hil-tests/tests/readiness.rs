//! Readiness over a whole run: once reached, it stays, as long as nothing is wrong.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_hil::run::{Plan, Standby, simulate};
use twinhelm_standby::{Config, NotReady, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::sensors::SensorConfig;

/// The standby's readiness, each change of it, in a run without any fault.
fn readiness_of_the_standby(seed: u64) -> Vec<Result<(), NotReady>> {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile"),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(10),
        faults: Vec::new(),
    };
    let outcome = simulate(&plan);
    assert_eq!(outcome.violations, []);
    let ready = outcome.log.events.into_iter().filter_map(|(_, event)| {
        if let Event::Ready { slot: Slot::RIGHT, ready } = event { Some(ready) } else { None }
    });
    ready.collect()
}

#[test]
fn a_standby_that_is_ready_stays_ready() {
    // A sample that came in a turn without a decision was once lost: for a cycle now and then the state seemed old.
    for seed in 0..20 {
        let ready = readiness_of_the_standby(seed);
        let first = ready.iter().position(Result::is_ok).expect("it becomes ready");
        assert_eq!(ready.len(), first + 1, "seed {seed}: {ready:?}");
    }
}
