//! Choosing a spare out of pools of three sizes: one call of `rank`, with the offers as they were heard.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use twinhelm_hal::time::Instant;
use twinhelm_standby::pool::{Needs, Offer, rank};

const NOW: Instant = Instant::from_nanos(100_000_000_000);

/// A device like others: some have the image, some are busy, two have a number on the bus.
fn offer(number: u32) -> Offer {
    Offer {
        slot: u8::try_from(number + 2).ok().filter(|slot| *slot < 4),
        platform: "linux/arm/v7".to_owned(),
        free_bytes: u64::from(1 + number % 7) << 28,
        reaches: vec!["can0".to_owned()],
        images: number.is_multiple_of(3).then(|| "sha256:1".to_owned()).into_iter().collect(),
        data: vec!["1".to_owned()],
        load: 0.1 * (number % 5) as f32,
        busy: (number % 11 == 5).then(|| "another mission".to_owned()),
        ..Offer::of(&format!("device-{number:04}"), 0)
    }
}

fn pool(c: &mut Criterion) {
    let needs = Needs {
        platforms: vec!["linux/arm/v7".to_owned()],
        memory_bytes: 1 << 28,
        reaches: vec!["can0".to_owned()],
        image: "sha256:1".to_owned(),
        data: "1".to_owned(),
    };
    let mut group = c.benchmark_group("choose a spare out of");
    for devices in [10, 100, 1_000] {
        let offers: Vec<_> = (0..devices).map(|number| (NOW, offer(number))).collect();
        group.throughput(Throughput::Elements(devices.into()));
        group.bench_with_input(BenchmarkId::from_parameter(devices), &offers, |b, offers| {
            b.iter(|| rank(NOW, &needs, black_box(offers)));
        });
    }
    group.finish();
}

criterion_group!(benches, pool);
criterion_main!(benches);
