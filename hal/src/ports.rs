//! The ports of a device towards its bus, and which way leads to a board's pins.

use crate::frame::Frame;
use crate::time::Instant;

/// A frame that was heard on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Received {
    /// When it was heard, by the clock of the machine that heard it.
    pub at: Instant,
    /// What was heard.
    pub frame: Frame,
}

/// The way to a board's pins; a file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The kernel's device files: any Linux board.
    Linux,
    /// A Raspberry Pi's registers.
    RaspberryPi,
}

/// How a station's own bus controller stands: the fault confinement of ISO 11898-1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Confinement {
    /// It takes part.
    #[default]
    Active,
    /// It has made so many errors that it may no longer flag others': what it sends may not arrive. Ends with frames that
    /// get through, or with [`Confinement::Off`].
    Passive,
    /// It has taken itself off the bus: it sends nothing. Ends when it is started anew.
    Off,
}

/// A station's access to the bus.
///
/// Neither call blocks. The queue towards the bus holds one frame: a second `send` before the first is on the
/// wire replaces it, and one that has waited for a period is forgotten, because what missed its cycle is dropped, not
/// sent late.
pub trait Bus {
    /// Hands `frame` to the bus.
    fn send(&mut self, frame: Frame);

    /// Returns the next frame that was heard, in the bus's order, or `None`.
    fn receive(&mut self) -> Option<Received>;

    /// Returns how the station's controller stands. A bus without controllers has none that could fail.
    fn confinement(&self) -> Confinement {
        Confinement::Active
    }
}
