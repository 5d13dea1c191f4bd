//! The hot path allocates nothing: a thousand turns of a pair, frames encoded and decoded, and every call to the
//! allocator counted.
//!
//! Two devices and a gate in one loop, with ports made of fixed arrays: the one that drives and the one that stands
//! by both run the production `turn` with the demo's law.

// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::gate::rules::AsDesigned;
use twinhelm_hal::gate::{Gate, Verdict};
use twinhelm_hal::ports::{Bus, Received};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::{
    Config, HeardSample, Node, Order, Parameters, Pilot, Ports, Refusal, RoleName, Sample, turn,
};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::{CourseLaw, Memory};
use twinhelm_vehicle::signals::{LIMITS, State};

struct Counting;

thread_local! {
    // Of this thread alone: the test harness has threads of its own.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn calls() -> u64 {
    CALLS.with(Cell::get)
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the trait's promises; the counter is a
// plain number that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, because `alloc` and `realloc` took it there.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the block came from `System`, because `alloc` and `realloc` took it there.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A queue of fixed size.
#[derive(Clone, Copy)]
struct Few<T> {
    held: [Option<T>; 8],
    count: usize,
}

impl<T: Copy> Few<T> {
    const fn new() -> Self {
        Self { held: [None; 8], count: 0 }
    }

    fn push(&mut self, item: T) {
        self.held[self.count] = Some(item);
        self.count += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let first = self.held[0].take()?;
        self.held.rotate_left(1);
        self.count -= 1;
        Some(first)
    }
}

struct ArrayPorts {
    now: Instant,
    heard: Few<Received>,
    sent: Few<Frame>,
    reading: State,
    peer: Option<HeardSample<State, Memory>>,
    told: Option<Sample<State, Memory>>,
}

impl Bus for ArrayPorts {
    fn send(&mut self, frame: Frame) {
        self.sent.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        self.heard.pop()
    }
}

impl Ports<State, Memory> for ArrayPorts {
    fn now(&self) -> Instant {
        self.now + Duration::from_micros(20)
    }

    fn readings(&mut self) -> Option<State> {
        Some(self.reading)
    }

    fn peer(&mut self) -> Option<HeardSample<State, Memory>> {
        self.peer
    }

    fn publish(&mut self, sample: &Sample<State, Memory>) {
        self.told = Some(*sample);
    }

    fn order(&mut self) -> Option<Order> {
        None
    }

    fn refuse(&mut self, _refusal: Refusal) {}
}

struct Device {
    node: Node,
    pilot: Pilot<CourseLaw>,
    ports: ArrayPorts,
    due: Instant,
}

/// Two devices and a gate on a bus without delay.
struct Pair {
    devices: [Device; 2],
    gate: Gate<AsDesigned>,
    now: Instant,
    acted: u32,
    turns: [u32; 2],
}

impl Pair {
    fn new() -> Self {
        let config = Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile");
        let course = Arc::new(Course::harbour());
        let (x_m, y_m, yaw_rad) = course.pose(0.0);
        let now = Instant::from_nanos(1_000_000_000);
        let law = CourseLaw::new(course);
        let devices = [Slot::LEFT, Slot::RIGHT].map(|slot| Device {
            node: Node::new(now, slot, config),
            pilot: Pilot::new(law.clone(), law.clone(), config.period),
            ports: ArrayPorts {
                now,
                heard: Few::new(),
                sent: Few::new(),
                reading: State { x_m, y_m, yaw_rad, speed_mps: 1.0 },
                peer: None,
                told: None,
            },
            due: now,
        });
        let gate = Gate::new(0, config.gate_timing(), LIMITS);
        Self { devices, gate, now, acted: 0, turns: [0; 2] }
    }

    /// Goes on to whatever is due next: a device's turn, or the gate's own status.
    fn happen(&mut self) {
        let [left, right] = [self.devices[0].due, self.devices[1].due];
        let tick = self.gate.next_tick(self.now);
        self.now = self.now.max(left.min(right).min(tick));
        let _ = self.gate.on_tick(self.now);
        for index in 0..2 {
            if self.devices[index].due <= self.now {
                self.turn(index);
            }
        }
        self.report();
    }

    fn turn(&mut self, index: usize) {
        let now = self.now;
        let Device { node, pilot, ports, due } = &mut self.devices[index];
        ports.now = now;
        // A sensor's noise: a reading that never changes would count as stuck.
        ports.reading.x_m += if self.turns[index].is_multiple_of(2) { 1e-4 } else { -1e-4 };
        *due = turn(now, ports, pilot, node);
        self.turns[index] += 1;
        let sample = ports.told.take();
        let other = 1 - index;
        while let Some(frame) = self.devices[index].ports.sent.pop() {
            if matches!(self.gate.on_frame(now, &frame), Verdict::Acted { .. }) {
                self.acted += 1;
            }
            self.devices[other].ports.heard.push(Received { at: now, frame });
            self.report();
        }
        if sample.is_some() {
            self.devices[other].ports.peer = Some(HeardSample { at: now, sample });
        }
    }

    fn report(&mut self) {
        if self.gate.is_status_due(self.now) {
            let frame = self.gate.status(self.now, 1_000);
            for device in &mut self.devices {
                device.ports.heard.push(Received { at: self.now, frame });
            }
        }
    }

    fn roles(&self) -> [RoleName; 2] {
        [0, 1].map(|index: usize| self.devices[index].node.role().name())
    }
}

#[test]
fn a_thousand_turns_allocate_nothing() {
    let mut pair = Pair::new();
    while pair.turns[1] < 50 {
        pair.happen();
    }
    assert_eq!(pair.roles(), [RoleName::Primary, RoleName::Standby]);
    assert_eq!(pair.devices[1].node.takeover_ready(), Ok(()));
    let (turns, acted, before) = (pair.turns, pair.acted, calls());
    while pair.turns[0] < turns[0] + 1_000 {
        pair.happen();
    }
    assert_eq!(calls() - before, 0, "a turn allocated");
    assert_eq!(pair.acted - acted, 1_000, "each of them drove");
    assert!(pair.turns[1] >= turns[1] + 999, "and the standby's were counted with them");
    assert_eq!(pair.roles(), [RoleName::Primary, RoleName::Standby]);
}

#[test]
fn the_counter_counts() {
    let before = calls();
    drop(std::hint::black_box(Box::new(1_u8)));
    assert_eq!(calls() - before, 1);
}
