//! The vehicle as its bus sees it: actuator nodes behind their gates, the plant on its course, and a note of
//! everything that the gates did.
//!
//! The simulator and the host rig's vehicle process both own one of these and feed it frames and time; what they
//! note is therefore the same on every rig.

use crate::actuators::{BRAKE_COUNTS, Setpoints, safe_state, speed_mm_s};
use crate::course::Course;
use crate::plant::{Plant, PlantConfig};
use crate::report::log::{Event, GateAnswer, GateInput, Observer};
use crate::signals::{LAYOUT, State};
use std::collections::VecDeque;
use std::sync::Arc;
use twinhelm_hal::actuator::Actuator;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::gate::rules::{AsDesigned, GateRules};
use twinhelm_hal::gate::{Gate, Timing, Verdict};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::{Duration, Instant};

/// The plant moves in steps of this length.
pub const PLANT_STEP: Duration = Duration::from_millis(2);
/// Every so many plant steps the truth is noted: 100 times a second.
const TRUTH_EVERY: u32 = 5;
/// So many offered commands are remembered for each device, to tell the age of what is acted on.
const OFFERED_MAX: usize = 1024;

/// The vehicle.
pub struct Vehicle<R: GateRules = AsDesigned> {
    timing: Timing,
    gates: Vec<Actuator<R>>,
    setpoints: Setpoints,
    was_open: Vec<bool>,
    offered: [VecDeque<Offered>; SLOTS as usize],
    course: Arc<Course>,
    plant: Plant,
    steps: u32,
    s_m: f64,
    travelled_m: f64,
}

#[derive(Clone, Copy)]
struct Offered {
    term: u8,
    cycle: u16,
    at: Instant,
}

/// Returns an actuator node of the car's, which knows the speed, and brakes until the car stands.
fn actuator<R: GateRules>(gate: u8, timing: Timing) -> Actuator<R> {
    Actuator::new(Gate::new(gate, timing, LAYOUT), safe_state(BRAKE_COUNTS, None))
}

impl<R: GateRules> Vehicle<R> {
    /// Returns a vehicle with `gates` gates at rest at the start of `course`.
    #[must_use]
    pub fn new(timing: Timing, gates: u8, plant: PlantConfig, course: Arc<Course>) -> Self {
        let (x_m, y_m, yaw_rad) = course.pose(0.0);
        Self {
            timing,
            gates: (0..gates).map(|gate| actuator(gate, timing)).collect(),
            setpoints: Setpoints::default(),
            was_open: vec![false; gates.into()],
            offered: std::array::from_fn(|_| VecDeque::with_capacity(OFFERED_MAX)),
            plant: Plant::new(plant, State { x_m, y_m, yaw_rad, speed_mps: 0.0 }),
            course,
            steps: 0,
            s_m: 0.0,
            travelled_m: 0.0,
        }
    }

    /// Returns how many gates there are.
    #[must_use]
    pub fn gates(&self) -> u8 {
        self.gates.len().to_le_bytes()[0]
    }

    /// Returns where the vehicle is, without any sensor between.
    #[must_use]
    pub const fn truth(&self) -> &State {
        self.plant.state()
    }

    /// Returns whether each gate acts on commands.
    #[must_use]
    pub fn is_commanded(&self) -> bool {
        self.gates.iter().all(|gate| gate.gate().is_open())
    }

    /// Returns the device that gate 0 names as the holder.
    #[must_use]
    pub fn holder(&self) -> Option<Slot> {
        self.gates.first().and_then(|gate| gate.gate().term()).map(Term::slot)
    }

    /// Takes note that a device handed `frame` to the bus.
    pub fn on_offered(&mut self, now: Instant, frame: &Frame, woke: Option<Instant>, observer: &mut impl Observer) {
        let Ok(CommandFrame { slot, term, cycle, probe, signals, .. }) = CommandFrame::decode(frame) else {
            return;
        };
        if !probe {
            let offered = &mut self.offered[slot.index()];
            if offered.len() >= OFFERED_MAX {
                offered.pop_front();
            }
            offered.push_back(Offered { term, cycle, at: now });
        }
        observer.on(now, &Event::Offered { slot, term, cycle, probe, signals, woke });
    }

    /// Lets `gate` judge a frame that it heard.
    pub fn on_frame(&mut self, now: Instant, gate: u8, frame: &Frame, observer: &mut impl Observer) {
        let index = usize::from(gate);
        let known = self.gates[index].gate().term();
        let verdict = self.gates[index].on_frame(now, frame);
        self.note_judged(now, gate, &GateInput::Frame(*frame), Some(verdict), observer);
        if matches!(verdict, Verdict::EStopped { .. }) {
            observer.on(now, &Event::EStopped { gate });
        }
        self.note_closing(now, gate, observer);
        match verdict {
            Verdict::Acted { how, slot, term: adopted, cycle, signals, .. } => {
                self.was_open[index] = true;
                let wire = frame.data[1];
                let term = Term::from_wire(wire, known).unwrap_or(adopted);
                let mut offered = self.offered[slot.index()].iter().rev();
                let offered = offered.find(|offered| (offered.term, offered.cycle) == (wire, cycle.to_wire()));
                let age = offered.map(|offered| now.since(offered.at));
                observer.on(now, &Event::Acted { gate, how, slot, term, adopted, cycle, signals, age });
            }
            Verdict::Dropped { why } => observer.on(now, &Event::Dropped { gate, why }),
            Verdict::Followed { term, .. } => observer.on(now, &Event::Followed { gate, term }),
            Verdict::EStopped { .. } | Verdict::Probe { .. } | Verdict::Ignored => {}
        }
    }

    /// Lets time pass at `gate`.
    pub fn on_tick(&mut self, now: Instant, gate: u8, observer: &mut impl Observer) {
        let speed = speed_mm_s(self.plant.state().speed_mps);
        if self.gates[usize::from(gate)].on_tick(now, speed) {
            self.note_judged(now, gate, &GateInput::Tick, None, observer);
        }
        self.note_closing(now, gate, observer);
    }

    /// Returns the next frame that `gate` has to send now, if any. To be called until it returns `None`.
    pub fn due_frame(&mut self, now: Instant, gate: u8) -> Option<Frame> {
        let speed = speed_mm_s(self.plant.state().speed_mps);
        self.gates[usize::from(gate)].outgoing(now, speed)
    }

    /// Returns when `gate` needs its next tick.
    #[must_use]
    pub fn next_tick(&self, now: Instant, gate: u8) -> Instant {
        self.gates[usize::from(gate)].next_tick(now)
    }

    /// Brings `gate` up anew: closed, knowing no term.
    pub fn restart_gate(&mut self, now: Instant, gate: u8, observer: &mut impl Observer) {
        if let Some(node) = self.gates.get_mut(usize::from(gate)) {
            *node = actuator(gate, self.timing);
            self.was_open[usize::from(gate)] = false;
            self.note_judged(now, gate, &GateInput::Restart, None, observer);
            observer.on(now, &Event::Restarted { gate });
        }
    }

    /// Presses the e-stop button, whose line goes to every gate.
    pub fn press_estop(&mut self, now: Instant, observer: &mut impl Observer) {
        for gate in 0..self.gates() {
            self.gates[usize::from(gate)].stop(now);
            self.note_judged(now, gate, &GateInput::Stop, None, observer);
            observer.on(now, &Event::EStopped { gate });
            self.note_closing(now, gate, observer);
        }
    }

    /// Moves the vehicle by one [`PLANT_STEP`]; gate 0 has the actuators.
    pub fn step(&mut self, now: Instant, observer: &mut impl Observer) {
        // Ticked first: what closes a gate is noted.
        self.on_tick(now, 0, observer);
        self.setpoints.follow(self.gates[0].told(now));
        let setpoints = self.setpoints;
        self.plant.set_side_slope_rad(self.course.side_slope_rad(self.s_m));
        self.plant.step(PLANT_STEP.as_secs_f64(), setpoints.steering_rad, setpoints.drive_mps2);
        if self.steps.is_multiple_of(TRUTH_EVERY) {
            let state = *self.plant.state();
            let place = self.course.nearest(state.x_m, state.y_m, Some(self.s_m));
            let moved_m = place.s_m - self.s_m;
            self.travelled_m += moved_m - (moved_m / self.course.length_m()).round() * self.course.length_m();
            self.s_m = place.s_m;
            observer.on(
                now,
                &Event::Truth {
                    x_m: state.x_m,
                    y_m: state.y_m,
                    yaw_rad: state.yaw_rad,
                    speed_mps: state.speed_mps,
                    motion: self.plant.motion(),
                    battery: self.plant.battery(),
                    cross_track_m: place.cross_track_m,
                    travelled_m: self.travelled_m,
                },
            );
        }
        self.steps = self.steps.wrapping_add(1);
    }

    fn note_judged(
        &self,
        now: Instant,
        gate: u8,
        input: &GateInput,
        verdict: Option<Verdict>,
        observer: &mut impl Observer,
    ) {
        let gate_now = self.gates[usize::from(gate)].gate();
        let answer = GateAnswer { verdict, open: gate_now.is_open(), term: gate_now.term() };
        observer.judged(now, gate, input, &answer);
    }

    fn note_closing(&mut self, now: Instant, gate: u8, observer: &mut impl Observer) {
        let index = usize::from(gate);
        if self.was_open[index] && !self.gates[index].gate().is_open() {
            self.was_open[index] = false;
            observer.on(now, &Event::Closed { gate });
        }
    }
}
