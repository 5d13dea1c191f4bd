//! The node alone, told what it hears line by line like a flight log. One fact a test; the rules by number.
//!
//! Times are milliseconds by the device's clock. The period is 10 ms, the margin 2 ms, the gate lease 30 ms, the
//! blind limit 20 ms. Unless a test says otherwise the device under test is the right one (slot 1), the left one
//! holds the wheel in term 0 and sends its command of cycle n at n · 10 ms.

mod confinement;
mod link;
mod primary;
mod probes;
mod readiness;
mod standby;
mod start_up;
mod told;

use super::*;
use crate::config::{OnDispute, Parameters};
use crate::input::{EFFECTS_MAX, Readings};
use crate::role::RoleName;
use twinhelm_hal::frame::{Echo, StatusFrame};
use twinhelm_hal::signals::table::{Signal, Table};

/// The left device's first term, and what the right one chooses above it.
const THEIRS: u32 = 0;
const OURS: u32 = 1;
/// The left device's next reign, above `OURS`.
const HIGHER: u32 = 4;

static LAYOUT: Layout = Layout::of(&Table::of(&[
    Signal::of_counts("First", [-5_000, 5_000]),
    Signal::of_counts("Second", [-6_000, 4_000]),
]));
const CALM: Signals = Signals::of_16_bits([100, -50]);
const FAR_OFF: Signals = Signals::of_16_bits([4_000, -50]);

/// What a gate says of itself.
#[derive(Clone, Copy)]
struct Says {
    open: bool,
    estop: bool,
    term: Option<u32>,
    last: u64,
}

const fn open(term: u32, last: u64) -> Says {
    Says { open: true, estop: false, term: Some(term), last }
}

const fn closed(term: Option<u32>, last: u64) -> Says {
    Says { open: false, estop: false, term, last }
}

const fn stopped(term: Option<u32>, last: u64) -> Says {
    Says { open: false, estop: true, term, last }
}

/// What one turn did.
#[derive(Debug, Default, PartialEq)]
struct Did {
    /// Term and cycle of the command that went out.
    sent: Option<(u32, u64)>,
    probed: bool,
    /// The cycle that the law was asked for.
    computed: Option<u64>,
    standstill: bool,
    published: bool,
}

/// A device and what it is told.
#[derive(Clone)]
struct Flight {
    node: Node,
    /// What the gates echo of the device's probes.
    echo: Option<u8>,
    echoes: bool,
    signals: Option<Signals>,
    checked: bool,
    readings: Readings,
    adopts: bool,
    peer: Option<Header>,
}

fn ms(ms: f64) -> Instant {
    Instant::from_nanos((ms * 1e6).round() as u64)
}

fn parameters() -> Parameters {
    Parameters::at_period(Duration::from_millis(10))
}

fn slot(number: u8) -> Slot {
    Slot::new(number).expect("0 to 3")
}

impl Flight {
    /// Returns a device that comes up at 0 ms.
    fn of(number: u8) -> Self {
        Self::with(number, parameters())
    }

    fn with(number: u8, parameters: Parameters) -> Self {
        let config = Config::new(parameters).expect("the timing keeps the promise");
        Self {
            node: Node::new(Instant::ZERO, slot(number), config, &LAYOUT),
            echo: None,
            echoes: true,
            signals: Some(CALM),
            checked: true,
            readings: Readings::Own,
            adopts: true,
            peer: Some(Header {
                slot: slot(0),
                cycle: Cycle::default(),
                term: Some(Term::new(THEIRS)),
                role: RoleName::Primary,
                ready: Err(NotReady::Role),
                sent: true,
                checked: true,
                divergence: None,
                disputes: false,
                digest: parameters.digest,
                relayed: [None; GATES_MAX],
            }),
        }
    }

    fn role(&self) -> RoleName {
        self.node.role().name()
    }

    fn chosen(&self) -> Option<u32> {
        self.node.role().chosen().map(Term::number)
    }

    fn tell(&mut self, at: f64, input: Input) {
        let effects = self.node.step(ms(at), input);
        assert!(effects.is_empty(), "hearing does nothing by itself: {effects:?}");
    }

    fn hear(&mut self, at: f64, frame: Frame) {
        self.tell(at, Input::Heard(Received { at: ms(at), frame }));
    }

    /// A command of the device that `term` belongs to is heard.
    fn command(&mut self, at: f64, term: u32, cycle: u64) {
        let term = Term::new(term);
        self.hear(at, command(term.slot(), term, Cycle::new(cycle), CALM));
    }

    /// A gate's status is heard.
    fn gate(&mut self, at: f64, gate: u8, says: Says) {
        let Says { open, estop, term, last } = says;
        let echo = self.echo.filter(|_| self.echoes).map(|number| Echo { slot: self.node.slot(), number });
        let frame = StatusFrame {
            gate,
            term: term.map_or(0, |term| Term::new(term).to_wire()),
            cycle: Cycle::new(last).to_wire(),
            open,
            term_known: term.is_some(),
            safe_state: !open,
            estop,
            echo,
            speed_mm_s: 0,
        };
        self.hear(at, frame.encode());
    }

    /// A sample of the peer about `cycle` arrives.
    fn sample(&mut self, at: f64, cycle: u64) {
        let header = self.peer.map(|header| Header { cycle: Cycle::new(cycle), ..header });
        self.tell(at, Input::Peer { at: ms(at), header });
    }

    /// The peer's sample of now arrives with `role` and `ready`.
    fn peer_is(&mut self, at: f64, cycle: u64, role: RoleName, ready: Result<(), NotReady>) {
        self.peer = self.peer.map(|peer| Header { role, ready, ..peer });
        self.sample(at, cycle);
    }

    /// A gate's status arrives over the link.
    fn relayed(&mut self, at: f64, cycle: u64, open: bool, term: u32) {
        let mut relayed = [None; GATES_MAX];
        relayed[0] = Some(Relayed { open, term: Some(Term::new(term)) });
        self.peer = self.peer.map(|peer| Header { relayed, ..peer });
        self.sample(at, cycle);
    }

    /// The device wakes up, decides and computes.
    fn turn(&mut self, at: f64) -> Did {
        self.turn_that_takes(at, 0.02)
    }

    /// The same, with a law that needs `takes` ms.
    fn turn_that_takes(&mut self, at: f64, takes: f64) -> Did {
        self.tell(at, Input::Woke);
        self.decided_in(at, takes)
    }

    /// What is decided at `at`, in a turn that has begun.
    fn decided(&mut self, at: f64) -> Did {
        self.decided_in(at, 0.02)
    }

    fn decided_in(&mut self, at: f64, takes: f64) -> Did {
        let mut did = Did::default();
        for effect in self.node.step(ms(at), Input::Decide) {
            self.note(&mut did, &effect);
            if let Effect::Compute { cycle, standstill } = effect {
                did.computed = Some(cycle.number());
                did.standstill = standstill;
                let input = Input::Computed {
                    cycle,
                    signals: self.signals,
                    readings: self.readings,
                    checked: self.checked,
                };
                for effect in self.node.step(ms(at + takes), input) {
                    self.note(&mut did, &effect);
                }
            }
        }
        did
    }

    fn note(&mut self, did: &mut Did, effect: &Effect) {
        match effect {
            Effect::Compute { .. } => {}
            Effect::Send(frame) => {
                let CommandFrame { term, cycle, probe, slot, .. } =
                    CommandFrame::decode(frame).expect("a device sends commands and probes");
                assert_eq!(slot, self.node.slot(), "on its own identifier");
                did.probed |= probe;
                if probe {
                    self.echo = Some(cycle.to_le_bytes()[0]);
                } else {
                    did.sent = Some((term.into(), cycle.into()));
                }
            }
            Effect::Publish => did.published = true,
            Effect::Refused(why) => panic!("nothing was ordered: {why}"),
        }
    }

    fn switchover(&mut self, at: f64) -> Result<(), Refusal> {
        let effects = self.node.step(ms(at), Input::Ordered(Order::Switchover));
        assert!(effects.len() <= EFFECTS_MAX);
        match effects.first() {
            None => Ok(()),
            Some(Effect::Refused(why)) => Err(*why),
            Some(other) => panic!("an order has no other effect: {other:?}"),
        }
    }

    /// Cycle `n` as it should be: the holder's command at n · 10 ms, gate 0's report, the holder's state, and the
    /// decision point.
    fn follow(&mut self, n: u64) -> Did {
        let at = n as f64 * 10.0;
        self.command(at, THEIRS, n);
        self.gate(at + 0.5, 0, open(THEIRS, n));
        self.receive_state(at + 1.0, n);
        self.turn(at + 2.0)
    }

    /// The holder's state of cycle `n` arrives and is taken over.
    fn receive_state(&mut self, at: f64, n: u64) {
        self.sample(at, n);
        if self.adopts {
            self.tell(at, Input::Adopted { cycle: Cycle::new(n), at: ms(at) });
        }
    }

    /// A standby that has followed cycles 3 to 10 and is ready; 102 ms was its last turn, 112 ms is its next.
    fn standby() -> Self {
        Self::standby_of(Self::of(1))
    }

    fn standby_of(mut flight: Self) -> Self {
        for n in 0..=10 {
            let did = flight.follow(n);
            assert_eq!(did.sent, None, "a healthy holder is not covered");
        }
        assert_eq!(flight.role(), RoleName::Standby);
        flight
    }

    /// A primary in term `OURS`: it covered cycles 11 to 13 and gate 0 adopted its term. Its next command is due at
    /// 142 ms, for cycle 14.
    fn primary() -> Self {
        Self::primary_with(parameters())
    }

    fn primary_with(parameters: Parameters) -> Self {
        let mut flight = Self::standby_of(Self::with(1, parameters));
        for n in 11..=13 {
            let at = n as f64 * 10.0 + 2.0;
            assert_eq!(flight.turn(at).sent, Some((OURS, n)));
            let adopted = if n < 13 { THEIRS } else { OURS };
            flight.gate(at + 0.5, 0, open(adopted, n));
        }
        assert_eq!(flight.role(), RoleName::Primary);
        flight
    }
}

const GATES_MAX: usize = twinhelm_hal::frame::GATES as usize;
