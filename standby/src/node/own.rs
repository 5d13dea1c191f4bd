//! What a device knows of its own work: what it sent, how late it was, what its law made of whose readings.

use crate::input::Readings;
use core::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::signals::Divergence;
use twinhelm_hal::time::Instant;

/// What the device knows of its own work.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnWork {
    pub(super) sent: Option<(Cycle, Instant)>,
    pub(super) sent_now: bool,
    pub(super) checked: bool,
    /// Whose readings the law had last; `None` before it had any.
    pub(super) readings: Option<Readings>,
    /// How much later than planned this turn began.
    pub(super) woke_late: Duration,
    /// For so many cycles in a row it was later than the machine may make it.
    pub(super) late: u32,
    /// So many commands in a row were sent by a standby, and acted on by no gate.
    pub(super) refused: u32,
    /// The cycle that the law last worked on.
    pub(super) computed: Option<Cycle>,
    pub(super) divergence: Option<Divergence>,
    /// For so many computed cycles the divergence has been beyond its bound.
    pub(super) diverged: u32,
    /// The newest state of whoever drove that the law holds, taken over or its own: of which cycle, and since when.
    pub(super) state: Option<(Cycle, Instant)>,
}

impl Default for OwnWork {
    fn default() -> Self {
        Self {
            sent: None,
            sent_now: false,
            checked: true,
            readings: None,
            woke_late: Duration::ZERO,
            late: 0,
            refused: 0,
            computed: None,
            divergence: None,
            diverged: 0,
            state: None,
        }
    }
}

impl OwnWork {
    /// Returns whether its last command was for `cycle`.
    pub(super) fn has_sent(&self, cycle: Cycle) -> bool {
        self.sent.is_some_and(|(sent, _)| sent == cycle)
    }

    /// Takes note that the law has worked on `cycle`, `computing` after the turn began, on a machine that may be late by `jitter`.
    pub(super) fn on_computed(&mut self, cycle: Cycle, computing: Duration, jitter: Duration) {
        self.computed = Some(cycle);
        let is_late = self.woke_late.saturating_add(computing) > jitter;
        self.late = if is_late { self.late.saturating_add(1) } else { 0 };
    }
}
