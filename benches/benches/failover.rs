//! Failover on real processes: criterion's value is the handover gap, taken at the gate by the vehicle's process.
//!
//! Each fault is injected `TWINHELM_RUNS` times into a pair that was whole before, on each rig and profile of
//! `TWINHELM_RIGS`; criterion is handed the gaps, one an iteration. A cut link is no handover and has no gap: it is
//! measured all the same, for its covers. What criterion does not show (covers, misses, stalls) goes to the page.

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;
use twinhelm_benches::program::{count, failover, leave};

/// What the design's promise is about, and a cut link.
const FAULTS: [&str; 8] = ["kill", "hang", "power", "bus-cut", "late", "nan", "frozen", "link-cut"];
/// Criterion takes no fewer samples.
const SAMPLES_MIN: usize = 10;

fn gaps(c: &mut Criterion) {
    let rigs = std::env::var("TWINHELM_RIGS").unwrap_or_else(|_| "host:100hz".to_owned());
    // One more: criterion warms up with the first.
    let runs = count("TWINHELM_RUNS", 20).max(SAMPLES_MIN) + 1;
    for setting in rigs.split_whitespace() {
        let (rig, profile) = setting.split_once(':').expect("TWINHELM_RIGS is like `host:100hz netns:1khz`");
        let mut group = c.benchmark_group(format!("failover {rig} {profile}"));
        group.sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_nanos(1));
        let mut all = None;
        for fault in FAULTS {
            let (figures, of_fault) = failover(rig, profile, fault, runs);
            let measured = of_fault.gap_ms.len();
            if measured > SAMPLES_MIN {
                group.sample_size(measured - 1);
                let mut next = of_fault.gap_ms.iter().cycle();
                group.bench_function(fault, |b| {
                    b.iter_custom(|iterations| {
                        let taken = (0..iterations).filter_map(|_| next.next());
                        taken.map(|gap_ms| Duration::from_secs_f64(gap_ms * 1e-3)).sum()
                    });
                });
            }
            let all = all.get_or_insert(figures);
            all.faults.push(of_fault);
            // Whatever happens to the next fault, these are kept.
            leave(&format!("failover-{rig}-{profile}.json"), all);
        }
        group.finish();
    }
}

criterion_group!(benches, gaps);
criterion_main!(benches);
