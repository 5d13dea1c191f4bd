//! What goes wrong with frames between a device and its bus: repeated, held back, lost at some receivers.
//!
//! The World and the host rig's vehicle process pass each frame through here, so that a scenario means the same on
//! both.

use crate::fault::Lost;
use std::time::Duration;
use twinhelm_hal::frame::{COMMAND_ID, CommandFrame, Frame, GATES, STATUS_ID};
use twinhelm_hal::term::{SLOTS, Slot};

/// What the way to the bus does to a device's frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tampering {
    /// The bus repeats the last frame before the fault.
    pub repeats: bool,
    last: Option<Frame>,
    /// The next command comes once more, so much later.
    pub hold: Option<Duration>,
}

impl Tampering {
    /// Returns what reaches the bus, and how much later it does so again.
    pub fn pass(&mut self, frame: Frame) -> (Frame, Option<Duration>) {
        let Ok(command) = CommandFrame::decode(&frame) else {
            return (frame, None);
        };
        if self.repeats {
            return (self.last.unwrap_or(frame), None);
        }
        self.last = Some(frame);
        if command.probe {
            return (frame, None);
        }
        (frame, self.hold.take())
    }
}

/// Who does not hear a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostAt {
    /// Left, right.
    pub at_device: [bool; 2],
    /// The first gate.
    pub at_gate_0: bool,
}

/// The losses that are on.
#[derive(Clone, Debug, Default)]
pub struct Losses(Vec<(Slot, Lost)>);

impl Losses {
    /// Begins (`on`) or ends a loss at `slot`.
    pub fn set(&mut self, slot: Slot, what: Lost, on: bool) {
        self.0.retain(|loss| *loss != (slot, what));
        if on {
            self.0.push((slot, what));
        }
    }

    /// Returns who misses `frame`; a loss of a single frame is over with it.
    pub fn take(&mut self, frame: &Frame) -> LostAt {
        let mut lost = LostAt::default();
        if self.0.is_empty() {
            return lost;
        }
        let sender = frame.id.checked_sub(COMMAND_ID).filter(|slot| *slot < u16::from(SLOTS));
        let is_probe = CommandFrame::decode(frame).is_ok_and(|command| command.probe);
        let sender = sender.filter(|_| !is_probe);
        self.0.retain(|(slot, what)| goes_on(*slot, *what, sender, frame.id, &mut lost));
        lost
    }
}

/// Notes who misses a frame of `sender` (a command) or a status; returns whether the loss goes on.
fn goes_on(slot: Slot, what: Lost, sender: Option<u16>, id: u16, lost: &mut LostAt) -> bool {
    let device = slot.index().min(1);
    let peer = 1 - device;
    let is_command = sender == Some(u16::from(slot.number()));
    match what {
        Lost::CommandAtAll if is_command => {
            lost.at_gate_0 = true;
            lost.at_device[peer] = true;
            false
        }
        Lost::CommandAtGate if is_command => {
            lost.at_gate_0 = true;
            false
        }
        Lost::CommandAtPeer if is_command => {
            lost.at_device[peer] = true;
            false
        }
        Lost::Status if id == STATUS_ID => {
            lost.at_device[device] = true;
            false
        }
        Lost::AllStatuses => {
            lost.at_device[device] |= (STATUS_ID..STATUS_ID + u16::from(GATES)).contains(&id);
            true
        }
        Lost::CommandAtAll | Lost::CommandAtGate | Lost::CommandAtPeer | Lost::Status => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_status_is_lost_once_and_at_the_device_alone() {
        let mut losses = Losses::default();
        losses.set(Slot::RIGHT, Lost::Status, true);
        let status = Frame { id: STATUS_ID, len: 8, data: [0; 8] };
        assert_eq!(losses.take(&status), LostAt { at_device: [false, true], at_gate_0: false });
        assert_eq!(losses.take(&status), LostAt::default());
    }

    #[test]
    fn all_statuses_are_lost_until_the_fault_is_over() {
        let mut losses = Losses::default();
        losses.set(Slot::LEFT, Lost::AllStatuses, true);
        let status = Frame { id: STATUS_ID + 1, len: 8, data: [0; 8] };
        for _ in 0..3 {
            assert_eq!(losses.take(&status).at_device, [true, false]);
        }
        losses.set(Slot::LEFT, Lost::AllStatuses, false);
        assert_eq!(losses.take(&status), LostAt::default());
    }
}
