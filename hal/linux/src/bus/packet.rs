//! The packets between a bus client and its server: fixed length, little endian, one machine only.
//!
//! Both ends are built from one source, but not always at one time: what is not as described here is refused.

// What is read here came from another process.
#![deny(clippy::arithmetic_side_effects)]

use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::Received;
use twinhelm_hal::time::Instant;

/// The length of what a client sends: a frame, or who it is.
pub const TO_SERVER: usize = 16;
/// The length of what the server sends: an instant in front of a frame, or its answer.
pub const TO_CLIENT: usize = 8 + TO_SERVER;

/// What a client says first, before its station. The last byte is the version.
const HELLO: [u8; 8] = *b"twinhel\x01";
/// The highest identifier of 11 bits.
const ID_MAX: u16 = 0x7FF;
/// These are no identifiers: they mark the server's answer to a hello.
const WELCOME: u16 = 0xFFFF;
const REFUSED: u16 = 0xFFFE;

/// What the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// A frame that was on the bus.
    Frame(Received),
    /// The station is attached.
    Welcome,
    /// The station is taken.
    Refused,
}

impl ToClient {
    /// Returns the packet.
    pub fn encode(self) -> [u8; TO_CLIENT] {
        let answer = |id| (Instant::ZERO, Frame { id, len: 0, data: [0; 8] });
        let (at, frame) = match self {
            Self::Frame(Received { at, frame }) => (at, frame),
            Self::Welcome => answer(WELCOME),
            Self::Refused => answer(REFUSED),
        };
        let mut packet = [0; TO_CLIENT];
        packet[..8].copy_from_slice(&at.as_nanos().to_le_bytes());
        packet[8..].copy_from_slice(&encode_frame(&frame));
        packet
    }

    /// Reads a packet; `None` when it is none of ours.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (at, rest) = packet.split_first_chunk::<8>()?;
        match u16::from_le_bytes(*rest.first_chunk()?) {
            WELCOME => Some(Self::Welcome),
            REFUSED => Some(Self::Refused),
            _ => {
                let at = Instant::from_nanos(u64::from_le_bytes(*at));
                Some(Self::Frame(Received { at, frame: decode_frame(rest)? }))
            }
        }
    }
}

/// Returns the packet that says who the client is.
pub fn encode_hello(station: Station) -> [u8; TO_SERVER] {
    let mut packet = [0; TO_SERVER];
    packet[..8].copy_from_slice(&HELLO);
    packet[8] = station.index().to_le_bytes()[0];
    packet
}

/// Reads who the client is; `None` when it is none of ours.
pub fn decode_hello(packet: &[u8]) -> Option<Station> {
    let packet: &[u8; TO_SERVER] = packet.try_into().ok()?;
    if packet[..8] == HELLO { Station::new(packet[8]) } else { None }
}

/// Returns the packet that carries `frame`.
pub fn encode_frame(frame: &Frame) -> [u8; TO_SERVER] {
    let mut packet = [0; TO_SERVER];
    packet[..2].copy_from_slice(&frame.id.to_le_bytes());
    packet[2] = frame.len;
    packet[8..].copy_from_slice(&frame.data);
    packet
}

/// Reads a frame; `None` when no CAN frame is like that.
pub fn decode_frame(packet: &[u8]) -> Option<Frame> {
    let packet: &[u8; TO_SERVER] = packet.try_into().ok()?;
    let id = u16::from_le_bytes([packet[0], packet[1]]);
    let len = packet[2];
    if id > ID_MAX || len > 8 {
        return None;
    }
    let mut data = [0; 8];
    for (byte, sent) in data.iter_mut().zip(&packet[8..]).take(len.into()) {
        *byte = *sent;
    }
    Some(Frame { id, len, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { id: 0x7FF, len: 3, data: [1, 2, 3, 0, 0, 0, 0, 0] };

    #[test]
    fn packets_read_back_as_they_were_written() {
        assert_eq!(decode_frame(&encode_frame(&FRAME)), Some(FRAME));
        let heard = ToClient::Frame(Received { at: Instant::from_nanos(u64::MAX), frame: FRAME });
        for packet in [heard, ToClient::Welcome, ToClient::Refused] {
            assert_eq!(ToClient::decode(&packet.encode()), Some(packet));
        }
        let station = Station::new(5).unwrap();
        assert_eq!(decode_hello(&encode_hello(station)), Some(station));
    }

    #[test]
    fn what_is_no_can_frame_is_refused() {
        let packet = encode_frame(&FRAME);
        assert_eq!(decode_frame(&packet[1..]), None);
        assert_eq!(decode_frame(&encode_frame(&Frame { id: 0x800, ..FRAME })), None);
        assert_eq!(decode_frame(&encode_frame(&Frame { len: 9, ..FRAME })), None);
        assert_eq!(decode_hello(&packet), None);
        assert_eq!(ToClient::decode(&packet), None);
        assert_eq!(ToClient::decode(&[]), None);
    }

    #[test]
    fn bytes_behind_the_length_do_not_travel() {
        let untidy = Frame { data: [9; 8], ..FRAME };
        assert_eq!(decode_frame(&encode_frame(&untidy)).unwrap().data, [9, 9, 9, 0, 0, 0, 0, 0]);
    }
}
