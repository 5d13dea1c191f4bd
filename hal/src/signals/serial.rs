//! How signals, bounds and divergences are written and read: short as bytes, and in JSON as recordings keep them. What recordings held
//! before there was a table, `{"first": 1, "second": 2}` for two signals of 16 bits, is still read.

use super::{Bounds, Divergence, SIGNAL_BYTES_MAX, Signals, without_zeros};
use core::fmt;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

/// Two numbers by the names that they had.
#[derive(serde::Deserialize)]
struct Two<T> {
    first: T,
    second: T,
}

impl Serialize for Signals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(self.tidy());
        }
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 2 * SIGNAL_BYTES_MAX];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.tidy()) {
            *pair = [byte >> 4, byte & 0xF].map(|digit| DIGITS[usize::from(digit)]);
        }
        let text = text.get(..self.tidy().len().saturating_mul(2)).and_then(|text| str::from_utf8(text).ok());
        serializer.serialize_str(text.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Signals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(OfSignals)
        } else {
            deserializer.deserialize_bytes(OfSignals)
        }
    }
}

struct OfSignals;

impl<'de> Visitor<'de> for OfSignals {
    type Value = Signals;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {SIGNAL_BYTES_MAX} bytes, each as two hexadecimal digits")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Signals, E> {
        if bytes.len() > SIGNAL_BYTES_MAX {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(Signals::from_bytes(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Signals, E> {
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit.to_le_bytes()[0]);
        let mut bytes = [0; SIGNAL_BYTES_MAX];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > bytes.len() {
            return Err(E::invalid_value(de::Unexpected::Str(text), &self));
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let both = digit(*high).zip(digit(*low));
            let (high, low) = both.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
            *byte = high << 4 | low;
        }
        Ok(Signals(bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Signals, A::Error> {
        let Two { first, second } = Two::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Signals::of_16_bits([first, second]))
    }
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bounds = without_zeros(&self.0);
        let mut seq = serializer.serialize_seq(Some(bounds.len()))?;
        bounds.iter().try_for_each(|bound| seq.serialize_element(bound))?;
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(OfBounds)
        } else {
            deserializer.deserialize_seq(OfBounds)
        }
    }
}

struct OfBounds;

impl<'de> Visitor<'de> for OfBounds {
    type Value = Bounds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bound in counts for each signal, 26 at most")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounds, A::Error> {
        let mut bounds = Bounds::default();
        for bound in &mut bounds.0 {
            match seq.next_element()? {
                Some(counts) => *bound = counts,
                None => return Ok(bounds),
            }
        }
        match seq.next_element::<u32>()? {
            Some(_) => Err(de::Error::invalid_length(bounds.0.len().saturating_add(1), &self)),
            None => Ok(bounds),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bounds, A::Error> {
        let Two { first, second } = Two::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Bounds::of(&[first, second]))
    }
}

impl<'de> Deserialize<'de> for Divergence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Plain(u8, u32);
        #[derive(Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Named {
            signal: u8,
            counts: u32,
            first: u32,
            second: u32,
        }
        if !deserializer.is_human_readable() {
            let Plain(signal, counts) = Plain::deserialize(deserializer)?;
            return Ok(Self { signal, counts });
        }
        let Named { signal, counts, first, second } = Named::deserialize(deserializer)?;
        Ok(match (first, second) {
            (0, 0) => Self { signal, counts },
            // Measured by no bound; which one was farther nobody can say any more.
            _ if first >= second => Self { signal: 0, counts: first },
            _ => Self { signal: 1, counts: second },
        })
    }
}
