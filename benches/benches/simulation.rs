//! The simulator: simulated seconds and takeovers a second (runs with their reports), schedules a second (the storm,
//! without).
//!
//! The throughput is the figure to read: `elem/s` are simulated seconds, takeovers, and schedules.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Plan, Standby, simulate};
use twinhelm_hil::storm::{Storm, class};
use twinhelm_hil::world::AsDesigned;
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;

const SIMULATED_S: u64 = 14;
/// A killed device is back, and ready, long before the next one is killed.
const TAKEOVER_EVERY_MS: u64 = 1_200;
const TAKEOVERS: u64 = 20;

fn plan(duration: Duration, faults: &[String]) -> Plan<CourseLaw> {
    let course = Arc::new(Course::harbour());
    Plan {
        config: Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile"),
        seed: 7,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration,
        faults: faults.iter().map(|fault| Fault::parse(fault).expect("a fault")).collect(),
    }
}

fn run(c: &mut Criterion) {
    let plan = plan(Duration::from_secs(SIMULATED_S), &["kill@5s".to_owned()]);
    let mut group = c.benchmark_group("simulated seconds");
    group.throughput(Throughput::Elements(SIMULATED_S)).sample_size(10);
    group.bench_function("kill at 5 s", |b| b.iter(|| simulate(black_box(&plan))));
    group.finish();
}

fn takeovers(c: &mut Criterion) {
    let kills: Vec<_> =
        (1..=TAKEOVERS).map(|count| format!("kill@{}ms:100ms", count * TAKEOVER_EVERY_MS)).collect();
    let plan = plan(Duration::from_millis((TAKEOVERS + 1) * TAKEOVER_EVERY_MS), &kills);
    assert_eq!(simulate(&plan).report.takeovers, TAKEOVERS, "each kill is a takeover");
    let mut group = c.benchmark_group("takeovers");
    group.throughput(Throughput::Elements(TAKEOVERS)).sample_size(10);
    group.bench_function("kill and back", |b| b.iter(|| simulate(black_box(&plan))));
    group.finish();
}

fn storm(c: &mut Criterion) {
    let course = Arc::new(Course::harbour());
    let storm = Storm::new(course.clone(), CourseLaw::new(course));
    let mut group = c.benchmark_group("schedules");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for name in ["nothing", "kill", "hang"] {
        let class = class(name).expect("a class of the storm");
        let mut seed = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                seed += 1;
                storm.run::<AsDesigned<CourseLaw>>(class, seed).expect("the storm's timing keeps the promise")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, run, takeovers, storm);
criterion_main!(benches);
