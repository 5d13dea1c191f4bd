//! The checkers' books in their canonical form: see [`twinhelm_hal::canon`]. Two states are one only if the checkers will say the same.

use super::{Act, Checks, DeviceBook, GateBook};
use core::hash::{Hash, Hasher};
use twinhelm_hal::canon::Origin;

impl Checks {
    /// Writes what decides about what the checkers will find. What they found, and how much was missed, is past.
    pub fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        let Self { config, promise: _, gates, devices, violations: _, missed: _ } = self;
        let (lease, timeout) = (config.gate_lease, config.command_timeout);
        for GateBook { open, adopted, holder_at, split_since, is_stopped } in gates {
            let open = open.as_ref().map(|Act { at, slot, cycle, had_standby }| {
                (from.moment(*at, 2 * timeout), slot, from.cycle(*cycle), had_standby)
            });
            let adopted = adopted.map(|term| from.term(term));
            let split = split_since.map(|at| from.moment(at, lease));
            (open, adopted, from.moment(*holder_at, lease), split, is_stopped).hash(into);
        }
        for DeviceBook { ready, told, faults_on, excused_until } in devices {
            let told = told.map(|(term, at)| (from.wire_term(term), from.moment(at, timeout)));
            (ready, told, faults_on, from.moment(*excused_until, config.period)).hash(into);
        }
    }
}
