//! An SPI device whose data line out is wired to its data line in.

use embedded_hal::spi::{ErrorType, Operation, SpiDevice};
use std::convert::Infallible;

/// A loop of wire: what goes out comes in; while nothing goes out, zeros do.
#[derive(Debug, Default)]
pub struct SimLoopback;

impl ErrorType for SimLoopback {
    type Error = Infallible;
}

impl SpiDevice for SimLoopback {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        for operation in operations {
            match operation {
                Operation::Read(words) => words.fill(0),
                Operation::Transfer(read, write) => {
                    for (index, word) in read.iter_mut().enumerate() {
                        *word = write.get(index).copied().unwrap_or(0);
                    }
                }
                // What stands there already is what comes in.
                Operation::TransferInPlace(_) | Operation::Write(_) | Operation::DelayNs(_) => {}
            }
        }
        Ok(())
    }
}
