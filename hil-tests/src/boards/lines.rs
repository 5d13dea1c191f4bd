//! A wire between two pins, and the pins at its ends.

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use twinhelm_hal::pins::ActiveLevel;

/// A wire, low until an output drives it. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct SimWire(Rc<Cell<bool>>);

impl SimWire {
    /// Returns the wire's level.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.0.get()
    }

    /// Drives the wire from outside: a button, another board.
    pub fn set(&self, high: bool) {
        self.0.set(high);
    }

    /// Returns an output that says yes at `active`. It says no from the start.
    #[must_use]
    pub fn output(&self, active: ActiveLevel) -> SimOutput {
        self.set(active == ActiveLevel::Low);
        SimOutput { wire: self.clone(), active }
    }

    /// Returns an input that says yes at `active`.
    #[must_use]
    pub fn input(&self, active: ActiveLevel) -> SimInput {
        SimInput { wire: self.clone(), active }
    }
}

/// An output line; high is yes, as in the kernel's interface.
#[derive(Debug)]
pub struct SimOutput {
    wire: SimWire,
    active: ActiveLevel,
}

impl ErrorType for SimOutput {
    type Error = Infallible;
}

impl OutputPin for SimOutput {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.wire.set(self.active == ActiveLevel::Low);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.wire.set(self.active == ActiveLevel::High);
        Ok(())
    }
}

/// An input line; high is yes.
#[derive(Debug)]
pub struct SimInput {
    wire: SimWire,
    active: ActiveLevel,
}

impl ErrorType for SimInput {
    type Error = Infallible;
}

impl InputPin for SimInput {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.wire.is_high() == (self.active == ActiveLevel::High))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|is_high| !is_high)
    }
}
