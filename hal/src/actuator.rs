//! The actuator: the gate, and what the actuators are told behind it. The simulated vehicle, the gate program and the firmware run this
//! one.
//!
//! While the gate is open they are told the last command acted on. When it closes, whoever or whatever closed it, each signal does what
//! its [safe state](SafeState) says; when that is over for all of them they are told nothing any more.

mod safe;
#[cfg(test)]
mod tests;

pub use safe::{Action, Ramp, Release, SafeSignal, SafeState};

use crate::frame::Frame;
use crate::gate::rules::{AsDesigned, GateRules};
use crate::gate::{DROPS, Gate, Verdict};
use crate::signals::Signals;
use crate::time::{Duration, Instant};
use safe::{Behind, Believed};

/// How far apart the frames with the drop counters are: ten a second (docs/protocol.md).
pub const COUNTERS_EVERY: Duration = Duration::from_millis(100);
/// In how many frames all counters have been told, three to a frame.
pub const COUNTER_GROUPS: u8 = (DROPS / 3) as u8;
const _: () = assert!(DROPS.is_multiple_of(3) && DROPS / 3 <= 4, "DBC files name four groups of three counters");

/// What the actuators are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing. Ends when the gate acts on a command.
    Rest,
    /// These.
    Signals(Signals),
}

/// A gate, and what stands behind it.
///
/// # Invariants
/// What is told changes only by a command that the gate acted on, or as the safe state says.
#[derive(Clone, Debug)]
pub struct Actuator<R: GateRules = AsDesigned> {
    gate: Gate<R>,
    safe: SafeState,
    phase: Phase,
    speed: Believed,
    counters_at: Option<Instant>,
    group: u8,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, and no heap to put it on")]
enum Phase {
    /// It has just come up, and nothing is told. Ends with the first tick: a vehicle that is known to move is brought to a stop.
    Up,
    /// Nothing is told. Ends when the gate acts on a command.
    Rest,
    /// The last command acted on is told. Ends when the gate closes.
    Following(Signals),
    /// The safe state. Ends when it has released every signal, or when the gate acts on a command.
    Safe(Behind),
}

impl<R: GateRules> Actuator<R> {
    /// Returns the actuator behind `gate`, at rest.
    #[must_use]
    pub fn new(gate: Gate<R>, safe: SafeState) -> Self {
        Self { gate, safe, phase: Phase::Up, speed: Believed::default(), counters_at: None, group: 0 }
    }

    /// Judges a frame that was heard at `now`; what is acted on is [told](Self::told) from now on.
    pub fn on_frame(&mut self, now: Instant, frame: &Frame) -> Verdict {
        let verdict = self.gate.on_frame(now, frame);
        match verdict {
            Verdict::Acted { signals, .. } => self.phase = Phase::Following(signals),
            Verdict::Dropped { .. }
            | Verdict::Probe { .. }
            | Verdict::Followed { .. }
            | Verdict::EStopped { .. }
            | Verdict::Ignored => {}
        }
        self.advance(now);
        verdict
    }

    /// Lets time pass, at the vehicle's speed in mm/s; one that is not known counts as driving. Returns `true` when the gate closed by
    /// the command timeout.
    pub fn on_tick(&mut self, now: Instant, speed_mm_s: Option<i16>) -> bool {
        self.speed.take(now, speed_mm_s, &self.safe);
        let timed_out = self.gate.on_tick(now);
        if matches!(self.phase, Phase::Up) {
            let moves = Behind::is_needed(&self.safe, self.speed.mm_s());
            self.phase = if moves {
                Phase::Safe(Behind::new(now, &Signals::default(), self.gate.layout()))
            } else {
                Phase::Rest
            };
        }
        self.advance(now);
        timed_out
    }

    /// Returns what the actuators are told at `now`. It is never a command that has timed out, ticked or not; but whoever wants to learn
    /// of a timeout calls [`Actuator::on_tick`] first.
    pub fn told(&mut self, now: Instant) -> Told {
        let _ = self.gate.on_tick(now);
        self.advance(now);
        match &mut self.phase {
            Phase::Up | Phase::Rest => Told::Rest,
            Phase::Following(signals) => Told::Signals(*signals),
            Phase::Safe(behind) => {
                Told::Signals(behind.tell(now, &self.safe, self.speed.mm_s(), self.gate.layout()))
            }
        }
    }

    /// Presses the e-stop (G8).
    pub fn stop(&mut self, now: Instant) {
        self.gate.stop();
        self.advance(now);
    }

    /// Stops as the e-stop does, and tells the actuators nothing from now on: they do not listen.
    pub fn give_up(&mut self) {
        self.gate.stop();
        self.phase = Phase::Rest;
    }

    /// Resets the e-stop, locally. The gate stays closed until a higher term opens it.
    pub fn reset_estop(&mut self) {
        self.gate.reset_estop();
    }

    /// Returns when [`Actuator::on_tick`] or [`Actuator::outgoing`] is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: Instant) -> Instant {
        let due = self.gate.next_tick(now).min(self.counters_at.map_or(now, |last| last + COUNTERS_EVERY));
        match self.phase {
            Phase::Up | Phase::Rest | Phase::Following(_) => due,
            Phase::Safe(behind) => behind.over_at(&self.safe).map_or(due, |at| due.min(at)),
        }
    }

    /// Returns the next frame that has to go out now: a status, which carries the vehicle's speed (0 where it is not known), or drop
    /// counters. To be called until it returns `None`.
    pub fn outgoing(&mut self, now: Instant, speed_mm_s: Option<i16>) -> Option<Frame> {
        if self.gate.is_status_due(now) {
            return Some(self.gate.status(now, speed_mm_s.unwrap_or(0)));
        }
        if self.counters_at.is_some_and(|last| now.since(last) < COUNTERS_EVERY) {
            return None;
        }
        self.counters_at = Some(now);
        let frame = self.gate.counters(self.group);
        self.group = (self.group + 1) % COUNTER_GROUPS;
        Some(frame)
    }

    /// Returns the gate.
    #[must_use]
    pub const fn gate(&self) -> &Gate<R> {
        &self.gate
    }

    fn advance(&mut self, now: Instant) {
        if let Phase::Following(signals) = self.phase
            && !self.gate.is_open()
        {
            self.phase = Phase::Safe(Behind::new(now, &signals, self.gate.layout()));
        }
        if let Phase::Safe(behind) = &mut self.phase {
            behind.advance(now, &self.safe, self.speed.mm_s());
            if behind.is_over(now, &self.safe, self.speed.mm_s()) {
                self.phase = Phase::Rest;
            }
        }
    }
}
