//! Frames: what travels on the bus, classic CAN, 8 bytes.
//!
//! Each device and each gate sends on identifiers of its own, because two senders on one identifier would be
//! bit errors on a real bus, not arbitration. Byte 0 is a CRC over the identifier and bytes 1 to 7, so a
//! frame that was copied to another identifier does not pass. Layouts: docs/protocol.md and the vehicle's DBC.

// What is read here came over the bus.
#![deny(clippy::arithmetic_side_effects)]

use crate::signals::Signals;
use crate::term::Slot;
use crc::{CRC_8_SAE_J1850, Crc, Table};

/// The identifier of slot 0's commands; slot n has this plus n.
pub const COMMAND_ID: u16 = 0x100;
/// The identifier of gate 0's status; gate n has this plus n.
pub const STATUS_ID: u16 = 0x110;
/// The identifier of gate 0's counters; gate n has this plus n.
pub const COUNTERS_ID: u16 = 0x120;
/// How many gates one vehicle can have: the status carries two bits of gate number.
pub const GATES: u8 = 4;

/// Returns whose commands have the identifier `id`; `None` when it is none of a command.
#[must_use]
pub fn commanding_slot(id: u16) -> Option<Slot> {
    id.checked_sub(COMMAND_ID).and_then(|number| u8::try_from(number).ok()).and_then(Slot::new)
}

const CRC: Crc<u8, Table<16>> = Crc::<u8, Table<16>>::new(&CRC_8_SAE_J1850);

/// A frame as the bus carries it: an 11-bit identifier and up to 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Frame {
    /// The identifier, 11 bits. The lower one wins arbitration.
    pub id: u16,
    /// The number of bytes that count, 0 to 8.
    pub len: u8,
    /// The bytes; those behind `len` are zero.
    pub data: [u8; 8],
}

impl Frame {
    /// Returns the frame's longest time on the wire in bits, stuff bits and the gap behind it included.
    ///
    /// ISO 11898-1: 34 bits of header and CRC are stuffed together with the data, one stuff bit in four at worst;
    /// 13 more bits and the interframe gap are not.
    #[must_use]
    pub const fn bits_max(self) -> u32 {
        let stuffed = (self.len as u32).saturating_mul(8).saturating_add(34);
        stuffed.saturating_add(stuffed.saturating_sub(1) / 4).saturating_add(13)
    }
}

/// What is wrong with a frame on one of our identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The frame is not 8 bytes long.
    Length,
    /// The CRC does not belong to these bytes on this identifier.
    Crc,
    /// The identifier is none of ours, or a reserved flag is set.
    Kind,
}

/// A device's command, or its probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandFrame {
    /// Who sends: told by the identifier.
    pub slot: Slot,
    /// The term's low 8 bits.
    pub term: u8,
    /// The cycle's low 12 bits; a probe's number.
    pub cycle: u16,
    /// A probe asks each gate for an echo, and for nothing else.
    pub probe: bool,
    /// Emergency stop: safe state, latched until the local reset.
    pub estop: bool,
    /// What is asked of the actuators; zero in a probe.
    pub signals: Signals,
}

const FLAG_PROBE: u8 = 0b0001;
const FLAG_ESTOP: u8 = 0b0010;
const FLAGS_RESERVED: u8 = 0b1100;

impl CommandFrame {
    /// Returns the frame on the wire.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let flags = flag(self.probe, FLAG_PROBE) | flag(self.estop, FLAG_ESTOP);
        let mut data = [0; 8];
        data[1] = self.term;
        [data[2], data[3]] = pack_cycle(self.cycle, flags);
        let [_, _, _, _, content @ ..] = &mut data;
        content.iter_mut().zip(self.signals.bytes()).for_each(|(to, from)| *to = *from);
        sealed(COMMAND_ID + u16::from(self.slot.number()), data)
    }

    /// Reads a command frame.
    ///
    /// # Errors
    /// [`Malformed`] says what does not fit.
    pub fn decode(frame: &Frame) -> Result<Self, Malformed> {
        let slot = u8::try_from(frame.id.wrapping_sub(COMMAND_ID)).ok().and_then(Slot::new);
        let slot = slot.ok_or(Malformed::Kind)?;
        check_seal(frame)?;
        let data = &frame.data;
        let (cycle, flags) = unpack_cycle([data[2], data[3]]);
        if flags & FLAGS_RESERVED != 0 {
            return Err(Malformed::Kind);
        }
        Ok(Self {
            slot,
            term: data[1],
            cycle,
            probe: flags & FLAG_PROBE != 0,
            estop: flags & FLAG_ESTOP != 0,
            signals: Signals::from_bytes(&[data[4], data[5], data[6], data[7]]),
        })
    }
}

/// The last probe that a gate heard: whose, and its number. Number 0 is never sent and means "none yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who sent the probe.
    pub slot: Slot,
    /// The probe's number, 1 to 63.
    pub number: u8,
}

/// How many numbers the echo can carry; a probe's number counts from 1 to this less one.
pub const PROBE_RANGE: u8 = 64;

/// A gate's status, to all stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusFrame {
    /// Which gate: told by the identifier, and by byte 4.
    pub gate: u8,
    /// The low 8 bits of the term that the gate has adopted; 0 when it knows none.
    pub term: u8,
    /// The low 12 bits of the last cycle that it acted on.
    pub cycle: u16,
    /// It acts on commands.
    pub open: bool,
    /// It knows a term.
    pub term_known: bool,
    /// It holds the actuators in the safe state.
    pub safe_state: bool,
    /// It was stopped by an e-stop and waits for the local reset.
    pub estop: bool,
    /// The last probe that it heard.
    pub echo: Option<Echo>,
    /// The vehicle's speed in mm/s, as the actuator node knows it; the safe state needs it.
    pub speed_mm_s: i16,
}

impl StatusFrame {
    /// Returns the frame on the wire.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let flags = flag(self.open, 1) | flag(self.term_known, 2) | flag(self.safe_state, 4) | flag(self.estop, 8);
        let mut data = [0; 8];
        data[1] = self.term;
        [data[2], data[3]] = pack_cycle(self.cycle, flags);
        data[4] = self.gate % GATES;
        data[5] = self.echo.map_or(0, |echo| (echo.number % PROBE_RANGE) << 2 | echo.slot.number());
        [data[6], data[7]] = self.speed_mm_s.to_le_bytes();
        sealed(STATUS_ID + u16::from(self.gate % GATES), data)
    }

    /// Reads a status frame.
    ///
    /// # Errors
    /// [`Malformed`] says what does not fit.
    pub fn decode(frame: &Frame) -> Result<Self, Malformed> {
        let gate = u8::try_from(frame.id.wrapping_sub(STATUS_ID)).map_err(|_| Malformed::Kind)?;
        if gate >= GATES {
            return Err(Malformed::Kind);
        }
        check_seal(frame)?;
        let data = &frame.data;
        if data[4] != gate {
            return Err(Malformed::Kind);
        }
        let (cycle, flags) = unpack_cycle([data[2], data[3]]);
        let number = data[5] / 4;
        Ok(Self {
            gate,
            term: data[1],
            cycle,
            open: flags & 1 != 0,
            term_known: flags & 2 != 0,
            safe_state: flags & 4 != 0,
            estop: flags & 8 != 0,
            echo: (number != 0).then_some(Echo { slot: Slot::from_low_bits(data[5]), number }),
            speed_mm_s: i16::from_le_bytes([data[6], data[7]]),
        })
    }
}

/// Three of a gate's drop counters; `group` says which three, so that a few frames carry them all in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersFrame {
    /// Which gate: told by the identifier.
    pub gate: u8,
    /// Which three counters.
    pub group: u8,
    /// The counters' low 16 bits.
    pub counters: [u16; 3],
}

impl CountersFrame {
    /// Returns the frame on the wire.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let mut data = [0; 8];
        data[1] = self.group;
        [data[2], data[3]] = self.counters[0].to_le_bytes();
        [data[4], data[5]] = self.counters[1].to_le_bytes();
        [data[6], data[7]] = self.counters[2].to_le_bytes();
        sealed(COUNTERS_ID + u16::from(self.gate % GATES), data)
    }

    /// Reads a counters frame.
    ///
    /// # Errors
    /// [`Malformed`] says what does not fit.
    pub fn decode(frame: &Frame) -> Result<Self, Malformed> {
        let gate = u8::try_from(frame.id.wrapping_sub(COUNTERS_ID)).map_err(|_| Malformed::Kind)?;
        if gate >= GATES {
            return Err(Malformed::Kind);
        }
        check_seal(frame)?;
        let data = &frame.data;
        Ok(Self {
            gate,
            group: data[1],
            counters: [
                u16::from_le_bytes([data[2], data[3]]),
                u16::from_le_bytes([data[4], data[5]]),
                u16::from_le_bytes([data[6], data[7]]),
            ],
        })
    }
}

const fn flag(is_set: bool, flag: u8) -> u8 {
    if is_set { flag } else { 0 }
}

/// Returns the cycle's 12 bits with four flags above them, low byte first.
fn pack_cycle(cycle: u16, flags: u8) -> [u8; 2] {
    ((cycle & 0x0FFF) | (u16::from(flags & 0x0F) << 12)).to_le_bytes()
}

fn unpack_cycle(bytes: [u8; 2]) -> (u16, u8) {
    let word = u16::from_le_bytes(bytes);
    (word & 0x0FFF, (word >> 12).to_le_bytes()[0])
}

/// Returns `data` on `id` with its CRC in byte 0.
fn sealed(id: u16, mut data: [u8; 8]) -> Frame {
    data[0] = crc_of(id, &data);
    Frame { id, len: 8, data }
}

fn check_seal(frame: &Frame) -> Result<(), Malformed> {
    if frame.len != 8 {
        return Err(Malformed::Length);
    }
    if frame.data[0] != crc_of(frame.id, &frame.data) {
        return Err(Malformed::Crc);
    }
    Ok(())
}

/// Returns the CRC-8 (SAE J1850) over the identifier, low byte first, and bytes 1 to 7.
fn crc_of(id: u16, data: &[u8; 8]) -> u8 {
    let mut digest = CRC.digest();
    digest.update(&id.to_le_bytes());
    digest.update(&data[1..]);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> CommandFrame {
        CommandFrame {
            slot: Slot::RIGHT,
            term: 0xA5,
            cycle: 0xABC,
            probe: false,
            estop: true,
            signals: Signals::of_16_bits([-1234, 4321]),
        }
    }

    fn status() -> StatusFrame {
        StatusFrame {
            gate: 1,
            term: 0x5A,
            cycle: 0x123,
            open: true,
            term_known: true,
            safe_state: false,
            estop: false,
            echo: Some(Echo { slot: Slot::RIGHT, number: 63 }),
            speed_mm_s: -2500,
        }
    }

    #[test]
    fn frames_read_back_as_they_were_written() {
        assert_eq!(CommandFrame::decode(&command().encode()), Ok(command()));
        assert_eq!(StatusFrame::decode(&status().encode()), Ok(status()));
        let counters = CountersFrame { gate: 3, group: 2, counters: [1, 65_535, 7] };
        assert_eq!(CountersFrame::decode(&counters.encode()), Ok(counters));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for frame in [command().encode(), status().encode()] {
            for bit in 0..64 {
                let mut broken = frame;
                broken.data[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(CommandFrame::decode(&broken).ok(), None, "bit {bit}");
                assert_eq!(StatusFrame::decode(&broken).ok(), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_frame_copied_to_another_identifier_does_not_pass() {
        let mut copied = command().encode();
        copied.id = COMMAND_ID;
        assert_eq!(CommandFrame::decode(&copied), Err(Malformed::Crc));
    }

    #[test]
    fn what_is_not_ours_is_named() {
        let mut frame = command().encode();
        frame.len = 7;
        assert_eq!(CommandFrame::decode(&frame), Err(Malformed::Length));
        frame.id = 0x7FF;
        assert_eq!(CommandFrame::decode(&frame), Err(Malformed::Kind));
        let mut data = command().encode().data;
        data[3] |= 0x80;
        assert_eq!(CommandFrame::decode(&sealed(COMMAND_ID + 1, data)), Err(Malformed::Kind));
    }

    #[test]
    fn the_crc_is_the_one_of_the_standard() {
        // SAE J1850's check value for "123456789".
        assert_eq!(CRC.checksum(b"123456789"), 0x4B);
    }

    #[test]
    fn a_full_frame_takes_135_bits_at_worst() {
        assert_eq!(command().encode().bits_max(), 135);
    }
}
