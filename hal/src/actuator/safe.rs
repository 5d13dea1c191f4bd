//! The safe state as data: what each signal does behind a closed gate.

use crate::signals::Signals;
use crate::time::{Duration, Instant};

/// What a vehicle's signals do when its gate closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeState {
    /// The first signal.
    pub first: SafeSignal,
    /// The second one.
    pub second: SafeSignal,
    /// The vehicle cannot lose its speed faster than this, in mm/s each second: an encoder whose cable breaks says that it stands.
    pub slows_at_most: u32,
}

impl SafeState {
    /// Returns how long it lasts at most; `None`: as long as the vehicle moves.
    #[must_use]
    pub fn lasts_at_most(&self) -> Option<Duration> {
        Some(self.first.release.at_latest?.max(self.second.release.at_latest?))
    }

    /// Returns the one of a vehicle whose speed nobody measures: the first signal stays as it was, the second one goes to `brake` at
    /// once, and both are let go `after` the gate has closed.
    #[must_use]
    pub const fn hold_and_brake(brake: i16, after: Duration) -> Self {
        let release = Release { value: None, slower_than_mm_s: 0, at_latest: Some(after) };
        let action = Action::Ramp(Ramp { to: brake, counts_per_s: None });
        Self {
            first: SafeSignal { delay: Duration::ZERO, action: Action::Hold, release },
            second: SafeSignal { delay: Duration::ZERO, action, release },
            slows_at_most: 0,
        }
    }
}

/// The speed that the safe state goes by: measured ones alone fall at once when an encoder fails, and one that has failed before says
/// that the vehicle stands. So a vehicle that was never seen to move has no speed that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Believed {
    /// A measured one that was believed, and when.
    last: Option<(Instant, u16)>,
    mm_s: Option<u16>,
}

impl Believed {
    /// Takes in a speed that was measured at `now`, in mm/s; `None`: it is not known.
    pub fn take(&mut self, now: Instant, measured: Option<i16>, safe: &SafeState) {
        let Some(measured) = measured.map(i16::unsigned_abs) else {
            *self = Self::default();
            return;
        };
        let least = self.last.map_or(0, |(at, last)| {
            let lost = now.since(at).as_nanos() * u128::from(safe.slows_at_most) / 1_000_000_000;
            last.saturating_sub(u16::try_from(lost).unwrap_or(u16::MAX))
        });
        if measured >= least {
            self.last = Some((now, measured));
        }
        self.mm_s = (self.mm_s.is_some() || measured > 0).then_some(measured.max(least));
    }

    /// Returns it, in mm/s, forwards or backwards; `None`: it is not known.
    pub const fn mm_s(self) -> Option<u16> {
        self.mm_s
    }
}

/// What one signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeSignal {
    /// So long it stays as it was.
    pub delay: Duration,
    /// What it does then.
    pub action: Action,
    /// When that is over.
    pub release: Release,
}

/// What a signal does behind a closed gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays as it was.
    Hold,
    /// It goes to a value.
    Ramp(Ramp),
    /// It stays as it was until the vehicle is known to be slower than this, in mm/s, and goes to a value then.
    HoldUntilSlower(u16, Ramp),
}

/// The way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// Where it ends, in counts.
    pub to: i16,
    /// How fast, in counts a second; `None`: at once.
    pub counts_per_s: Option<u32>,
}

/// When the safe state lets go of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// What the signal has while it is let go and others are not, in counts; `None`: what it came to.
    pub value: Option<i16>,
    /// While the vehicle is known to be slower than this, in mm/s, and the action has come to its end.
    pub slower_than_mm_s: u16,
    /// So long after the gate closed at the latest, whatever the speed; `None`: never. Zero: at once.
    pub at_latest: Option<Duration>,
}

/// What stands behind a gate that has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    since: Instant,
    /// The last command acted on.
    from: Signals,
    /// Since when each signal is on its way to a value.
    ramps: [Option<Instant>; 2],
    /// Every signal was let go when they were told last: what they came to has been told.
    has_told_end: bool,
}

impl Behind {
    pub const fn new(since: Instant, from: Signals) -> Self {
        Self { since, from, ramps: [None; 2], has_told_end: false }
    }

    /// Returns whether the vehicle is known to move too fast to be let go of.
    pub fn is_needed(safe: &SafeState, speed: Option<u16>) -> bool {
        let limits = [safe.first, safe.second].map(|signal| signal.release.slower_than_mm_s);
        speed.is_some() && limits.into_iter().any(|limit| !is_slower(speed, limit))
    }

    /// Begins what is to begin.
    pub fn advance(&mut self, now: Instant, safe: &SafeState, speed: Option<u16>) {
        let passed = now.since(self.since);
        for (ramp, signal) in self.ramps.iter_mut().zip([safe.first, safe.second]) {
            let begins = match signal.action {
                Action::Hold => false,
                Action::Ramp(_) => true,
                Action::HoldUntilSlower(limit, _) => is_slower(speed, limit),
            };
            if begins && passed >= signal.delay && ramp.is_none() {
                *ramp = Some(now);
            }
        }
    }

    /// Returns what the signals are at `now`.
    pub fn tell(&mut self, now: Instant, safe: &SafeState, speed: Option<u16>) -> Signals {
        self.has_told_end = self.are_released(now, safe, speed);
        let of = |signal, from, ramp| self.one(now, signal, from, ramp, speed);
        let [first, second] = self.ramps;
        Signals { first: of(safe.first, self.from.first, first), second: of(safe.second, self.from.second, second) }
    }

    /// Returns whether it is over: every signal is let go, and what it came to was told; or the time is over.
    pub fn is_over(&self, now: Instant, safe: &SafeState, speed: Option<u16>) -> bool {
        self.over_at(safe).is_some_and(|at| now >= at) || (self.has_told_end && self.are_released(now, safe, speed))
    }

    fn are_released(&self, now: Instant, safe: &SafeState, speed: Option<u16>) -> bool {
        let of = |signal, from, ramp| self.is_released(now, signal, from, ramp, speed);
        let [first, second] = self.ramps;
        of(safe.first, self.from.first, first) && of(safe.second, self.from.second, second)
    }

    /// Returns when it is over whatever the speed, if ever.
    pub fn over_at(&self, safe: &SafeState) -> Option<Instant> {
        safe.lasts_at_most().map(|span| self.since + span)
    }

    fn one(&self, now: Instant, signal: SafeSignal, from: i16, ramp: Option<Instant>, speed: Option<u16>) -> i16 {
        let value = ramped(now, signal.action, from, ramp);
        let is_released = self.is_released(now, signal, from, ramp, speed);
        signal.release.value.filter(|_| is_released).unwrap_or(value)
    }

    fn is_released(
        &self,
        now: Instant,
        signal: SafeSignal,
        from: i16,
        ramp: Option<Instant>,
        speed: Option<u16>,
    ) -> bool {
        let is_done = match signal.action {
            Action::Hold => now.since(self.since) >= signal.delay,
            Action::Ramp(to) | Action::HoldUntilSlower(_, to) => {
                ramp.is_some() && ramped(now, signal.action, from, ramp) == to.to
            }
        };
        let is_late = signal.release.at_latest.is_some_and(|latest| now.since(self.since) >= latest);
        is_late || (is_done && is_slower(speed, signal.release.slower_than_mm_s))
    }
}

/// Returns where a signal is that was at `from`.
fn ramped(now: Instant, action: Action, from: i16, begun: Option<Instant>) -> i16 {
    let (Action::Ramp(ramp) | Action::HoldUntilSlower(_, ramp), Some(begun)) = (action, begun) else { return from };
    let Some(rate) = ramp.counts_per_s else { return ramp.to };
    // What a span of 584 years has of nanoseconds times a rate of 32 bits fits into 96 bits.
    let way = now.since(begun).as_nanos() * u128::from(rate) / 1_000_000_000;
    let way = i32::try_from(way).unwrap_or(i32::MAX);
    let (from, to) = (i32::from(from), i32::from(ramp.to));
    let at = if from < to { from.saturating_add(way).min(to) } else { from.saturating_sub(way).max(to) };
    i16::try_from(at).unwrap_or(ramp.to)
}

/// A speed that is not known is none that is slower.
fn is_slower(speed_mm_s: Option<u16>, limit_mm_s: u16) -> bool {
    speed_mm_s.is_some_and(|speed| speed < limit_mm_s)
}
