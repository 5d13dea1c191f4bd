//! State from device to device over Zenoh, and plain Zenoh for as many bytes on the same settings, sent in turn: compare
//! the two with each other, never with another day's.

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;
use twinhelm_benches::program::{count, leave, link};

fn one_way(c: &mut Criterion) {
    let figures = link(count("TWINHELM_SAMPLES", 2_000));
    leave("link.json", &figures);
    let mut group = c.benchmark_group("one way");
    group.sampling_mode(SamplingMode::Flat).sample_size(100);
    group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_nanos(1));
    for (name, times_us) in [("state", &figures.state_us), ("plain Zenoh", &figures.plain_us)] {
        // A hundred samples of as many messages each as there are.
        let each = (times_us.len() / 101).max(1);
        let mut groups = times_us.chunks(each).cycle();
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len() as f64;
                let taken = (0..iterations).filter_map(|_| groups.next());
                taken.map(|group| Duration::from_secs_f64(mean(group) * 1e-6)).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_way);
criterion_main!(benches);
