//! Frames, samples, orders and readings into a device, in any sequence: the real `turn`, with the demo's law. What the device
//! sends may go to a real gate, whose status it then hears, so that it becomes more than a device that joins.

use crate::gate::{command, raw, status};
use crate::input::Input;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use twinhelm_control::Controller as _;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame, GATES};
use twinhelm_hal::gate::Gate;
use twinhelm_hal::ports::{Bus, Confinement, Received};
use twinhelm_hal::signals::{Divergence, Signals};
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{
    Config, Effects, FencedBy, Header, HeardSample, Input as Told, Node, NotReady, Order, Parameters, Pilot, Ports,
    Published, Refusal, Relayed, Role, RoleName, Sample, turn,
};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::{CourseLaw, Memory};
use twinhelm_vehicle::signals::{LAYOUT, State};

static COURSE: LazyLock<Arc<Course>> = LazyLock::new(|| Arc::new(Course::harbour()));

/// So many turns a run has at most: what is worth finding comes sooner, and an input should end.
const TURNS_MAX: usize = 400;
/// No machine is up for longer: a century before the end of all instants.
const LAST: Instant = Instant::from_nanos(u64::MAX / 6 * 5);
/// A frame of 8 bytes takes so long on a bus of 500 kbit/s.
const FRAME_TIME: Duration = Duration::from_micros(270);

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let config = Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile of 100 Hz");
    let slot = Slot::from_low_bits(input.u8());
    let mut ports = Surroundings::new(input.bytes());
    let law = CourseLaw::new(Arc::clone(&COURSE));
    let mut pilot = Pilot::new(law.clone(), law, config.period);
    let mut gate: Gate = Gate::new(0, config.gate_timing(), LAYOUT);
    let mut node: Node = Node::new(ports.now.get(), slot, config, LAYOUT);
    let mut due = ports.now.get();
    for _ in 0..TURNS_MAX {
        if input.is_empty() {
            break;
        }
        let plan = input.u8();
        // Mostly as asked; else early, late, or after hours.
        let late = if plan & 0x80 == 0 { Duration::ZERO } else { input.span() };
        let now = if plan & 0x40 == 0 { due + late } else { ports.now.get() + late };
        let now = now.max(ports.now.get());
        if now > LAST {
            break;
        }
        if plan & 0x20 == 0 {
            report(&mut gate, now, &mut ports.inbox);
        }
        for _ in 0..plan & 3 {
            ports.happen(&mut input, now);
        }
        ports.now.set(now);
        due = turn(now, &mut ports, &mut pilot, &mut node);
        assert!(due > now, "a device that is not waiting turns for ever");
        check_sent(&node, &ports.sent);
        for frame in ports.sent.drain(..) {
            if plan & 0x10 == 0 {
                let _ = gate.on_frame(now + FRAME_TIME, &frame);
            }
        }
        ports.orders.clear();
    }
}

/// The gate's status as the device hears it, when one is due.
fn report(gate: &mut Gate, now: Instant, inbox: &mut VecDeque<Received>) {
    gate.on_tick(now);
    if gate.is_status_due(now) {
        inbox.push_back(Received { at: now, frame: gate.status(now, 0) });
    }
}

/// What holds for whatever a device sends in one turn.
fn check_sent(node: &Node, sent: &[Frame]) {
    let frames = sent.iter().map(|frame| CommandFrame::decode(frame).expect("a device sends well-formed commands"));
    let (probes, commands): (Vec<_>, Vec<_>) = frames.partition(|frame| frame.probe);
    assert!(probes.len() <= 1 && commands.len() <= 1, "one command and one probe a turn");
    for probe in probes {
        assert_eq!((probe.slot, probe.signals), (node.slot(), Signals::default()));
        assert!((1..64).contains(&probe.cycle), "a probe's number fits its echo");
    }
    for command in commands {
        assert_eq!(command.slot, node.slot());
        assert!(LAYOUT.allows(&command.signals), "what is out of range is not sent");
        let chosen = node.role().chosen().expect("a command is sent in a chosen term alone");
        assert_eq!((command.term, chosen.slot()), (chosen.to_wire(), node.slot()));
        assert!(!matches!(node.role(), Role::Joining { .. } | Role::Fenced { .. }), "who joins is silent (V1, V5)");
    }
}

/// Everything that a device reaches.
struct Surroundings {
    now: Cell<Instant>,
    inbox: VecDeque<Received>,
    orders: VecDeque<Order>,
    peer: Option<HeardSample<State, Memory>>,
    readings: Option<State>,
    confinement: Confinement,
    sent: Vec<Frame>,
    computing: Duration,
}

impl Surroundings {
    fn new([begins, computing]: [u8; 2]) -> Self {
        let readings = Some(State { x_m: 0.1, y_m: 0.2, yaw_rad: 0.3, speed_mps: 2.0 });
        let begins = Instant::ZERO + Duration::from_millis(1).saturating_mul(u32::from(begins));
        Self {
            now: Cell::new(begins),
            inbox: VecDeque::new(),
            orders: VecDeque::new(),
            peer: None,
            readings,
            confinement: Confinement::Active,
            sent: Vec::new(),
            computing: Duration::from_micros(u64::from(computing)),
        }
    }

    fn happen(&mut self, input: &mut Input<'_>, now: Instant) {
        let at = now.before(Duration::from_micros(u64::from(input.u8()) * 40)).max(self.now.get());
        let what = input.u8();
        match what % 8 {
            0 | 1 => {
                let last = input.u16();
                self.inbox.push_back(Received { at, frame: command(input, last) });
            }
            2 | 3 => self.inbox.push_back(Received { at, frame: status(input) }),
            4 => self.inbox.push_back(Received { at, frame: raw(input) }),
            5 => self.peer = Some(HeardSample { at, sample: (what < 0xF0).then(|| sample(input)) }),
            6 => self.readings = (what < 0xC0).then(|| state(input)),
            _ => match what >> 5 {
                0 => self.confinement = Confinement::Passive,
                1 => self.confinement = Confinement::Off,
                2 | 3 => self.confinement = Confinement::Active,
                _ => self.orders.push_back(Order::Switchover),
            },
        }
    }
}

fn state(input: &mut Input<'_>) -> State {
    // Mostly near the course; else any number that there is.
    if input.u8() < 200 {
        let mut small = || f64::from(input.i16()) * 1e-3;
        State { x_m: small(), y_m: small(), yaw_rad: small(), speed_mps: small() }
    } else {
        State { x_m: input.f64(), y_m: input.f64(), yaw_rad: input.f64(), speed_mps: input.f64() }
    }
}

fn sample(input: &mut Input<'_>) -> Sample<State, Memory> {
    let [who, role, ready, flags] = input.bytes();
    // The largest that a decoder lets through.
    let mut term = || Term::try_from(if flags & 0x80 == 0 { u32::from(input.u8()) } else { input.u32() }).ok();
    let (own, relayed): (_, [_; GATES as usize]) = (term(), std::array::from_fn(|_| term()));
    let of_gate = |gate: usize| who & 0x10 << gate == 0;
    let header = Header {
        slot: Slot::from_low_bits(who),
        cycle: Cycle::new(if flags & 0x40 == 0 { u64::from(input.u8()) } else { input.u64() }),
        term: own,
        role: match role % 6 {
            0 => RoleName::Joining,
            1 => RoleName::Claiming,
            2 => RoleName::Standby,
            3 => RoleName::Primary,
            4 => RoleName::Fenced(FencedBy::Gate),
            _ => RoleName::Fenced(FencedBy::Order),
        },
        ready: if ready < 128 { Ok(()) } else { Err(NotReady::Link) },
        sent: flags & 1 != 0,
        checked: flags & 2 != 0,
        divergence: (flags & 4 != 0).then(|| Divergence { signal: input.u8(), counts: input.u16().into() }),
        disputes: flags & 8 != 0,
        digest: u64::from(flags & 16),
        relayed: std::array::from_fn(|gate| {
            of_gate(gate).then_some(Relayed { open: ready & 1 << gate != 0, term: relayed[gate] })
        }),
    };
    let published = (flags & 32 != 0).then(|| Published {
        memory: CourseLaw::new(Arc::clone(&COURSE)).export(),
        readings: state(input),
        own_readings: role < 128,
        standstill: role & 64 != 0,
        signals: (ready & 64 != 0).then(|| Signals::of_16_bits([input.i16(), input.i16()])),
    });
    Sample { header, published }
}

impl Bus for Surroundings {
    fn send(&mut self, frame: Frame) {
        self.sent.push(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        self.inbox.pop_front()
    }

    fn confinement(&self) -> Confinement {
        self.confinement
    }
}

impl Ports<State, Memory> for Surroundings {
    fn now(&self) -> Instant {
        // A law takes time.
        self.now.set(self.now.get() + self.computing);
        self.now.get()
    }

    fn readings(&mut self) -> Option<State> {
        // A sensor that moves is one that is alive.
        if let Some(reading) = &mut self.readings {
            reading.x_m += 1e-3;
        }
        self.readings
    }

    fn peer(&mut self) -> Option<HeardSample<State, Memory>> {
        self.peer
    }

    fn publish(&mut self, _sample: &Sample<State, Memory>) {}

    fn order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    fn refuse(&mut self, _refusal: Refusal) {}

    fn note(&mut self, _now: Instant, _input: &Told, effects: &Effects) {
        assert!(effects.len() < 4, "effects have room");
    }
}
