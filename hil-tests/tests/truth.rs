//! What a report says of a run in which nobody drives, or nobody could: judgements lapse, and nothing is passed that was not seen.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::analysis::analyse;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::report::{Report, Verdict};
use twinhelm_vehicle::sensors::SensorConfig;

/// Runs 6 s in virtual time.
fn run(faults: &[&str]) -> Outcome {
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
    simulate(&plan)
}

fn report(faults: &[&str]) -> Report {
    run(faults).report
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

/// What a rig sees of a switchover that somebody else asked for: all but the request.
fn asked_from_outside(faults: &[&str]) -> Report {
    let Outcome { mut log, setting, .. } = run(faults);
    let is_request = |event: &Event| matches!(event, Event::Fault { label, .. } | Event::FaultEnded { label, .. } if label.starts_with("switchover"));
    log.events.retain(|(_, event)| !is_request(event));
    analyse(&log, &setting)
}

#[test]
fn a_switchover_that_was_ordered_from_outside_is_no_false_takeover() {
    let report = asked_from_outside(&["switchover@2s"]);
    assert_eq!((report.takeovers, report.false_takeovers), (1, 0));
    let [handover] = report.handovers.as_slice() else { panic!("{:?}", report.handovers) };
    assert!(handover.cause.starts_with("switchover (asked"), "{}", handover.cause);
}

#[test]
fn a_switchover_that_was_ordered_is_not_blamed_on_a_fault_of_long_ago() {
    let report = asked_from_outside(&["clock-drift=50ppm@1s:left", "switchover@4s"]);
    let [handover] = report.handovers.as_slice() else { panic!("{:?}", report.handovers) };
    assert!(handover.cause.starts_with("switchover (asked"), "{}", handover.cause);
    assert!(handover.fault_t_s > 3.9 && handover.fhti_ms < 100.0, "{handover:?}");
}

#[test]
fn a_device_that_steps_aside_because_its_controller_fails_was_not_asked() {
    let report = report(&["bus-errors=passive@2s:left"]);
    assert!(
        report.handovers.iter().all(|handover| handover.cause.starts_with("bus-errors")),
        "{:?}",
        report.handovers
    );
}
