//! What goes into a node, and what comes out.

use crate::readiness::NotReady;
use crate::sample::Header;
use arrayvec::ArrayVec;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Confinement, Received};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::time::Instant;

/// One thing that happened, in the order in which [`turn`](crate::turn) tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Input {
    /// The device woke up: first in each turn.
    Woke,
    /// The own bus controller is not in order. Told in each turn in which it is not.
    Confined(Confinement),
    /// A frame was heard on the bus.
    Heard(Received),
    /// The newest sample of the peer.
    Peer {
        /// When it arrived.
        at: Instant,
        /// What the protocol reads of it; `None` when the peer speaks another version.
        header: Option<Header>,
    },
    /// Somebody asks for something.
    Ordered(Order),
    /// Everything that was there has been told: decide.
    Decide,
    /// The law was asked, as [`Effect::Compute`] wanted.
    Computed {
        /// For which cycle.
        cycle: Cycle,
        /// The command; `None` when there were no readings, or it was not finite or out of range.
        signals: Option<Signals>,
        /// Whose readings it computed from.
        readings: Readings,
        /// The second law gave the same command.
        checked: bool,
    },
    /// The state of the device that drove in `cycle` was taken over into the own law.
    Adopted {
        /// The cycle.
        cycle: Cycle,
        /// When the sample arrived.
        at: Instant,
    },
}

/// Whose readings a law computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Readings {
    /// The device's own sensors'.
    Own,
    /// The peer's: the own sensors are silent, or stuck.
    Peers,
    /// Nobody's: there were none, and no command.
    Missing,
}

/// What people and agents may ask of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Order {
    /// Hand the wheel to the peer (V9).
    Switchover,
}

/// Why an order was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The device does not hold the wheel.
    #[error("this device does not hold the wheel")]
    NotPrimary,
    /// The peer could not take over.
    #[error("the peer is not ready: {0}")]
    PeerNotReady(NotReady),
}

/// What the shell does for the node, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    /// Ask the law for the command of `cycle`, and tell the node ([`Input::Computed`]).
    Compute {
        /// The cycle.
        cycle: Cycle,
        /// Ask for a standstill.
        standstill: bool,
    },
    /// Hand the frame to the bus.
    Send(Frame),
    /// Tell the peer: the node's header with what the law computed from.
    Publish,
    /// An order was refused.
    Refused(Refusal),
}

/// At most so many effects come of one input: a computed command sends, publishes, and that is all; a decision
/// computes or probes, and publishes.
pub const EFFECTS_MAX: usize = 4;

/// The effects of one input, in order.
pub type Effects = ArrayVec<Effect, EFFECTS_MAX>;
