//! The bytes of a message: one byte of version, then postcard.
//!
//! The version covers the layout of everything that is sent here. Two devices of different versions hear each other
//! and know it, which is all that they can know.

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use postcard::ser_flavors::Size;
use postcard::serialize_with_flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::GATES;
use twinhelm_hal::signals::{Divergence, Layout};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_standby::{FencedBy, Header, NotReady, Published, Relayed, RoleName, Sample};

/// The version of the layout: the first byte of each message. Changes with any type that is sent.
pub const VERSION: u8 = 3;

/// How many bytes a message may have: three times what the demo's takes, and well below one Ethernet frame.
pub const BYTES_MAX: usize = 512;

/// What a law's state and memory must be, so that they can travel.
///
/// Holds for each `State` and `Memory` of a `twinhelm_control::Controller`.
pub trait Carried: Copy + Send + Serialize + DeserializeOwned + 'static {}

impl<T: Copy + Send + Serialize + DeserializeOwned + 'static> Carried for T {}

/// A message is too large for the wire's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes does not fit: at most {BYTES_MAX}; make the law's state or memory smaller")]
pub struct TooLarge {
    /// How many bytes it takes.
    pub bytes: usize,
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decoded<T> {
    /// They are this.
    Read(T),
    /// They are of another version, and nothing more is known.
    OtherVersion,
    /// They are no message: empty, cut short, too long, or out of a type's range.
    Malformed,
}

/// Returns the bytes of `value`, written into `buffer`.
///
/// # Errors
/// It does not fit.
pub fn encode<'a, T: Serialize>(value: &T, buffer: &'a mut [u8; BYTES_MAX]) -> Result<&'a [u8], TooLarge> {
    buffer[0] = VERSION;
    match postcard::to_slice(value, &mut buffer[1..]) {
        Ok(body) => {
            let bytes = body.len().saturating_add(1);
            Ok(&buffer[..bytes])
        }
        // Postcard also refuses sequences of unknown length; a `Copy` type has none that came from `derive`.
        Err(_) => Err(TooLarge { bytes: size(value) }),
    }
}

/// Reads one message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Decoded<T> {
    match bytes {
        [] => Decoded::Malformed,
        [VERSION, body @ ..] => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Decoded::Read(value),
            Ok(_) | Err(_) => Decoded::Malformed,
        },
        _ => Decoded::OtherVersion,
    }
}

/// Returns how many bytes a sample takes that publishes `published`, under the largest header there is; `layout` is of the vehicle's
/// signals.
///
/// Ask at start-up: a sample that does not fit is never sent. Floats always take their full width; an integer takes
/// more bytes the larger it is, so give the largest that the law can have.
///
/// # Errors
/// It does not fit.
pub fn fits<S: Carried, M: Carried>(published: &Published<S, M>, layout: &Layout) -> Result<usize, TooLarge> {
    let signals = Some(layout.all_ones());
    let sample = Sample { header: largest_header(), published: Some(Published { signals, ..*published }) };
    let bytes = size(&sample);
    if bytes <= BYTES_MAX { Ok(bytes) } else { Err(TooLarge { bytes }) }
}

fn size<T: Serialize>(value: &T) -> usize {
    serialize_with_flavor(value, Size::default()).map_or(usize::MAX, |body| body.saturating_add(1))
}

fn largest_header() -> Header {
    let term = Some(Term::MAX);
    Header {
        slot: Slot::from_low_bits(SLOTS - 1),
        cycle: Cycle::new(u64::MAX),
        term,
        role: RoleName::Fenced(FencedBy::Gate),
        ready: Err(NotReady::Link),
        sent: true,
        checked: true,
        divergence: Some(Divergence { signal: u8::MAX, counts: u32::MAX }),
        disputes: true,
        digest: u64::MAX,
        relayed: [Some(Relayed { open: true, term }); GATES as usize],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::signals::Signals;
    use twinhelm_hal::signals::table::{Signal, Table};
    use twinhelm_standby::{Order, Refusal};

    static LAYOUT: Layout = Layout::of(&Table::of(&[
        Signal::of_counts("First", [-5_000, 5_000]),
        Signal::of_counts("Second", [-6_000, 4_000]),
    ]));

    type State = [f64; 4];
    type Memory = [Option<f64>; 6];

    fn published() -> Published<State, Memory> {
        Published {
            memory: [Some(0.5); 6],
            readings: [1.0, -2.0, 3.0, 2.5],
            own_readings: true,
            standstill: false,
            signals: Some(Signals::of_16_bits([i16::MIN, i16::MAX])),
        }
    }

    fn sample() -> Sample<State, Memory> {
        Sample { header: largest_header(), published: Some(published()) }
    }

    #[test]
    fn what_was_encoded_is_read_again() {
        let mut buffer = [0; BYTES_MAX];
        for sample in [sample(), Sample { published: None, ..sample() }] {
            assert_eq!(decode(encode(&sample, &mut buffer).unwrap()), Decoded::Read(sample));
        }
        let order = Order::Switchover;
        assert_eq!(decode(encode(&order, &mut buffer).unwrap()), Decoded::Read(order));
        for refusal in [Refusal::NotPrimary, Refusal::PeerNotReady(NotReady::Link)] {
            assert_eq!(decode(encode(&refusal, &mut buffer).unwrap()), Decoded::Read(refusal));
        }
    }

    #[test]
    fn a_message_cut_short_anywhere_or_too_long_is_malformed() {
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&sample(), &mut buffer).unwrap().to_vec();
        for length in 0..bytes.len() {
            assert_eq!(decode::<Sample<State, Memory>>(&bytes[..length]), Decoded::Malformed, "{length} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode::<Sample<State, Memory>>(&longer), Decoded::Malformed);
    }

    #[test]
    fn values_that_a_type_cannot_have_are_malformed() {
        let mut buffer = [0; BYTES_MAX];
        let mut bytes = encode(&sample(), &mut buffer).unwrap().to_vec();
        assert_eq!(bytes[1], SLOTS - 1, "the slot is the first thing of the header");
        bytes[1] = SLOTS;
        assert_eq!(decode::<Sample<State, Memory>>(&bytes), Decoded::Malformed);
        assert_eq!(decode::<Order>(&[VERSION, 200]), Decoded::Malformed);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let mut buffer = [0; BYTES_MAX];
        let bytes = encode(&sample(), &mut buffer).unwrap().to_vec();
        for at in 1..bytes.len() {
            for value in [0, 1, 2, 0x7F, 0x80, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = decode::<Sample<State, Memory>>(&bytes);
            }
        }
    }

    #[test]
    fn another_version_is_told_from_nonsense() {
        let mut buffer = [0; BYTES_MAX];
        let mut bytes = encode(&sample(), &mut buffer).unwrap().to_vec();
        for version in [0, VERSION + 1, 0xFF] {
            bytes[0] = version;
            assert_eq!(decode::<Sample<State, Memory>>(&bytes), Decoded::OtherVersion);
        }
    }

    #[test]
    fn a_memory_that_is_too_large_is_found_before_it_is_sent() {
        assert_eq!(fits(&published(), &LAYOUT), Ok(size(&sample())));
        let large = Published {
            memory: [[0.0_f64; 30]; 2],
            readings: 0_u8,
            own_readings: true,
            standstill: false,
            signals: None,
        };
        let error = fits(&large, &LAYOUT).unwrap_err();
        assert!(error.bytes > BYTES_MAX);
        let sample = Sample { header: largest_header(), published: Some(large) };
        assert!(encode(&sample, &mut [0; BYTES_MAX]).is_err());
    }
}
