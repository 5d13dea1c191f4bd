//! Who belongs to a fleet, and what each may ask of its devices.
//!
//! That a name is its bearer's own is the transport's business: it knows keys, and has nobody speak in another's name. Here is what
//! a name may do. A fleet on loopback alone has no such list: whoever reaches it is on the machine already.

// What is read here came over the fleet's network.
#![deny(clippy::arithmetic_side_effects)]

use crate::fleet::Word;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use twinhelm_hal::term::Slot;

/// What separates a member's name from a number that tells its sessions apart: no name has it.
pub const SESSION_MARK: char = '~';
/// A name longer than this is a mistake; Zenoh takes none for a region.
const NAME_BYTES_MAX: usize = 32;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A device: it recruits, is recruited, and has what it replaced stay off the bus.
    Device(Option<Slot>),
    /// Somebody who may order.
    Person,
    /// Whoever devices meet at, as the cloud application. It passes on what others say, so it is believed; and it may order.
    Router,
    /// Somebody who may look, and nothing else.
    Watcher,
}

impl Role {
    /// Returns whether a member of this role may say `word` to a device.
    #[must_use]
    pub const fn may_say(self, word: &Word) -> bool {
        match word {
            Word::Order { .. } | Word::Release { .. } | Word::Report { .. } | Word::Fenced(_) => {
                matches!(self, Self::Device(_))
            }
            Word::Fence { .. } | Word::Readmit { .. } => {
                matches!(self, Self::Device(_) | Self::Person | Self::Router)
            }
            Word::Switchover | Word::Drain => matches!(self, Self::Person | Self::Router),
            // It changes nothing.
            Word::AskPool | Word::Pool(_) | Word::Begun | Word::Answer(_) => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(_) => f.write_str("a device"),
            Self::Person => f.write_str("a person who may order"),
            Self::Router => f.write_str("a router"),
            Self::Watcher => f.write_str("a watcher"),
        }
    }
}

/// A device of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its number on the vehicle's bus; none for a spare without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
}

/// Who belongs to a vehicle's fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// The vehicle.
    pub vehicle: String,
    /// Who may order.
    #[serde(default)]
    pub people: BTreeSet<String>,
    /// Who may look.
    #[serde(default)]
    pub watchers: BTreeSet<String>,
    /// Whom devices meet at.
    #[serde(default)]
    pub routers: BTreeSet<String>,
    /// The devices.
    #[serde(default)]
    pub devices: BTreeMap<String, Device>,
}

impl Members {
    /// Returns all members and what they are.
    pub fn all(&self) -> impl Iterator<Item = (&str, Role)> {
        let devices = self.devices.iter().map(|(name, device)| (name.as_str(), Role::Device(device.slot)));
        let others = [(&self.people, Role::Person), (&self.watchers, Role::Watcher), (&self.routers, Role::Router)];
        let others =
            others.into_iter().flat_map(|(names, role)| names.iter().map(move |name| (name.as_str(), role)));
        devices.chain(others)
    }

    /// Returns what `name` is, which may be the name of one of its sessions.
    #[must_use]
    pub fn role_of(&self, name: &str) -> Option<Role> {
        let name = name.split(SESSION_MARK).next().unwrap_or(name);
        self.all().find(|(member, _)| *member == name).map(|(_, role)| role)
    }

    /// Checks whether `from` may say `word` to a device.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, from: &str, word: &Word) -> Result<(), String> {
        match self.role_of(from) {
            Some(role) if role.may_say(word) => Ok(()),
            Some(role) => Err(format!("refused: {from} is {role}, which may not say that")),
            None => Err(format!("refused: {from} is no member of the fleet: ask with the keys of one")),
        }
    }

    /// Returns whether `name` is a device of the fleet whose number on the bus is `slot`.
    #[must_use]
    pub fn is_device(&self, name: &str, slot: Option<u8>) -> bool {
        self.devices.get(name).is_some_and(|device| device.slot.map(Slot::number) == slot)
    }

    /// Returns what is wrong with the list: a name that a key would read as something else, one name twice, or one slot twice.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let is_name = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if let Some((name, _)) = self.all().find(|(name, _)| !is_name(name)) {
            return Some(format!(
                "{name:?} names no member: write letters, digits and dashes, at most {NAME_BYTES_MAX}"
            ));
        }
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = self.all().find(|(name, _)| !names.insert(*name)) {
            return Some(format!("{twice} is in it twice: each member has a name of its own"));
        }
        let mut slots = BTreeMap::new();
        for (name, Device { slot }) in &self.devices {
            let Some(slot) = slot else { continue };
            if let Some(other) = slots.insert(slot, name) {
                return Some(format!("{other} and {name} both have slot {slot}: each device has one of its own"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Members {
        let named = |name: &str| [name.to_string()].into();
        Members {
            vehicle: "demo".to_string(),
            people: named("anna"),
            watchers: named("page"),
            routers: named("cloud"),
            devices: [("left", Some(Slot::LEFT)), ("right", Some(Slot::RIGHT)), ("depot", None)]
                .map(|(name, slot)| (name.to_string(), Device { slot }))
                .into(),
        }
    }

    #[test]
    fn people_order_devices_migrate_and_watchers_look() {
        let members = members();
        let fence = Word::Fence { why: String::new() };
        for from in ["anna", "anna~77", "cloud", "left"] {
            assert_eq!(members.check(from, &fence), Ok(()), "{from}");
        }
        assert_eq!(members.check("page", &Word::AskPool), Ok(()));
        for from in ["page", "page~1"] {
            for order in [&fence, &Word::Switchover, &Word::Drain, &Word::Readmit { device: String::new() }] {
                let refused = format!("refused: {from} is a watcher, which may not say that");
                assert_eq!(members.check(from, order), Err(refused));
            }
        }
        // Whoever holds the wheel keeps it, whatever another device wants.
        assert!(members.check("right", &Word::Drain).is_err() && members.check("anna", &Word::Drain).is_ok());
        // What devices say to each other is not for people.
        let report = Word::Fenced(crate::migration::Fencing::Fenced);
        assert_eq!(members.check("right", &report), Ok(()));
        assert!(members.check("anna", &report).is_err() && members.check("cloud", &report).is_err());
        assert_eq!(
            members.check("desk-1", &fence),
            Err("refused: desk-1 is no member of the fleet: ask with the keys of one".to_string())
        );
    }

    #[test]
    fn a_name_or_a_slot_that_two_have_is_told() {
        assert_eq!(members().problem(), None);
        let mut twice = members();
        twice.watchers.insert("left".to_string());
        assert_eq!(twice.problem().as_deref(), Some("left is in it twice: each member has a name of its own"));
        let mut nameless = members();
        nameless.people.insert("a/*".to_string());
        assert!(nameless.problem().is_some_and(|why| why.starts_with("\"a/*\" names no member")));
        assert!(members().is_device("left", Some(0)) && members().is_device("depot", None));
        assert!(!members().is_device("depot", Some(0)) && !members().is_device("anna", None));
        let mut crowded = members();
        crowded.devices.insert("other".to_string(), Device { slot: Some(Slot::LEFT) });
        assert_eq!(
            crowded.problem().as_deref(),
            Some("left and other both have slot 0: each device has one of its own")
        );
    }
}
