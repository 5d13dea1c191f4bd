//! How far two commands are apart, and how far they may be.

use super::table::{Kind, SIGNALS_MAX};
use super::{Layout, Signals};

/// How far two commands may be apart: for each signal, in counts. For a mode any difference is too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds(pub(super) [u32; SIGNALS_MAX]);

impl Bounds {
    /// Returns these bounds, in the order of the table; signals without one may not differ. More than 26 are cut.
    #[must_use]
    pub const fn of(counts: &[u32]) -> Self {
        let mut bounds = [0; SIGNALS_MAX];
        let mut signal = 0;
        while signal < counts.len() && signal < SIGNALS_MAX {
            bounds[signal] = counts[signal];
            #[expect(clippy::arithmetic_side_effects, reason = "26 at most")]
            {
                signal += 1;
            }
        }
        Self(bounds)
    }

    /// Returns the bounds, one for each signal that can be.
    #[must_use]
    pub const fn counts(&self) -> &[u32; SIGNALS_MAX] {
        &self.0
    }

    /// Returns whether two commands that are so far apart are near enough.
    #[must_use]
    pub fn allow(&self, divergence: Divergence) -> bool {
        divergence.counts == 0 || divergence.counts <= self.of_signal(divergence.signal.into())
    }

    fn of_signal(&self, signal: usize) -> u32 {
        self.0.get(signal).copied().unwrap_or(0)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self([0; SIGNALS_MAX])
    }
}

/// How far two commands are apart: in the signal in which they are, measured by its bound, the farthest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Divergence {
    /// Which signal, by its place in the table.
    pub signal: u8,
    /// How far, in counts of that signal; zero where they are the same.
    pub counts: u32,
}

impl Layout {
    /// Returns how far two commands are apart, measured by `bounds`.
    #[must_use]
    pub fn divergence(&self, one: &Signals, other: &Signals, bounds: &Bounds) -> Divergence {
        let mut worst = Divergence::default();
        let apart = self.counts(one).zip(self.counts(other)).map(|(one, other)| one.abs_diff(other));
        for ((apart, field), (signal, bound)) in apart.zip(self.fields()).zip((0..).zip(bounds.0)) {
            let bound = if field.kind() == Kind::Mode { 0 } else { bound };
            // Two numbers of 32 bits can be farther apart than a third one can say: any bound is passed then.
            let counts = u32::try_from(apart).unwrap_or(u32::MAX);
            let of_worst =
                if self.is_mode(worst.signal.into()) { 0 } else { bounds.of_signal(worst.signal.into()) };
            let share = u64::from(counts).saturating_mul(of_worst.into());
            let share_of_worst = u64::from(worst.counts).saturating_mul(bound.into());
            if counts > 0 && (worst.counts == 0 || share > share_of_worst) {
                worst = Divergence { signal, counts };
            }
        }
        worst
    }

    fn is_mode(&self, signal: usize) -> bool {
        self.fields().get(signal).is_some_and(|field| field.kind() == Kind::Mode)
    }
}
