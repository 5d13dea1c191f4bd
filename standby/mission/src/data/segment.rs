//! A segment of the recording: what a device published, as an MCAP file that any MCAP tool opens.
//!
//! Two channels: `/SLOT/header` has the protocol's part of each sample as JSON; `/SLOT/sample` has the sample as it went over the
//! wire, which only the law that wrote it can read.

// What is read here lies on a disk, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use mcap::records::MessageHeader;
use mcap::{McapError, WriteOptions, Writer};
use std::collections::BTreeMap;
use std::io::Cursor;
use twinhelm_hal::time::Instant;
use twinhelm_standby::Header;

/// A segment that is being written, in memory: on the disk it is whole, or not at all.
pub struct Segment {
    writer: Writer<Cursor<Vec<u8>>>,
    channels: BTreeMap<u8, [u16; 2]>,
    messages: u32,
    bytes: u64,
}

impl Segment {
    /// Begins a segment of what `device` publishes.
    ///
    /// # Errors
    /// The MCAP writer's.
    pub fn begin(device: &str) -> Result<Self, McapError> {
        let options = WriteOptions::new()
            .compression(None)
            .profile("twinhelm-mission-data")
            .library(concat!("twinhelm ", env!("CARGO_PKG_VERSION")));
        let mut writer = options.create(Cursor::new(Vec::new()))?;
        let about = [("device".to_owned(), device.to_owned())].into();
        writer.write_metadata(&mcap::records::Metadata { name: "twinhelm".to_owned(), metadata: about })?;
        Ok(Self { writer, channels: BTreeMap::new(), messages: 0, bytes: 0 })
    }

    /// Adds a sample that was heard at `at`, by the device's monotonic clock.
    ///
    /// # Errors
    /// The MCAP writer's.
    pub fn add(&mut self, at: Instant, header: &Header, sample: &[u8]) -> Result<(), McapError> {
        let slot = header.slot.number();
        let channels = match self.channels.get(&slot) {
            Some(channels) => *channels,
            None => {
                let schema = self.writer.add_schema("twinhelm.Header", "jsonschema", b"{\"type\":\"object\"}")?;
                let none = BTreeMap::new();
                let channels = [
                    self.writer.add_channel(schema, &format!("/{slot}/header"), "json", &none)?,
                    self.writer.add_channel(0, &format!("/{slot}/sample"), "twinhelm-wire", &none)?,
                ];
                self.channels.insert(slot, channels);
                channels
            }
        };
        let json = serde_json::to_vec(header).map_err(|error| McapError::Io(error.into()))?;
        for (channel_id, bytes) in channels.into_iter().zip([json.as_slice(), sample]) {
            let time = at.as_nanos();
            let message = MessageHeader { channel_id, sequence: self.messages, log_time: time, publish_time: time };
            self.writer.write_to_known_channel(&message, bytes)?;
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        }
        self.messages = self.messages.saturating_add(1);
        Ok(())
    }

    /// Returns about how long it is.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.bytes
    }

    /// Returns whether nothing was added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Ends it, and returns the file.
    ///
    /// # Errors
    /// The MCAP writer's.
    pub fn finish(mut self) -> Result<Vec<u8>, McapError> {
        self.writer.finish()?;
        Ok(self.writer.into_inner().into_inner())
    }
}
