//! What was heard, in its canonical form: see [`twinhelm_hal::canon`].

use super::{Ears, GateView, HolderCommand};
use crate::config::Config;
use core::hash::{Hash, Hasher};
use twinhelm_hal::canon::Origin;

impl Ears {
    pub(in crate::node) fn canon(&self, config: &Config, from: &Origin, into: &mut impl Hasher) {
        let Self { slot: _, gates, highest, latest, holder, heard_at } = self;
        for gate in gates {
            let view = gate.as_ref().map(|GateView { at, open, term, last, last_at, stopped }| {
                let heard = from.moment(*at, config.gate_lease);
                // An open gate says the same for a command timeout at most.
                let since = from.moment(*last_at, config.command_timeout);
                (heard, open, term.map(|term| from.term(term)), from.cycle(*last), since, stopped)
            });
            view.hash(into);
        }
        (highest.map(|term| from.term(term)), latest.map(|cycle| from.cycle(cycle))).hash(into);
        let holder = holder.as_ref().map(|HolderCommand { at, cycle, signals }| {
            (from.moment(*at, config.command_timeout), from.cycle(*cycle), signals)
        });
        (holder, heard_at.map(|at| from.moment(at, config.blind_limit))).hash(into);
    }
}
