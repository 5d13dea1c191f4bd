//! What is searched from, what is found, and what a search came to.

use crate::pair::Corner;
use crate::trouble::Trouble;
use twinhelm_hal::time::Duration;
use twinhelm_hil::check::Violation;
use twinhelm_standby::Config;

/// When devices wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Jitter {
    /// Each device as the corner says,
    pub corner: Corner,
    /// but for so many wakes at most, each of them any one from the trouble on: late for on time, or on time for late.
    pub departures: u8,
}

/// Where a search starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// When each device is switched on.
    pub boots: [Option<Duration>; 3],
    /// When each gate is switched on.
    pub gates: Vec<Duration>,
    /// So long after the first moment trouble may begin.
    pub ready_after: Duration,
    /// By then terms and cycles have come to where the wire's counters wrap.
    pub wraps: bool,
}

/// A violation, and how to get there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The timing.
    pub config: Config,
    /// When devices wake.
    pub jitter: Jitter,
    /// Where it started from.
    pub start: Start,
    /// What went wrong, and how long after the start.
    pub trouble: Vec<(Duration, Trouble)>,
    /// Which wakes departed from the corner, turn by turn, from the trouble on.
    pub departed: Vec<bool>,
    /// What is broken.
    pub violation: Violation,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// So many schedules.
    pub runs: u64,
    /// So many periods were gone through.
    pub periods: u64,
    /// So many different states were kept.
    pub states: u64,
    /// The longest gap between two commands acted on, where the bound holds.
    pub gap_max: Duration,
    /// So many lasting troubles were watched for 200 periods without coming to an end, or back to where they were; nothing was broken
    /// in them.
    pub given_up: u64,
    /// After so many periods at most the pair was whole again.
    pub whole_after: u16,
}

impl Figures {
    /// Returns what both came to.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            periods: self.periods + other.periods,
            states: self.states + other.states,
            gap_max: self.gap_max.max(other.gap_max),
            given_up: self.given_up + other.given_up,
            whole_after: self.whole_after.max(other.whole_after),
        }
    }
}

impl core::fmt::Display for Figures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { runs, periods, states, gap_max, given_up, whole_after } = self;
        write!(
            f,
            "{runs} schedules, {periods} periods, {states} states; whole after {whole_after} periods at most; longest gap where the \
             bound holds {gap_max:?}; {given_up} lasting troubles watched without an end"
        )
    }
}
