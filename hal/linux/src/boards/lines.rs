//! GPIO lines: output-enable and select lines, the e-stop line.
//!
//! A line says yes or no: `set_high` and `is_high` mean *active*, whichever level that is, as in the kernel's own interface.

use super::open::{Kind, OpenError, check};
use embedded_hal::digital::{Error, ErrorKind, ErrorType, InputPin, OutputPin};
use gpiocdev::Request;
use gpiocdev::line::Value;
use rppal::gpio::Gpio;
use std::io;
use std::path::PathBuf;
use twinhelm_hal::pins::ActiveLevel;
use twinhelm_hal::ports::Backend;

/// The name under which our lines are in use, as `gpioinfo` shows it.
pub(super) const CONSUMER: &str = "twinhelm";

const KIND: Kind = Kind {
    group: "gpio",
    subsystem: "gpio",
    remedy: "load the board's GPIO driver; `gpiodetect` lists the chips that are there",
};

/// Where a line is, and at which level it means yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineAt {
    /// The chip's device file, as `/dev/gpiochip0`. By rppal the one of the header's pins, whatever stands here.
    pub chip: PathBuf,
    /// The line's number on the chip; on a Raspberry Pi the BCM number.
    pub offset: u32,
    /// The level that means yes.
    pub active: ActiveLevel,
}

impl LineAt {
    /// Returns what an error of the kernel means, looking who has the line.
    pub(super) fn explain(&self, error: &gpiocdev::Error) -> OpenError {
        let (chip, offset) = (self.chip.clone(), self.offset);
        match gpiocdev::Chip::from_path(&chip).and_then(|chip| Ok((chip.info()?.num_lines, chip.line_info(offset))))
        {
            Ok((lines, _)) if offset >= lines => OpenError::NoLine { chip, offset },
            Ok((_, Ok(info))) if info.used => OpenError::Busy { chip, offset, consumer: info.consumer },
            Ok(_) => OpenError::System { path: chip, source: as_io(error) },
            // The chip itself cannot be opened.
            Err(error) => KIND.explain(&chip, as_io(&error)),
        }
    }

    fn on_a_pi(&self) -> Result<rppal::gpio::Pin, OpenError> {
        let no_line = || OpenError::NoLine { chip: self.chip.clone(), offset: self.offset };
        let offset = u8::try_from(self.offset).map_err(|_| no_line())?;
        Gpio::new().and_then(|gpio| gpio.get(offset)).map_err(|error| match error {
            rppal::gpio::Error::UnknownModel => OpenError::NoRaspberryPi,
            rppal::gpio::Error::PinNotAvailable(_) => no_line(),
            rppal::gpio::Error::PinUsed(_) => {
                OpenError::Busy { chip: self.chip.clone(), offset: self.offset, consumer: CONSUMER.to_owned() }
            }
            rppal::gpio::Error::PermissionDenied(path) => {
                OpenError::Permission { path: path.into(), group: KIND.group, subsystem: KIND.subsystem }
            }
            rppal::gpio::Error::Io(source) => KIND.explain(&self.chip, source),
            error @ rppal::gpio::Error::ThreadPanic => {
                OpenError::System { path: self.chip.clone(), source: io::Error::other(error) }
            }
        })
    }

    /// Returns the level that the line has while it means `yes`.
    fn is_high_for(&self, yes: bool) -> bool {
        yes == (self.active == ActiveLevel::High)
    }
}

/// A line that did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("at a GPIO line")]
pub struct LineFailed(#[source] io::Error);

impl Error for LineFailed {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// A line that this board drives. Open, it says no.
///
/// When the process dies, the kernel leaves the line as it is or lets go of it, as the driver likes; a resistor that pulls it
/// to "no" is part of the board.
#[derive(Debug)]
pub enum OutputLine {
    /// By the kernel's character device.
    Linux(Request),
    /// By rppal, with the level that means yes.
    RaspberryPi(rppal::gpio::OutputPin, ActiveLevel),
}

impl OutputLine {
    /// Opens the line, and has it say no.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(backend: Backend, at: &LineAt) -> Result<Self, OpenError> {
        check(backend)?;
        match backend {
            Backend::Linux => {
                let mut line = Request::builder();
                line.on_chip(&at.chip).with_consumer(CONSUMER).with_line(at.offset).as_output(Value::Inactive);
                if at.active == ActiveLevel::Low {
                    line.as_active_low();
                }
                line.request().map(Self::Linux).map_err(|error| at.explain(&error))
            }
            Backend::RaspberryPi => {
                let pin = at.on_a_pi()?;
                // The level is there before the direction is, so the line never says yes in between.
                let pin = if at.is_high_for(false) { pin.into_output_high() } else { pin.into_output_low() };
                Ok(Self::RaspberryPi(pin, at.active))
            }
        }
    }

    fn set(&mut self, yes: bool) -> Result<(), LineFailed> {
        match self {
            Self::Linux(line) => {
                line.set_lone_value(yes.into()).map_err(|error| LineFailed(as_io(&error)))?;
            }
            Self::RaspberryPi(pin, active) if yes == (*active == ActiveLevel::High) => pin.set_high(),
            Self::RaspberryPi(pin, _) => pin.set_low(),
        }
        Ok(())
    }
}

impl ErrorType for OutputLine {
    type Error = LineFailed;
}

impl OutputPin for OutputLine {
    fn set_high(&mut self) -> Result<(), LineFailed> {
        self.set(true)
    }

    fn set_low(&mut self) -> Result<(), LineFailed> {
        self.set(false)
    }
}

/// A line that this board reads.
#[derive(Debug)]
pub enum InputLine {
    /// By the kernel's character device.
    Linux(Request),
    /// By rppal, with the level that means yes.
    RaspberryPi(rppal::gpio::InputPin, ActiveLevel),
}

impl InputLine {
    /// Opens the line.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(backend: Backend, at: &LineAt) -> Result<Self, OpenError> {
        check(backend)?;
        match backend {
            Backend::Linux => {
                let mut line = Request::builder();
                line.on_chip(&at.chip).with_consumer(CONSUMER).with_line(at.offset).as_input();
                if at.active == ActiveLevel::Low {
                    line.as_active_low();
                }
                line.request().map(Self::Linux).map_err(|error| at.explain(&error))
            }
            Backend::RaspberryPi => Ok(Self::RaspberryPi(at.on_a_pi()?.into_input(), at.active)),
        }
    }
}

impl ErrorType for InputLine {
    type Error = LineFailed;
}

impl InputPin for InputLine {
    fn is_high(&mut self) -> Result<bool, LineFailed> {
        match self {
            Self::Linux(line) => match line.lone_value() {
                Ok(value) => Ok(value == Value::Active),
                Err(error) => Err(LineFailed(as_io(&error))),
            },
            Self::RaspberryPi(pin, active) => {
                Ok(rppal::gpio::InputPin::is_high(pin) == (*active == ActiveLevel::High))
            }
        }
    }

    fn is_low(&mut self) -> Result<bool, LineFailed> {
        self.is_high().map(|is_high| !is_high)
    }
}

/// Returns what the kernel said in an error of gpiocdev's, which keeps no `io::Error`.
pub(super) fn as_io(error: &gpiocdev::Error) -> io::Error {
    if let gpiocdev::Error::Os(errno) = error {
        return io::Error::from_raw_os_error(errno.0);
    }
    io::Error::other(error.clone())
}
