//! What a standby's decision about one cycle rests on. The rule reads nothing else, so whoever asks why a device sent, or
//! did not, is shown the very facts that decided.

use super::rules::NodeRules;
use crate::readiness::NotReady;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::GATES;

/// The facts of one decision of a standby (V2, V3, V10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// The cycle that it is about.
    pub cycle: Cycle,
    /// Whether the device could take over, as last judged.
    pub ready: Result<(), NotReady>,
    /// Something was heard on the bus within the blind limit.
    pub hears: bool,
    /// The last cycle heard from the holder.
    pub holder: Option<Cycle>,
    /// The last cycle that each gate reported; `None` for a gate that is closed, or was not heard within the gate lease.
    pub reported: [Option<Cycle>; GATES as usize],
}

/// What a standby decides about a cycle, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It sends: an open gate has not reported the cycle.
    NotReported,
    /// It sends: no gate is open, and the holder's command was not heard.
    NotHeard,
    /// It keeps silent: every open gate has reported the cycle.
    Reported,
    /// It keeps silent: no gate is open, and the holder's command was heard.
    Heard,
    /// It keeps silent: it could not take over.
    NotReady(NotReady),
    /// It keeps silent: it hears nothing on the bus, and is the one that is cut off.
    Blind,
}

impl Finding {
    /// Returns whether the device sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        match self {
            Self::NotReported | Self::NotHeard => true,
            Self::Reported | Self::Heard | Self::NotReady(_) | Self::Blind => false,
        }
    }
}

impl Grounds {
    /// Returns what they come to.
    #[must_use]
    pub fn finding<R: NodeRules>(&self) -> Finding {
        if let Err(why) = self.ready {
            return Finding::NotReady(why);
        }
        if !self.hears && !R::SENDS_WHEN_BLIND {
            return Finding::Blind;
        }
        let mut reported = self.reported.iter().flatten().peekable();
        if R::TRUSTS_BUS || reported.peek().is_none() {
            let heard = self.holder.is_some_and(|holder| holder >= self.cycle);
            if heard { Finding::Heard } else { Finding::NotHeard }
        } else if reported.all(|last| *last >= self.cycle) {
            Finding::Reported
        } else {
            Finding::NotReported
        }
    }
}
