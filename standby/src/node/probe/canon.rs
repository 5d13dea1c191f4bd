//! What was probed, in its canonical form: see [`twinhelm_hal::canon`].

use super::{PROBE_PROOF, PROBE_RANGE, Probe};
use core::hash::{Hash, Hasher};
use core::time::Duration;
use twinhelm_hal::canon::Origin;
use twinhelm_hal::time::nanos;

impl Probe {
    pub(in crate::node) fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        // The number itself is what all numbers of this slot are relative to.
        let Self { slot, next_at, number: _, sent_at, shown, proven } = self;
        from.moment(*next_at, Duration::ZERO).hash(into);
        // The latest first; number 0 is never sent.
        let numbers = PROBE_RANGE - 1;
        for back in 0..numbers {
            let number = (self.number + 2 * numbers - 1 - back) % numbers + 1;
            let at = sent_at[usize::from(number)].map(|at| from.moment(at, PROBE_PROOF));
            if let Some(at) = at.filter(|at| at.unsigned_abs() <= nanos(PROBE_PROOF)) {
                (back, at).hash(into);
            }
        }
        for (shown, proven) in shown.iter().zip(proven) {
            let shown = shown.map(|number| from.probe(*slot, number));
            (shown, proven.map(|at| from.moment(at, PROBE_PROOF))).hash(into);
        }
    }

    pub(in crate::node) const fn number(&self) -> u8 {
        self.number
    }
}
