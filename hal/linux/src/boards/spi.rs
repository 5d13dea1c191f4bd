//! A device on SPI as embedded-hal has it.

use super::open::{Kind, OpenError, check};
use embedded_hal::spi::{Error, ErrorKind, ErrorType, Operation, SpiDevice};
use linux_embedded_hal::SpidevDevice;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use rppal::spi::{Bus, Segment, SlaveSelect};
use std::fmt;
use std::io;
use std::path::PathBuf;
use twinhelm_hal::ports::Backend;

const KIND: Kind = Kind {
    group: "spi",
    subsystem: "spidev",
    remedy: "on a Raspberry Pi dtparam=spi=on in /boot/firmware/config.txt, on another board the overlay that enables \
             this bus with a spidev on it",
};

/// Where a device is on SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiAt {
    /// The bus: the N of `/dev/spidevN.M`.
    pub bus: u8,
    /// Its chip select: the M.
    pub select: u8,
    /// The clock in Hz, at most.
    pub clock_hz: u32,
}

/// A device on SPI, mode 0 and the highest bit first.
pub enum Spi {
    /// By `/dev/spidevN.M`.
    Linux(SpidevDevice),
    /// By rppal.
    RaspberryPi(rppal::spi::Spi),
}

impl Spi {
    /// Opens the device.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(backend: Backend, at: SpiAt) -> Result<Self, OpenError> {
        check(backend)?;
        let path = PathBuf::from(format!("/dev/spidev{}.{}", at.bus, at.select));
        match backend {
            Backend::Linux => {
                let opened = SpidevDevice::open(&path).map_err(|error| KIND.explain(&path, as_io(&error)));
                let mut device = opened?;
                let mode = SpiModeFlags::SPI_MODE_0;
                let options = SpidevOptions::new().max_speed_hz(at.clock_hz).mode(mode).build();
                device.configure(&options).map_err(|source| KIND.explain(&path, source))?;
                Ok(Self::Linux(device))
            }
            Backend::RaspberryPi => {
                let (bus, select) = numbered(at)?;
                match rppal::spi::Spi::new(bus, select, at.clock_hz, rppal::spi::Mode::Mode0) {
                    Ok(device) => Ok(Self::RaspberryPi(device)),
                    Err(error) => Err(KIND.explain(&path, from_rppal(error))),
                }
            }
        }
    }
}

fn numbered(at: SpiAt) -> Result<(Bus, SlaveSelect), OpenError> {
    let bus = match at.bus {
        0 => Some(Bus::Spi0),
        1 => Some(Bus::Spi1),
        2 => Some(Bus::Spi2),
        3 => Some(Bus::Spi3),
        4 => Some(Bus::Spi4),
        5 => Some(Bus::Spi5),
        6 => Some(Bus::Spi6),
        _ => None,
    };
    let select = match at.select {
        0 => Some(SlaveSelect::Ss0),
        1 => Some(SlaveSelect::Ss1),
        2 => Some(SlaveSelect::Ss2),
        _ => None,
    };
    bus.zip(select).ok_or_else(|| OpenError::Setting {
        what: format!("SPI bus {} with chip select {} on a Raspberry Pi", at.bus, at.select),
        instead: "buses are 0 to 6, chip selects 0 to 2",
    })
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux(_) => "Spi::Linux",
            Self::RaspberryPi(_) => "Spi::RaspberryPi",
        })
    }
}

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
#[error("on SPI")]
pub struct SpiFailed(#[source] io::Error);

impl Error for SpiFailed {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Spi {
    type Error = SpiFailed;
}

impl SpiDevice for Spi {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), SpiFailed> {
        match self {
            Self::Linux(device) => device.transaction(operations).map_err(|error| SpiFailed(as_io(&error))),
            Self::RaspberryPi(device) => on_a_pi(device, operations),
        }
    }
}

/// Runs one transaction by rppal's segments. Its own implementation of the trait sends zeros in a transfer in place.
fn on_a_pi(device: &rppal::spi::Spi, operations: &mut [Operation<'_, u8>]) -> Result<(), SpiFailed> {
    let clock_hz = device.clock_speed().map_err(|error| SpiFailed(from_rppal(error)))?;
    let outgoing: Vec<Option<Vec<u8>>> = operations
        .iter()
        .map(|operation| match operation {
            Operation::TransferInPlace(words) => Some(words.to_vec()),
            Operation::Read(_) | Operation::Write(_) | Operation::Transfer(..) | Operation::DelayNs(_) => None,
        })
        .collect();
    let segments: Vec<Segment<'_, '_>> = operations
        .iter_mut()
        .zip(&outgoing)
        .map(|(operation, outgoing)| match operation {
            Operation::Read(read) => Segment::with_read(read),
            Operation::Write(write) => Segment::with_write(write),
            Operation::Transfer(read, write) => Segment::new(read, write),
            Operation::TransferInPlace(words) => Segment::new(words, outgoing.as_deref().unwrap_or_default()),
            Operation::DelayNs(ns) => {
                let us = u16::try_from(ns.div_ceil(1_000)).unwrap_or(u16::MAX);
                Segment::with_settings(None, None, clock_hz, us, 8, false)
            }
        })
        .collect();
    device.transfer_segments(&segments).map_err(|error| SpiFailed(from_rppal(error)))
}

fn as_io(error: &linux_embedded_hal::SPIError) -> io::Error {
    let inner = error.inner();
    inner.raw_os_error().map_or_else(|| inner.kind().into(), io::Error::from_raw_os_error)
}

fn from_rppal(error: rppal::spi::Error) -> io::Error {
    match error {
        rppal::spi::Error::Io(error) => error,
        error @ (rppal::spi::Error::BitsPerWordNotSupported(_)
        | rppal::spi::Error::BitOrderNotSupported(_)
        | rppal::spi::Error::ClockSpeedNotSupported(_)
        | rppal::spi::Error::ModeNotSupported(_)
        | rppal::spi::Error::PolarityNotSupported(_)) => io::Error::other(error),
    }
}
