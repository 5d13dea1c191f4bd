//! A battery's voltage and current, by an INA219 in its line.
//!
//! The current is taken from the voltage over the shunt and not from the chip's own current register: that one needs a
//! calibration, and after a loss of power it is 0 without a word. IN+ is the battery's side, so the shunt's voltage is
//! positive while the battery is discharged, and the current is negative then, as in ROS's `BatteryState`.

use embedded_hal::i2c::{Error as _, ErrorKind, I2c};
use ina219::SyncIna219;
use ina219::address::Address;
use ina219::calibration::UnCalibrated;
use ina219::errors::{BusVoltageReadError, InitializationErrorReason, MeasurementError, ShuntVoltageReadError};
use std::fmt;
use twinhelm_hal::units::{Amperes, Volts};

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Battery {
    /// The battery's voltage.
    pub voltage: Volts,
    /// Its current, negative while it is discharged.
    pub current: Amperes,
}

/// What a battery of this vehicle can have: beyond it the wiring or the chip is wrong, not the battery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plausible {
    /// Below what an empty one has.
    pub voltage_min: Volts,
    /// Above what a full one has.
    pub voltage_max: Volts,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BatteryError {
    /// The chip does not answer, or not as it should.
    #[error(
        "the INA219 at {address:#04x}: {kind}; check its supply, SDA and SCL, its address pins (`i2cdetect -y` and the \
         bus's number shows who answers)"
    )]
    Chip {
        /// Its address.
        address: u8,
        /// What came of it.
        kind: ErrorKind,
    },
    /// Something answers that is no INA219.
    #[error("what answers at {0:#04x} is no INA219: its registers have other values after a reset")]
    AnotherChip(u8),
    /// The chip has measured nothing new.
    #[error("the INA219 has measured nothing since the last reading")]
    NothingNew,
    /// The chip gave what it cannot have measured.
    #[error("the INA219 gave values beyond its range: its data line may hang")]
    BeyondTheChip,
    /// No battery of this vehicle has such a voltage.
    #[error("{0} is no voltage of this battery: check its connector, or the range in the configuration")]
    Implausible(Volts),
    /// There is no such monitor.
    #[error("an INA219 has address 0x40 to 0x4f, and a shunt above 0 Ω")]
    Wiring,
}

/// An INA219 in the battery's line.
pub struct BatteryMonitor<I2C> {
    chip: SyncIna219<I2C, UnCalibrated>,
    address: u8,
    shunt_ohm: f64,
    plausible: Plausible,
}

impl<I2C> fmt::Debug for BatteryMonitor<I2C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatteryMonitor").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<I2C: I2c> BatteryMonitor<I2C> {
    /// Resets the chip at `address`, with a shunt of `shunt_ohm`.
    ///
    /// # Errors
    /// [`BatteryError`] says what does not answer.
    pub fn new(i2c: I2C, address: u8, shunt_ohm: f64, plausible: Plausible) -> Result<Self, BatteryError> {
        let at = Address::from_byte(address).map_err(|_| BatteryError::Wiring)?;
        if !(shunt_ohm.is_finite() && shunt_ohm > 0.0) {
            return Err(BatteryError::Wiring);
        }
        let chip = SyncIna219::new(i2c, at).map_err(|error| match error.reason {
            InitializationErrorReason::I2cError(error) => BatteryError::Chip { address, kind: error.kind() },
            InitializationErrorReason::ConfigurationNotDefaultAfterReset
            | InitializationErrorReason::RegisterNotZeroAfterReset(_)
            | InitializationErrorReason::ShuntVoltageOutOfRange
            | InitializationErrorReason::BusVoltageOutOfRange => BatteryError::AnotherChip(address),
        })?;
        Ok(Self { chip, address, shunt_ohm, plausible })
    }

    /// Returns what the chip has measured since the last call; it measures about a thousand times a second.
    ///
    /// # Errors
    /// [`BatteryError`]: there is no reading. None is made up.
    pub fn read(&mut self) -> Result<Battery, BatteryError> {
        let address = self.address;
        let failed = |kind| BatteryError::Chip { address, kind };
        let measured = self.chip.next_measurement().map_err(|error| match error {
            MeasurementError::I2cError(error)
            | MeasurementError::ShuntVoltageReadError(ShuntVoltageReadError::I2cError(error))
            | MeasurementError::BusVoltageReadError(BusVoltageReadError::I2cError(error)) => failed(error.kind()),
            MeasurementError::ShuntVoltageReadError(ShuntVoltageReadError::ShuntVoltageOutOfRange { .. })
            | MeasurementError::BusVoltageReadError(BusVoltageReadError::BusVoltageOutOfRange { .. })
            | MeasurementError::MathOverflow(_) => BatteryError::BeyondTheChip,
        })?;
        let measured = measured.ok_or(BatteryError::NothingNew)?;
        let voltage = Volts::new(f64::from(measured.bus_voltage.voltage_mv()) / 1e3);
        let discharge_a = f64::from(measured.shunt_voltage.shunt_voltage_uv()) / 1e6 / self.shunt_ohm;
        let (voltage, current) = voltage.zip(Amperes::new(-discharge_a)).ok_or(BatteryError::BeyondTheChip)?;
        let Plausible { voltage_min, voltage_max } = self.plausible;
        if !(voltage_min..=voltage_max).contains(&voltage) {
            return Err(BatteryError::Implausible(voltage));
        }
        Ok(Battery { voltage, current })
    }
}
