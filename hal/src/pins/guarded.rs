//! The gate in front of a board's own pins.
//!
//! What the [actuator](crate::actuator) tells becomes two pulses. When the safe state is over the pulses end and the line is released:
//! a speed controller that is told to brake for ever may take that for backwards. With no time to brake the pins are released at once,
//! as by a plug that is pulled.
//!
//! The line says which board drives. With an own slot configured, this board has it while the term that the gate has
//! adopted is that slot's; the pulses follow meanwhile, so that they are right at the moment of a takeover.
//!
//! Pins that fail are an e-stop: a gate that reported "open" over dead pins would be believed by both devices.

use super::{Outputs, Pulses, Servo};
use crate::actuator::{self, Actuator, SafeState};
use crate::frame::Frame;
use crate::gate::{Gate, Verdict};
use crate::signals::Signals;
use crate::term::{Slot, Term};
use crate::time::Instant;

/// What the actuators on the pins are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The servo, for the first signal.
    pub steering: Servo,
    /// The speed controller, for the second signal.
    pub drive: Servo,
    /// What they do when the gate closes. What never ends holds the pulses for ever.
    pub safe: SafeState,
    /// The slot of the board's own device, where a line chooses between boards; `None` where this is the only one.
    pub own_slot: Option<Slot>,
}

/// The e-stop cannot be reset: its line is still pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillPressed;

/// A gate, and the pins behind it.
///
/// # Invariants
/// A pulse changes only as the actuator tells.
#[derive(Debug)]
pub struct GuardedPins<O: Outputs> {
    actuator: Actuator,
    setup: Setup,
    outputs: O,
    told: Told,
    is_pressed: bool,
    failure: Option<O::Error>,
    failures: u32,
    /// What could not be released is tried again: once a tick, or a flood of frames would be one of transfers.
    may_retry: bool,
}

/// What the outputs were told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or they failed: they are told again.
    Unknown,
    Rest,
    Pulses(Pulses, bool),
}

impl<O: Outputs> GuardedPins<O> {
    /// Returns the pins behind `gate`, at rest, their line released.
    #[must_use]
    pub fn new(gate: Gate, setup: Setup, outputs: O) -> Self {
        let mut pins = Self {
            actuator: Actuator::new(gate, setup.safe),
            setup,
            outputs,
            told: Told::Unknown,
            is_pressed: false,
            failure: None,
            failures: 0,
            may_retry: true,
        };
        pins.release();
        pins
    }

    /// Judges a frame that was heard at `now`; what is acted on is on the pins when this returns.
    pub fn on_frame(&mut self, now: Instant, frame: &Frame) -> Verdict {
        let verdict = self.actuator.on_frame(now, frame);
        if matches!(verdict, Verdict::Acted { .. }) {
            // Written although it may be the same: a chip that does not answer any more is noticed now.
            self.told = Told::Unknown;
        }
        self.settle(now);
        verdict
    }

    /// Lets time pass, at the vehicle's speed in mm/s, `None` where it is not known; and tries again to release pins that could
    /// not be. Returns `true` when the gate closed by the command timeout.
    pub fn on_tick(&mut self, now: Instant, speed_mm_s: Option<i16>) -> bool {
        let timed_out = self.actuator.on_tick(now, speed_mm_s);
        self.may_retry = true;
        self.settle(now);
        timed_out
    }

    /// Takes in how the local e-stop line stands. Pressed stops, and latches; released changes nothing.
    pub fn on_estop_line(&mut self, now: Instant, pressed: bool) {
        self.is_pressed = pressed;
        if pressed {
            self.actuator.stop(now);
        }
        self.settle(now);
    }

    /// Resets the e-stop and what failed, locally. The gate stays closed until a higher term opens it.
    ///
    /// # Errors
    /// [`StillPressed`]: nothing was reset.
    pub fn reset(&mut self, now: Instant) -> Result<(), StillPressed> {
        if self.is_pressed {
            return Err(StillPressed);
        }
        self.actuator.reset_estop();
        self.failure = None;
        self.settle(now);
        Ok(())
    }

    /// Returns when [`GuardedPins::on_tick`] or [`GuardedPins::outgoing`] is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: Instant) -> Instant {
        self.actuator.next_tick(now)
    }

    /// Returns the next frame that has to go out now: a status, which carries the vehicle's speed in mm/s (0 where it is
    /// not known), or drop counters. To be called until it returns `None`.
    pub fn outgoing(&mut self, now: Instant, speed_mm_s: Option<i16>) -> Option<Frame> {
        self.actuator.outgoing(now, speed_mm_s)
    }

    /// Returns what the pins said when they failed first since the last reset.
    pub const fn failure(&self) -> Option<&O::Error> {
        self.failure.as_ref()
    }

    /// Returns how often the pins failed since they came up.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns whether the pulses have ended and the line is released, as far as the outputs say.
    #[must_use]
    pub const fn is_at_rest(&self) -> bool {
        matches!(self.told, Told::Rest)
    }

    /// Returns the gate.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        self.actuator.gate()
    }

    /// Returns what stands behind the gate, to look at.
    pub const fn outputs(&self) -> &O {
        &self.outputs
    }

    fn pulses(&self, signals: &Signals) -> Pulses {
        let mut counts = self.gate().layout().counts(signals);
        let mut next = || counts.next().unwrap_or(0);
        Pulses { steering: self.setup.steering.pulse(next()), drive: self.setup.drive.pulse(next()) }
    }

    /// Brings the pins to what the actuator tells.
    fn settle(&mut self, now: Instant) {
        if let actuator::Told::Signals(signals) = self.actuator.told(now) {
            let (pulses, selected) = (self.pulses(&signals), self.is_ours());
            match self.show(pulses, selected) {
                Ok(()) => {
                    self.told = Told::Pulses(pulses, selected);
                    self.may_retry = true;
                    return;
                }
                Err(error) => self.on_failure(error),
            }
        }
        self.release();
    }

    /// Returns whether the term that the gate has adopted is of this board's device.
    fn is_ours(&self) -> bool {
        self.setup.own_slot.is_none_or(|own| self.gate().term().map(Term::slot) == Some(own))
    }

    fn show(&mut self, pulses: Pulses, selected: bool) -> Result<(), O::Error> {
        if self.told == Told::Pulses(pulses, selected) {
            return Ok(());
        }
        // Off before the pulse changes, on after it.
        if !selected {
            self.outputs.select(false)?;
        }
        self.outputs.drive(pulses)?;
        if selected {
            self.outputs.select(true)?;
        }
        Ok(())
    }

    /// Releases the line and ends the pulses, the one whatever becomes of the other. What fails is tried again by the
    /// next tick.
    fn release(&mut self) {
        if self.told == Told::Rest || !self.may_retry {
            return;
        }
        let line = self.outputs.select(false);
        let pulses = self.outputs.rest();
        match line.and(pulses) {
            Ok(()) => self.told = Told::Rest,
            Err(error) => {
                self.may_retry = false;
                self.on_failure(error);
            }
        }
    }

    fn on_failure(&mut self, error: O::Error) {
        self.failures = self.failures.saturating_add(1);
        self.failure.get_or_insert(error);
        self.actuator.give_up();
        self.told = Told::Unknown;
    }
}
