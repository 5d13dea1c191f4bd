//! The safe state as data: what each signal does behind a closed gate.

use crate::signals::table::SIGNALS_MAX;
use crate::signals::{Layout, Signals};
use crate::time::{Duration, Instant};

/// What a vehicle's signals do when its gate closes. One that it says nothing of stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeState {
    signals: [SafeSignal; SIGNALS_MAX],
    count: usize,
    /// The vehicle cannot lose its speed faster than this, in mm/s each second: an encoder whose cable breaks says that it stands.
    slows_at_most: u32,
}

impl SafeState {
    /// Returns the safe state of these signals, in the order of the vehicle's table (more than 26 are cut), for a vehicle that loses its
    /// speed no faster than `slows_at_most`, in mm/s each second: an encoder whose cable breaks says that it stands.
    #[must_use]
    pub const fn of(signals: &[SafeSignal], slows_at_most: u32) -> Self {
        let mut all = [SafeSignal::REST; SIGNALS_MAX];
        let mut count = 0;
        while count < signals.len() && count < SIGNALS_MAX {
            all[count] = signals[count];
            count += 1;
        }
        Self { signals: all, count, slows_at_most }
    }

    /// Returns the signals, in the order of the table.
    #[must_use]
    pub fn signals(&self) -> &[SafeSignal] {
        self.signals.get(..self.count).unwrap_or_default()
    }

    /// Returns how long it lasts at most; `None`: as long as the vehicle moves.
    #[must_use]
    pub fn lasts_at_most(&self) -> Option<Duration> {
        self.signals().iter().try_fold(Duration::ZERO, |most, signal| Some(most.max(signal.release.at_latest?)))
    }

    /// Returns the one of a vehicle of two signals whose speed nobody measures: the first one stays as it was, the second one goes to
    /// `brake` at once, and both are let go `after` the gate has closed.
    #[must_use]
    pub const fn hold_and_brake(brake: i64, after: Duration) -> Self {
        let release = Release { value: None, slower_than_mm_s: 0, at_latest: Some(after) };
        let action = Action::Ramp(Ramp { to: brake, counts_per_s: None });
        let held = SafeSignal { delay: Duration::ZERO, action: Action::Hold, release };
        Self::of(&[held, SafeSignal { action, ..held }], 0)
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

impl SafeSignal {
    /// It stays as it was, and is let go at once.
    const REST: Self = Self {
        delay: Duration::ZERO,
        action: Action::Hold,
        release: Release { value: None, slower_than_mm_s: 0, at_latest: Some(Duration::ZERO) },
    };
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
    pub to: i64,
    /// How fast, in counts a second; `None`: at once.
    pub counts_per_s: Option<u32>,
}

/// When the safe state lets go of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// What the signal has while it is let go and others are not, in counts; `None`: what it came to.
    pub value: Option<i64>,
    /// While the vehicle is known to be slower than this, in mm/s, and the action has come to its end.
    pub slower_than_mm_s: u16,
    /// So long after the gate closed at the latest, whatever the speed; `None`: never. Zero: at once.
    pub at_latest: Option<Duration>,
}

/// What stands behind a gate that has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    since: Instant,
    /// The counts of the last command acted on.
    from: [i64; SIGNALS_MAX],
    /// Since when each signal is on its way to a value.
    ramps: [Option<Instant>; SIGNALS_MAX],
    /// Every signal was let go when they were told last: what they came to has been told.
    has_told_end: bool,
}

impl Behind {
    /// Returns what stands behind a gate that closed at `since`, `last` being the last command acted on.
    pub fn new(since: Instant, last: &Signals, layout: &Layout) -> Self {
        let mut from = [0; SIGNALS_MAX];
        from.iter_mut().zip(layout.counts(last)).for_each(|(to, from)| *to = from);
        Self { since, from, ramps: [None; SIGNALS_MAX], has_told_end: false }
    }

    /// Returns whether the vehicle is known to move too fast to be let go of.
    pub fn is_needed(safe: &SafeState, speed: Option<u16>) -> bool {
        let mut limits = safe.signals().iter().map(|signal| signal.release.slower_than_mm_s);
        speed.is_some() && limits.any(|limit| !is_slower(speed, limit))
    }

    /// Begins what is to begin.
    pub fn advance(&mut self, now: Instant, safe: &SafeState, speed: Option<u16>) {
        let passed = now.since(self.since);
        for (ramp, signal) in self.ramps.iter_mut().zip(safe.signals()) {
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
    pub fn tell(&mut self, now: Instant, safe: &SafeState, speed: Option<u16>, layout: &Layout) -> Signals {
        // A signal that the safe state says nothing of stays as it was.
        let mut counts = self.from;
        self.has_told_end = true;
        for (counts, lane) in counts.iter_mut().zip(self.lanes(now, safe)) {
            let is_released = lane.is_released(speed);
            self.has_told_end &= is_released;
            *counts = lane.signal.release.value.filter(|_| is_released).unwrap_or(lane.at);
        }
        layout.pack(&counts)
    }

    /// Returns whether it is over: every signal is let go, and what it came to was told; or the time is over.
    pub fn is_over(&self, now: Instant, safe: &SafeState, speed: Option<u16>) -> bool {
        let are_released = || self.lanes(now, safe).all(|lane| lane.is_released(speed));
        self.over_at(safe).is_some_and(|at| now >= at) || (self.has_told_end && are_released())
    }

    /// Returns when it is over whatever the speed, if ever.
    pub fn over_at(&self, safe: &SafeState) -> Option<Instant> {
        safe.lasts_at_most().map(|span| self.since + span)
    }

    /// Returns where each signal is at `now`.
    fn lanes<'s>(&self, now: Instant, safe: &'s SafeState) -> impl Iterator<Item = Lane<'s>> + use<'s> {
        let passed = now.since(self.since);
        let ways = self.from.into_iter().zip(self.ramps);
        safe.signals().iter().zip(ways).map(move |(signal, (from, begun))| {
            let at = ramped(now, signal.action, from, begun);
            Lane { signal, has_begun: begun.is_some(), at, passed }
        })
    }
}

/// Where one signal is.
struct Lane<'s> {
    signal: &'s SafeSignal,
    /// It is on its way to a value, or there.
    has_begun: bool,
    /// What it came to, in counts.
    at: i64,
    /// Since the gate closed.
    passed: Duration,
}

impl Lane<'_> {
    fn is_released(&self, speed: Option<u16>) -> bool {
        let SafeSignal { delay, action, release } = self.signal;
        let is_done = match action {
            Action::Hold => self.passed >= *delay,
            Action::Ramp(ramp) | Action::HoldUntilSlower(_, ramp) => self.has_begun && self.at == ramp.to,
        };
        let is_late = release.at_latest.is_some_and(|latest| self.passed >= latest);
        is_late || (is_done && is_slower(speed, release.slower_than_mm_s))
    }
}

/// Returns where a signal is that was at `from`.
fn ramped(now: Instant, action: Action, from: i64, begun: Option<Instant>) -> i64 {
    let (Action::Ramp(ramp) | Action::HoldUntilSlower(_, ramp), Some(begun)) = (action, begun) else { return from };
    let Some(rate) = ramp.counts_per_s else { return ramp.to };
    // What a span of 584 years has of nanoseconds times a rate of 32 bits fits into 96 bits.
    let way = now.since(begun).as_nanos() * u128::from(rate) / 1_000_000_000;
    let way = i64::try_from(way).unwrap_or(i64::MAX);
    if from < ramp.to { from.saturating_add(way).min(ramp.to) } else { from.saturating_sub(way).max(ramp.to) }
}

/// A speed that is not known is none that is slower.
fn is_slower(speed_mm_s: Option<u16>, limit_mm_s: u16) -> bool {
    speed_mm_s.is_some_and(|speed| speed < limit_mm_s)
}
