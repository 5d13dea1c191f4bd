//! A board's own pins and chips: I2C, SPI, GPIO lines, and what hangs on them.
//!
//! Each port is one type with two ways behind it, chosen by [`Backend`](twinhelm_hal::ports::Backend): the kernel's device files, which every Linux
//! board has, and rppal, which speaks to a Raspberry Pi's registers. All are embedded-hal's traits to whoever uses them, so
//! that a simulated chip stands in their place in a test.
//!
//! What hangs on them: [`ServoBoard`] (a PCA9685), [`BatteryMonitor`] (an INA219), [`EncoderLines`], [`Watchdog`]. A port of
//! I2C or SPI waits for its bus and may allocate: use it on a thread of the actuators, not on the control thread.

mod battery;
mod encoder;
mod i2c;
mod lines;
mod open;
mod servo;
mod spi;
mod watchdog;

pub use battery::{Battery, BatteryError, BatteryMonitor, Plausible};
pub use encoder::EncoderLines;
pub use i2c::{I2cBus, I2cFailed};
pub use lines::{InputLine, LineAt, LineFailed, OutputLine};
pub use open::OpenError;
pub use servo::{ServoBoard, ServoBoardError, Wiring};
pub use spi::{Spi, SpiAt, SpiFailed};
pub use watchdog::{Watchdog, WatchdogError};
