//! Who watches a run while it lasts, and may interfere: a terminal, the live view, a benchmark.

use super::glance::Glance;
use twinhelm_hal::time::Duration;
use twinhelm_hil::fault::{Cut, Fault, Kind, Target};

/// Somebody who watches a run. No call may block: the runner has nobody else to do its work meanwhile.
pub trait Operator {
    /// Something worth a line happened, so many seconds after the start of the run, or before it (`None`).
    fn line(&mut self, t_s: Option<f64>, text: &str);

    /// How the run stands: some twenty times a second.
    fn look(&mut self, glance: &Glance);

    /// Returns what is to be done next, if anything; asked at least twenty times a second once the run has begun.
    fn ask(&mut self) -> Option<Ask> {
        None
    }

    /// Returns whether a signal ends the run as [`Ask::Quit`] does, with its report, and not the whole command.
    fn wants_its_report(&self) -> bool {
        false
    }
}

/// What an operator may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Something is to go wrong now, until [`Ask::Repair`].
    Inject {
        /// The word for it, as in reports.
        name: String,
        /// What.
        kind: Kind,
        /// To whom.
        target: Target,
    },
    /// Everything that is wrong is to be mended.
    Repair,
    /// The run is to end now, with its report.
    Quit,
}

impl Ask {
    /// The holder is killed.
    #[must_use]
    pub fn kill() -> Self {
        Self::of("kill", Kind::Kill)
    }

    /// The holder is stopped.
    #[must_use]
    pub fn hang() -> Self {
        Self::of("hang", Kind::Hang)
    }

    /// The link between the devices is cut.
    #[must_use]
    pub fn cut_link() -> Self {
        Self::of("link-cut", Kind::LinkCut(Cut::Both))
    }

    /// The holder is asked to hand the wheel over.
    #[must_use]
    pub fn switch_over() -> Self {
        Self::of("switchover", Kind::Switchover)
    }

    fn of(name: &str, kind: Kind) -> Self {
        Self::Inject { name: name.to_owned(), kind, target: Target::Holder }
    }
}

/// Returns the fault that an operator asks for `at` so much after the start of the run.
pub(super) fn fault_of(name: &str, kind: Kind, target: Target, at: Duration) -> Fault {
    Fault { label: format!("{name}@{:.3}s", at.as_secs_f64()), kind, at, lasts: None, target }
}
