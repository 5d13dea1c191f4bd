//! The bus's canonical form: see [`crate::canon`].

use super::{Arbiter, Cable, OnWire, Port, Station};
use crate::canon::Origin;
use crate::time::Duration;
use core::hash::{Hash, Hasher};

impl Arbiter {
    /// Writes what decides about the bus's future. Bitrate and depths are not its state, nor for how long a frame is worth sending;
    /// who owns which identifier never changes in a run without two senders.
    pub fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        let Self { bitrate: _, holds, stations, wire, idle_since, owners: _ } = self;
        for (index, Port { attached, cable, depth: _, queue }) in stations.iter().enumerate() {
            if !attached {
                continue;
            }
            let Cable { to_bus, from_bus } = cable;
            (index, to_bus, from_bus, queue.len()).hash(into);
            for (offered, frame) in queue {
                from.moment(*offered, holds.unwrap_or_default()).hash(into);
                from.frame(frame, into);
            }
        }
        let wire = wire.as_ref().map(|OnWire { from: Station(station), frame, ends }| {
            from.frame(frame, into);
            (*station, from.moment(*ends, Duration::ZERO))
        });
        (wire, from.moment(*idle_since, Duration::ZERO)).hash(into);
    }
}
