//! The World: everything between two devices and the road, in virtual time.
//!
//! One queue of events, ordered by time and then by the order in which they were made, so that a seed gives the
//! same run on every machine. A device's turn is the production `turn`; the actuator node is the production
//! gate; bus and link are models.

mod device;
mod faults;
mod notes;

use crate::check::Checks;
use crate::law_faults::Faulty;
use crate::link::Direction;
use crate::rng::Rng;
use crate::tampering::{Losses, Tampering};
pub use device::SimStage;
use device::{Device, Outcome};
use notes::Notes;
pub use notes::{Note, What};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::bus::{Arbiter, Cable, Delivery, Offer, Station};
use twinhelm_hal::frame::{Frame, GATES, StatusFrame};
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::ports::Received;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{Config, HeardSample, Order, Sample};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::{Event, Log, Observer as _};
use twinhelm_vehicle::report::witness::Witness;
use twinhelm_vehicle::sensors::SensorConfig;
use twinhelm_vehicle::signals::{Command, State};
use twinhelm_vehicle::vehicle::{PLANT_STEP, Vehicle};

/// Truth begins here, so that a moment before it can be told.
pub const ORIGIN: Instant = Instant::from_nanos(1_000_000_000);

/// Which code a World runs: as designed, or with something broken on purpose.
pub trait Variant: Sized {
    /// The user's law.
    type Law: Controller<State = State, Command = Command> + Clone;
    /// What drives: the law behind its fault wrapper, and whatever a variant puts around it.
    type Driving: Controller<State = State, Command = Command, Memory = <Self::Law as Controller>::Memory>;
    /// The gate's rules.
    type Gate: GateRules;
    /// The node's rules.
    type Node: NodeRules;

    /// Puts around the law what the variant needs.
    fn driving(law: Faulty<Self::Law, SimStage>) -> Self::Driving;
}

/// Everything as designed.
#[derive(Clone, Copy, Debug)]
pub struct AsDesigned<L>(std::marker::PhantomData<L>);

impl<L: Controller<State = State, Command = Command> + Clone> Variant for AsDesigned<L> {
    type Law = L;
    type Driving = Faulty<L, SimStage>;
    type Gate = twinhelm_hal::gate::rules::AsDesigned;
    type Node = twinhelm_standby::node::rules::AsDesigned;

    fn driving(law: Faulty<L, SimStage>) -> Self::Driving {
        law
    }
}

/// What a World is made of.
#[derive(Clone, Debug)]
pub struct Setup<L> {
    /// The timing; `gates` says how many gates there are.
    pub config: Config,
    /// The seed of noise, jitter, biases, offsets.
    pub seed: u64,
    /// The law, as the user's factory gives it.
    pub law: L,
    /// The course.
    pub course: Arc<Course>,
    /// The vehicle.
    pub plant: PlantConfig,
    /// The devices' sensors.
    pub sensors: SensorConfig,
    /// When each device starts, `None` for never.
    pub boot: [Option<Duration>; 2],
    /// When the gates are switched on.
    pub gates_from: Duration,
    /// Scheduling jitter as modelled, at most the configured one for the promise to hold.
    pub jitter: Duration,
    /// Keep the log; without it only the checkers see the run.
    pub keep_log: bool,
}

type M<V> = <<V as Variant>::Law as Controller>::Memory;
/// Boxed: the queue moves its entries all the time, and a sample is far larger than the rest.
type BoxedSample<V> = Box<Sample<State, M<V>>>;

enum Happening<V: Variant> {
    Start(Slot),
    Wake(Slot, u32),
    Offer(Slot, Frame, Instant),
    Held(Slot, Frame),
    Bus,
    GateTick(u8),
    Link(Slot, BoxedSample<V>),
    FaultStarts(usize),
    FaultEnds(usize),
}

struct Entry<V: Variant> {
    at: Instant,
    order: u64,
    what: Happening<V>,
}

impl<V: Variant> PartialEq for Entry<V> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl<V: Variant> Eq for Entry<V> {}
impl<V: Variant> PartialOrd for Entry<V> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<V: Variant> Ord for Entry<V> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Everything between two devices and the road.
pub struct World<V: Variant> {
    setup: Setup<V::Law>,
    now: Instant,
    queue: BinaryHeap<Reverse<Entry<V>>>,
    order: u64,
    rng: Rng,
    devices: [Device<V>; 2],
    links: [Direction<BoxedSample<V>>; 2],
    bus: Arbiter,
    bus_at: Option<Instant>,
    vehicle: Vehicle<V::Gate>,
    /// When the vehicle moves next: a third of all that happens, so it does not queue with the rest.
    plant_at: Instant,
    gate_at: [Option<Instant>; GATES as usize],
    tampering: [Tampering; 2],
    losses: Losses,
    faults: Vec<faults::Active>,
    notes: Notes<V::Law>,
    two_senders: Option<u16>,
}

impl<V: Variant> World<V> {
    /// Builds the World; nothing has happened yet.
    ///
    /// # Panics
    /// Never: stations are counted at compile time.
    #[must_use]
    pub fn new(setup: Setup<V::Law>, checks: Checks) -> Self {
        let config = setup.config;
        let mut rng = Rng::new(setup.seed, 1);
        let mut bus = Arbiter::new(config.bitrate).holding(config.period);
        for slot in [Slot::LEFT, Slot::RIGHT] {
            bus.attach(Station::of_device(slot), 1);
        }
        for gate in 0..config.gates {
            bus.attach(Station::of_gate(gate), 4);
        }
        let vehicle = Vehicle::new(config.gate_timing(), config.gates, setup.plant, setup.course.clone());
        let witness = Witness::new(setup.law.clone(), config.period, config.divergence_max);
        let devices = [Slot::LEFT, Slot::RIGHT].map(|slot| Device::new(slot, &setup, &mut rng));
        let mut world = Self {
            now: ORIGIN,
            queue: BinaryHeap::new(),
            order: 0,
            devices,
            links: [Direction::new(), Direction::new()],
            bus,
            bus_at: None,
            vehicle,
            plant_at: ORIGIN,
            gate_at: [None; GATES as usize],
            tampering: Default::default(),
            losses: Losses::default(),
            faults: Vec::new(),
            notes: Notes::new(checks, witness, setup.keep_log),
            two_senders: None,
            rng,
            setup,
        };
        for slot in [Slot::LEFT, Slot::RIGHT] {
            if let Some(after) = world.setup.boot[slot.index()] {
                world.at(ORIGIN + after, Happening::Start(slot));
            }
        }
        for gate in 0..config.gates {
            // Each gate's own clock ticks where it likes.
            let offset = world.rng.span(Duration::ZERO, config.period);
            world.at(ORIGIN + world.setup.gates_from + offset, Happening::GateTick(gate));
        }
        world
    }

    /// Runs until `until` after the start.
    pub fn run_until(&mut self, until: Duration) {
        let until = ORIGIN + until;
        loop {
            let is_due = |Reverse(entry): &Reverse<Entry<V>>| entry.at <= until && entry.at < self.plant_at;
            match self.queue.peek().is_some_and(is_due).then(|| self.queue.pop()).flatten() {
                Some(Reverse(entry)) => {
                    self.now = self.now.max(entry.at);
                    self.happen(entry.what);
                }
                None if self.plant_at <= until => self.move_plant(),
                None => break,
            }
        }
        self.now = until;
    }

    /// Ends the run: looks at what is still open, and returns the checkers' books and the log.
    #[must_use]
    pub fn finish(mut self) -> (Checks, Log, Option<u16>) {
        self.notes.checks.finish(self.now);
        (self.notes.checks, self.notes.log.unwrap_or_default(), self.two_senders)
    }

    /// Returns the device that holds the wheel, as gate 0 names it.
    #[must_use]
    pub fn holder(&self) -> Option<Slot> {
        self.vehicle.holder()
    }

    /// Returns whether a device is a ready standby, and the gates act on commands.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        let ready = self.devices.iter().any(|device| device.is_ready());
        ready && self.vehicle.is_commanded()
    }

    /// Returns whether each gate acts on commands.
    #[must_use]
    pub fn is_commanded(&self) -> bool {
        self.vehicle.is_commanded()
    }

    /// Returns how many deadlines were missed so far.
    #[must_use]
    pub const fn missed_deadlines(&self) -> u64 {
        self.notes.checks.missed_deadlines()
    }

    /// Starts `slot` at `after`, for a standby that is started when it is needed.
    pub fn start_at(&mut self, after: Duration, slot: Slot) {
        self.at(ORIGIN + after, Happening::Start(slot));
    }

    /// Keeps all that a recording wants from now on, until [`World::take_notes`].
    pub fn keep_notes(&mut self) {
        self.notes.kept = Some(Vec::new());
        for device in &mut self.devices {
            device.keep_steps();
        }
    }

    /// Returns what was kept since the last call, in the order in which it happened.
    #[must_use]
    pub fn take_notes(&mut self) -> Vec<Note<M<V>>> {
        self.notes.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn at(&mut self, at: Instant, what: Happening<V>) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at: at.max(self.now), order: self.order, what }));
    }

    fn tell(&mut self, event: &Event) {
        self.notes.on(self.now, event);
    }

    fn happen(&mut self, what: Happening<V>) {
        match what {
            Happening::Start(slot) => self.start(slot),
            Happening::Wake(slot, alarm) => self.wake(slot, alarm),
            Happening::Offer(slot, frame, woke) => self.offer(slot, frame, woke),
            Happening::Held(slot, frame) => self.put_on_bus(Station::of_device(slot), frame),
            Happening::Bus => {
                self.bus_at = None;
                self.run_bus();
            }
            Happening::GateTick(gate) => self.tick_gate(gate),
            Happening::Link(to, sample) => {
                let heard = HeardSample { at: self.devices[to.index()].local(self.now), sample: Some(*sample) };
                self.devices[to.index()].on_sample(heard);
            }
            Happening::FaultStarts(index) => self.start_fault(index),
            Happening::FaultEnds(index) => self.end_fault(index),
        }
    }

    fn start(&mut self, slot: Slot) {
        let alarm = self.devices[slot.index()].start(self.now, &self.setup);
        self.bus.attach(Station::of_device(slot), 1);
        self.at(self.now, Happening::Wake(slot, alarm));
    }

    fn wake(&mut self, slot: Slot, alarm: u32) {
        let truth = *self.vehicle.truth();
        let jitter = self.setup.jitter;
        let device = &mut self.devices[slot.index()];
        let Some(outcome) = device.turn(self.now, alarm, &truth, &mut self.rng, jitter) else {
            return;
        };
        self.notes.keep_steps(device);
        // Stopped in the middle of this turn: what it would have sent waits in its hands.
        let Some(outcome) = device.keep_if_hung(outcome) else {
            return;
        };
        self.carry_out(slot, outcome);
    }

    /// Does what a turn wanted.
    fn carry_out(&mut self, slot: Slot, outcome: Outcome<V>) {
        let Outcome { frames, sample, extra, next, alarm, role, ready, woke } = outcome;
        for frame in frames {
            self.at(self.now + extra, Happening::Offer(slot, frame, woke));
        }
        if let Some(role) = role {
            self.tell(&Event::Role { slot, role });
        }
        if let Some(ready) = ready {
            self.tell(&Event::Ready { slot, ready });
        }
        if let Some(sample) = sample {
            self.notes.on_sample(self.now, &sample);
            let to = other(slot);
            let mut arrivals = Vec::new();
            let sent = self.now + extra;
            let arrive = |at, sample| arrivals.push((at, sample));
            self.links[slot.index()].send(sent, Box::new(sample), &mut self.rng, arrive);
            for (at, sample) in arrivals {
                self.at(at, Happening::Link(to, sample));
            }
        }
        self.at(next, Happening::Wake(slot, alarm));
    }

    fn offer(&mut self, slot: Slot, frame: Frame, woke: Instant) {
        if !self.devices[slot.index()].is_up() {
            return;
        }
        // What the device sent, not what the way to the bus made of it: the device answers for that alone.
        self.vehicle.on_offered(self.now, &frame, Some(woke), &mut self.notes);
        let (frame, held) = self.tampering[slot.index()].pass(frame);
        self.put_on_bus(Station::of_device(slot), frame);
        if let Some(after) = held {
            self.at(self.now + after, Happening::Held(slot, frame));
        }
    }

    fn put_on_bus(&mut self, station: Station, frame: Frame) {
        if let Offer::TwoSenders { id, .. } = self.bus.offer(self.now, station, frame) {
            self.two_senders.get_or_insert(id);
        }
        self.schedule_bus();
    }

    fn schedule_bus(&mut self) {
        let next = self.bus.next_event();
        if let Some(next) = next.filter(|next| self.bus_at.is_none_or(|at| *next < at)) {
            self.bus_at = Some(next);
            self.at(next, Happening::Bus);
        }
    }

    fn run_bus(&mut self) {
        while let Some(delivery) = self.bus.poll(self.now) {
            self.deliver(&delivery);
        }
        self.schedule_bus();
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let frame = delivery.frame;
        let lost = self.losses.take(&frame);
        for slot in [Slot::LEFT, Slot::RIGHT] {
            if delivery.is_heard_by(Station::of_device(slot)) && !lost.at_device[slot.index()] {
                let device = &mut self.devices[slot.index()];
                let received = Received { at: device.local(self.now), frame };
                let heard = device.on_frame(received);
                let told = StatusFrame::decode(&frame).ok().filter(|status| heard && status.open);
                if let Some(status) = told {
                    self.tell(&Event::Told { slot, term: status.term });
                }
            }
        }
        let gates = if self.now < ORIGIN + self.setup.gates_from { 0 } else { self.vehicle.gates() };
        for gate in 0..gates {
            if delivery.is_heard_by(Station::of_gate(gate)) && !(lost.at_gate_0 && gate == 0) {
                self.vehicle.on_frame(self.now, gate, &frame, &mut self.notes);
                self.report_gate(gate);
            }
        }
    }

    fn tick_gate(&mut self, gate: u8) {
        self.gate_at[usize::from(gate)] = None;
        self.vehicle.on_tick(self.now, gate, &mut self.notes);
        self.report_gate(gate);
    }

    fn report_gate(&mut self, gate: u8) {
        while let Some(frame) = self.vehicle.due_frame(self.now, gate) {
            self.put_on_bus(Station::of_gate(gate), frame);
        }
        let next = self.vehicle.next_tick(self.now, gate).max(self.now + Duration::from_micros(50));
        if self.gate_at[usize::from(gate)].is_none_or(|at| next < at) {
            self.gate_at[usize::from(gate)] = Some(next);
            self.at(next, Happening::GateTick(gate));
        }
    }

    fn move_plant(&mut self) {
        self.now = self.now.max(self.plant_at);
        self.vehicle.step(self.now, &mut self.notes);
        self.plant_at = self.now + PLANT_STEP;
    }

    /// Orders `order` of `slot`.
    pub fn order(&mut self, slot: Slot, order: Order) {
        self.devices[slot.index()].order(order);
    }
}

/// Returns the other device of the pair.
#[must_use]
pub fn other(slot: Slot) -> Slot {
    if slot == Slot::LEFT { Slot::RIGHT } else { Slot::LEFT }
}

/// The cable as a cut leaves it.
pub(crate) const fn cable(to_bus: bool, from_bus: bool) -> Cable {
    Cable { to_bus, from_bus }
}
