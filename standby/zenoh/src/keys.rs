//! The names under which a vehicle's devices speak: `twinhelm/<vehicle>/<kind>/<slot>`.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use twinhelm_hal::term::{SLOTS, Slot};

/// What is said under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A device's sample, once a cycle.
    State,
    /// What people ask of a device.
    Order,
    /// Why a device did not do what was asked.
    Refused,
    /// A liveliness token, shown to people.
    Alive,
    /// What a device's agent says of itself.
    Agent,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Order => "order",
            Self::Refused => "refused",
            Self::Alive => "alive",
            Self::Agent => "agent",
        }
    }
}

/// Returns the key of one device.
pub(crate) fn key(vehicle: &str, kind: Kind, slot: Slot) -> String {
    format!("twinhelm/{vehicle}/{}/{slot}", kind.name())
}

/// Returns the key that all devices of a vehicle match.
pub(crate) fn keys(vehicle: &str, kind: Kind) -> String {
    format!("twinhelm/{vehicle}/{}/*", kind.name())
}

/// All slots of a vehicle.
pub(crate) fn slots() -> impl Iterator<Item = Slot> {
    (0..SLOTS).filter_map(Slot::new)
}

/// Returns the slot that ends `key`; `None` for anything else, a wildcard above all: who publishes to `state/*`
/// speaks for nobody.
pub(crate) fn slot_of(key: &str) -> Option<Slot> {
    match key.rsplit_once('/')?.1.as_bytes() {
        [digit @ b'0'..=b'9'] => Slot::new(digit.saturating_sub(b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_slot() {
        for slot in slots() {
            assert_eq!(slot_of(&key("demo", Kind::State, slot)), Some(slot));
        }
        assert_eq!(key("demo", Kind::Order, Slot::RIGHT), "twinhelm/demo/order/1");
    }

    #[test]
    fn a_key_without_exactly_one_slot_has_none() {
        let all = keys("demo", Kind::State);
        for other in [all.as_str(), "twinhelm/demo/state/4", "twinhelm/demo/state/01", "twinhelm/demo/state/", "1"]
        {
            assert_eq!(slot_of(other), None, "{other}");
        }
    }
}
