//! The way over SocketCAN: a frame handed to the kernel and back, and a command to a gate in another thread and its status back.
//! For a kernel that has CAN; `./dev bench` calls it in a guest, where it is the kernel's and the guest's cost together.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::gate::Gate;
use twinhelm_hal::gate::rules::AsDesigned;
use twinhelm_hal::ports::Bus as _;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Duration;
use twinhelm_linux::can::{CanBus, Wants};
use twinhelm_linux::clock::now;
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::signals::LAYOUT;

const INTERFACE: &str = "vcan0";
/// No frame grows too old, and no gate closes, because a guest stands still.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(wants: Wants) -> CanBus {
    CanBus::open(INTERFACE, wants, 1, PATIENCE, false).expect("it was there a moment ago")
}

fn command(cycle: u64) -> Frame {
    CommandFrame {
        slot: Slot::LEFT,
        term: Term::next_of(Slot::LEFT, None).to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals: Signals::default(),
    }
    .encode()
}

/// Sends `frame` and waits until it is on the wire. Nobody else sends meanwhile.
fn send_out(bus: &mut CanBus, frame: Frame) {
    bus.send(frame);
    while bus.is_sending() {
        bus.wait(now() + PATIENCE);
        assert!(bus.receive().is_none());
    }
}

fn can(c: &mut Criterion) {
    if let Err(why) = CanBus::open(INTERFACE, Wants::Device, 1, PATIENCE, false) {
        println!("skipped: {why}");
        return;
    }
    let mut group = c.benchmark_group("vcan");
    let mut cycle = 0;
    let mut device = open(Wants::Device);
    group.bench_function("send, until it is on the wire", |b| {
        b.iter(|| {
            cycle += 1;
            send_out(&mut device, command(cycle));
        });
    });
    let mut sender = open(Wants::Gate(3));
    group.bench_function("receive", |b| {
        let sent = || {
            cycle += 1;
            send_out(&mut sender, command(cycle));
        };
        b.iter_batched(sent, |()| device.receive().expect("it was sent"), BatchSize::PerIteration);
    });
    let stop = Arc::new(AtomicBool::new(false));
    let gate = {
        // It listens before the first command comes.
        let (stop, bus) = (stop.clone(), open(Wants::Gate(0)));
        thread::spawn(move || answer(&stop, bus))
    };
    group.bench_function("command to status", |b| {
        b.iter(|| {
            cycle += 1;
            device.send(command(cycle));
            while device.receive().is_none() {
                device.wait(now() + PATIENCE);
            }
        });
    });
    stop.store(true, Ordering::Relaxed);
    device.send(command(cycle + 1));
    gate.join().expect("the gate's thread ends");
    group.finish();
}

/// Is a gate on `bus`, until `stop` is set and one more frame comes.
fn answer(stop: &AtomicBool, mut bus: CanBus) {
    let config =
        Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile keeps the promise");
    let mut gate = Gate::<AsDesigned>::new(0, config.gate_timing(), LAYOUT);
    while !stop.load(Ordering::Relaxed) {
        bus.wait(now() + PATIENCE);
        while let Some(received) = bus.receive() {
            let _ = gate.on_frame(now(), &received.frame);
            bus.send(gate.status(now(), 0));
        }
    }
}

criterion_group!(benches, can);
criterion_main!(benches);
