//! An I2C bus as embedded-hal has it.

use super::open::{Kind, OpenError, check};
use embedded_hal::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::core::I2CDevice as _;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;
use twinhelm_hal::ports::Backend;

const KIND: Kind = Kind {
    group: "i2c",
    subsystem: "i2c-dev",
    remedy: "modprobe i2c-dev; on a Raspberry Pi also dtparam=i2c_arm=on in /boot/firmware/config.txt, on another board \
             the overlay that enables this bus; `i2cdetect -l` lists what is there",
};

/// An I2C bus of this board.
///
/// Open one for each chip: the kernel shares the bus between them, and the backend of the kernel would open its file anew
/// at each change of the address.
pub enum I2cBus {
    /// By `/dev/i2c-N`.
    Linux {
        /// The file.
        bus: I2cdev,
        /// The adapter knows SMBus alone, which it says at the first transfer.
        is_smbus: bool,
    },
    /// By rppal.
    RaspberryPi(rppal::i2c::I2c),
}

impl I2cBus {
    /// Opens bus `number`, which is `/dev/i2c-N`.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(backend: Backend, number: u8) -> Result<Self, OpenError> {
        check(backend)?;
        let path = PathBuf::from(format!("/dev/i2c-{number}"));
        match backend {
            Backend::Linux => {
                let bus = I2cdev::new(&path).map_err(|error| KIND.explain(&path, error.into()))?;
                Ok(Self::Linux { bus, is_smbus: false })
            }
            Backend::RaspberryPi => match rppal::i2c::I2c::with_bus(number) {
                Ok(bus) => Ok(Self::RaspberryPi(bus)),
                Err(error) => Err(KIND.explain(&path, from_rppal(error))),
            },
        }
    }
}

impl fmt::Debug for I2cBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux { .. } => "I2cBus::Linux",
            Self::RaspberryPi(_) => "I2cBus::RaspberryPi",
        })
    }
}

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
#[error("on the I2C bus")]
pub struct I2cFailed(#[source] io::Error);

impl I2cFailed {
    fn is(&self, errno: Errno) -> bool {
        Errno::from_io_error(&self.0) == Some(errno)
    }
}

impl Error for I2cFailed {
    /// By the kernel's table (Documentation/i2c/fault-codes.rst), and what its drivers really answer where nobody
    /// acknowledges: ENXIO, or as on a Raspberry Pi EREMOTEIO. Both backends would call the latter "other".
    fn kind(&self) -> ErrorKind {
        match Errno::from_io_error(&self.0) {
            Some(Errno::NXIO | Errno::REMOTEIO | Errno::NODEV) => {
                ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)
            }
            Some(Errno::AGAIN) => ErrorKind::ArbitrationLoss,
            Some(Errno::IO | Errno::BUSY | Errno::TIMEDOUT | Errno::PROTO) => ErrorKind::Bus,
            Some(_) | None => ErrorKind::Other,
        }
    }
}

impl ErrorType for I2cBus {
    type Error = I2cFailed;
}

impl I2c for I2cBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), I2cFailed> {
        match self {
            Self::Linux { bus, is_smbus } => {
                if !*is_smbus {
                    let done = I2c::<u8>::transaction(bus, address, operations);
                    let failed = done.map_err(|error| from_linux(error.inner()));
                    // An adapter without plain I2C refuses the transfer as a whole: nothing of it is on the wire.
                    *is_smbus = failed.as_ref().is_err_and(|error| error.is(Errno::OPNOTSUPP));
                    if !*is_smbus {
                        return failed;
                    }
                }
                bus.set_slave_address(address.into()).map_err(|error| from_linux(&error))?;
                by_smbus(bus, operations)
            }
            Self::RaspberryPi(bus) => {
                bus.set_slave_address(address.into()).map_err(|error| I2cFailed(from_rppal(error)))?;
                let done = match operations {
                    // rppal's own transaction would let go of the bus between the two.
                    [Operation::Write(write), Operation::Read(read)] => {
                        rppal::i2c::I2c::write_read(bus, write, read)
                    }
                    operations => I2c::transaction(bus, address, operations),
                };
                done.map_err(|error| I2cFailed(from_rppal(error)))
            }
        }
    }
}

/// Does what SMBus has a word for: transfers of one register, or of up to 32 in a row.
fn by_smbus(bus: &mut LinuxI2CDevice, operations: &mut [Operation<'_>]) -> Result<(), I2cFailed> {
    const BLOCK_MAX: usize = 32;
    let done = match operations {
        [Operation::Write([register])] => bus.smbus_write_byte(*register),
        [Operation::Write([register, value])] => bus.smbus_write_byte_data(*register, *value),
        [Operation::Write([register, values @ ..])] if (2..=BLOCK_MAX).contains(&values.len()) => {
            bus.smbus_write_i2c_block_data(*register, values)
        }
        [Operation::Write([register]), Operation::Read([value])] => {
            bus.smbus_read_byte_data(*register).map(|read| *value = read)
        }
        // Its low byte is the first on the wire.
        [Operation::Write([register]), Operation::Read([first, second])] => {
            bus.smbus_read_word_data(*register).map(|read| [*first, *second] = read.to_le_bytes())
        }
        [Operation::Write([register]), Operation::Read(values)] if values.len() <= BLOCK_MAX => {
            let length = values.len().to_le_bytes()[0];
            let read = bus.smbus_read_i2c_block_data(*register, length).map_err(|error| from_linux(&error))?;
            if read.len() != values.len() {
                return Err(I2cFailed(Errno::PROTO.into()));
            }
            values.copy_from_slice(&read);
            Ok(())
        }
        _ => return Err(I2cFailed(Errno::OPNOTSUPP.into())),
    };
    done.map_err(|error| from_linux(&error))
}

fn from_linux(error: &LinuxI2CError) -> I2cFailed {
    I2cFailed(match error {
        LinuxI2CError::Errno(errno) => io::Error::from_raw_os_error(*errno),
        LinuxI2CError::Io(error) => {
            error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
        }
    })
}

fn from_rppal(error: rppal::i2c::Error) -> io::Error {
    match error {
        rppal::i2c::Error::Io(error) => error,
        error @ (rppal::i2c::Error::InvalidSlaveAddress(_)
        | rppal::i2c::Error::FeatureNotSupported
        | rppal::i2c::Error::UnknownModel) => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_that_does_not_acknowledge_is_told_from_a_broken_bus() {
        let kind = |errno: Errno| I2cFailed(errno.into()).kind();
        let unanswered = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown);
        assert_eq!((kind(Errno::NXIO), kind(Errno::REMOTEIO)), (unanswered, unanswered));
        assert_eq!((kind(Errno::IO), kind(Errno::AGAIN)), (ErrorKind::Bus, ErrorKind::ArbitrationLoss));
        assert_eq!(kind(Errno::INVAL), ErrorKind::Other);
    }
}
