//! The actuator node on a microcontroller: frames in from a CAN controller, the gate, pulses out, status back.
//!
//! [`ActuatorNode::turn`] is the whole loop's body. It has no clock and touches no register: a chip's peripherals come in
//! by embedded-hal's and embedded-can's traits (`board.rs` of the firmware), and a test on the host puts its own in their
//! place.

#![no_std]
#![forbid(unsafe_code)]

mod frames;
#[cfg(test)]
mod tests;

use embedded_can::nb::Can;
use embedded_hal::digital::InputPin;
use frames::{from_can, to_can};
use twinhelm_hal::gate::Gate;
use twinhelm_hal::pins::{GuardedPins, Outputs, Setup};
use twinhelm_hal::time::Instant;

/// So many frames are taken in a turn at most: a bus that is flooded must not keep the e-stop line from being read. A full
/// bus of 1 Mbit/s carries one in 50 µs at the shortest, and a turn takes less.
const FRAMES_A_TURN_MAX: usize = 8;

/// A watchdog that does not depend on the program's clock. It restarts a chip whose loop hangs.
pub trait Watchdog {
    /// Has it wait anew.
    fn feed(&mut self);
}

/// A chip's peripherals, as far as the node needs them.
#[derive(Debug)]
pub struct Peripherals<C, O, S, W> {
    /// The CAN controller, with room for a status and a counter frame at once.
    pub can: C,
    /// The pins behind the gate.
    pub outputs: O,
    /// The e-stop's pin, high while it is pressed.
    pub estop: S,
    /// The watchdog, running.
    pub watchdog: W,
}

/// A vehicle's actuator node: a gate, the pins behind it, and what it hears and says.
#[derive(Debug)]
pub struct ActuatorNode<C, O: Outputs, S, W> {
    can: C,
    pins: GuardedPins<O>,
    estop: S,
    watchdog: W,
    errors: u32,
}

impl<C: Can, O: Outputs, S: InputPin, W: Watchdog> ActuatorNode<C, O, S, W> {
    /// Returns the node with `gate`, at rest.
    #[must_use]
    pub fn new(gate: Gate, setup: Setup, peripherals: Peripherals<C, O, S, W>) -> Self {
        let Peripherals { can, outputs, estop, watchdog } = peripherals;
        Self { can, pins: GuardedPins::new(gate, setup, outputs), estop, watchdog, errors: 0 }
    }

    /// Does what is to be done at `now`; to be called again and again, without a pause longer than the cover margin.
    ///
    /// The e-stop comes first, and a line that cannot be read is pressed. The watchdog is fed last: a turn that does not come
    /// to its end is no turn.
    pub fn turn(&mut self, now: Instant) {
        let pressed = self.estop.is_high().unwrap_or(true);
        self.pins.on_estop_line(now, pressed);
        for _ in 0..FRAMES_A_TURN_MAX {
            match self.can.receive() {
                Ok(frame) => {
                    if let Some(frame) = from_can(&frame) {
                        let _verdict = self.pins.on_frame(now, &frame);
                    }
                }
                Err(nb::Error::WouldBlock) => break,
                // An overrun or a bus error: the frames behind it may be good.
                Err(nb::Error::Other(_)) => self.errors = self.errors.saturating_add(1),
            }
        }
        // A node without an encoder does not know the speed.
        let _timed_out = self.pins.on_tick(now, None);
        while let Some(frame) = self.pins.outgoing(now, None) {
            // A controller whose mailboxes are full has no room for it; the next status is due in a period.
            if to_can(&frame).map(|frame| self.can.transmit(&frame)).is_none_or(|sent| sent.is_err()) {
                self.errors = self.errors.saturating_add(1);
            }
        }
        self.watchdog.feed();
    }

    /// Returns the gate and its pins.
    #[must_use]
    pub const fn pins(&self) -> &GuardedPins<O> {
        &self.pins
    }

    /// Returns how often the CAN controller failed, or had no room.
    #[must_use]
    pub const fn errors(&self) -> u32 {
        self.errors
    }
}
