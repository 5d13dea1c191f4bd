//! Whether a standby could take over now, and if not, why: always in a word that people can act on.
//!
//! Readiness is *latched* (V10): it is judged when an open gate reports a cycle of the holder that was heard, and
//! not while the holder is silent. Otherwise it would turn false exactly when it is needed, because the
//! replicated state grows old as soon as the primary dies.

// It came over the link.
#![deny(clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};

/// Why a device could not take over now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NotReady {
    /// It is not a standby.
    Role,
    /// It joins, and hears no gate: never-heard-from is a finding, not a silent wait.
    NoGate,
    /// It joins, and hears an open gate, but no command of the device that holds the wheel.
    NoHolder,
    /// It has not been judged yet: no cycle of the holder was reported since it became standby.
    NotJudged,
    /// Nothing came over the link within the gate lease, so the replicated state is too old.
    Link,
    /// The peer speaks another version of the protocol, or has another mission or configuration.
    Version,
    /// Its own law fails the self-check.
    SelfCheck,
    /// No probe came back from each gate within the last second: its output path is not proven.
    OutputPath,
    /// Its commands are further from the primary's than the bound, and both pass their self-check.
    Dispute,
    /// Neither its own sensors nor the peer's readings are there.
    Sensors,
    /// Its own bus controller has made too many errors to be trusted, or has left the bus.
    BusErrors,
    /// Another device sends on this one's identifier.
    TwoSenders,
    /// The gates' e-stop is latched: nobody may drive.
    EStop,
    /// For a gate lease it was later than the jitter that the configuration grants.
    Late,
    /// For a gate lease no gate acted on what it sent.
    Refused,
}

impl NotReady {
    /// Returns the reason in a word or two, and what to look at.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Role => "not a standby",
            Self::NoGate => "no gate heard: check the bus connection and the actuator node",
            Self::NoHolder => "an open gate, but no command of the holder heard: check the bus connection",
            Self::NotJudged => "not judged yet: waits for a cycle of the holder",
            Self::Link => "link: no state from the peer; check the network between the devices",
            Self::Version => "version: the peer runs another protocol, mission or configuration",
            Self::SelfCheck => "self-check: the law does not give the same command twice",
            Self::OutputPath => "output path: the gate does not echo probes; check the bus connection",
            Self::BusErrors => {
                "bus errors: the own CAN controller is error-passive or off; check cable, termination and bitrate"
            }
            Self::TwoSenders => {
                "two senders: another device sends on this one's identifier; give each a slot of its own"
            }
            Self::Late => "late: this device wakes or computes later than jitter_ms grants; see twinhelm jitter",
            Self::Refused => "refused: the gate acts on none of its commands; see the gate's drop counters",
            Self::EStop => "e-stop: it is latched at the gates; reset it there",
            Self::Dispute => "dispute: the two devices' commands differ beyond the bound; check the sensors",
            Self::Sensors => "sensors: no own readings and none from the peer",
        }
    }
}

impl core::fmt::Display for NotReady {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.advice())
    }
}

/// Everything that readiness is judged by. All of it must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) version_matches: bool,
    pub(crate) state_is_fresh: bool,
    pub(crate) self_check_passes: bool,
    pub(crate) has_readings: bool,
    pub(crate) is_in_time: bool,
    pub(crate) is_acted_on: bool,
    pub(crate) controller_active: bool,
    pub(crate) output_path_proven: bool,
    pub(crate) agrees: bool,
}

impl Evidence {
    /// Judges, naming the first thing to mend.
    pub(crate) const fn judge(self) -> Result<(), NotReady> {
        if !self.version_matches {
            return Err(NotReady::Version);
        }
        if !self.state_is_fresh {
            return Err(NotReady::Link);
        }
        if !self.has_readings {
            return Err(NotReady::Sensors);
        }
        if !self.self_check_passes {
            return Err(NotReady::SelfCheck);
        }
        if !self.is_in_time {
            return Err(NotReady::Late);
        }
        if !self.is_acted_on {
            return Err(NotReady::Refused);
        }
        if !self.controller_active {
            return Err(NotReady::BusErrors);
        }
        if !self.output_path_proven {
            return Err(NotReady::OutputPath);
        }
        if !self.agrees {
            return Err(NotReady::Dispute);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_something_of_its_own() {
        let all = [
            NotReady::Role,
            NotReady::NoGate,
            NotReady::NoHolder,
            NotReady::NotJudged,
            NotReady::Link,
            NotReady::Version,
            NotReady::SelfCheck,
            NotReady::OutputPath,
            NotReady::Dispute,
            NotReady::Sensors,
            NotReady::BusErrors,
            NotReady::TwoSenders,
            NotReady::EStop,
            NotReady::Late,
            NotReady::Refused,
        ];
        for (place, why) in all.iter().enumerate() {
            assert_eq!(why.to_string(), why.advice());
            assert!(!why.advice().is_empty() && all[..place].iter().all(|other| other.advice() != why.advice()));
        }
    }
}
