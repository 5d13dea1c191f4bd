//! The device's rules that are a single choice, each named by its number in docs/protocol.md.
//!
//! [`AsDesigned`] is the only implementation outside tests. A test breaks one choice and shows that a checker
//! notices.

use twinhelm_hal::term::{Slot, Term};

/// The choices of a device.
pub trait NodeRules: Clone + core::fmt::Debug {
    /// V2: a holder's late frame for the cycle that was covered moves the next decision. Otherwise a standby whose
    /// timer runs a hair early wins each tie, and takes the wheel from a healthy primary.
    const RELOCKS: bool = true;

    /// V2: the witness is the gate's report, not the bus: the gate may have missed what the standby heard.
    const TRUSTS_BUS: bool = false;

    /// V3: a standby that hears nothing is the one that is cut off.
    const SENDS_WHEN_BLIND: bool = false;

    /// V5: a device whose term was superseded sends nothing more in it.
    const STOPS_WHEN_SUPERSEDED: bool = true;

    /// V7: a primary's cycle is at least the last reported + 1. Otherwise a holder whose counter slipped looks old
    /// for ever.
    const LIFTS_CYCLE: bool = true;

    /// V2: a standby counts cycles by the gates' reports. Otherwise one whose count ran ahead of a late holder's is never due at the
    /// gate, which acts on the late one for ever.
    const COUNTS_BY_THE_GATES: bool = true;

    /// V6: who has only the peer's readings does not claim. Otherwise it outbids the one that has its own, in turn.
    const CLAIMS_WITH_OWN_READINGS: bool = true;

    /// V14: while an e-stop is latched nobody claims. Otherwise two devices overbid each other until their terms have gone
    /// once around.
    const WAITS_FOR_RESET: bool = true;

    /// The standby takes over the primary's state each cycle.
    const ADOPTS_STATE: bool = true;

    /// A second instance of the law must give the same command, or it is not sent.
    const CHECKS_ITSELF: bool = true;

    /// Returns the smallest term of `slot` above what was heard: a term belongs to one device.
    #[must_use]
    fn own_next_term(slot: Slot, heard: Option<Term>) -> Term {
        Term::next_of(slot, heard)
    }
}

/// The rules as the design has them.
#[derive(Clone, Copy, Debug)]
pub struct AsDesigned;

impl NodeRules for AsDesigned {}
