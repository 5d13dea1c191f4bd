//! The gate's comparisons, one rule a function, each named by its number in docs/protocol.md.
//!
//! [`AsDesigned`] is the only implementation outside tests. A test implements [`GateRules`] with one rule
//! broken and shows that a checker notices; that is how we know that the checkers can see.

use super::Timing;
use crate::cycle::{AHEAD_MAX, Cycle};
use crate::term::{Slot, Term};
use crate::time::Duration;

/// The comparisons that decide whether a command is acted on.
pub trait GateRules: Clone + core::fmt::Debug {
    /// G2: a frame of the holder that comes too late is no sign of its life.
    const LATE_FRAME_RENEWS_LEASE: bool = false;

    /// G6: a gate reports once a period by its own clock, commands or not. Otherwise two silent devices would
    /// each believe to be cut off, for ever.
    const REPORTS_BY_ITSELF: bool = true;

    /// G7: an open gate follows another open gate's higher term, so that they do not name two holders for long.
    const FOLLOWS_OTHER_GATES: bool = true;

    /// G8: a gate that was stopped acts on nothing until its local reset.
    const LATCHES_ESTOP: bool = true;

    /// G4: returns whether the silence has lasted so long that the safe state has to come.
    #[must_use]
    fn has_timed_out(silent: Duration, timing: &Timing) -> bool {
        silent >= timing.command_timeout
    }

    /// Returns whether `term` may be sent by the device in `slot`: a term belongs to one device.
    #[must_use]
    fn is_term_of(term: Term, slot: Slot) -> bool {
        term.slot() == slot
    }

    /// G1: returns whether a frame's term is below the adopted one.
    #[must_use]
    fn is_superseded(frame: Term, own: Term) -> bool {
        frame < own
    }

    /// G1: returns whether a frame is ahead of the last cycle, and not so far that it may be an old one.
    #[must_use]
    fn is_ahead(ahead: i64) -> bool {
        (1..=i64::from(AHEAD_MAX)).contains(&ahead)
    }

    /// G2: returns whether a frame of the holder, `ahead` cycles ahead, can be one of now: its cycle is no further ahead than the time
    /// that has passed since the last command acted on, and a gate lease for a clock that slipped. One that was held for half the
    /// counter's range would look as far ahead as it is behind.
    #[must_use]
    fn is_recent(since_acted: Duration, ahead: i64, timing: &Timing) -> bool {
        let periods = u32::try_from(ahead).unwrap_or(u32::MAX);
        since_acted.saturating_add(timing.gate_lease) >= timing.period.saturating_mul(periods)
    }

    /// G3: returns whether a frame of a higher term, `ahead` cycles ahead, is due: the cycle number must fit the
    /// time that has passed since the last command acted on. Without the margin as tolerance a standby whose
    /// timer runs a hair early would be refused in each real takeover.
    #[must_use]
    fn is_due(since_acted: Duration, ahead: i64, timing: &Timing) -> bool {
        let periods = u32::try_from(ahead).unwrap_or(u32::MAX);
        since_acted.saturating_add(timing.margin) >= timing.period.saturating_mul(periods)
    }

    /// G3: returns whether the holder's lease has run out, so that a higher term is adopted and not only covers.
    #[must_use]
    fn has_lease_run_out(since_holder: Duration, timing: &Timing) -> bool {
        since_holder >= timing.gate_lease
    }

    /// G5: returns whether a closed gate opens at this frame. Two consecutive frames of one term: a single old
    /// frame out of a paused process must not open it.
    #[must_use]
    fn may_open(candidate: Option<(Term, Cycle)>, term: Term, cycle: Cycle) -> bool {
        candidate.is_some_and(|(first, at)| term == first && cycle == at.next())
    }
}

/// The rules as the design has them.
#[derive(Clone, Copy, Debug)]
pub struct AsDesigned;

impl GateRules for AsDesigned {}
