//! The hot path: one turn of a device whole, and by stage. The design promises single-digit microseconds.
//!
//! Each sample works on a fresh clone of a pair at work, taken right before the turn; the clone is not measured.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use twinhelm_benches::{Device, Pair};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::CommandFrame;
use twinhelm_hal::ports::{Bus as _, Received};
use twinhelm_hal::time::Instant;
use twinhelm_standby::{Effect, Input, Published, Readings};
use twinhelm_vehicle::law::Memory;
use twinhelm_vehicle::signals::State;

const HOLDER: usize = 0;
const STANDBY: usize = 1;

/// Returns a pair right before the turn of device `index`, and when that is due.
fn pair_before(index: usize) -> (Pair, Instant) {
    let mut pair = Pair::at_work().expect("the profile keeps the promise");
    let at = pair.before_turn_of(index);
    (pair, at)
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("turn");
    for (name, index) in [("primary", HOLDER), ("standby", STANDBY)] {
        let (pair, at) = pair_before(index);
        let device = pair.devices[index].clone();
        group.bench_function(name, |b| {
            b.iter_batched_ref(|| device.clone(), |device| device.turn(black_box(at)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// What the standby is told in this turn: all that it heard, and the holder's sample.
fn inputs(device: &Device) -> (Vec<Received>, Input, Published<State, Memory>, Cycle) {
    let mut ports = device.ports.clone();
    let heard = std::iter::from_fn(|| ports.receive()).collect();
    let peer = device.ports.peer.expect("the holder told its state");
    let sample = peer.sample.expect("of the same version");
    let input = Input::Peer { at: peer.at, header: Some(sample.header) };
    (heard, input, sample.published.expect("the holder computes"), sample.header.cycle)
}

fn stages(c: &mut Criterion) {
    let (pair, at) = pair_before(STANDBY);
    let device = pair.devices[STANDBY].clone();
    let (heard, peer, published, cycle) = inputs(&device);
    let reading = device.ports.reading;
    let mut group = c.benchmark_group("stage");

    group.bench_function("read and adopt", |b| {
        let read = |device: &mut Device| {
            while let Some(received) = device.ports.receive() {
                let _ = black_box(device.node.step(at, Input::Heard(received)));
            }
            let _ = black_box(device.node.step(at, peer));
            assert!(device.pilot.adopt(black_box(&published)));
            device.node.step(at, Input::Adopted { cycle, at })
        };
        b.iter_batched_ref(|| device.clone(), read, BatchSize::SmallInput);
    });
    group.bench_function("law step, checked", |b| {
        let step = |device: &mut Device| device.pilot.compute(black_box(Some(reading)), None, false);
        b.iter_batched_ref(|| device.clone(), step, BatchSize::SmallInput);
    });
    group.bench_function("node step", |b| {
        let step = |device: &mut Device| {
            let node = &mut device.node;
            let _ = black_box(node.step(at, Input::Woke));
            for received in &heard {
                let _ = black_box(node.step(at, Input::Heard(*received)));
            }
            let _ = black_box(node.step(at, peer));
            for effect in node.step(at, Input::Decide) {
                if let Effect::Compute { cycle, .. } = effect {
                    let signals = published.signals;
                    let input = Input::Computed { cycle, signals, readings: Readings::Own, checked: true };
                    let _ = black_box(node.step(at + Duration::from_micros(20), input));
                }
            }
            black_box(node.header())
        };
        b.iter_batched_ref(|| device.clone(), step, BatchSize::SmallInput);
    });
    let frame = pair.command.expect("the holder drives");
    let command = CommandFrame::decode(&frame).expect("a command");
    group.bench_function("encode", |b| b.iter(|| black_box(&command).encode()));
    group.finish();
}

fn gate(c: &mut Criterion) {
    let (mut pair, at) = pair_before(HOLDER);
    let gate = pair.gate.clone();
    pair.take_turn(HOLDER, at);
    let frame = pair.command.expect("the holder drives");
    c.bench_function("gate on_frame", |b| {
        b.iter_batched_ref(|| gate.clone(), |gate| gate.on_frame(at, black_box(&frame)), BatchSize::SmallInput);
    });
}

criterion_group!(benches, whole, stages, gate);
criterion_main!(benches);
