//! The e-stop: it always stops the vehicle, whatever else happens at that moment, and nothing moves it afterwards.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::report::log::Event;

/// From a brisk drive to rest, with some to spare.
const DURATION: Duration = Duration::from_secs(6);
const STANDSTILL_MPS: f64 = 0.05;

fn drive(gates: u8, seed: u64, faults: &[&str]) -> Outcome {
    let parameters = Parameters { gates, ..Parameters::at_period(Duration::from_millis(10)) };
    let (course, settings) = (Arc::new(Course::harbour()), Settings::default());
    let plan = Plan {
        config: Config::new(parameters).expect("the profile keeps the promise"),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: settings.plant(),
        sensors: settings.sensors(),
        standby: Standby::Hot,
        duration: DURATION,
        faults: faults.iter().map(|fault| Fault::parse(fault).expect("a fault")).collect(),
    };
    simulate(&plan)
}

fn speed_of(event: &Event) -> Option<f64> {
    if let Event::Truth { speed_mps, .. } = event { Some(*speed_mps) } else { None }
}

/// Returns whether anything was acted on behind the e-stop, and how fast the vehicle is at the end.
fn after_the_stop(outcome: &Outcome) -> (bool, f64) {
    let events = outcome.log.events.iter().map(|(_, event)| event);
    let behind = events.skip_while(|event| !matches!(event, Event::EStopped { .. }));
    let (mut acted, mut speed) = (false, f64::NAN);
    for event in behind {
        // The line reaches each gate before any of them hears another frame.
        acted |= matches!(event, Event::Acted { .. });
        speed = speed_of(event).unwrap_or(speed);
    }
    (acted, speed)
}

#[test]
fn an_estop_at_any_moment_of_a_takeover_stops_the_vehicle_for_good() {
    let mut moments = 0;
    for fault in ["kill@1s:left", "hang@1s:300ms:left", "switchover@1s", "bus-cut=rx@1s:300ms:left"] {
        // From two periods before it to behind the gate's lease.
        for ms in (980..1_060).step_by(2) {
            let stop = format!("estop@{ms}ms");
            for gates in [1, 2] {
                let outcome = drive(gates, ms, &[fault, &stop]);
                assert_eq!(outcome.violations, [], "{fault}, {stop}, {gates} gates");
                let (acted, speed_mps) = after_the_stop(&outcome);
                assert!(!acted, "{fault}, {stop}, {gates} gates: a command was acted on behind it");
                assert!(speed_mps.abs() < STANDSTILL_MPS, "{fault}, {stop}, {gates} gates: {speed_mps} m/s");
                moments += 1;
            }
        }
    }
    assert_eq!(moments, 4 * 40 * 2);
}

#[test]
fn without_it_the_same_drives_go_on() {
    for fault in ["kill@1s:left", "hang@1s:300ms:left", "switchover@1s", "bus-cut=rx@1s:300ms:left"] {
        let outcome = drive(1, 1, &[fault]);
        let last = outcome.log.events.iter().rev().find_map(|(_, event)| speed_of(event));
        assert!(last.is_some_and(|speed| speed > 1.0), "{fault}");
    }
}
