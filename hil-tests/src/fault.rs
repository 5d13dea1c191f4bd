//! Faults, in the words of the command line and of scenario files: `KIND[=AMOUNT]@TIME[:DURATION][:DEVICE]`.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

use std::time::Duration;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::term::Slot;
use twinhelm_vehicle::sensors::SensorFault;

pub mod parse;
pub use parse::FaultError;

/// One fault of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// As it was written; reports name it so.
    pub label: String,
    /// What happens.
    pub kind: Kind,
    /// When, after the start of the run.
    pub at: Duration,
    /// For how long; `None` is to the end (`kill` and `exit`: never started again).
    pub lasts: Option<Duration>,
    /// To whom.
    pub target: Target,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Slot 0.
    Left,
    /// Slot 1.
    Right,
    /// Whoever holds the wheel at that moment.
    Holder,
}

impl Target {
    /// Returns the device that is meant while `holder` holds the wheel; left when nobody of the pair does.
    #[must_use]
    pub fn slot(self, holder: Option<Slot>) -> Slot {
        match self {
            Self::Left => Slot::LEFT,
            Self::Right => Slot::RIGHT,
            Self::Holder => holder.unwrap_or(Slot::LEFT),
        }
    }
}

/// Which directions of a cable are cut, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both.
    Both,
    /// What the device sends.
    Tx,
    /// What the device hears.
    Rx,
}

/// By how much a law is late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lateness {
    /// In periods.
    Periods(f64),
    /// In time.
    Span(Duration),
}

impl Lateness {
    /// Returns the lateness as a span.
    #[must_use]
    pub fn span(self, period: Duration) -> Duration {
        match self {
            Self::Periods(count) => period.mul_f64(count.max(0.0)),
            Self::Span(span) => span,
        }
    }
}

/// Which frames are lost, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Lost {
    /// One command of the device, at every receiver.
    CommandAtAll,
    /// One command of the device, at gate 0 alone; the peer hears it.
    CommandAtGate,
    /// One command of the device, at the peer alone.
    CommandAtPeer,
    /// One status of gate 0, at the device alone.
    Status,
    /// Every status of every gate at the device, as a wrong filter would.
    AllStatuses,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The process is killed.
    Kill,
    /// The process ends by itself.
    Exit,
    /// The process is stopped, and continued.
    Hang,
    /// Process, bus connection and link go at once.
    Power,
    /// The link to the peer is silent.
    LinkCut(Cut),
    /// The bus connection is cut.
    BusCut(Cut),
    /// The device's bus controller is error-passive, or off the bus.
    BusErrors(Confinement),
    /// The law's output is late.
    Late(Lateness),
    /// The law returns NaN.
    Nan,
    /// The law returns what no wheel can reach.
    OutOfRange,
    /// The value sticks while the counter runs.
    FrozenOutput,
    /// The bus repeats the device's last frame.
    FrozenCounter,
    /// Somebody asks for a switchover: a request, not a fault.
    Switchover,
    /// The link takes so much longer.
    LinkSlow(Duration),
    /// The link loses this part of its samples, doubles and reorders some.
    LinkRough(f64),
    /// The device's clock jumps.
    ClockSlip {
        /// By so much.
        by: Duration,
        /// Forwards, or backwards.
        forwards: bool,
    },
    /// The device's clock drifts by so many parts per million.
    ClockDrift(f64),
    /// The device's own sensors fail.
    Sensor(SensorFault),
    /// Single frames are lost.
    Lose(Lost),
    /// The device's next frame is sent, and once more so much later.
    HeldFrame(Duration),
    /// A gate comes up anew.
    RestartGate(u8),
    /// The e-stop button is pressed, whose line goes to every gate.
    Estop,
}

impl Kind {
    /// Returns whether the standby is still whole while this fault is on, so that no deadline may be missed.
    #[must_use]
    pub const fn is_within_promise(&self) -> bool {
        !matches!(self, Self::RestartGate(_) | Self::Estop)
    }

    /// Returns whether it is over as soon as it has happened.
    #[must_use]
    pub const fn is_momentary(&self) -> bool {
        match self {
            Self::ClockSlip { .. } | Self::HeldFrame(_) | Self::RestartGate(_) | Self::Estop => true,
            Self::Lose(lost) => !matches!(lost, Lost::AllStatuses),
            Self::Kill
            | Self::Exit
            | Self::Hang
            | Self::Power
            | Self::LinkCut(_)
            | Self::BusCut(_)
            | Self::BusErrors(_)
            | Self::Late(_)
            | Self::Nan
            | Self::OutOfRange
            | Self::FrozenOutput
            | Self::FrozenCounter
            | Self::Switchover
            | Self::LinkSlow(_)
            | Self::LinkRough(_)
            | Self::ClockDrift(_)
            | Self::Sensor(_) => false,
        }
    }

    /// Returns whether it is a request, not a fault.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self, Self::Switchover)
    }
}
