//! The gate's canonical form: see [`crate::canon`].

use super::rules::GateRules;
use super::{Candidate, Gate, Pace, State};
use crate::canon::Origin;
use core::hash::{Hash, Hasher};

impl<R: GateRules> Gate<R> {
    /// Writes what decides about the gate's future. Timing and layout are not its state; drops are counted, and nothing more.
    pub fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        let Self { number, timing, layout: _, state, estop, echo, drops: _, status, rules: _ } = self;
        (number, estop, from.echo(*echo)).hash(into);
        match state {
            State::Closed { known, last, candidate } => {
                let candidate = candidate.as_ref().map(|Candidate { term, cycle, at }| {
                    (from.term(*term), from.cycle(*cycle), from.moment(*at, 2 * timing.period))
                });
                // One that knows no term has acted on nothing, so its last cycle is nobody's.
                let known = known.map(|known| (from.term(known), from.cycle(*last)));
                (0, known, candidate).hash(into);
            }
            State::Open { term, last, acted_at, holder_at } => {
                let acted = from.moment(*acted_at, timing.command_timeout);
                let lease = from.moment(*holder_at, timing.gate_lease);
                (1, from.term(*term), from.cycle(*last), acted, lease).hash(into);
            }
        }
        let Pace { last, window, in_window, answer } = status;
        let moment = |at| from.moment(at, timing.period);
        (last.map(moment), moment(*window), in_window, answer).hash(into);
    }
}
