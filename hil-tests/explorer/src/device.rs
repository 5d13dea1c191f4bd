//! A device of the explorer: the shipped node behind the shipped turn, with ports that can be copied.

use crate::law::{LAYOUT, Memory, Plain, Reading, Trick};
use arrayvec::ArrayVec;
use core::hash::{Hash, Hasher};
use twinhelm_hal::canon::Origin;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Confinement, Received};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{
    Config, Effects, HeardSample, Input, Node, NotReady, Order, Pilot, Ports, Published, Refusal, Sample, turn,
};

/// A turn's own computing time, as the simulator has it. The configuration's jitter covers it, and how late the machine wakes.
pub(crate) const COMPUTING: Duration = Duration::from_micros(20);

/// So many frames wait for a device that does not look: what a socket's buffer would hold.
const INBOX_MAX: usize = 64;

/// What a device tells its peer.
pub(crate) type Told = Sample<Reading, Memory>;

/// One step of a node, for a recording.
pub(crate) struct StepNote {
    /// By the device's clock.
    pub(crate) now: Instant,
    pub(crate) input: Input,
    pub(crate) effects: Effects,
}

/// What a turn wanted done: at `at`, by true time.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) at: Instant,
    pub(crate) frames: ArrayVec<Frame, 4>,
    pub(crate) sample: Option<Told>,
    /// When the turn began.
    pub(crate) woke: Instant,
}

/// A device, whether it runs or not.
#[derive(Clone, Debug)]
pub(crate) struct Device<N> {
    pub(crate) slot: Slot,
    pub(crate) node: Option<Node<N>>,
    /// Counts the starts.
    pub(crate) life: u32,
    /// When it turns next, by true time.
    pub(crate) wakes_at: Instant,
    /// The same as it asked for, by its own clock.
    due: Instant,
    inbox: Vec<Received>,
    pub(crate) peer: Option<HeardSample<Reading, Memory>>,
    pub(crate) outgoing: Option<Outgoing>,
    /// What its clock shows beyond true time, in ns.
    ahead: i64,
    /// It has turned an odd number of times.
    pub(crate) is_odd: bool,
    /// Stopped by a signal.
    pub(crate) hung: bool,
    /// Stopped in the middle of its next turn.
    stops: bool,
    in_hand: Option<Outgoing>,
    pub(crate) trick: Option<Trick>,
    pub(crate) late: Duration,
    pub(crate) senses: bool,
    pub(crate) confinement: Confinement,
    pub(crate) hears_link: bool,
    pub(crate) tells_link: bool,
    pub(crate) asked_to_switch: bool,
}

impl<N: NodeRules> Device<N> {
    pub(crate) fn new(slot: Slot) -> Self {
        Self {
            slot,
            node: None,
            life: 0,
            wakes_at: Instant::ZERO,
            due: Instant::ZERO,
            inbox: Vec::new(),
            peer: None,
            outgoing: None,
            ahead: 0,
            is_odd: false,
            hung: false,
            stops: false,
            in_hand: None,
            trick: None,
            late: Duration::ZERO,
            senses: true,
            confinement: Confinement::Active,
            hears_link: true,
            tells_link: true,
            asked_to_switch: false,
        }
    }

    /// Takes in a frame, unless nobody is there, or too many wait; returns whether it did.
    pub(crate) fn hear(&mut self, now: Instant, frame: Frame) -> bool {
        let hears = self.node.is_some() && self.inbox.len() < INBOX_MAX;
        if hears {
            let at = self.local(now);
            self.inbox.push(Received { at, frame });
        }
        hears
    }

    /// Starts the process.
    pub(crate) fn start(&mut self, now: Instant, config: Config) {
        self.kill();
        let local = self.local(now);
        self.node = Some(Node::new(local, self.slot, config, LAYOUT));
        self.life += 1;
        self.wakes_at = now;
        self.due = local;
        self.hung = false;
    }

    /// Kills it. What it had in hand is gone.
    pub(crate) fn kill(&mut self) {
        self.node = None;
        self.inbox.clear();
        self.peer = None;
        self.outgoing = None;
        self.in_hand = None;
        self.stops = false;
        self.asked_to_switch = false;
    }

    /// Stops it: at once, or in the middle of its next turn, so that what it would have sent waits.
    pub(crate) fn hang(&mut self, in_hand: bool) {
        self.hung = true;
        self.stops = in_hand && self.node.is_some();
    }

    /// Lets it go on: it sends what it had in hand, and turns.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.hung = false;
        self.stops = false;
        if let Some(outgoing) = self.in_hand.take() {
            self.outgoing = Some(Outgoing { at: now, ..outgoing });
        }
        self.wakes_at = now;
    }

    /// Lets its clock jump.
    pub(crate) fn slip(&mut self, now: Instant, by: Duration, forwards: bool) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.ahead += if forwards { by } else { -by };
        self.wakes_at = self.true_time(self.due).max(now);
    }

    pub(crate) fn local(&self, at: Instant) -> Instant {
        Instant::from_nanos(at.as_nanos().saturating_add_signed(self.ahead))
    }

    fn true_time(&self, local: Instant) -> Instant {
        Instant::from_nanos(local.as_nanos().saturating_add_signed(-self.ahead))
    }

    /// Returns when it turns next, if it does.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        (self.node.is_some() && (!self.hung || self.stops)).then_some(self.wakes_at)
    }

    pub(crate) fn readiness(&self) -> Result<(), NotReady> {
        self.node.as_ref().filter(|_| !self.hung).map_or(Err(NotReady::Role), Node::takeover_ready)
    }

    /// Runs one turn; `wakes_late` later than it asks for is the next one.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        config: &Config,
        wakes_late: Duration,
        steps: Option<&mut Vec<StepNote>>,
    ) {
        let local = self.local(now);
        self.is_odd = !self.is_odd;
        let (trick, late) = (self.trick, self.late);
        let Some(node) = &mut self.node else {
            return;
        };
        let mut ports = CopyPorts {
            now: local,
            late,
            computes: false,
            inbox: core::mem::take(&mut self.inbox).into_iter(),
            confinement: self.confinement,
            senses: self.senses,
            peer: self.peer,
            asked_to_switch: core::mem::take(&mut self.asked_to_switch),
            frames: ArrayVec::new(),
            sample: None,
            steps,
        };
        // The pilot keeps nothing that the law does not: a reading is never the same twice here.
        let mut pilot = Pilot::new(Plain { trick }, Plain { trick: None }, config.period);
        let next = turn(local, &mut ports, &mut pilot, node);
        let extra = COMPUTING + if ports.computes { late } else { Duration::ZERO };
        let outgoing = Outgoing { at: now + extra, frames: ports.frames, sample: ports.sample, woke: now };
        self.due = next;
        self.wakes_at = self.true_time(next).max(now + extra) + wakes_late;
        if self.stops {
            self.stops = false;
            self.in_hand = Some(outgoing);
        } else {
            self.outgoing = Some(outgoing);
        }
    }

    /// Writes what decides about its future. `from` is by true time.
    pub(crate) fn canon(&self, config: &Config, from: &Origin, into: &mut impl Hasher) {
        let Self {
            slot,
            node,
            life: _,
            wakes_at,
            due,
            inbox,
            peer,
            outgoing,
            ahead: _,
            is_odd,
            hung,
            stops,
            in_hand,
            trick,
            late,
            senses,
            confinement,
            hears_link,
            tells_link,
            asked_to_switch,
        } = self;
        let local = from.at(self.local(from.now));
        (slot, is_odd, hung, stops, trick, late, senses, *confinement as u8).hash(into);
        (hears_link, tells_link, asked_to_switch, node.is_some()).hash(into);
        let Some(node) = node else {
            return;
        };
        node.canon(&local, into);
        (from.moment(*wakes_at, config.period), local.moment(*due, config.gate_lease), inbox.len()).hash(into);
        for Received { at, frame } in inbox {
            local.moment(*at, config.command_timeout).hash(into);
            local.frame(frame, into);
        }
        let peer = peer.as_ref().map(|HeardSample { at, sample }| {
            canon_of_sample(sample.as_ref(), &local, into);
            local.moment(*at, config.gate_lease)
        });
        peer.hash(into);
        for outgoing in [outgoing, in_hand] {
            let Some(Outgoing { at, frames, sample, woke }) = outgoing else {
                false.hash(into);
                continue;
            };
            let woke = from.moment(*woke, config.command_timeout);
            (from.moment(*at, config.command_timeout), woke, frames.len()).hash(into);
            frames.iter().for_each(|frame| from.frame(frame, into));
            canon_of_sample(sample.as_ref(), from, into);
        }
    }
}

fn canon_of_sample(sample: Option<&Told>, from: &Origin, into: &mut impl Hasher) {
    let Some(Sample { header, published }) = sample else {
        return;
    };
    header.canon(from, into);
    let published = published.as_ref().map(|Published { memory, readings, own_readings, standstill, signals }| {
        (memory, readings, own_readings, standstill, signals)
    });
    published.hash(into);
}

struct CopyPorts<'a, I> {
    now: Instant,
    late: Duration,
    computes: bool,
    inbox: I,
    confinement: Confinement,
    senses: bool,
    peer: Option<HeardSample<Reading, Memory>>,
    asked_to_switch: bool,
    frames: ArrayVec<Frame, 4>,
    sample: Option<Told>,
    steps: Option<&'a mut Vec<StepNote>>,
}

impl<I: Iterator<Item = Received>> Bus for CopyPorts<'_, I> {
    fn send(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        self.inbox.next()
    }

    fn confinement(&self) -> Confinement {
        self.confinement
    }
}

impl<I: Iterator<Item = Received>> Ports<Reading, Memory> for CopyPorts<'_, I> {
    fn now(&self) -> Instant {
        self.now + COMPUTING + if self.computes { self.late } else { Duration::ZERO }
    }

    fn readings(&mut self) -> Option<Reading> {
        self.computes = true;
        self.senses.then_some(Reading)
    }

    fn peer(&mut self) -> Option<HeardSample<Reading, Memory>> {
        self.peer
    }

    fn publish(&mut self, sample: &Told) {
        self.sample = Some(*sample);
    }

    fn order(&mut self) -> Option<Order> {
        core::mem::take(&mut self.asked_to_switch).then_some(Order::Switchover)
    }

    fn refuse(&mut self, _refusal: Refusal) {}

    fn note(&mut self, now: Instant, input: &Input, effects: &Effects) {
        if let Some(steps) = &mut self.steps {
            steps.push(StepNote { now, input: *input, effects: effects.clone() });
        }
    }
}
