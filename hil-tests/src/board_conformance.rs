//! What every board's ports do, whichever backend is behind them: one suite for the simulated ports, the kernel's and rppal's.
//!
//! The functions take embedded-hal's traits, so that a rig with real pins calls them as they are. Each checks the facts of
//! one port and panics with the sentence that does not hold. What a port is wired to is said in its arguments; there is
//! nothing to skip.

use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::{Error as _, ErrorKind, I2c, Operation};
use embedded_hal::spi::SpiDevice;
use std::fmt::Debug;

/// A chip on the I2C bus that the suite may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// The chip's address.
    pub address: u8,
    /// A register of one byte that keeps what is written: of a PCA9685 the first sub-address, 0x02.
    pub register: u8,
    /// An address at which there is no chip.
    pub absent: u8,
}

/// Checks an I2C bus with a chip on it.
pub fn check_i2c<B: I2c>(bus: &mut B, scratch: Scratch) {
    let Scratch { address, register, absent } = scratch;
    let read = |bus: &mut B| {
        let mut byte = [0];
        bus.write_read(address, &[register], &mut byte).expect("the chip answers");
        byte[0]
    };
    for written in [0xA4, 0x5A, 0x00, 0xFE] {
        bus.write(address, &[register, written]).expect("the chip answers");
        assert_eq!(read(bus), written, "a register keeps what was written");
    }

    // Two writes that follow each other are one: register and value.
    let mut operations = [Operation::Write(&[register]), Operation::Write(&[0x3C])];
    bus.transaction(address, &mut operations).expect("the chip answers");
    assert_eq!(read(bus), 0x3C, "operations of one kind follow each other without a start between");

    let error = bus.write(absent, &[register, 0]).expect_err("nobody is there");
    assert!(
        matches!(error.kind(), ErrorKind::NoAcknowledge(_)),
        "who does not answer is told from a broken bus: {error:?}"
    );
    assert!(bus.read(absent, &mut [0]).is_err(), "nothing is read where nobody is");
    assert_eq!(read(bus), 0x3C, "a chip that is not there does no harm to the one that is");
}

/// Checks an output line that is wired to an input line of the same active level.
pub fn check_lines(output: &mut impl OutputPin, input: &mut impl InputPin) {
    let mut is_yes = || input.is_high().expect("the line is read");
    assert!(!is_yes(), "an output line that was just opened says no");
    for _ in 0..3 {
        output.set_high().expect("the line is set");
        assert!(is_yes(), "what is set is read");
        output.set_high().expect("the line is set");
        assert!(is_yes(), "set again it stays");
        output.set_low().expect("the line is set");
        assert!(!is_yes(), "what is set is read");
    }
}

/// Checks an SPI device whose data line out is wired to its data line in.
pub fn check_spi<D: SpiDevice>(device: &mut D)
where
    D::Error: Debug,
{
    let sent: Vec<u8> = (0..=u8::MAX).collect();
    let mut heard = vec![0; sent.len()];
    device.transfer(&mut heard, &sent).expect("a transfer");
    assert_eq!(heard, sent, "what goes out comes in");
    let mut words = sent.clone();
    device.transfer_in_place(&mut words).expect("a transfer");
    assert_eq!(words, sent, "a transfer in place sends what it was given, not zeros");
    let mut longer = [0xEE; 5];
    device.transfer(&mut longer, &[1, 2]).expect("a transfer");
    assert_eq!(longer[..2], [1, 2], "a longer answer begins with what was sent");
    device.write(&sent).expect("a write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::{SimI2c, SimLoopback, SimPca9685, SimWire};
    use twinhelm_hal::pins::ActiveLevel;

    #[test]
    fn the_simulated_ports_conform() {
        let mut bus = SimI2c::new(0x40, SimPca9685::default());
        check_i2c(&mut bus, Scratch { address: 0x40, register: 0x02, absent: 0x41 });
        for active in [ActiveLevel::Low, ActiveLevel::High] {
            let wire = SimWire::default();
            check_lines(&mut wire.output(active), &mut wire.input(active));
        }
        check_spi(&mut SimLoopback);
    }

    #[test]
    #[should_panic(expected = "says no")]
    fn a_line_with_the_wrong_level_is_found() {
        let wire = SimWire::default();
        check_lines(&mut wire.output(ActiveLevel::Low), &mut wire.input(ActiveLevel::High));
    }

    #[test]
    #[should_panic(expected = "not zeros")]
    fn a_device_that_sends_zeros_in_place_is_found() {
        /// rppal's own implementation of the trait.
        struct SendsZeros;
        impl embedded_hal::spi::ErrorType for SendsZeros {
            type Error = std::convert::Infallible;
        }
        impl SpiDevice for SendsZeros {
            fn transaction(
                &mut self,
                operations: &mut [embedded_hal::spi::Operation<'_, u8>],
            ) -> Result<(), Self::Error> {
                for operation in operations.iter_mut() {
                    if let embedded_hal::spi::Operation::TransferInPlace(words) = operation {
                        words.fill(0);
                    }
                }
                SimLoopback.transaction(operations)
            }
        }
        check_spi(&mut SendsZeros);
    }
}
