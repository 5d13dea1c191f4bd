//! Roles: what a device is to the vehicle, each with the data that it needs and the way it ends.

use serde::{Deserialize, Serialize};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;

/// What a device is to the vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens, sends no command (V1).
    ///
    /// Ends: as `Standby` at the holder's next command when a gate is open; as `Claiming` after slot + 1 leases
    /// when all gates heard are closed. With no gate heard it stays, and says so.
    Joining {
        /// Since when.
        since: Instant,
    },
    /// Sends each period to open closed gates (V6).
    ///
    /// Ends: as `Primary` when an open gate reports the claim; as `Fenced` when one reports a higher term; as
    /// `Joining` when a command of a higher term is heard.
    Claiming {
        /// What it sends, and when.
        course: Sending,
    },
    /// Computes each cycle, sends for the cycles that the holder leaves empty (V2).
    ///
    /// Ends: as `Primary` when an open gate reports the term that it chose; as `Joining` after a sleep, or when it
    /// is not ready and all live gates are closed.
    Standby {
        /// The next decision.
        decision: Decision,
        /// The term that it chose for its covers, until it is forgotten.
        chosen: Option<Term>,
        /// The last cycle that it sent for, and whether the holder's late frame has moved the next decision yet.
        sent: Option<Sent>,
    },
    /// Holds the wheel: sends each period.
    ///
    /// Ends: as `Fenced` when an open gate reports a higher term; as `Claiming` when a gate closed on its term;
    /// as `Standby` by a switchover.
    Primary {
        /// What it sends, and when.
        course: Sending,
    },
    /// Was superseded, or ordered out. Sends no command.
    ///
    /// Ends: by the gate, as `Joining` in the next step; by order, with `readmit`.
    Fenced {
        /// By whom.
        by: FencedBy,
    },
}

/// Who fenced a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FencedBy {
    /// A gate reported a higher term: the device rejoins by itself.
    Gate,
    /// An order, which lasts until `readmit`.
    Order,
}

/// The schedule of a device that sends each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The term that it chose.
    pub term: Term,
    /// The cycle that it sends for next.
    pub cycle: Cycle,
    /// When.
    pub at: Instant,
}

/// The next decision point of a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The cycle that it is about.
    pub cycle: Cycle,
    /// When.
    pub at: Instant,
}

/// The last cycle that a standby sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub cycle: Cycle,
    /// The holder's late frame for it has moved the next decision point (once a cycle).
    pub relocked: bool,
}

/// A role's name, without its data: for reports, samples and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RoleName {
    /// [`Role::Joining`]
    Joining,
    /// [`Role::Claiming`]
    Claiming,
    /// [`Role::Standby`]
    Standby,
    /// [`Role::Primary`]
    Primary,
    /// [`Role::Fenced`]
    Fenced(FencedBy),
}

impl Role {
    /// Returns the role's name.
    #[must_use]
    pub const fn name(&self) -> RoleName {
        match self {
            Self::Joining { .. } => RoleName::Joining,
            Self::Claiming { .. } => RoleName::Claiming,
            Self::Standby { .. } => RoleName::Standby,
            Self::Primary { .. } => RoleName::Primary,
            Self::Fenced { by } => RoleName::Fenced(*by),
        }
    }

    /// Returns the term that the device chose in this life and has not forgotten.
    #[must_use]
    pub const fn chosen(&self) -> Option<Term> {
        match self {
            Self::Claiming { course } | Self::Primary { course } => Some(course.term),
            Self::Standby { chosen, .. } => *chosen,
            Self::Joining { .. } | Self::Fenced { .. } => None,
        }
    }
}

impl core::fmt::Display for RoleName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Claiming => "claiming",
            Self::Standby => "standby",
            Self::Primary => "primary",
            Self::Fenced(FencedBy::Gate) => "fenced by gate",
            Self::Fenced(FencedBy::Order) => "fenced by order",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_called_by_its_name() {
        let by = [FencedBy::Gate, FencedBy::Order].map(|by| RoleName::Fenced(by).to_string());
        assert_eq!(by, ["fenced by gate", "fenced by order"]);
        let others = [RoleName::Joining, RoleName::Claiming, RoleName::Standby, RoleName::Primary];
        assert_eq!(others.map(|role| role.to_string()), ["joining", "claiming", "standby", "primary"]);
    }
}
