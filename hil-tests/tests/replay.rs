//! The same inputs give the same outputs (invariant 8): a recording replays to the same decisions, and a seed gives the
//! same run bit for bit.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::gate::Timing;
use twinhelm_hal::gate::rules::{AsDesigned as DesignedGate, GateRules};
use twinhelm_hil::fault::Fault;
use twinhelm_hil::law_faults::Faulty;
use twinhelm_hil::recording::{Place, Recorder, Recording, RunHeader, replay, replay_variant};
use twinhelm_hil::run::{Plan, Standby, simulate, simulate_variant_recorded};
use twinhelm_hil::world::{AsDesigned, ORIGIN, SimStage, Variant};
use twinhelm_standby::node::rules::{AsDesigned as DesignedNode, NodeRules};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Log;
use twinhelm_vehicle::sensors::SensorConfig;

fn plan(seed: u64, gates: u8, faults: &[&str]) -> Plan<CourseLaw> {
    let course = Arc::new(Course::harbour());
    let parameters = Parameters { gates, ..Parameters::at_period(Duration::from_millis(10)) };
    Plan {
        config: Config::new(parameters).expect("the profile keeps the promise"),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(3),
        faults: faults.iter().map(|text| Fault::parse(text).expect("a fault")).collect(),
    }
}

/// Runs 3 s with the code that the variant names, and reads what was recorded of it.
fn record<V: Variant<Law = CourseLaw>>(plan: &Plan<CourseLaw>) -> Recording {
    let mut recorder = Recorder::new(&RunHeader {
        rig: "sim".to_owned(),
        seed: plan.seed,
        machine: "virtual time".to_owned(),
        standby: plan.standby.name().to_owned(),
        parameters: *plan.config,
        course_length_m: plan.course.length_m(),
        epoch_ns: 0,
    });
    recorder.begins(ORIGIN);
    let outcome = simulate_variant_recorded::<V>(plan, &mut recorder);
    recorder.report(outcome.setting.end, &outcome.report);
    Recording::read("a run", &recorder.finish()).expect("it was just written")
}

type Designed = AsDesigned<CourseLaw>;

#[test]
fn every_recording_replays_to_the_same_decisions_and_the_same_report() {
    let schedules: [&[&str]; 10] = [
        &[],
        &["kill@1s:200ms:right"],
        &["kill@1s:left"],
        &["hang@1s:200ms:holder"],
        &["bus-cut@1s:80ms:holder"],
        &["bus-cut=rx@1s:60ms:right", "clock-slip=+2ms@1500ms:right"],
        &["late=3periods@1s:200ms:holder"],
        &["switchover@1s", "switchover@2s"],
        &["nan@1s:300ms:holder", "link-rough=0.5@1800ms:500ms"],
        &["gate-restart@1s", "kill@2s:300ms:left"],
    ];
    for (schedule, seed) in schedules.into_iter().zip(1..) {
        let gates = 1 + (seed % 2) as u8;
        let recording = record::<Designed>(&plan(seed, gates, schedule));
        let replayed = replay(&recording).unwrap_or_else(|other| panic!("seed {seed}, {schedule:?}: {other}"));
        assert!(replayed.lives >= 2 && replayed.steps > 2_000, "{schedule:?}: {replayed}");
        assert_eq!(replayed.gates, usize::from(gates), "{replayed}");
        assert!(replayed.judgements > 250 && replayed.report, "{schedule:?}: {replayed}");
        assert!(replayed.without_beginning.is_empty(), "{replayed}");
    }
}

#[test]
fn a_recording_without_steps_or_judgements_proves_nothing() {
    let whole = record::<Designed>(&plan(1, 1, &[]));
    assert_eq!(replay(&whole).expect("it is the same").missing(), None);
    let without_steps = Recording { lives: Vec::new(), ..whole.clone() };
    assert!(replay(&without_steps).expect("no difference").missing().is_some());
    let without_judgements = Recording { gates: Default::default(), ..whole };
    let replayed = replay(&without_judgements).expect("no difference");
    assert!(replayed.to_string().contains("nothing is proven"), "{replayed}");
}

#[test]
fn a_device_that_comes_back_has_another_life() {
    let recording = record::<Designed>(&plan(1, 1, &["kill@1s:200ms:right"]));
    let lives: Vec<_> = recording.lives.iter().map(|life| (life.slot.number(), life.life)).collect();
    assert_eq!(lives, [(0, 1), (1, 1), (1, 2)]);
}

#[derive(Clone, Debug)]
struct GoesOnSending;

impl NodeRules for GoesOnSending {
    const STOPS_WHEN_SUPERSEDED: bool = false;
}

#[test]
fn a_node_that_decides_otherwise_is_told_the_step_and_the_input() {
    // Cut off, superseded, and back: the design stops there, the variant goes on.
    let plan = plan(3, 1, &["bus-cut@1s:100ms:left", "bus-cut@1500ms:100ms:right"]);
    let recording = record::<Designed>(&plan);
    let difference = replay_variant::<GoesOnSending, DesignedGate>(&recording).expect_err("it goes on sending");
    assert!(matches!(&difference.place, Place::Device { life: 1, .. }), "{difference}");
    assert_eq!(difference.told, "to decide", "the fenced node publishes, the variant computes");
    assert!(difference.replayed.contains("compute") && !difference.recorded.contains("compute"), "{difference}");
    assert_eq!(difference.context.len(), 10);
    assert!(difference.context.iter().any(|line| line.contains("the peer's sample: primary")), "{difference}");
    let text = difference.to_string();
    let begins = format!("{}: step {} of {} at ", difference.place, difference.index, difference.of);
    assert!(text.starts_with(&begins), "{text}");
}

#[derive(Clone, Debug)]
struct NoLease;

impl GateRules for NoLease {
    fn has_lease_run_out(_: Duration, _: &Timing) -> bool {
        true
    }
}

/// The code as designed, but for a gate without a lease.
struct WithoutLease(PhantomData<CourseLaw>);

impl Variant for WithoutLease {
    type Law = CourseLaw;
    type Driving = Faulty<CourseLaw, SimStage>;
    type Gate = NoLease;
    type Node = DesignedNode;

    fn driving(law: Faulty<CourseLaw, SimStage>) -> Self::Driving {
        law
    }
}

#[test]
fn a_gate_that_decides_otherwise_is_told_the_frame() {
    let recording = record::<Designed>(&plan(4, 1, &["kill@1s:left"]));
    let difference = replay_variant::<DesignedNode, NoLease>(&recording).expect_err("a cover becomes a takeover");
    assert_eq!(difference.place, Place::Gate(0));
    assert!(difference.recorded.contains("a cover") && difference.replayed.contains("a takeover"), "{difference}");
    assert!(difference.told.starts_with("heard right's command for cycle"), "{difference}");
    assert!((1.0..1.1).contains(&difference.t_s), "{difference}");
}

#[test]
fn what_a_broken_gate_did_is_replayed_by_the_same_broken_gate_alone() {
    let recording = record::<WithoutLease>(&plan(4, 1, &["kill@1s:left"]));
    assert!(replay_variant::<DesignedNode, NoLease>(&recording).is_ok());
    let difference = replay(&recording).expect_err("the design has a lease");
    assert!(difference.recorded.contains("a takeover") && difference.replayed.contains("a cover"), "{difference}");
}

fn log(seed: u64) -> Log {
    simulate(&plan(seed, 1, &["kill@1s:500ms:holder", "link-rough=0.5@2s:500ms"])).log
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
