//! The first decision that a replay makes otherwise, with what came before it.

use serde::Serialize;
use twinhelm_hal::time::Instant;

/// The first place at which a replay answered otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub struct Difference {
    /// Whose answer.
    pub place: Place,
    /// Which of the inputs of this place, counted from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
    /// When, by the rig's clock.
    pub at: Instant,
    /// When, in seconds after the run's time zero.
    pub t_s: f64,
    /// What it was told.
    pub told: String,
    /// What it answered then.
    pub recorded: String,
    /// What it answers now.
    pub replayed: String,
    /// The steps before it, the oldest first.
    pub context: Vec<String>,
    /// So many notes are known to be missing in the recording.
    pub lost: u64,
}

/// Whose answer differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A device's node.
    Device {
        /// Which device.
        name: String,
        /// Which life of it.
        life: u32,
    },
    /// A gate.
    Gate(u8),
    /// The report that comes of the events.
    Report,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device { name, life } => write!(f, "{name}, life {life}"),
            Self::Gate(gate) => write!(f, "gate {gate}"),
            Self::Report => f.write_str("the report"),
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, index, of, t_s, told, recorded, replayed, context, lost, .. } = self;
        match place {
            Place::Report => writeln!(f, "the report comes out otherwise: {told}")?,
            Place::Device { .. } | Place::Gate(_) => {
                writeln!(f, "{place}: step {index} of {of} at {t_s:.4} s: {told}")?;
            }
        }
        writeln!(f, "  the recording answered  {recorded}")?;
        write!(f, "  the replay answers      {replayed}")?;
        if !context.is_empty() {
            write!(f, "\n  before that:")?;
        }
        for line in context {
            write!(f, "\n    {line}")?;
        }
        if *lost > 0 {
            write!(f, "\n  {lost} notes are missing in the recording; the difference may come from that")?;
        }
        Ok(())
    }
}
