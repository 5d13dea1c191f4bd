//! What comes in: whose it is, of which version, and whether it can be read. Everything else is dropped and counted.
//!
//! Runs on Zenoh's own thread, which must not be held up: a callback that is slow holds up the whole link.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::counters::Tally;
use crate::keys::slot_of;
use crate::wire::{BYTES_MAX, Carried, Decoded, VERSION, decode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use twinhelm_hal::term::Slot;
use twinhelm_standby::{Order, Refusal, Sample};

/// Reads what comes in under a vehicle's keys.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    tally: Arc<Tally>,
}

impl Intake {
    pub(crate) fn new(tally: &Arc<Tally>) -> Self {
        Self { tally: Arc::clone(tally) }
    }

    /// Reads a device's sample; `(_, None)` when the device speaks another version. A sample of the slot `own` is
    /// foreign, because this device does not speak to itself: two devices have one slot.
    pub(crate) fn state<S: Carried, M: Carried>(
        &self,
        message: &zenoh::sample::Sample,
        own: Option<Slot>,
    ) -> Option<(Slot, Option<Sample<S, M>>)> {
        let slot = self.slot(message).filter(|slot| Some(*slot) != own);
        let Some(slot) = slot else {
            self.tally.foreign.add_one();
            return None;
        };
        match self.read::<Sample<S, M>>(message) {
            Decoded::Read(sample) if sample.header.slot != slot => {
                self.tally.foreign.add_one();
                None
            }
            Decoded::Read(sample) => {
                self.tally.received.add_one();
                Some((slot, Some(sample)))
            }
            Decoded::OtherVersion => Some((slot, None)),
            Decoded::Malformed => None,
        }
    }

    /// Reads an order to `slot`. One that was put under a wildcard is for nobody: two devices that both hand over
    /// the wheel are one too many.
    pub(crate) fn order(&self, message: &zenoh::sample::Sample, slot: Slot) -> Option<Order> {
        if self.slot(message) != Some(slot) {
            self.tally.foreign.add_one();
            return None;
        }
        self.read_counted(message)
    }

    /// Reads why a device did not do what was asked.
    pub(crate) fn refusal(&self, message: &zenoh::sample::Sample) -> Option<(Slot, Refusal)> {
        let Some(slot) = self.slot(message) else {
            self.tally.foreign.add_one();
            return None;
        };
        self.read_counted(message).map(|refusal| (slot, refusal))
    }

    fn slot(&self, message: &zenoh::sample::Sample) -> Option<Slot> {
        slot_of(message.key_expr().as_str())
    }

    fn read_counted<T: DeserializeOwned>(&self, message: &zenoh::sample::Sample) -> Option<T> {
        match self.read(message) {
            Decoded::Read(value) => {
                self.tally.received.add_one();
                Some(value)
            }
            Decoded::OtherVersion | Decoded::Malformed => None,
        }
    }

    /// Decodes, and counts what cannot be read.
    fn read<T: DeserializeOwned>(&self, message: &zenoh::sample::Sample) -> Decoded<T> {
        let payload = message.payload();
        let decoded = if payload.len() > BYTES_MAX {
            // Not copied together, however large it is: its first byte says what to call it.
            let version = payload.slices().next().and_then(|slice| slice.first());
            if version == Some(&VERSION) { Decoded::Malformed } else { Decoded::OtherVersion }
        } else {
            decode(&payload.to_bytes())
        };
        match &decoded {
            Decoded::Read(_) => {}
            Decoded::OtherVersion => self.tally.other_version.add_one(),
            Decoded::Malformed => self.tally.malformed.add_one(),
        }
        decoded
    }
}
