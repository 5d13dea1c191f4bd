//! A board's file: which pins and chips the actuators and sensors are on, and which pulses mean what.
//!
//! What comes out is a [`BoardConfig`], which cannot be built when two things share a line or an address, when a pulse is no
//! pulse, or when the watchdog would bite before the safe state is over. Nothing is opened here.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

mod checks;
mod tables;
#[cfg(test)]
mod tests;

use crate::actuators::safe_state;
use crate::signals::DRIVE;
use checks::Checks;
use std::time::Duration;
use tables::File;
use twinhelm_hal::pins::Setup;
use twinhelm_hal::ports::Backend;
use twinhelm_standby::Config;
use twinhelm_standby::file_error::{Document, FileError};

pub use tables::{Battery, Can, Encoder, Line, Watchdog};

/// The annotated example.
pub const EXAMPLE: &str = include_str!("../board.toml");

/// What a board's file says.
///
/// # Invariants
/// Each number is in its range; no line and no address is used twice; the watchdog is slower than the safe state.
#[derive(Clone, Debug)]
pub struct BoardConfig {
    /// The way to the pins.
    pub backend: Backend,
    /// The gate's number on the bus.
    pub gate: u8,
    /// The CAN interface.
    pub can: Can,
    /// The servo chip.
    pub servos: ServoChip,
    /// What the actuators on it are, for the gate in front of them.
    pub setup: Setup,
    /// The servo chip's output-enable line.
    pub output_enable: Line,
    /// The e-stop button, if there is one.
    pub estop: Option<Line>,
    /// The wheel encoder, if there is one.
    pub encoder: Option<Encoder>,
    /// The battery monitor, if there is one.
    pub battery: Option<Battery>,
    /// The watchdog, if there is one.
    pub watchdog: Option<Watchdog>,
}

/// A PCA9685, and where the actuators are on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServoChip {
    /// The bus: the N of `/dev/i2c-N`.
    pub i2c_bus: u8,
    /// The chip's address.
    pub address: u8,
    /// Pulses a second.
    pub rate_hz: u16,
    /// The servo's channel.
    pub steering: u8,
    /// The speed controller's channel.
    pub drive: u8,
}

impl BoardConfig {
    /// Reads the `text` of a board's file, for a vehicle with the timing `vehicle`; `file_name` is for messages.
    ///
    /// # Errors
    /// [`FileError`] points at the first key or value that cannot be, and says what to write instead.
    pub fn parse(file_name: &str, text: &str, vehicle: &Config) -> Result<Self, FileError> {
        let document = Document::parse(file_name, text)?;
        let file: File = document.read()?;
        let checks = Checks { document: &document, file: &file };
        checks.ranges()?;
        checks.names()?;
        checks.nothing_twice()?;
        checks.against(vehicle)?;
        let (steering, drive) = (checks.steering()?, checks.drive()?);
        #[expect(clippy::cast_possible_truncation, reason = "in range, and a cast saturates")]
        let brake_counts = libm::round(file.safe_state.brake_mps2 / DRIVE.factor) as i64;
        let setup = Setup {
            steering,
            drive,
            safe: safe_state(brake_counts, Some(Duration::from_millis(file.safe_state.brake_for_ms.into()))),
            own_slot: file.slot,
        };
        let servos = ServoChip {
            i2c_bus: file.servos.i2c_bus,
            address: file.servos.address,
            rate_hz: file.servos.rate_hz,
            steering: file.servos.steering.channel,
            drive: file.servos.drive.channel,
        };
        let File { backend, gate, can, output_enable, estop, encoder, battery, watchdog, .. } = file;
        Ok(Self { backend, gate, can, servos, setup, output_enable, estop, encoder, battery, watchdog })
    }
}
