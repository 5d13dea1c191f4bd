//! Whether a recording was made with a given timing: it can be replayed with its own alone.

use super::Recording;
use serde_json::Value;
use twinhelm_standby::Parameters;

/// So many differing fields are named.
const NAMED_MAX: usize = 3;

/// A recording was made with another timing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{recording} was recorded with another configuration: {}{}; replay it with its own, which it brings along",
    .first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    if *.more > 0 { format!(", and {more} more") } else { String::new() }
)]
pub struct ConfigDiffers {
    /// The recording's name.
    pub recording: String,
    /// The first fields that differ.
    pub first: Vec<Differing>,
    /// How many more there are.
    pub more: usize,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its name.
    pub field: String,
    /// Its value in the recording.
    pub recorded: String,
    /// The other value.
    pub other: String,
}

impl std::fmt::Display for Differing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} there and {} here", self.field, self.recorded, self.other)
    }
}

impl Recording {
    /// Checks that the run had the timing `other`. The digest is left out: the law's name is part of it, and a replay
    /// runs no law.
    ///
    /// # Errors
    /// [`ConfigDiffers`] names the first fields that differ, with both values.
    pub fn same_config(&self, other: &Parameters) -> Result<(), ConfigDiffers> {
        let (recorded, other) = (fields(&self.run.parameters), fields(other));
        let mut differing = recorded.into_iter().zip(other).filter(|(one, other)| one != other).map(
            |((field, recorded), (_, other))| Differing { field, recorded: show(&recorded), other: show(&other) },
        );
        let first: Vec<Differing> = differing.by_ref().take(NAMED_MAX).collect();
        if first.is_empty() {
            return Ok(());
        }
        Err(ConfigDiffers { recording: self.name.clone(), first, more: differing.count() })
    }
}

fn fields(parameters: &Parameters) -> Vec<(String, Value)> {
    let value = serde_json::to_value(parameters).expect("a timing has a form in JSON");
    let Value::Object(fields) = value else {
        unreachable!("a struct is an object");
    };
    fields.into_iter().filter(|(name, _)| name != "digest").collect()
}

/// Returns a value as people write it: spans in ms.
fn show(value: &Value) -> String {
    let part = |name: &str| value.get(name).and_then(Value::as_u64);
    match (part("secs"), part("nanos")) {
        (Some(secs), Some(nanos)) => format!("{} ms", secs as f64 * 1e3 + nanos as f64 * 1e-6),
        (Some(_) | None, _) => value.to_string(),
    }
}
