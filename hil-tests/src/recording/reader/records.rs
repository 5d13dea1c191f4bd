//! A file's messages in the order of the file, as far as it is whole.

use super::super::topic::Topic;
use super::{BYTES_MAX, RecordingError};
use mcap::records::Record;
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};
use mcap::{MAGIC, McapError, parse_record};
use std::collections::HashMap;

/// How our files call their writer.
const LIBRARY: &str = "twinhelm ";

/// One message of one of our topics.
pub(super) struct Message<'a> {
    pub(super) topic: Topic,
    pub(super) log_time: u64,
    pub(super) publish_time: u64,
    pub(super) data: &'a [u8],
}

/// What there is to say of a file besides its messages.
pub(super) struct Outline {
    /// The file ends as its writer ended it.
    pub(super) whole: bool,
    /// What its writer calls itself.
    library: Option<String>,
}

impl Outline {
    /// Says what a file without a run is.
    pub(super) fn without_run(self, name: &str) -> RecordingError {
        let name = name.to_owned();
        match self.library {
            Some(library) if !library.starts_with(LIBRARY) => RecordingError::NotOurs { name, library },
            Some(_) | None => RecordingError::NothingThere { name },
        }
    }
}

/// Hands each message of `bytes` to `take`, as far as the file is whole.
pub(super) fn read(
    name: &str,
    bytes: &[u8],
    mut take: impl FnMut(&Message<'_>) -> Result<(), RecordingError>,
) -> Result<Outline, RecordingError> {
    let begins = &bytes[..bytes.len().min(MAGIC.len())];
    if begins.is_empty() || !MAGIC.starts_with(begins) {
        return Err(RecordingError::NotMcap { name: name.to_owned() });
    }
    // A chunk is handed out when all of it is there and its checksum fits: half a chunk is none.
    let options = LinearReaderOptions::default()
        .with_prevalidate_chunk_crcs(true)
        .with_record_length_limit(usize::try_from(BYTES_MAX).unwrap_or(usize::MAX));
    let mut reader = LinearReader::new_with_options(options);
    let mut topics: HashMap<u16, Option<Topic>> = HashMap::new();
    let mut outline = Outline { whole: false, library: None };
    let mut rest = bytes;
    while let Some(event) = reader.next_event() {
        let broken = |cause: McapError| RecordingError::Broken {
            name: name.to_owned(),
            near: bytes.len().saturating_sub(rest.len()) as u64,
            cause: cause.to_string(),
        };
        let (opcode, data) = match event {
            Ok(LinearReadEvent::ReadRequest(wanted)) => {
                let (now, later) = rest.split_at(wanted.min(rest.len()));
                reader.insert(now.len()).copy_from_slice(now);
                reader.notify_read(now.len());
                rest = later;
                continue;
            }
            Ok(LinearReadEvent::Record { opcode, data }) => (opcode, data),
            // A file with an end that ends too early was not cut: a length in it is wrong.
            Err(McapError::UnexpectedEof) if !bytes.ends_with(MAGIC) || bytes.len() == MAGIC.len() => {
                return Ok(outline);
            }
            Err(cause) => return Err(broken(cause)),
        };
        match parse_record(opcode, data).map_err(broken)? {
            Record::Header(header) => outline.library = Some(header.library),
            Record::Channel(channel) => {
                topics.insert(channel.id, Topic::parse(&channel.topic));
            }
            Record::Message { header, data } => {
                if let Some(Some(topic)) = topics.get(&header.channel_id) {
                    let (log_time, publish_time) = (header.log_time, header.publish_time);
                    take(&Message { topic: *topic, log_time, publish_time, data: &data })?;
                }
            }
            // Schemas are those of our topics; indexes and the summary say again where things are.
            Record::Schema { .. }
            | Record::Chunk { .. }
            | Record::MessageIndex(_)
            | Record::ChunkIndex(_)
            | Record::Attachment { .. }
            | Record::AttachmentIndex(_)
            | Record::Statistics(_)
            | Record::Metadata(_)
            | Record::MetadataIndex(_)
            | Record::SummaryOffset(_)
            | Record::DataEnd(_)
            | Record::Footer(_)
            | Record::Unknown { .. } => {}
        }
    }
    outline.whole = true;
    Ok(outline)
}
