//! What the benchmarks measure on: a pair of devices and a gate at work, on a bus without delay.
//!
//! [`Pair`] drives the production `turn` until one device drives and the other is ready; [`Pair::next_turn`] then
//! stops right before a device's turn, so that a benchmark can measure exactly that turn, or a stage of it. Nothing
//! here sleeps, and nothing asks a clock. What takes real processes is measured by [`program`]; [`figures`] are what all
//! of them leave, and [`page`] and [`tables`] show it.

#![forbid(unsafe_code)]

pub mod figures;
pub mod page;
mod ports;
pub mod program;
mod strip;
pub mod tables;

pub use ports::BenchPorts;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::gate::{Gate, Verdict};
use twinhelm_hal::ports::Received;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::{Config, ConfigError, HeardSample, Node, Parameters, Pilot, turn};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::signals::{LAYOUT, State};

/// One device, ready to be cloned right before a turn.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its side of the protocol.
    pub node: Node,
    /// Its law and the second one.
    pub pilot: Pilot<CourseLaw>,
    /// What it reaches.
    pub ports: BenchPorts,
    /// When its next turn is due.
    pub due: Instant,
}

impl Device {
    /// Runs one turn.
    pub fn turn(&mut self, now: Instant) {
        self.ports.now = now;
        self.due = turn(now, &mut self.ports, &mut self.pilot, &mut self.node);
    }
}

/// Two devices and a gate.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Left and right; left drives.
    pub devices: [Device; 2],
    /// The gate.
    pub gate: Gate,
    /// The time, the same for all.
    pub now: Instant,
    /// The last command that the gate acted on, as it came.
    pub command: Option<Frame>,
    turns: u32,
}

impl Pair {
    /// Returns a pair that is at work: left drives, right is ready.
    ///
    /// # Errors
    /// When the 100 Hz profile could not keep its promise.
    ///
    /// # Panics
    /// When the pair does not come to work, which would be a bug of the protocol.
    pub fn at_work() -> Result<Self, ConfigError> {
        let config = Config::new(Parameters::at_period(Duration::from_millis(10)))?;
        let course = Arc::new(Course::harbour());
        let (x_m, y_m, yaw_rad) = course.pose(0.0);
        let now = Instant::from_nanos(1_000_000_000);
        let law = CourseLaw::new(course);
        let devices = [Slot::LEFT, Slot::RIGHT].map(|slot| Device {
            node: Node::new(now, slot, config, LAYOUT),
            pilot: Pilot::new(law.clone(), law.clone(), config.period),
            ports: BenchPorts::new(now, State { x_m, y_m, yaw_rad, speed_mps: 1.0 }),
            due: now,
        });
        let gate = Gate::new(0, config.gate_timing(), LAYOUT);
        let mut pair = Self { devices, gate, now, command: None, turns: 0 };
        while pair.turns < 200 {
            let (index, at) = pair.next_turn();
            pair.take_turn(index, at);
        }
        let ready = pair.devices[1].node.takeover_ready();
        assert_eq!(ready, Ok(()), "the right device is a ready standby");
        Ok(pair)
    }

    /// Lets the gate tick until a device's turn is due; returns whose, and when.
    pub fn next_turn(&mut self) -> (usize, Instant) {
        loop {
            let index = usize::from(self.devices[1].due < self.devices[0].due);
            let due = self.devices[index].due;
            let tick = self.gate.next_tick(self.now);
            if due <= tick {
                self.now = self.now.max(due);
                return (index, self.now);
            }
            self.now = tick;
            let _ = self.gate.on_tick(tick);
            self.report();
        }
    }

    /// Stops right before the next turn of device `index`; returns when it is due.
    pub fn before_turn_of(&mut self, index: usize) -> Instant {
        loop {
            let (next, at) = self.next_turn();
            if next == index {
                return at;
            }
            self.take_turn(next, at);
        }
    }

    /// Runs the turn of device `index`, and takes what it sends to the gate and to the other one.
    pub fn take_turn(&mut self, index: usize, at: Instant) {
        let device = &mut self.devices[index];
        // A sensor's noise: a reading that never changes would count as stuck.
        device.ports.reading.x_m += if self.turns.is_multiple_of(4) { 1e-4 } else { -1e-4 };
        device.turn(at);
        self.turns += 1;
        let sample = device.ports.told.take();
        let other = 1 - index;
        while let Some(frame) = self.devices[index].ports.sent.pop() {
            if matches!(self.gate.on_frame(at, &frame), Verdict::Acted { .. }) {
                self.command = Some(frame);
            }
            self.devices[other].ports.hear(Received { at, frame });
            self.report();
        }
        if sample.is_some() {
            self.devices[other].ports.peer = Some(HeardSample { at, sample });
        }
    }

    fn report(&mut self) {
        if self.gate.is_status_due(self.now) {
            let frame = self.gate.status(self.now, 1_000);
            for device in &mut self.devices {
                device.ports.hear(Received { at: self.now, frame });
            }
        }
    }
}
