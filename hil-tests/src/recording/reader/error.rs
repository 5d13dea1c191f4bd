//! Why a file cannot be read as a recording.

use twinhelm_standby::ConfigError;

/// Why a file cannot be read as a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Not MCAP at all.
    #[error("reading {name}: this is no MCAP file; name a file that `run --record` wrote")]
    NotMcap {
        /// The file.
        name: String,
    },
    /// MCAP of somebody else.
    #[error(
        "reading {name}: an MCAP file, but no recording of ours (it has no topic /run; `{library}` wrote it); name a \
         file that `run --record` wrote"
    )]
    NotOurs {
        /// The file.
        name: String,
        /// What its writer calls itself.
        library: String,
    },
    /// Cut before anything was written.
    #[error("reading {name}: it ends before the run is named, so there is nothing to read; record the run again")]
    NothingThere {
        /// The file.
        name: String,
    },
    /// Of another version.
    #[error(
        "reading {name}: a recording of schema {found}, and this program reads {reads}; read it with Twinhelm \
         {twinhelm}, which wrote it"
    )]
    Schema {
        /// The file.
        name: String,
        /// Its schema.
        found: u32,
        /// Ours.
        reads: u32,
        /// The version that wrote it.
        twinhelm: String,
    },
    /// Something in the middle is not what was written.
    #[error("reading {name}: broken near byte {near}: {cause}; copy it anew, or record the run again")]
    Broken {
        /// The file.
        name: String,
        /// Where, about.
        near: u64,
        /// What does not fit.
        cause: String,
    },
    /// A message that should be ours does not read.
    #[error(
        "reading {name}: a message on {topic} does not read: {cause}; it was changed, or written by another program"
    )]
    Message {
        /// The file.
        name: String,
        /// The message's topic.
        topic: String,
        /// What does not fit.
        cause: String,
    },
    /// A timing that no run could have had.
    #[error("reading {name}: the run's timing cannot be: {source}; the file was changed")]
    Config {
        /// The file.
        name: String,
        /// The inequality.
        source: ConfigError,
    },
    /// More than fits into memory.
    #[error("reading {name}: {gib} GiB, and at most 2 are read; record a shorter run")]
    TooLarge {
        /// The file.
        name: String,
        /// How large it is.
        gib: u64,
    },
}
