//! The simulator: simulated seconds a second (a run with its report), schedules a second (the storm, without).
//!
//! The throughput is the figure to read: `elem/s` are simulated seconds, and schedules.

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

fn run(c: &mut Criterion) {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile"),
        seed: 7,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(SIMULATED_S),
        faults: vec![Fault::parse_any("kill@5s").expect("a fault")],
    };
    let mut group = c.benchmark_group("simulated seconds");
    group.throughput(Throughput::Elements(SIMULATED_S)).sample_size(10);
    group.bench_function("kill at 5 s", |b| b.iter(|| simulate(black_box(&plan))));
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

criterion_group!(benches, run, storm);
criterion_main!(benches);
