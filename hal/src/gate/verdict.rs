//! What the gate says of a frame.

use crate::cycle::Cycle;
use crate::signals::Signals;
use crate::term::{Slot, Term};
use crate::time::Duration;
use serde::{Deserialize, Serialize};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub enum Verdict {
    /// The command is acted on.
    Acted {
        /// In which way.
        how: How,
        /// Who sent it.
        slot: Slot,
        /// The term that the gate has adopted, this command included. In a cover it is still the holder's.
        term: Term,
        /// The command's cycle.
        cycle: Cycle,
        /// What is asked of the actuators.
        signals: Signals,
        /// Time since the command acted on before; `None` when the gate has just opened.
        gap: Option<Duration>,
    },
    /// Nothing is done, and counted.
    Dropped {
        /// Why.
        why: Drop,
    },
    /// A probe: echoed in the next status, and nothing else.
    Probe {
        /// Who sent it.
        slot: Slot,
    },
    /// Another open gate's higher term was adopted (G7).
    Followed {
        /// Which gate.
        gate: u8,
        /// The adopted term.
        term: Term,
    },
    /// A device asked for the emergency stop: closed and latched (G8).
    EStopped {
        /// Who asked.
        slot: Slot,
    },
    /// Another gate's frame that changes nothing.
    Ignored,
}

/// How a command came to be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It is the holder's (G2).
    Holder,
    /// The holder left this cycle empty; it stays the holder (G3).
    Cover,
    /// The holder's lease has run out; the sender holds the wheel from now on (G3).
    Takeover,
    /// The second of two consecutive frames opened the gate (G5).
    Opening,
}

/// How many reasons there are to drop a frame.
pub const DROPS: usize = 12;

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Drop {
    /// The CRC does not fit.
    BadCrc,
    /// It is not 8 bytes long.
    WrongLength,
    /// No identifier of ours, or a reserved flag.
    UnknownKind,
    /// The term does not belong to the sender's slot.
    WrongSlot,
    /// The term is below the adopted one.
    StaleTerm,
    /// The cycle was acted on before, or is too old or too far ahead.
    OldCycle,
    /// A signal is out of range.
    OutOfRange,
    /// Of a higher term, but the holder is not late yet.
    NotDue,
    /// The gate is closed, and the term is not above the one that it knows.
    ClosedToTerm,
    /// The first of the two frames that open a closed gate.
    FirstOfTwo,
    /// The gate is closed and waits for another candidate's second frame.
    OtherCandidate,
    /// An e-stop is latched.
    EStop,
}

impl Drop {
    /// All reasons, in the order of the counters.
    pub const ALL: [Self; DROPS] = [
        Self::BadCrc,
        Self::WrongLength,
        Self::UnknownKind,
        Self::WrongSlot,
        Self::StaleTerm,
        Self::OldCycle,
        Self::OutOfRange,
        Self::NotDue,
        Self::ClosedToTerm,
        Self::FirstOfTwo,
        Self::OtherCandidate,
        Self::EStop,
    ];

    /// Returns the reason's name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadCrc => "bad_crc",
            Self::WrongLength => "wrong_length",
            Self::UnknownKind => "unknown_kind",
            Self::WrongSlot => "wrong_slot",
            Self::StaleTerm => "stale_term",
            Self::OldCycle => "old_cycle",
            Self::OutOfRange => "out_of_range",
            Self::NotDue => "not_due",
            Self::ClosedToTerm => "closed_to_term",
            Self::FirstOfTwo => "first_of_two",
            Self::OtherCandidate => "other_candidate",
            Self::EStop => "e_stop",
        }
    }
}
