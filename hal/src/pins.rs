//! A board's own pins behind the gate: servo pulses, and the line that says whether this board drives.
//!
//! [`GuardedPins`] owns a gate and the [`Outputs`] behind it, so nobody else can reach the pins. [`Servo`] says how long
//! a pulse is for a signal. What a pin is made of is the board's: [`PwmPins`] for a controller's own timers, a PCA9685 on
//! I2C in `hal/linux`.

mod guarded;
mod pwm;
mod servo;
#[cfg(test)]
mod tests;

pub use guarded::{GuardedPins, Setup, StillPressed};
pub use pwm::{ActiveLevel, PwmError, PwmPins};
pub use servo::{Pulse, Servo, ServoError, Travel};

/// The pulses of both actuators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulses {
    /// The servo's, for the first signal.
    pub steering: Pulse,
    /// The speed controller's, for the second signal.
    pub drive: Pulse,
}

/// What stands behind the gate: two pulses, and a line that connects them to the actuators or not.
///
/// Nothing is repeated: what was told stays until something else is. After an error the pins may have any of the old
/// and the new values, and the caller releases the line.
pub trait Outputs {
    /// What can go wrong.
    type Error: core::fmt::Debug;

    /// Gives these pulses to the pins, from the next pulse on.
    ///
    /// # Errors
    /// The pins did not take them.
    fn drive(&mut self, pulses: Pulses) -> Result<(), Self::Error>;

    /// Gives no pulse at all: a servo goes limp, and a speed controller does what it does without a signal.
    ///
    /// # Errors
    /// The pins did not take it.
    fn rest(&mut self) -> Result<(), Self::Error>;

    /// Says by the output-enable or select line whether this board's pulses reach the actuators.
    ///
    /// # Errors
    /// The line did not take it.
    fn select(&mut self, selected: bool) -> Result<(), Self::Error>;
}
