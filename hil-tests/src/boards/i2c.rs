//! An I2C bus with one chip on it: address, bytes, acknowledges.

use embedded_hal::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

/// A chip as the bus sees it.
pub trait Chip {
    /// A start condition and the chip's address: what is written next begins a transfer.
    fn start(&mut self);

    /// Takes a byte, which takes effect as the chip's datasheet says.
    fn write(&mut self, byte: u8);

    /// Gives the next byte.
    fn read(&mut self) -> u8;
}

/// How the wires to the chip are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// As they should be.
    #[default]
    Whole,
    /// The chip has no power, or a wire is off: nobody acknowledges.
    Silent,
    /// The chip acknowledges so many more bytes, and then none, for the rest of that transfer; then all is well.
    FailsAfter(usize),
    /// Every byte that is read is 0xFF: the chip answers, and its data line does not move.
    ReadsHigh,
}

/// A transfer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimFailed(pub NoAcknowledgeSource);

impl Error for SimFailed {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(self.0)
    }
}

/// A bus with one chip. Clones are handles of the same one.
#[derive(Debug)]
pub struct SimI2c<C> {
    address: u8,
    wired: Rc<RefCell<(C, Wire)>>,
}

impl<C> Clone for SimI2c<C> {
    fn clone(&self) -> Self {
        Self { address: self.address, wired: Rc::clone(&self.wired) }
    }
}

impl<C: Chip> SimI2c<C> {
    /// Returns a bus with `chip` at `address`.
    #[must_use]
    pub fn new(address: u8, chip: C) -> Self {
        Self { address, wired: Rc::new(RefCell::new((chip, Wire::Whole))) }
    }

    /// Returns the chip, to look at.
    ///
    /// # Panics
    /// When the chip is being changed, which no caller of one thread can see.
    #[must_use]
    pub fn chip(&self) -> Ref<'_, C> {
        Ref::map(self.wired.borrow(), |(chip, _)| chip)
    }

    /// Returns the chip's far side, to change what it measures.
    ///
    /// # Panics
    /// When the chip is being looked at.
    #[must_use]
    pub fn chip_mut(&self) -> RefMut<'_, C> {
        RefMut::map(self.wired.borrow_mut(), |(chip, _)| chip)
    }

    /// Has the wires be as `wire` says.
    ///
    /// # Panics
    /// When the chip is being looked at.
    pub fn set_wire(&self, wire: Wire) {
        self.wired.borrow_mut().1 = wire;
    }
}

impl<C> ErrorType for SimI2c<C> {
    type Error = SimFailed;
}

impl<C: Chip> I2c for SimI2c<C> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), SimFailed> {
        let (chip, wire) = &mut *self.wired.borrow_mut();
        if address != self.address || *wire == Wire::Silent {
            return Err(SimFailed(NoAcknowledgeSource::Address));
        }
        let mut was_write = None;
        for operation in operations {
            let is_write = matches!(operation, Operation::Write(_));
            // Two operations of one kind follow each other without a start between.
            if was_write != Some(is_write) {
                if is_write {
                    chip.start();
                }
                was_write = Some(is_write);
            }
            match operation {
                Operation::Write(bytes) => {
                    for byte in *bytes {
                        wire.acknowledge()?;
                        chip.write(*byte);
                    }
                }
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        let read = chip.read();
                        *byte = if *wire == Wire::ReadsHigh { 0xFF } else { read };
                    }
                }
            }
        }
        Ok(())
    }
}

impl Wire {
    fn acknowledge(&mut self) -> Result<(), SimFailed> {
        match self {
            Self::Whole | Self::ReadsHigh => Ok(()),
            Self::Silent => Err(SimFailed(NoAcknowledgeSource::Address)),
            Self::FailsAfter(0) => {
                *self = Self::Whole;
                Err(SimFailed(NoAcknowledgeSource::Data))
            }
            Self::FailsAfter(bytes) => {
                *bytes -= 1;
                Ok(())
            }
        }
    }
}
