//! Simulated boards: chips with their registers, wires with their levels, and what can go wrong with them.
//!
//! They stand behind embedded-hal's traits, so a driver cannot tell; a test keeps a handle of its own and looks at the
//! chip's far side. They behave as their datasheets say and replay nothing.

mod i2c;
mod ina219;
mod lines;
mod pca9685;
mod spi;

pub use i2c::{Chip, SimFailed, SimI2c, Wire};
pub use ina219::SimIna219;
pub use lines::{SimInput, SimOutput, SimWire};
pub use pca9685::SimPca9685;
pub use spi::SimLoopback;
