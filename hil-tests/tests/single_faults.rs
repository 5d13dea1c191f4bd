//! One fault, one run: the everyday ones, on the demo's course.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;

fn run(standby: Standby, faults: &[&str]) -> Outcome {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(Parameters::at_period(Duration::from_millis(10))).unwrap(),
        seed: 7,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby,
        duration: Duration::from_secs(14),
        faults: faults.iter().map(|fault| Fault::parse_any(fault).unwrap()).collect(),
    };
    simulate(&plan)
}

#[test]
fn nothing_wrong_nothing_happens() {
    let outcome = run(Standby::Hot, &[]);
    let report = &outcome.report;
    assert_eq!(outcome.violations, []);
    assert_eq!((report.missed_deadlines, report.covers, report.takeovers), (0, 0, 0));
    assert!(report.course_completed && report.redundancy_restored, "{report:?}");
}

#[test]
fn the_right_one_drives_on_when_the_left_one_is_killed() {
    let outcome = run(Standby::Hot, &["kill@5s"]);
    let report = &outcome.report;
    assert_eq!(report.broken, Vec::<String>::new());
    assert_eq!(report.handovers.len(), 1, "{report:?}");
    assert!(report.course_completed);
}
