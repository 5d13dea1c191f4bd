//! A device in the World: its clock, its ports, its life.

use super::{Setup, Variant};
use crate::clock::Clock;
use crate::law_faults::{Faulty, LawFault, Stage};
use crate::recording::Step;
use crate::rng::Rng;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Confinement, Received};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::{
    Effects, HeardSample, Input, Node, NotReady, Order, Pilot, Ports, Refusal, RoleName, Sample, turn,
};
use twinhelm_vehicle::sensors::{SensorFault, Sensors};
use twinhelm_vehicle::signals::{LAYOUT, State};

/// So many frames wait for a device that does not look: what a socket's buffer would hold.
const INBOX_MAX: usize = 64;
/// A turn's own computing time, modelled.
const COMPUTING: Duration = Duration::from_micros(20);

type Memory<V> = <<V as Variant>::Law as Controller>::Memory;

/// The World's side of a law's faults.
#[derive(Clone, Debug, Default)]
pub struct SimStage {
    fault: Rc<Cell<Option<LawFault>>>,
    extra: Rc<Cell<Duration>>,
}

impl Stage for SimStage {
    fn fault(&mut self) -> Option<LawFault> {
        self.fault.get()
    }

    fn take(&mut self, extra: Duration) {
        self.extra.set(self.extra.get() + extra);
    }
}

pub(super) struct Device<V: Variant> {
    slot: Slot,
    clock: Clock,
    sensors: Sensors,
    stage: SimStage,
    running: Option<Running<V>>,
    /// Counts wake-ups that were set, so that one that was replaced is ignored.
    alarm: u32,
    /// When the next turn is due, by the device's clock.
    due: Instant,
    /// Stopped by a signal: it does not run.
    hung: bool,
    /// What a turn would have sent that was stopped in the middle.
    in_hand: Option<Outcome<V>>,
    inbox: VecDeque<Received>,
    /// How its bus controller stands.
    confinement: Confinement,
    peer: Option<HeardSample<State, Memory<V>>>,
    orders: VecDeque<Order>,
    /// Counts the starts.
    life: u32,
    /// The steps since they were taken, if somebody wants them.
    steps: Option<Vec<Step>>,
}

struct Running<V: Variant> {
    node: Node<V::Node>,
    pilot: Pilot<V::Driving, V::Law>,
    role: Option<RoleName>,
    ready: Option<Result<(), NotReady>>,
    /// The next turn is stopped in the middle.
    stops: bool,
}

/// What came of a turn.
pub(super) struct Outcome<V: Variant> {
    pub(super) frames: Vec<Frame>,
    pub(super) sample: Option<Sample<State, Memory<V>>>,
    pub(super) extra: Duration,
    pub(super) next: Instant,
    pub(super) alarm: u32,
    pub(super) role: Option<RoleName>,
    pub(super) ready: Option<Result<(), NotReady>>,
    pub(super) woke: Instant,
}

impl<V: Variant> Device<V> {
    pub(super) fn new(slot: Slot, setup: &Setup<V::Law>, rng: &mut Rng) -> Self {
        // Each device's clock has an origin and a drift of its own: 50 ppm is an ordinary crystal.
        let shown = Instant::from_nanos(1_000_000_000 + rng.below(1_000_000_000_000));
        let drift_ppm = (rng.unit() - 0.5) * 100.0;
        Self {
            slot,
            clock: Clock::new(super::ORIGIN, shown, drift_ppm),
            sensors: Sensors::of_device(setup.sensors, setup.seed, slot),
            stage: SimStage::default(),
            running: None,
            alarm: 0,
            due: shown,
            hung: false,
            in_hand: None,
            inbox: VecDeque::with_capacity(INBOX_MAX),
            confinement: Confinement::Active,
            peer: None,
            orders: VecDeque::new(),
            life: 0,
            steps: None,
        }
    }

    pub(super) fn start(&mut self, now: Instant, setup: &Setup<V::Law>) -> u32 {
        let local = self.clock.local(now);
        let law = Faulty::new(setup.law.clone(), self.stage.clone());
        let pilot = Pilot::new(V::driving(law), setup.law.clone(), setup.config.period);
        let node = Node::new(local, self.slot, setup.config, LAYOUT);
        self.running = Some(Running { node, pilot, role: None, ready: None, stops: false });
        self.life += 1;
        self.inbox.clear();
        self.peer = None;
        self.orders.clear();
        self.hung = false;
        self.in_hand = None;
        self.due = local;
        self.set_alarm()
    }

    /// Sets a new wake-up; the one before it is ignored.
    fn set_alarm(&mut self) -> u32 {
        self.alarm = self.alarm.wrapping_add(1);
        self.alarm
    }

    /// Returns when the next turn is due by true time, after the clock was changed, and the alarm for it.
    pub(super) fn reset_alarm(&mut self) -> (Instant, u32) {
        (self.clock.at(self.due), self.set_alarm())
    }

    pub(super) fn kill(&mut self) {
        self.running = None;
        self.in_hand = None;
        self.inbox.clear();
    }

    pub(super) const fn is_up(&self) -> bool {
        self.running.is_some() && !self.hung
    }

    pub(super) fn is_ready(&self) -> bool {
        self.readiness().is_some_and(|ready| ready.is_ok())
    }

    /// Returns whether the running device could take over, `None` when it does not run.
    pub(super) fn readiness(&self) -> Option<Result<(), NotReady>> {
        self.running.as_ref().map(|running| running.node.takeover_ready())
    }

    pub(super) fn local(&self, now: Instant) -> Instant {
        self.clock.local(now)
    }

    pub(super) const fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    pub(super) fn set_sensor_fault(&mut self, fault: Option<SensorFault>) {
        self.sensors.set_fault(fault);
    }

    pub(super) fn set_law_fault(&mut self, fault: Option<LawFault>) {
        self.stage.fault.set(fault);
    }

    pub(super) const fn set_confinement(&mut self, confinement: Confinement) {
        self.confinement = confinement;
    }

    /// Stops the process. It stops in the middle of a turn: the next one computes, and what it sends waits.
    pub(super) fn hang(&mut self, in_hand: bool) {
        self.hung = true;
        if let Some(running) = &mut self.running {
            running.stops = in_hand;
        }
    }

    pub(super) fn resume(&mut self) -> (Option<Outcome<V>>, u32) {
        self.hung = false;
        (self.in_hand.take(), self.set_alarm())
    }

    /// Keeps what a turn wanted when the process is stopped; hands it back otherwise.
    pub(super) fn keep_if_hung(&mut self, outcome: Outcome<V>) -> Option<Outcome<V>> {
        if self.hung {
            self.in_hand = Some(outcome);
            return None;
        }
        Some(outcome)
    }

    pub(super) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    /// Returns whether there is somebody to hear it.
    pub(super) fn on_frame(&mut self, received: Received) -> bool {
        let heard = self.running.is_some() && self.inbox.len() < INBOX_MAX;
        if heard {
            self.inbox.push_back(received);
        }
        heard
    }

    pub(super) fn on_sample(&mut self, heard: HeardSample<State, Memory<V>>) {
        if self.running.is_some() {
            self.peer = Some(heard);
        }
    }

    pub(super) fn keep_steps(&mut self) {
        self.steps = Some(Vec::new());
    }

    /// Returns whose steps they are, and those since the last call.
    pub(super) fn take_steps(&mut self) -> (Slot, u32, impl Iterator<Item = Step> + '_) {
        (self.slot, self.life, self.steps.iter_mut().flat_map(|steps| steps.drain(..)))
    }

    /// Runs one turn at true time `now`, unless the device is dead, stopped, or the wake-up was replaced.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        alarm: u32,
        truth: &State,
        rng: &mut Rng,
        jitter: Duration,
    ) -> Option<Outcome<V>> {
        if alarm != self.alarm || (self.hung && !self.running.as_ref()?.stops) {
            return None;
        }
        let local = self.clock.local(now);
        let running = self.running.as_mut()?;
        running.stops = false;
        self.stage.extra.set(COMPUTING);
        let mut ports = SimPorts {
            now: local,
            extra: &self.stage.extra,
            inbox: &mut self.inbox,
            confinement: self.confinement,
            sensors: &mut self.sensors,
            truth,
            peer: &mut self.peer,
            orders: &mut self.orders,
            frames: Vec::new(),
            sample: None,
            woke: now,
            turned: local,
            steps: self.steps.as_mut(),
        };
        let next = turn(local, &mut ports, &mut running.pilot, &mut running.node);
        let SimPorts { frames, sample, .. } = ports;
        let extra = self.stage.extra.get();
        let name = running.node.role().name();
        let role = (running.role != Some(name)).then_some(name);
        running.role = Some(name);
        let readiness = running.node.takeover_ready();
        let ready = (running.ready != Some(readiness)).then_some(readiness);
        running.ready = Some(readiness);
        // A late law keeps the loop busy; starts that were missed meanwhile are skipped by the node.
        self.due = next;
        let wakes = self.clock.at(next).max(now + extra) + rng.span(Duration::ZERO, jitter);
        Some(Outcome { frames, sample, extra, next: wakes, alarm: self.set_alarm(), role, ready, woke: now })
    }
}

struct SimPorts<'a, M> {
    now: Instant,
    extra: &'a Cell<Duration>,
    inbox: &'a mut VecDeque<Received>,
    confinement: Confinement,
    sensors: &'a mut Sensors,
    truth: &'a State,
    peer: &'a mut Option<HeardSample<State, M>>,
    orders: &'a mut VecDeque<Order>,
    frames: Vec<Frame>,
    sample: Option<Sample<State, M>>,
    /// When this turn began, by true time and by the device's clock.
    woke: Instant,
    turned: Instant,
    steps: Option<&'a mut Vec<Step>>,
}

impl<M> Bus for SimPorts<'_, M> {
    fn send(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        self.inbox.pop_front()
    }

    fn confinement(&self) -> Confinement {
        self.confinement
    }
}

impl<M: Copy> Ports<State, M> for SimPorts<'_, M> {
    fn now(&self) -> Instant {
        self.now + self.extra.get()
    }

    fn readings(&mut self) -> Option<State> {
        self.sensors.read(self.truth)
    }

    fn peer(&mut self) -> Option<HeardSample<State, M>> {
        *self.peer
    }

    fn publish(&mut self, sample: &Sample<State, M>) {
        self.sample = Some(*sample);
    }

    fn order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    fn refuse(&mut self, _refusal: Refusal) {}

    fn note(&mut self, now: Instant, input: &Input, effects: &Effects) {
        if let Some(steps) = &mut self.steps {
            let at = self.woke + now.since(self.turned);
            steps.push(Step { at, now, input: *input, effects: effects.clone() });
        }
    }
}
