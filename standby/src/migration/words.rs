//! What a migration is spoken of with: tickets, steps, what became of them, and the entries of its timeline.

use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use twinhelm_hal::term::Term;

/// In whose name an order is given, and which of its migrations it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// The holder's term.
    pub term: Term,
    /// Counts the choices of one holder: each candidate gets a new number.
    pub number: u32,
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.number)
    }
}

/// What a recruit is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Hear of it, and leave the pool.
    Notify,
    /// Have the image, verified and unpacked.
    Pull,
    /// Have the plan and the latest snapshot: from a neighbour that lives, or else from object storage.
    Fetch,
    /// Make a container.
    Create,
    /// Let it begin: it computes, and sends nothing but probes.
    Start,
    /// Become a member of the pair.
    Join,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Notify, Self::Pull, Self::Fetch, Self::Create, Self::Start, Self::Join];

    /// Returns the step in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Pull => "pull",
            Self::Fetch => "fetch",
            Self::Create => "create",
            Self::Start => "start",
            Self::Join => "join",
        }
    }

    /// Returns the step behind this one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Notify => Some(Self::Pull),
            Self::Pull => Some(Self::Fetch),
            Self::Fetch => Some(Self::Create),
            Self::Create => Some(Self::Start),
            Self::Start => Some(Self::Join),
            Self::Join => None,
        }
    }

    /// Returns how long the step may go without a sign of progress.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            Self::Notify => Duration::from_secs(2),
            // A link that stalls is no reason to begin anew elsewhere at once.
            Self::Pull | Self::Fetch => Duration::from_secs(30),
            Self::Create | Self::Start => Duration::from_secs(10),
            // It listens, adopts the state, and is judged.
            Self::Join => Duration::from_secs(15),
        }
    }
}

/// What a recruit says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The step is being done; so much of it, where that can be said. Only a part that grows is a sign of progress: a step that
    /// hangs says that it is being done, too.
    Progress(Step, Option<(u64, u64)>),
    /// The step, and all before it, are done.
    Done(Step),
    /// The step did not work.
    Failed(Step, String),
    /// It obeys a higher ticket.
    Refused(Ticket),
}

/// Whether the faulty device is off the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fencing {
    /// Its agent has stopped its mission, or its power is off.
    Fenced,
    /// Somebody who may decides that it stays.
    Refused,
    /// Nobody answers for it. The gate refuses its superseded terms in any case.
    Unknown,
}

/// Something for the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Nobody stands by any more.
    Alone {
        /// Who did.
        lost: Option<String>,
    },
    /// A spare was chosen.
    Chosen {
        /// Who.
        device: String,
        /// Its ticket.
        ticket: Ticket,
    },
    /// It has done a step.
    Did {
        /// Who.
        device: String,
        /// What.
        step: Step,
    },
    /// It is given up.
    GivenUp {
        /// Who.
        device: String,
        /// At which step.
        step: Step,
        /// Why.
        why: String,
    },
    /// The migration has ended.
    Ended(End),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone { lost: Some(lost) } => write!(f, "nobody stands by: {lost} is lost"),
            Self::Alone { lost: None } => f.write_str("nobody stands by"),
            Self::Chosen { device, ticket } => write!(f, "{device} is chosen, ticket {ticket}"),
            Self::Did { device, step } => write!(f, "{device} has done: {}", step.name()),
            Self::GivenUp { device, step, why } => write!(f, "{device} is given up at {}: {why}", step.name()),
            Self::Ended(end) => end.fmt(f),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { device, fencing } => {
                write!(f, "the pair is whole again with {device}; the faulty device: {fencing}")
            }
            Self::NotNeeded => f.write_str("the faulty device came back"),
            Self::NoCandidate => f.write_str("no spare is left that could"),
            Self::Superseded => f.write_str("another device has the wheel, and goes on"),
        }
    }
}

impl fmt::Display for Fencing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "fenced",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// How a migration ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The pair is whole again.
    Whole {
        /// Who joined.
        device: String,
        /// Whether the faulty device is off the bus.
        fencing: Fencing,
    },
    /// The faulty device came back, ready, before anybody had joined.
    NotNeeded,
    /// Nobody is left who could. A pool that changes is reason enough for another migration.
    NoCandidate,
    /// The own device does not hold the wheel any more: whoever does goes on.
    Superseded,
}
