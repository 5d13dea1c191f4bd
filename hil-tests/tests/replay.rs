//! The same inputs give the same outputs (invariant 8): a node's recording replays to the same decisions, and a seed
//! gives the same run bit for bit.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_hil::check::{Checks, Promise};
use twinhelm_hil::fault::Fault;
use twinhelm_hil::recording::Recording;
use twinhelm_hil::run::{Plan, Standby, simulate};
use twinhelm_hil::world::{AsDesigned, Setup, World};
use twinhelm_standby::node::rules::{AsDesigned as Designed, NodeRules};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Log;
use twinhelm_vehicle::sensors::SensorConfig;

const PAIR: [Slot; 2] = [Slot::LEFT, Slot::RIGHT];

fn config() -> Config {
    Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile keeps the promise")
}

fn fault(text: &str) -> Fault {
    Fault::parse_any(text).expect("a fault")
}

/// Runs 3 s with `faults`, and returns what both nodes were told and answered from their birth on.
fn record(seed: u64, faults: &[&str]) -> [Recording; 2] {
    let course = Arc::new(Course::harbour());
    let config = config();
    let boot = [Duration::ZERO, Duration::from_millis(3)];
    let setup = Setup {
        config,
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        boot: boot.map(Some),
        jitter: config.jitter.mul_f64(0.9),
        keep_log: false,
    };
    let promise = Promise { gap_max: None, no_false_takeover: false };
    let mut world = World::<AsDesigned<CourseLaw>>::new(setup, Checks::new(config, promise));
    for text in faults {
        world.inject(fault(text));
    }
    for slot in PAIR {
        world.record(slot);
    }
    world.run_until(Duration::from_secs(3));
    PAIR.map(|slot| world.take_recording(slot).expect("it was recorded"))
}

#[test]
fn every_recording_replays_to_the_same_decisions() {
    let schedules: [&[&str]; 9] = [
        &[],
        &["kill@1s:200ms:right"],
        &["kill@1s:left"],
        &["hang@1s:200ms:holder"],
        &["bus-cut@1s:80ms:holder"],
        &["bus-cut=rx@1s:60ms:right", "clock-slip=+2ms@1500ms:right"],
        &["late=3periods@1s:200ms:holder"],
        &["switchover@1s", "switchover@2s"],
        &["nan@1s:300ms:holder", "link-rough=0.5@1800ms:500ms"],
    ];
    for (schedule, seed) in schedules.into_iter().zip(1..) {
        for recording in record(seed, schedule) {
            assert!(recording.len() > 100, "{schedule:?}");
            let replayed = recording.replay::<Designed>();
            assert_eq!(replayed, Ok(()), "seed {seed}, {schedule:?}");
        }
    }
}

#[derive(Clone, Debug)]
struct GoesOnSending;

impl NodeRules for GoesOnSending {
    const STOPS_WHEN_SUPERSEDED: bool = false;
}

#[test]
fn a_node_that_decides_otherwise_is_told_the_step_and_the_input() {
    // Cut off, superseded, and back: the design stops there, the variant goes on.
    let recordings = record(3, &["bus-cut@1s:100ms:left", "bus-cut@1500ms:100ms:right"]);
    let differences: Vec<_> = recordings.iter().filter_map(|one| one.replay::<GoesOnSending>().err()).collect();
    let difference = differences.first().expect("one of the two was superseded");
    assert_eq!(difference.input, "Decide", "the fenced node publishes, the variant computes");
    assert!(difference.replayed.contains("Compute") && !difference.recorded.contains("Compute"), "{difference}");
    let text = difference.to_string();
    assert!(text.starts_with(&format!("step {} of {}: told Decide", difference.step, difference.steps)), "{text}");
}

fn log(seed: u64) -> Log {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: config(),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(3),
        faults: vec![fault("kill@1s:500ms:holder"), fault("link-rough=0.5@2s:500ms")],
    };
    simulate(&plan).log
}

#[test]
fn one_seed_gives_one_run_bit_for_bit() {
    let (first, second) = (log(11), log(11));
    assert!(first.events.len() > 1_000);
    assert_eq!(first.events.len(), second.events.len());
    for (one, other) in first.events.iter().zip(&second.events) {
        // As text, a float differs in its last bit.
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(log(11), log(12));
}
