//! What a report says of a run in which nobody drives, or nobody could: judgements lapse, and nothing is passed that was not seen.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Plan, Standby, simulate};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::{Report, Verdict};
use twinhelm_vehicle::sensors::SensorConfig;

/// Runs 6 s in virtual time.
fn report(faults: &[&str]) -> Report {
    let course = Arc::new(Course::harbour());
    let parameters = Parameters::at_period(Duration::from_millis(10));
    let plan = Plan {
        config: Config::new(parameters).expect("the profile keeps the promise"),
        seed: 1,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(6),
        faults: faults.iter().map(|text| Fault::parse(text).expect("a fault")).collect(),
    };
    simulate(&plan).report
}

#[test]
fn two_laws_that_fail_leave_no_standby() {
    for kind in ["nan", "hang"] {
        let report = report(&[&format!("{kind}@2s:left"), &format!("{kind}@2s:right")]);
        assert!(!report.redundancy_restored, "{kind}");
        assert!(report.time_without_redundancy_s > 3.8, "{kind}: {}", report.time_without_redundancy_s);
    }
}

#[test]
fn a_standby_that_is_cut_off_for_good_is_none() {
    for fault in ["bus-cut@2s:right", "link-cut@2s", "nan@2s:right", "hang@2s:right", "bus-errors=off@2s:right"] {
        let report = report(&[fault]);
        assert!(!report.redundancy_restored, "{fault}");
        assert!(report.time_without_redundancy_s > 2.8, "{fault}: {}", report.time_without_redundancy_s);
    }
}

#[test]
fn a_run_in_which_no_command_was_acted_on_does_not_pass() {
    let report = report(&["bus-cut@0s:left", "bus-cut@0s:right"]);
    assert_eq!((report.verdict, report.cycles), (Verdict::Fail, 0), "{:?}", report.broken);
}
