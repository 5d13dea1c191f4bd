//! An input as numbers: taken one after the other, zero when there are none left, so that every input means something.

use twinhelm_hal::time::Duration;

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (now, later) = self.0.split_at(self.0.len().min(N));
        bytes[..now.len()].copy_from_slice(now);
        self.0 = later;
        bytes
    }

    pub(crate) fn slice(&mut self, length: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(self.0.len().min(length));
        self.0 = later;
        now
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.bytes())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.bytes())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    pub(crate) fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.bytes())
    }

    /// A span in one byte: mostly of the order of a period, seldom so long that everything has run out.
    pub(crate) fn span(&mut self) -> Duration {
        match self.u8() {
            byte @ 0..=99 => Duration::from_micros(200).saturating_mul(u32::from(byte)),
            byte @ 100..=199 => Duration::from_millis(1).saturating_mul(u32::from(byte) - 100),
            byte @ 200..=249 => Duration::from_millis(100).saturating_mul(u32::from(byte) - 200),
            250..=253 => Duration::from_secs(3_600),
            254 => Duration::from_secs(1 << 40),
            255 => Duration::from_nanos(u64::from(self.u32())),
        }
    }
}
