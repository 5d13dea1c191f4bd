//! Frames to bytes and back, and the CRC alone: each encode and decode computes it once.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use twinhelm_hal::frame::{CommandFrame, CountersFrame, Echo, Malformed, StatusFrame};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::Slot;

fn codecs(c: &mut Criterion) {
    let command = CommandFrame {
        slot: Slot::RIGHT,
        term: 0xA5,
        cycle: 0xABC,
        probe: false,
        estop: false,
        signals: Signals::of_16_bits([-1234, 4321]),
    };
    let status = StatusFrame {
        gate: 1,
        term: 0x5A,
        cycle: 0x123,
        open: true,
        term_known: true,
        safe_state: false,
        estop: false,
        echo: Some(Echo { slot: Slot::RIGHT, number: 63 }),
        speed_mm_s: 2500,
    };
    let counters = CountersFrame { gate: 0, group: 2, counters: [1, 65_535, 7] };

    let mut group = c.benchmark_group("encode");
    group.bench_function("command", |b| b.iter(|| black_box(&command).encode()));
    group.bench_function("status", |b| b.iter(|| black_box(&status).encode()));
    group.bench_function("counters", |b| b.iter(|| black_box(&counters).encode()));
    group.finish();

    let mut group = c.benchmark_group("decode");
    let (command, status, counters) = (command.encode(), status.encode(), counters.encode());
    group.bench_function("command", |b| b.iter(|| CommandFrame::decode(black_box(&command))));
    group.bench_function("status", |b| b.iter(|| StatusFrame::decode(black_box(&status))));
    group.bench_function("counters", |b| b.iter(|| CountersFrame::decode(black_box(&counters))));
    group.finish();

    // A frame that fails its check costs the CRC and nothing behind it.
    let mut broken = command;
    broken.data[7] ^= 1;
    assert_eq!(CommandFrame::decode(&broken), Err(Malformed::Crc));
    c.bench_function("crc", |b| b.iter(|| CommandFrame::decode(black_box(&broken))));
}

criterion_group!(benches, codecs);
criterion_main!(benches);
