//! Canonical forms: what two states have in common that will do the same from now on. For a search over the shipped code, which
//! has to tell whether it was somewhere before; nothing that is shipped uses this.
//!
//! A state is written into a hasher, relative to an [`Origin`]: moments to now, cycles, terms and probe numbers to where the pair
//! stands. A moment that lies further back than any rule looks is as far back as the rule looks. Each state is taken apart
//! exhaustively, so a new field does not compile before somebody has decided what it comes to.

use crate::cycle::{Cycle, RANGE};
use crate::frame::{CommandFrame, Echo, Frame, PROBE_RANGE, StatusFrame};
use crate::term::{SLOTS, Slot, Term};
use crate::time::{Duration, Instant, nanos};
use core::hash::{Hash, Hasher};

/// A cycle this far behind says no more than that it is long ago: by then each gate has reported a newer one, or has closed.
const CYCLES_BACK: i64 = 64;

/// What everything is relative to.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Now.
    pub now: Instant,
    /// The term that the pair is in.
    pub term: Term,
    /// The cycle that the pair is in.
    pub cycle: Cycle,
    /// The number of each device's last probe.
    pub probes: [u8; SLOTS as usize],
}

impl Origin {
    /// Returns the origin at another moment: that of another clock.
    #[must_use]
    pub const fn at(self, now: Instant) -> Self {
        Self { now, ..self }
    }

    /// Returns how many nanoseconds `at` lies ahead of now; not further behind than just beyond `limit`.
    #[must_use]
    pub fn moment(&self, at: Instant, limit: Duration) -> i64 {
        let ahead = nanos(at.since(self.now)).cast_signed();
        let behind = nanos(self.now.since(at)).min(nanos(limit) + 1).cast_signed();
        ahead - behind
    }

    /// Returns how many cycles `cycle` is ahead, not further behind than what is long ago.
    #[must_use]
    pub fn cycle(&self, cycle: Cycle) -> i64 {
        cycle.ahead_of(self.cycle).max(-CYCLES_BACK)
    }

    /// Returns the number of `term` relative to the pair's reign. Its slot is in it.
    #[must_use]
    pub fn term(&self, term: Term) -> i64 {
        i64::from(term.number()) - self.reign()
    }

    fn reign(&self) -> i64 {
        i64::from(self.term.number() - self.term.number() % u32::from(SLOTS))
    }

    /// Returns the relative number of a probe of `slot`; `None` stays none.
    #[must_use]
    pub fn probe(&self, slot: Slot, number: u8) -> u8 {
        let numbers = PROBE_RANGE - 1;
        (number % PROBE_RANGE + numbers - self.probes[slot.index()] % numbers) % numbers
    }

    /// Returns an echo, relative.
    #[must_use]
    pub fn echo(&self, echo: Option<Echo>) -> Option<(Slot, u8)> {
        echo.map(|Echo { slot, number }| (slot, self.probe(slot, number)))
    }

    /// Returns the low bits of a term, relative.
    #[must_use]
    pub fn wire_term(&self, term: u8) -> u8 {
        term.wrapping_sub(self.reign().to_le_bytes()[0])
    }

    /// Returns the low bits of a cycle, relative.
    #[must_use]
    pub fn wire_cycle(&self, cycle: u16) -> u16 {
        (cycle + RANGE - self.cycle.to_wire()) % RANGE
    }

    /// Returns how far a cycle that somebody told in another wide count is ahead, by its low bits; not further behind than what is
    /// long ago.
    #[must_use]
    pub fn told_cycle(&self, cycle: Cycle) -> i64 {
        self.low_bits(cycle.to_wire())
    }

    /// Returns the low bits of a cycle, relative, and not further behind than what is long ago.
    fn low_bits(&self, cycle: u16) -> i64 {
        let ahead = i64::from(self.wire_cycle(cycle));
        let half = i64::from(RANGE / 2);
        let nearest = if ahead < half { ahead } else { ahead - i64::from(RANGE) };
        nearest.max(-CYCLES_BACK)
    }

    /// Writes what a frame says.
    pub fn frame(&self, frame: &Frame, into: &mut impl Hasher) {
        if let Ok(CommandFrame { slot, term, cycle, probe, estop, signals }) = CommandFrame::decode(frame) {
            let term = if probe { 0 } else { self.wire_term(term) };
            let number = if probe {
                self.probe(slot, (cycle % u16::from(PROBE_RANGE)).to_le_bytes()[0]).into()
            } else {
                self.low_bits(cycle)
            };
            (0, slot, term, number, probe, estop, signals).hash(into);
        } else if let Ok(status) = StatusFrame::decode(frame) {
            let StatusFrame { gate, term, cycle, open, term_known, safe_state, estop, echo, speed_mm_s } = status;
            let term = if term_known { self.wire_term(term) } else { 0 };
            let last = if term_known { self.low_bits(cycle) } else { 0 };
            (1, gate, term, last, open, term_known, safe_state, estop, self.echo(echo), speed_mm_s).hash(into);
        } else {
            frame.hash(into);
        }
    }
}
