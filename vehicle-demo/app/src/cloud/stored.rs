//! What object storage has of the missions, for the page: `twinhelm data ls` looks again and again, and says it.
//!
//! A program of its own, because this one is the mission, too, and an image has no use for a client of S3.

use super::{Shared, locked};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use twinhelm_vehicle::plan::Plan;

/// So often it looks, in seconds.
const LOOK_EVERY: &str = "3";

/// What was found last.
#[derive(Clone, Default, Serialize)]
pub(super) struct Found {
    storage: String,
    /// The version of the plan.
    plan: Option<u64>,
    devices: Vec<serde_json::Value>,
    problem: Option<String>,
    #[serde(skip)]
    pub(super) outline: Option<Vec<[f64; 2]>>,
}

/// A line of what `twinhelm data ls --json --watch` says.
#[derive(Deserialize)]
struct Line {
    plan: Option<Plan>,
    devices: Vec<serde_json::Value>,
    problem: Option<String>,
}

impl Found {
    /// Takes in a line. What was found before stays, with what is wrong now.
    fn take_in(&mut self, line: &str) {
        match serde_json::from_str::<Line>(line) {
            Ok(Line { problem: Some(problem), .. }) => self.problem = Some(problem),
            Ok(Line { plan, devices, problem: None }) => {
                if let Some(plan) = plan {
                    self.plan = Some(plan.version);
                    self.outline = Some(plan.course.outline().map(|(x_m, y_m)| [x_m, y_m]).collect());
                }
                (self.devices, self.problem) = (devices, None);
            }
            Err(error) => self.problem = Some(format!("what twinhelm says cannot be read: {error}")),
        }
    }
}

/// The program that looks. Dropping it ends it.
pub(super) struct Watched(Child);

impl Watched {
    /// Starts it; what it says goes to `ledger`.
    pub(super) fn start(storage: &str, vehicle: &str, ledger: &Shared) -> io::Result<Self> {
        let twinhelm = std::env::current_exe()?.with_file_name("twinhelm");
        let mut child = Command::new(twinhelm)
            .args(["data", "ls", "--json", "--watch", LOOK_EVERY, "--storage", storage, "--vehicle", vehicle])
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let Some(output) = child.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let (ledger, storage) = (Arc::clone(ledger), storage.to_owned());
        let read = move || {
            let mut found = Found { storage, ..Found::default() };
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                found.take_in(&line);
                locked(&ledger).on_stored(found.clone());
            }
            found.problem = Some("twinhelm, which looks at it, has ended: its message is in the log".to_owned());
            locked(&ledger).on_stored(found);
        };
        std::thread::Builder::new().name("storage".to_owned()).spawn(read)?;
        Ok(Self(child))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // One that has ended is ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_that_is_away_is_said_and_what_was_there_stays() {
        let mut found = Found::default();
        found.take_in(r#"{"plan":null,"devices":[{"device":"left"}],"problem":null}"#);
        found.take_in(r#"{"plan":null,"devices":[],"problem":"away"}"#);
        assert_eq!((found.devices.len(), found.problem.as_deref()), (1, Some("away")));
        found.take_in(r#"{"plan":null,"devices":[],"problem":null}"#);
        assert_eq!((found.devices.len(), found.problem.as_deref()), (0, None));
        found.take_in("nonsense");
        assert!(found.problem.is_some_and(|problem| problem.contains("cannot be read")));
    }
}
