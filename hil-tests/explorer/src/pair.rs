//! Everything between the devices and the actuators, in a form that can be copied: devices behind the shipped turn, the shipped gates,
//! the shipped bus, the checkers. No plant, no chance: what is open is asked of whoever moves it on.

use crate::device::{COMPUTING, Device, Outgoing, StepNote};
use crate::law::is_wrong;
use arrayvec::ArrayVec;
use core::hash::{Hash, Hasher};
use std::hash::DefaultHasher;
use twinhelm_hal::bus::{Arbiter, Cable, Delivery, Station};
use twinhelm_hal::canon::Origin;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame, StatusFrame};
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::gate::{Gate, How, Verdict};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::check::{Checks, Promise, Violation};
use twinhelm_hil::fault::Lost;
use twinhelm_hil::world::{Note, What};
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{Config, HeardSample};
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput, Observer as _};
use twinhelm_vehicle::signals::LAYOUT;

/// The search begins here, so that a moment before it can be told.
pub(crate) const ORIGIN: Instant = Instant::from_nanos(1_000_000_000_000);
/// A gate's loop does not turn more often.
const GATE_GRAIN: Duration = Duration::from_micros(50);
/// So many gates at most: more say nothing that two do not.
pub(crate) const GATES_MAX: usize = 2;
/// A command is remembered for its age until then.
const MADE_MAX: usize = 12;

/// Says whether a device wakes late.
pub(crate) trait Chooser {
    /// Returns whether the device in `slot` wakes as late as the configuration allows, this time. `is_odd` says so of the turn.
    fn wakes_late(&mut self, slot: Slot, is_odd: bool) -> bool;
}

/// How a device wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wakes {
    /// Always on time.
    OnTime,
    /// Always as late as the configuration allows.
    Late,
    /// Late in every other turn.
    InTurn,
}

/// How each device wakes, in all of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Corner(pub [Wakes; SLOTS as usize]);

impl Chooser for Corner {
    fn wakes_late(&mut self, slot: Slot, is_odd: bool) -> bool {
        match self.0[slot.index()] {
            Wakes::OnTime => false,
            Wakes::Late => true,
            Wakes::InTurn => is_odd,
        }
    }
}

/// A gate, and when it looks at the time.
#[derive(Clone, Debug)]
struct Seat<G> {
    gate: Gate<G>,
    ticks_at: Option<Instant>,
    was_open: bool,
}

/// A command that was handed to the bus.
#[derive(Clone, Copy, Debug)]
struct Made {
    slot: Slot,
    term: u8,
    cycle: u16,
    at: Instant,
}

/// The pair, its bus and its gates.
#[derive(Clone, Debug)]
pub(crate) struct Pair<G, N> {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) devices: [Device<N>; 3],
    gates: ArrayVec<Seat<G>, GATES_MAX>,
    bus: Arbiter,
    made: ArrayVec<Made, MADE_MAX>,
    /// The next frame that is lost, and where.
    pub(crate) loses: Option<(Slot, Lost)>,
    /// The next command of a device goes out once more, so much later.
    pub(crate) holds: Option<(Slot, Duration)>,
    held: Option<(Slot, Instant, Frame)>,
    /// What the checkers say.
    pub(crate) checks: Checks,
    /// The bound on the gap between two commands acted on that holds now, at each gate.
    pub(crate) gap_max: Option<Duration>,
    /// Nothing may take the wheel from the device that has it.
    pub(crate) keeps_holder: bool,
    /// Every device hears the gates, so none may claim while they are stopped.
    pub(crate) all_hear: bool,
    /// Since when all gates are stopped.
    stopped_since: Option<Instant>,
    acted_at: [Option<Instant>; GATES_MAX],
    /// The longest gap since this was set to zero.
    pub(crate) gap: Duration,
    /// What was wrong first, beyond the checkers' books.
    pub(crate) wrong: Option<Violation>,
}

/// Notes of what happens, for a recording.
pub(crate) type Notes = Vec<Note<()>>;

impl<G: GateRules, N: NodeRules> Pair<G, N> {
    /// Returns devices that are not switched on yet, and gates that come up at `gates_at`.
    pub(crate) fn new(config: Config, gates_at: &[Duration]) -> Self {
        let mut bus = Arbiter::new(config.bitrate).holding(config.period);
        let mut gates = ArrayVec::new();
        for (number, at) in (0..).zip(gates_at) {
            bus.attach(Station::of_gate(number), 4);
            let gate = Gate::new(number, config.gate_timing(), LAYOUT);
            gates.push(Seat { gate, ticks_at: Some(ORIGIN + *at), was_open: false });
        }
        let promise = Promise { gap_max: None, no_false_takeover: true };
        let slot = |number| Slot::new(number).expect("one of three");
        Self {
            config,
            now: ORIGIN,
            devices: [0, 1, 2].map(|number| Device::new(slot(number))),
            gates,
            bus,
            made: ArrayVec::new(),
            loses: None,
            holds: None,
            held: None,
            checks: Checks::new(config, promise),
            gap_max: None,
            keeps_holder: false,
            all_hear: true,
            stopped_since: None,
            acted_at: [None; GATES_MAX],
            gap: Duration::ZERO,
            wrong: None,
        }
    }

    pub(crate) fn device(&mut self, slot: Slot) -> &mut Device<N> {
        &mut self.devices[slot.index()]
    }

    /// Switches a device on.
    pub(crate) fn start(&mut self, slot: Slot) {
        let (now, config) = (self.now, self.config);
        self.bus.attach(Station::of_device(slot), 1);
        self.device(slot).start(now, config);
    }

    /// Ends a device's process.
    pub(crate) fn kill(&mut self, slot: Slot, notes: Option<&mut Notes>) {
        self.device(slot).kill();
        self.bus.detach(Station::of_device(slot));
        self.tell(&Event::Down { slot }, notes);
    }

    /// Cuts or mends a station's cable.
    pub(crate) fn set_cable(&mut self, station: Station, to_bus: bool, from_bus: bool) {
        self.bus.set_cable(self.now, station, Cable { to_bus, from_bus });
    }

    /// Brings a gate up anew: closed, knowing no term.
    pub(crate) fn restart_gate(&mut self, number: u8, notes: Option<&mut Notes>) {
        let timing = self.config.gate_timing();
        if let Some(seat) = self.gates.get_mut(usize::from(number)) {
            *seat = Seat { gate: Gate::new(number, timing, LAYOUT), ticks_at: Some(self.now), was_open: false };
            self.acted_at[usize::from(number)] = None;
            let mut notes = notes;
            self.judged(number, GateInput::Restart, None, notes.as_deref_mut());
            self.tell(&Event::Restarted { gate: number }, notes);
        }
    }

    /// Presses the button whose line goes to every gate, or resets it at each.
    pub(crate) fn press_stop(&mut self, pressed: bool, mut notes: Option<&mut Notes>) {
        self.stopped_since = (pressed && self.all_hear).then_some(self.now);
        for number in 0..self.gate_count() {
            let seat = &mut self.gates[usize::from(number)];
            seat.ticks_at = Some(self.now);
            if !pressed {
                seat.gate.reset_estop();
                self.checks.reset(number);
                continue;
            }
            seat.gate.stop();
            self.acted_at[usize::from(number)] = None;
            self.judged(number, GateInput::Stop, None, notes.as_deref_mut());
            self.tell(&Event::EStopped { gate: number }, notes.as_deref_mut());
            self.note_closing(number, notes.as_deref_mut());
        }
    }

    fn gate_count(&self) -> u8 {
        u8::try_from(self.gates.len()).unwrap_or(u8::MAX)
    }

    /// Returns whether a frame is held, and still to come.
    pub(crate) const fn holds_a_frame(&self) -> bool {
        self.held.is_some()
    }

    /// Returns what is broken, if something is.
    pub(crate) fn broken(&self) -> Option<&Violation> {
        self.wrong.as_ref().or(self.checks.violations().first())
    }

    /// Ends the process of a device, as a fault.
    pub(crate) fn die(&mut self, slot: Slot, mut notes: Option<&mut Notes>) {
        let fault = Event::Fault { label: "kill".to_owned(), slot: Some(slot), request: false };
        self.tell(&fault, notes.as_deref_mut());
        self.kill(slot, notes);
    }

    /// Returns who holds the wheel, by the first gate that is open.
    pub(crate) fn holder(&self) -> Option<Slot> {
        let open = self.gates.iter().find(|seat| seat.gate.is_open());
        open.and_then(|seat| seat.gate.term()).map(Term::slot)
    }

    /// Returns whether each gate acts on commands, of one holder.
    pub(crate) fn is_commanded(&self) -> bool {
        let holder = self.holder();
        holder.is_some()
            && self.gates.iter().all(|seat| seat.gate.is_open() && seat.gate.term().map(Term::slot) == holder)
    }

    /// Returns the first gate's term.
    pub(crate) fn term(&self) -> Option<Term> {
        self.gates.first().and_then(|seat| seat.gate.term())
    }

    /// Returns the last cycle that the first gate acted on.
    pub(crate) fn cycle(&self) -> Option<Cycle> {
        self.gates.first().map(|seat| seat.gate.last())
    }

    /// Returns the cycle and the term that the pair is in, and the numbers of its probes.
    fn origin(&self) -> Origin {
        let by_gates =
            self.gates.iter().filter_map(|seat| seat.gate.term().map(|term| (term, seat.gate.last()))).max();
        let headers = || self.devices.iter().filter_map(|device| device.node.as_ref()).map(|node| node.header());
        let by_devices = || {
            let term = headers().filter_map(|header| header.term).max().unwrap_or(Term::new(0));
            (term, headers().map(|header| header.cycle).max().unwrap_or_default())
        };
        let (term, cycle) = by_gates.unwrap_or_else(by_devices);
        let mut probes = [0; SLOTS as usize];
        for device in &self.devices {
            probes[device.slot.index()] = device.node.as_ref().map_or(0, |node| node.probe_number());
        }
        Origin { now: self.now, term, cycle, probes }
    }

    /// Writes what decides about the future.
    pub(crate) fn canon(&self, into: &mut impl Hasher) {
        let Self {
            config,
            now: _,
            devices,
            gates,
            bus,
            made,
            loses,
            holds,
            held,
            checks,
            gap_max,
            keeps_holder,
            all_hear,
            stopped_since,
            acted_at,
            gap: _,
            wrong: _,
        } = self;
        let from = self.origin();
        devices.iter().for_each(|device| device.canon(config, &from, into));
        for Seat { gate, ticks_at, was_open } in gates {
            gate.canon(&from, into);
            (ticks_at.map(|at| from.moment(at, Duration::ZERO)), was_open).hash(into);
        }
        bus.canon(&from, into);
        for Made { slot, term, cycle, at } in made {
            let age = from.moment(*at, config.command_timeout);
            (slot, from.wire_term(*term), from.wire_cycle(*cycle), age).hash(into);
        }
        let loses = loses.as_ref().map(|(slot, lost)| (slot, *lost as u8));
        let stopped = stopped_since.map(|at| from.moment(at, config.gate_lease));
        (loses, holds, gap_max, keeps_holder, all_hear, stopped).hash(into);
        let held = held.as_ref().map(|(slot, at, frame)| {
            from.frame(frame, into);
            (slot, from.moment(*at, Duration::ZERO))
        });
        (held, acted_at.map(|at| at.map(|at| from.moment(at, config.ftti)))).hash(into);
        checks.canon(&from, into);
    }

    /// Returns a number for the canonical form: two states that have the same number are taken for one.
    pub(crate) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.canon(&mut hasher);
        hasher.finish()
    }

    /// Lets time pass until `until`.
    pub(crate) fn advance(&mut self, until: Instant, chooser: &mut impl Chooser, mut notes: Option<&mut Notes>) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.happen(chooser, notes.as_deref_mut());
        }
        self.now = until;
        self.checks.look(until);
        self.look_at_gaps();
    }

    fn next_event(&self) -> Option<Instant> {
        let devices = self.devices.iter();
        let outgoing = |device: &Device<N>| device.outgoing.as_ref().filter(|_| !device.hung).map(|out| out.at);
        let devices = devices.flat_map(|device| [device.next_wake(), outgoing(device)]).flatten();
        let gates = self.gates.iter().filter_map(|seat| seat.ticks_at);
        devices.chain(gates).chain(self.bus.next_event()).chain(self.held.map(|(_, at, _)| at)).min()
    }

    /// Does what is due now: what is over the wire first, then what is handed to it, then gates, then devices.
    fn happen(&mut self, chooser: &mut impl Chooser, mut notes: Option<&mut Notes>) {
        while let Some(delivery) = self.bus.poll(self.now) {
            self.deliver(&delivery, notes.as_deref_mut());
        }
        if let Some((slot, _, frame)) = self.held.take_if(|(_, at, _)| *at <= self.now) {
            self.put_on_bus(Station::of_device(slot), frame);
        }
        for index in 0..self.devices.len() {
            let device = &mut self.devices[index];
            if let Some(outgoing) = device.outgoing.take_if(|outgoing| outgoing.at <= self.now && !device.hung) {
                self.send(index, outgoing, notes.as_deref_mut());
            }
        }
        for number in 0..self.gate_count() {
            if self.gates[usize::from(number)].ticks_at.is_some_and(|at| at <= self.now) {
                self.tick(number, notes.as_deref_mut());
            }
        }
        for index in 0..self.devices.len() {
            if self.devices[index].next_wake().is_some_and(|at| at <= self.now) {
                self.wake(index, chooser, notes.as_deref_mut());
            }
        }
    }

    fn wake(&mut self, index: usize, chooser: &mut impl Chooser, mut notes: Option<&mut Notes>) {
        let (now, config) = (self.now, self.config);
        let device = &mut self.devices[index];
        let (slot, life) = (device.slot, device.life);
        let late = if chooser.wakes_late(slot, device.is_odd) { config.jitter - COMPUTING } else { Duration::ZERO };
        let mut steps = notes.is_some().then(Vec::new);
        device.turn(now, &config, late, steps.as_mut());
        let ready = device.readiness();
        if let Some(notes) = notes.as_deref_mut() {
            notes.extend(steps.into_iter().flatten().map(|StepNote { now: local, input, effects }| Note {
                at: now,
                what: What::Step(slot, life, local, input, effects),
            }));
        }
        self.tell(&Event::Ready { slot, ready }, notes);
    }

    /// Hands to the bus, and to the link, what a turn wanted.
    fn send(&mut self, index: usize, outgoing: Outgoing, mut notes: Option<&mut Notes>) {
        let slot = self.devices[index].slot;
        for frame in outgoing.frames {
            if let Ok(CommandFrame { term, cycle, probe, signals, .. }) = CommandFrame::decode(&frame) {
                let offered = Event::Offered { slot, term, cycle, probe, signals, woke: Some(outgoing.woke) };
                self.tell(&offered, notes.as_deref_mut());
                if !probe {
                    let in_vain = |since: Instant| self.now.since(since) > self.config.gate_lease;
                    if self.stopped_since.is_some_and(in_vain) {
                        self.wrong(13, format!("slot {slot} claims although every gate is stopped"));
                    }
                    if self.made.is_full() {
                        self.made.remove(0);
                    }
                    self.made.push(Made { slot, term, cycle, at: self.now });
                }
            }
            self.put_on_bus(Station::of_device(slot), frame);
            if let Some((_, after)) = self.holds.take_if(|(whose, _)| *whose == slot) {
                self.held = Some((slot, self.now + after, frame));
            }
        }
        let Some(sample) = outgoing.sample.filter(|_| self.devices[index].tells_link) else {
            return;
        };
        for other in (0..self.devices.len()).filter(|other| *other != index) {
            let device = &mut self.devices[other];
            if device.node.is_some() && device.hears_link {
                device.peer = Some(HeardSample { at: device.local(self.now), sample: Some(sample) });
            }
        }
    }

    fn put_on_bus(&mut self, station: Station, frame: Frame) {
        // Each station has identifiers of its own.
        let _ = self.bus.offer(self.now, station, frame);
    }

    fn deliver(&mut self, delivery: &Delivery, mut notes: Option<&mut Notes>) {
        let frame = delivery.frame;
        let lost = self.take_loss(delivery);
        for index in 0..self.devices.len() {
            let device = &mut self.devices[index];
            let slot = device.slot;
            let is_missed = lost.is_some_and(|lost| lost.misses(slot));
            if is_missed || !delivery.is_heard_by(Station::of_device(slot)) || !device.hear(self.now, frame) {
                continue;
            }
            if let Some(status) = StatusFrame::decode(&frame).ok().filter(|status| status.open) {
                self.tell(&Event::Told { slot, term: status.term }, notes.as_deref_mut());
            }
        }
        for number in 0..self.gate_count() {
            let hears = delivery.is_heard_by(Station::of_gate(number));
            if hears && !lost.is_some_and(|lost| number == 0 && lost.at_gate_0) {
                self.on_frame(number, &frame, notes.as_deref_mut());
                self.report(number);
            }
        }
    }

    /// Returns who misses this frame, if somebody does, and forgets about it.
    fn take_loss(&mut self, delivery: &Delivery) -> Option<Missed> {
        let (slot, lost) = self.loses?;
        let command =
            CommandFrame::decode(&delivery.frame).ok().filter(|command| command.slot == slot && !command.probe);
        let status = StatusFrame::decode(&delivery.frame).ok();
        let all_but = |at_gate_0, at: [bool; 3]| Some(Missed { at_gate_0, at });
        let peers = core::array::from_fn(|index| index != slot.index());
        let own = core::array::from_fn(|index| index == slot.index());
        let missed = match lost {
            Lost::CommandAtAll => command.and_then(|_| all_but(true, peers)),
            Lost::CommandAtGate => command.and_then(|_| all_but(true, [false; 3])),
            Lost::CommandAtPeer => command.and_then(|_| all_but(false, peers)),
            Lost::Status => status.filter(|status| status.gate == 0).and_then(|_| all_but(false, own)),
            Lost::AllStatuses => return status.and_then(|_| all_but(false, own)),
        };
        if missed.is_some() {
            self.loses = None;
        }
        missed
    }

    fn on_frame(&mut self, number: u8, frame: &Frame, mut notes: Option<&mut Notes>) {
        let seat = &mut self.gates[usize::from(number)];
        let known = seat.gate.term();
        let verdict = seat.gate.on_frame(self.now, frame);
        self.judged(number, GateInput::Frame(*frame), Some(verdict), notes.as_deref_mut());
        if matches!(verdict, Verdict::EStopped { .. }) {
            self.tell(&Event::EStopped { gate: number }, notes.as_deref_mut());
        }
        self.note_closing(number, notes.as_deref_mut());
        match verdict {
            Verdict::Acted { how, slot, term: adopted, cycle, signals, .. } => {
                self.gates[usize::from(number)].was_open = true;
                let wire = frame.data[1];
                let term = Term::from_wire(wire, known).unwrap_or(adopted);
                let age = self.age(slot, wire, cycle);
                self.note_gap(number, how);
                if self.keeps_holder && how == How::Takeover {
                    self.wrong(4, format!("slot {slot} took the wheel, for a trouble shorter than a lease"));
                }
                if is_wrong(&signals) {
                    self.wrong(
                        5,
                        format!("slot {slot}'s command for cycle {cycle} is none that an unfaulted law gives"),
                    );
                }
                let acted = Event::Acted { gate: number, how, slot, term, adopted, cycle, signals, age: Some(age) };
                self.tell(&acted, notes);
            }
            Verdict::Dropped { why } => self.tell(&Event::Dropped { gate: number, why }, notes),
            Verdict::Followed { term, .. } => self.tell(&Event::Followed { gate: number, term }, notes),
            Verdict::EStopped { .. } | Verdict::Probe { .. } | Verdict::Ignored => {}
        }
    }

    /// Returns how long ago a command was handed to the bus last; one that is not remembered is too old.
    fn age(&self, slot: Slot, term: u8, cycle: Cycle) -> Duration {
        let is_it = |made: &&Made| (made.slot, made.term, made.cycle) == (slot, term, cycle.to_wire());
        self.made.iter().rev().find(is_it).map_or(self.config.ftti, |made| self.now.since(made.at))
    }

    fn note_gap(&mut self, number: u8, how: How) {
        let before = self.acted_at[usize::from(number)].replace(self.now);
        if let (Some(before), true) = (before, how != How::Opening || self.gap_max.is_some()) {
            self.look_at_gap(number, before);
        }
    }

    fn look_at_gaps(&mut self) {
        for number in 0..self.gate_count() {
            if let Some(before) = self.acted_at[usize::from(number)] {
                self.look_at_gap(number, before);
            }
        }
    }

    fn look_at_gap(&mut self, number: u8, before: Instant) {
        let gap = self.now.since(before);
        self.gap = self.gap.max(gap);
        if let Some(bound) = self.gap_max.filter(|bound| gap > *bound) {
            self.wrong(5, format!("gate {number} had no command for {gap:?}, bound {bound:?}"));
        }
    }

    fn wrong(&mut self, invariant: u8, what: String) {
        self.wrong.get_or_insert(Violation { invariant, at: self.now, what });
    }

    fn tick(&mut self, number: u8, mut notes: Option<&mut Notes>) {
        let seat = &mut self.gates[usize::from(number)];
        seat.ticks_at = None;
        if seat.gate.on_tick(self.now) {
            self.judged(number, GateInput::Tick, None, notes.as_deref_mut());
        }
        self.note_closing(number, notes);
        self.report(number);
    }

    fn report(&mut self, number: u8) {
        let seat = &mut self.gates[usize::from(number)];
        let mut statuses = ArrayVec::<Frame, 4>::new();
        while !statuses.is_full() && seat.gate.is_status_due(self.now) {
            statuses.push(seat.gate.status(self.now, 0));
        }
        let next = seat.gate.next_tick(self.now).max(self.now + GATE_GRAIN);
        if seat.ticks_at.is_none_or(|at| next < at) {
            seat.ticks_at = Some(next);
        }
        for frame in statuses {
            self.put_on_bus(Station::of_gate(number), frame);
        }
    }

    fn note_closing(&mut self, number: u8, notes: Option<&mut Notes>) {
        let seat = &mut self.gates[usize::from(number)];
        let is_open = seat.gate.is_open();
        if core::mem::replace(&mut seat.was_open, is_open) && !is_open {
            self.tell(&Event::Closed { gate: number }, notes);
        }
    }

    fn judged(&mut self, number: u8, input: GateInput, verdict: Option<Verdict>, notes: Option<&mut Notes>) {
        let gate = &self.gates[usize::from(number)].gate;
        let answer = GateAnswer { verdict, open: gate.is_open(), term: gate.term() };
        if let Some(notes) = notes {
            notes.push(Note { at: self.now, what: What::Judged(number, input, answer) });
        }
    }

    pub(crate) fn tell(&mut self, event: &Event, notes: Option<&mut Notes>) {
        self.checks.on(self.now, event);
        if let Some(notes) = notes {
            notes.push(Note { at: self.now, what: What::Event(event.clone()) });
        }
    }
}

/// Who misses a frame.
#[derive(Clone, Copy)]
struct Missed {
    at_gate_0: bool,
    at: [bool; 3],
}

impl Missed {
    fn misses(self, slot: Slot) -> bool {
        self.at[slot.index()]
    }
}
