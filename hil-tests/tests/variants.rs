//! Every checker catches a broken variant: of the gate, of the node, or of the law. A checker that has never been
//! seen to find anything proves nothing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hil::broken::{
    AnyTerm, ClaimsAgainstTheStop, CountsPastTheGate, FollowsNobody, ForgetsTheStop, GoesOnSending, KeepsOldCycle,
    KeepsOwnState, LateFramesRenew, NeverCloses, NextTermOfAll, NoCycleCheck, NoDueCheck, NoLease, NoRelock,
    NoSelfCheck, NoTermCheck, NoTolerance, OnlyAnswers, OpensOnOne, SendsBlind, TrustsBus,
};
use twinhelm_hil::fault::Fault;
use twinhelm_hil::law_faults::Faulty;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate_variant};
use twinhelm_hil::storm::{Storm, class};
use twinhelm_hil::world::{AsDesigned, SimStage, Variant};
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::{CourseLaw, Memory};
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;
use twinhelm_vehicle::signals::{Command, State};

type Designed = AsDesigned<CourseLaw>;
type DesignedGate = twinhelm_hal::gate::rules::AsDesigned;
type DesignedNode = twinhelm_standby::node::rules::AsDesigned;

/// The code as designed, but for the gate's and the node's rules.
struct Broken<G, N = DesignedNode>(PhantomData<(G, N)>);

impl<G: GateRules, N: NodeRules> Variant for Broken<G, N> {
    type Law = CourseLaw;
    type Driving = Faulty<CourseLaw, SimStage>;
    type Gate = G;
    type Node = N;

    fn driving(law: Faulty<CourseLaw, SimStage>) -> Self::Driving {
        law
    }
}

/// Runs seeds of `class` until the variant breaks `invariant`; the design holds on the very same schedule.
fn is_caught<V: Variant<Law = CourseLaw>>(name: &str, invariant: u8) {
    let class = class(name).expect("a class of the storm");
    let course = Arc::new(Course::harbour());
    let storm = Storm::new(course.clone(), CourseLaw::new(course));
    for seed in 0..1_000 {
        let broken = storm.run::<V>(class, seed).expect("the timing keeps the promise");
        if broken.violations.iter().any(|violation| violation.invariant == invariant) {
            let designed = storm.run::<Designed>(class, seed).expect("the timing keeps the promise");
            assert!(designed.holds(), "{designed}");
            return;
        }
    }
    panic!("a thousand schedules of `{name}` do not show that invariant {invariant} is broken");
}

fn run<V: Variant<Law = CourseLaw>>(seed: u64, seconds: u64, faults: &[&str]) -> Outcome {
    run_with_gates::<V>(1, seed, seconds, faults)
}

fn run_with_gates<V: Variant<Law = CourseLaw>>(gates: u8, seed: u64, seconds: u64, faults: &[&str]) -> Outcome {
    let parameters = Parameters { gates, ..Parameters::at_period(Duration::from_millis(10)) };
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(parameters).expect("the profile keeps the promise"),
        seed,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(seconds),
        faults: faults.iter().map(|fault| Fault::parse(fault).expect("a fault")).collect(),
    };
    simulate_variant::<V>(&plan)
}

#[test]
fn a_gate_without_a_lease() {
    is_caught::<Broken<NoLease>>("lose-command-at-gate", 4);
}

#[test]
fn a_gate_that_never_closes() {
    is_caught::<Broken<NeverCloses>>("solo-hang", 6);
}

#[test]
fn a_gate_that_forgets_its_estop() {
    let is_seen = |outcome: &Outcome| outcome.violations.iter().any(|violation| violation.invariant == 13);
    // Devices that know the rule would not even try.
    assert!(is_seen(&run::<Broken<ForgetsTheStop, ClaimsAgainstTheStop>>(1, 3, &["estop@1s"])));
    assert!(!is_seen(&run::<Designed>(1, 3, &["estop@1s"])));
}

#[test]
fn a_standby_that_counts_past_a_late_holder() {
    let faults = ["link-cut@2s:300ms:left", "late=25ms@2100ms:left"];
    let uncovered = |outcome: &Outcome| outcome.report.uncovered;
    assert!((0..5).all(|seed| uncovered(&run::<Broken<DesignedGate, CountsPastTheGate>>(seed, 8, &faults)) > 50));
    assert!((0..5).all(|seed| uncovered(&run::<Designed>(seed, 8, &faults)) < 5));
}

#[test]
fn a_device_that_claims_while_the_estop_is_latched() {
    // Nothing that it sends can be acted on, for as long as the stop is latched.
    let in_vain = |outcome: &Outcome| outcome.report.dropped.get("e_stop").copied().unwrap_or_default() > 50;
    let faults = ["hang@1s:300ms:left", "estop@1024ms"];
    assert!((0..20).all(|seed| in_vain(&run::<Broken<DesignedGate, ClaimsAgainstTheStop>>(seed, 8, &faults))));
    assert!((0..20).all(|seed| !in_vain(&run::<Designed>(seed, 8, &faults))));
}

#[test]
fn a_gate_that_does_not_follow_the_other() {
    // Gate 0 alone misses the holder's last two commands, so that its lease runs out two periods before gate 1's.
    let lost = ["lose=command-at-gate@900ms:left", "lose=command-at-gate@910ms:left", "kill@920ms:left"];
    let split = |outcome: &Outcome| outcome.violations.iter().any(|violation| violation.invariant == 11);
    assert!((0..20).any(|seed| split(&run_with_gates::<Broken<FollowsNobody>>(2, seed, 3, &lost))));
    assert!((0..20).all(|seed| !split(&run_with_gates::<Designed>(2, seed, 3, &lost))));
}

#[test]
fn a_gate_that_does_not_ask_whether_a_cover_is_due() {
    // A standby whose clock is ahead covers a holder that was not late.
    is_caught::<Broken<NoDueCheck>>("clock-slip", 4);
}

#[test]
fn a_gate_without_tolerance_for_a_hair_early() {
    is_caught::<Broken<NoTolerance>>("kill", 5);
}

#[test]
fn a_gate_that_does_not_compare_terms() {
    is_caught::<Broken<NoTermCheck>>("bus-cut", 1);
}

#[test]
fn a_gate_that_does_not_check_the_cycle() {
    is_caught::<Broken<NoCycleCheck>>("late-once", 3);
}

#[test]
fn a_gate_whose_lease_late_frames_renew() {
    // By the checker's own books the holder's lease has run out, and the gate keeps it all the same.
    is_caught::<Broken<LateFramesRenew>>("late-from-now-on", 4);
}

#[test]
fn a_gate_that_opens_on_one_frame() {
    // A frame stuck in a queue for a second meets a gate that has just restarted.
    let broken = |seed: u64, aim: &dyn Fn(u64, &[&str]) -> Outcome| {
        let restart = format!("gate-restart=0@{}us", 1_900_000 + seed * 500);
        let outcome = aim(seed, &["held-frame=1s@900ms:holder", &restart]);
        outcome.violations.iter().any(|violation| violation.invariant == 12)
    };
    assert!((0..40).any(|seed| broken(seed, &|seed, faults| run::<Broken<OpensOnOne>>(seed, 3, faults))));
    assert!((0..40).all(|seed| !broken(seed, &|seed, faults| run::<Designed>(seed, 3, faults))));
}

#[test]
fn a_gate_that_reports_only_when_spoken_to() {
    // Two devices listen, and wait for each other for ever: nothing is ever acted on.
    assert_eq!(run::<Broken<OnlyAnswers>>(1, 3, &[]).report.cycles, 0);
    assert!(run::<Designed>(1, 3, &[]).report.cycles > 250);
}

#[test]
fn terms_that_belong_to_nobody() {
    let faults = ["kill@1s:1s:left", "kill@3s:right"];
    let shared = |outcome: &Outcome| outcome.violations.iter().any(|violation| violation.invariant == 2);
    assert!(shared(&run::<Broken<AnyTerm, NextTermOfAll>>(1, 4, &faults)));
    assert!(!shared(&run::<Designed>(1, 4, &faults)));
}

#[test]
fn a_standby_that_believes_the_bus_and_not_the_gate() {
    is_caught::<Broken<DesignedGate, TrustsBus>>("lose-command-at-gate", 5);
}

#[test]
fn a_standby_that_does_not_lock_on_again() {
    // Its clock is ahead by more than the margin: it wins three ties in a row against a healthy holder.
    let faults = ["clock-slip=+2500us@1s:right"];
    let taken = |outcome: &Outcome| outcome.violations.iter().any(|violation| violation.invariant == 4);
    assert!((0..50).any(|seed| taken(&run::<Broken<DesignedGate, NoRelock>>(seed, 3, &faults))));
    assert!((0..50).all(|seed| !taken(&run::<Designed>(seed, 3, &faults))));
}

#[test]
fn a_blind_standby_that_sends() {
    // Deaf, and its clock a little ahead: it wins each tie against a healthy holder.
    let faults = ["bus-cut=rx@900ms:right", "clock-slip=+2500us@1200ms:right"];
    let taken = |outcome: &Outcome| outcome.violations.iter().any(|violation| violation.invariant == 4);
    assert!((0..50).any(|seed| taken(&run::<Broken<DesignedGate, SendsBlind>>(seed, 3, &faults))));
    assert!((0..50).all(|seed| !taken(&run::<Designed>(seed, 3, &faults))));
}

#[test]
fn a_superseded_device_that_goes_on_sending() {
    is_caught::<Broken<DesignedGate, GoesOnSending>>("hang", 7);
}

#[test]
fn a_primary_that_does_not_lift_its_cycle() {
    // The holder's clock goes back by a period and a half: shorter than a lease, it must not cost the wheel.
    let faults = ["clock-slip=-15ms@1s:holder"];
    assert!((0..20).all(|seed| run::<Broken<DesignedGate, KeepsOldCycle>>(seed, 3, &faults).report.takeovers > 0));
    assert!((0..20).all(|seed| run::<Designed>(seed, 3, &faults).report.takeovers == 0));
}

#[test]
fn a_standby_that_does_not_take_over_the_state() {
    let median = |mut steps: Vec<f64>| {
        steps.sort_by(f64::total_cmp);
        steps[steps.len() / 2]
    };
    // Killed and restarted, the left device rejoins at 4 s; at 5 s it has to take over from the right one.
    let faults = ["kill@3s:1s:left", "kill@5s:right"];
    let broken = median(
        (0..15).map(|seed| step_of_last(&run::<Broken<DesignedGate, KeepsOwnState>>(seed, 8, &faults))).collect(),
    );
    let designed = median((0..15).map(|seed| step_of_last(&run::<Designed>(seed, 8, &faults))).collect());
    assert!(broken >= 5.0 * designed, "{broken} rad without the state, {designed} rad with it");
}

fn step_of_last(outcome: &Outcome) -> f64 {
    outcome.report.handovers.last().expect("a handover").command_step.steering_rad
}

/// A law that makes a number of NaN, as a cast or a clamp does.
struct NanBecomesZero(Faulty<CourseLaw, SimStage>);

impl Controller for NanBecomesZero {
    type State = State;
    type Command = Command;
    type Memory = Memory;

    fn step(&mut self, state: &State, period: Duration) -> Command {
        let Command { steering_rad, drive_mps2 } = self.0.step(state, period);
        let number = |value: f64| if value.is_nan() { 0.0 } else { value };
        Command { steering_rad: number(steering_rad), drive_mps2: number(drive_mps2) }
    }

    fn standstill(&mut self, state: &State, period: Duration) -> Command {
        self.0.standstill(state, period)
    }

    fn export(&self) -> Memory {
        self.0.export()
    }

    fn import(&mut self, memory: &Memory) {
        self.0.import(memory);
    }

    fn track(&mut self, applied: &Command) {
        self.0.track(applied);
    }
}

struct LetsNanThrough;

impl Variant for LetsNanThrough {
    type Law = CourseLaw;
    type Driving = NanBecomesZero;
    type Gate = DesignedGate;
    type Node = NoSelfCheck;

    fn driving(law: Faulty<CourseLaw, SimStage>) -> NanBecomesZero {
        NanBecomesZero(law)
    }
}

#[test]
fn nan_that_is_let_through() {
    is_caught::<LetsNanThrough>("nan", 5);
}

#[test]
fn a_stuck_output_that_is_not_checked() {
    let wrong = |outcome: &Outcome| outcome.report.wrong_command_cycles > 0;
    assert!(wrong(&run::<Broken<DesignedGate, NoSelfCheck>>(1, 8, &["frozen=output@4s:holder"])));
    assert!(!wrong(&run::<Designed>(1, 8, &["frozen=output@4s:holder"])));
}
