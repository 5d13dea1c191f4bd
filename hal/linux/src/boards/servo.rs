//! A PCA9685 as the outputs behind the gate: servo, speed controller, and the chip's output-enable pin on a line.
//!
//! The driver of the registers is the crate pwm-pca9685; here is the order of the calls, and µs become counts.

use embedded_hal::digital::{Error as _, ErrorKind as LineKind, OutputPin};
use embedded_hal::i2c::{Error as _, ErrorKind as I2cKind, I2c};
use pwm_pca9685::{Channel, Error as ChipError, Pca9685};
use std::thread;
use twinhelm_hal::pins::{Outputs, Pulse, Pulses};
use twinhelm_hal::time::Duration;

/// The chip's internal oscillator. A chip's own is off by some percent (the datasheet gives 23 to 27 MHz): trim the servo.
const OSCILLATOR_HZ: u32 = 25_000_000;
/// Counts from pulse to pulse.
const COUNTS: u32 = 4_096;
/// So long the oscillator takes to run evenly after the chip woke up (datasheet, 7.3.1).
const WAKES_FOR: Duration = Duration::from_micros(500);
/// Servos take 50 Hz; digital ones some hundreds. Below 24 Hz the chip cannot, and above this 2,500 µs do not fit.
const RATE_HZ: std::ops::RangeInclusive<u16> = 24..=390;

/// How a chip is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The chip's address, 0x40 to 0x7F.
    pub address: u8,
    /// The servo's channel, 0 to 15.
    pub steering: u8,
    /// The speed controller's channel, another one.
    pub drive: u8,
    /// Pulses a second, 24 to 390.
    pub rate_hz: u16,
}

/// What a chip or its line did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServoBoardError {
    /// The chip did not take it.
    #[error(
        "the PCA9685 at {address:#04x} ({doing}): {kind}; check its supply, SDA and SCL, its address pins (`i2cdetect -y` \
         and the bus's number shows who answers)"
    )]
    Chip {
        /// Its address.
        address: u8,
        /// What it was told.
        doing: &'static str,
        /// What came of it.
        kind: I2cKind,
    },
    /// The output-enable line did not take it.
    #[error("the output-enable line of the PCA9685: {0}")]
    Line(LineKind),
    /// There is no such wiring.
    #[error(
        "no PCA9685 is wired so: address 0x40 to 0x7f but 0x70, two channels of 0 to 15, 24 to 390 pulses a second"
    )]
    Wiring,
}

/// A PCA9685, asleep or giving pulses, behind its output-enable line.
#[derive(Debug)]
pub struct ServoBoard<I2C, E> {
    chip: Pca9685<I2C>,
    enable: E,
    address: u8,
    steering: Channel,
    drive: Channel,
    prescale: u8,
}

impl<I2C: I2c, E: OutputPin> ServoBoard<I2C, E> {
    /// Sets the chip up: line released, no pulses, rate set, awake. `enable` says yes while pulses reach the actuators; the
    /// chip's pin is active low, so the line is one of [`ActiveLevel::Low`](twinhelm_hal::pins::ActiveLevel::Low).
    ///
    /// # Errors
    /// [`ServoBoardError`] says what did not answer.
    pub fn new(i2c: I2C, wiring: Wiring, enable: E) -> Result<Self, ServoBoardError> {
        let Wiring { address, .. } = wiring;
        let channels = channel(wiring.steering).zip(channel(wiring.drive));
        let (steering, drive) = channels.ok_or(ServoBoardError::Wiring)?;
        let is_possible = wiring.steering != wiring.drive
            && (0x40..=0x7F).contains(&address)
            && RATE_HZ.contains(&wiring.rate_hz);
        if !is_possible {
            return Err(ServoBoardError::Wiring);
        }
        let chip = Pca9685::new(i2c, address).map_err(|_| ServoBoardError::Wiring)?;
        let prescale = prescale(wiring.rate_hz);
        let mut board = Self { chip, enable, address, steering, drive, prescale };
        board.select(false)?;
        // A chip that was left awake takes no rate, and the driver believes that it is asleep.
        board.tell("to sleep", Pca9685::disable)?;
        board.rest()?;
        board.tell("its rate", |chip| chip.set_prescale(prescale))?;
        board.tell("to wake", Pca9685::enable)?;
        thread::sleep(WAKES_FOR);
        Ok(board)
    }

    fn tell(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&mut Pca9685<I2C>) -> Result<(), ChipError<I2C::Error>>,
    ) -> Result<(), ServoBoardError> {
        call(&mut self.chip).map_err(|error| match error {
            ChipError::I2C(error) => ServoBoardError::Chip { address: self.address, doing, kind: error.kind() },
            ChipError::InvalidInputData => ServoBoardError::Wiring,
        })
    }

    fn pulse(&mut self, doing: &'static str, channel: Channel, pulse: Pulse) -> Result<(), ServoBoardError> {
        let counts = counts(pulse, self.prescale);
        self.tell(doing, |chip| chip.set_channel_on_off(channel, 0, counts))
    }
}

impl<I2C: I2c, E: OutputPin> Outputs for ServoBoard<I2C, E> {
    type Error = ServoBoardError;

    fn drive(&mut self, pulses: Pulses) -> Result<(), ServoBoardError> {
        self.pulse("the steering's pulse", self.steering, pulses.steering)?;
        self.pulse("the drive's pulse", self.drive, pulses.drive)
    }

    fn rest(&mut self) -> Result<(), ServoBoardError> {
        // The drive first, and the other one whatever became of it.
        let (steering, drive) = (self.steering, self.drive);
        let drive = self.tell("the drive's end", |chip| chip.set_channel_full_off(drive));
        let steering = self.tell("the steering's end", |chip| chip.set_channel_full_off(steering));
        drive.and(steering)
    }

    fn select(&mut self, selected: bool) -> Result<(), ServoBoardError> {
        let set = if selected { self.enable.set_high() } else { self.enable.set_low() };
        set.map_err(|error| ServoBoardError::Line(error.kind()))
    }
}

fn channel(number: u8) -> Option<Channel> {
    Channel::try_from(number).ok()
}

/// Returns the prescale for a rate: round(oscillator / (4096 × rate)) − 1 (datasheet, 7.3.5).
fn prescale(rate_hz: u16) -> u8 {
    let per_pulse = COUNTS * u32::from(rate_hz.max(1));
    u8::try_from((OSCILLATOR_HZ + per_pulse / 2) / per_pulse - 1).unwrap_or(u8::MAX)
}

/// Returns the counts of a pulse: one count lasts prescale + 1 ticks of the oscillator, of which 25 are a µs.
fn counts(pulse: Pulse, prescale: u8) -> u16 {
    let ticks = u32::from(pulse.us()) * (OSCILLATOR_HZ / 1_000_000);
    let per_count = u32::from(prescale) + 1;
    u16::try_from((ticks + per_count / 2) / per_count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_pulses_are_those_of_the_datasheet() {
        // 200 Hz is the datasheet's own example: 0x1E.
        assert_eq!([200, 50, 60, 24].map(prescale), [0x1E, 121, 101, 253]);
        for rate_hz in RATE_HZ {
            let (prescale, longest) = (prescale(rate_hz), Pulse::from_us(2_500).unwrap());
            assert!(counts(longest, prescale) < 4_096, "2,500 µs fit at {rate_hz} Hz");
        }
    }
}
