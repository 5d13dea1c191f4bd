//! Whether the mission data that was acknowledged in a run is there at its end.

use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_standby::AgentReport;
use twinhelm_standby::data::{Amount, DataReport, Position};
use twinhelm_vehicle::report::device_name;

/// What the devices' agents have said that is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    devices: [Amount; SLOTS as usize],
    state: Option<Position>,
    keeps_any: bool,
}

/// What `twinhelm data check --json` says.
#[derive(Deserialize)]
struct Listing {
    devices: Vec<Checked>,
}

/// What it says of a device.
#[derive(Deserialize)]
struct Checked {
    device: String,
    newest_state: Option<Position>,
    acknowledged: Amount,
    retired: Amount,
    whole: Amount,
}

impl Acknowledged {
    /// Takes in what an agent says of itself.
    pub fn on_report(&mut self, slot: Slot, report: &AgentReport) {
        let Some(DataReport { acknowledged, acknowledged_snapshot, .. }) = &report.data else { return };
        self.keeps_any = true;
        let most = &mut self.devices[slot.index()];
        if acknowledged.bytes > most.bytes {
            *most = *acknowledged;
        }
        self.state = self.state.max(*acknowledged_snapshot);
    }

    /// Reads all that object storage has, and returns how many bytes of what was acknowledged are not there; `None` where none was
    /// kept.
    ///
    /// What is on the disks is not asked: the devices that lived to the end have uploaded it.
    ///
    /// # Errors
    /// In words, why it cannot be read back: then nobody knows what is lost.
    pub fn lost_bytes(&self, twinhelm: &Path, storage: &str) -> Result<Option<u64>, String> {
        if !self.keeps_any {
            return Ok(None);
        }
        let output = Command::new(twinhelm).args(["data", "check", "--json", "--storage", storage]).output();
        let output = output.map_err(|error| format!("running {}: {error}", twinhelm.display()))?;
        // It answers with 1 when something is missing, and says what.
        let found: Listing = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{storage}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        Ok(Some(self.missing_in(&found.devices)))
    }

    fn missing_in(&self, found: &[Checked]) -> u64 {
        let all = (0..SLOTS).filter_map(Slot::new);
        let missing: u64 = all
            .map(|slot| {
                let of = found.iter().find(|checked| checked.device == device_name(slot));
                let there = of.map_or(0, |checked| checked.whole.bytes + checked.retired.bytes);
                // What the manifest acknowledges counts, whether or not an agent had the time to say so.
                let listed = of.map_or(0, |checked| checked.acknowledged.bytes);
                self.devices[slot.index()].bytes.max(listed).saturating_sub(there)
            })
            .sum();
        let newest = found.iter().filter_map(|checked| checked.newest_state).max();
        // A state that was acknowledged, and that nothing as new has replaced.
        missing + if newest < self.state { STATE_BYTES } else { 0 }
    }
}

/// A state counts as so many bytes: about what a snapshot of the demo's has.
const STATE_BYTES: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::term::Term;

    fn amount(bytes: u64) -> Amount {
        Amount { pieces: 1, bytes }
    }

    fn position(cycle: u64) -> Position {
        Position { term: Term::new(0), cycle: Cycle::new(cycle) }
    }

    fn left(acknowledged: u64, whole: u64, retired: u64, state: u64) -> Checked {
        let (device, newest_state) = ("left".to_owned(), Some(position(state)));
        let [acknowledged, whole, retired] = [acknowledged, whole, retired].map(amount);
        Checked { device, newest_state, acknowledged, retired, whole }
    }

    #[test]
    fn what_cannot_be_read_back_is_told() {
        let told = Acknowledged { keeps_any: true, ..Acknowledged::default() };
        // A program that answers nothing, as one whose storage is gone.
        assert!(told.lost_bytes(Path::new("/bin/true"), "nowhere").unwrap_err().contains("nowhere"));
        assert_eq!(Acknowledged::default().lost_bytes(Path::new("/bin/true"), "nowhere"), Ok(None));
    }

    #[test]
    fn whatever_was_acknowledged_and_is_not_there_is_counted() {
        let mut told = Acknowledged { state: Some(position(10)), keeps_any: true, ..Acknowledged::default() };
        told.devices[0] = amount(100);
        assert_eq!(told.missing_in(&[left(100, 60, 40, 10)]), 0, "what was replaced is not missed");
        assert_eq!(told.missing_in(&[left(100, 50, 40, 10)]), 10, "a piece is damaged");
        assert_eq!(told.missing_in(&[left(80, 60, 20, 10)]), 20, "the manifest has forgotten something");
        assert_eq!(told.missing_in(&[left(120, 60, 40, 10)]), 20, "it lists what is not there");
        assert_eq!(told.missing_in(&[left(100, 60, 40, 9)]), STATE_BYTES, "a newer state was acknowledged");
        assert_eq!(told.missing_in(&[]), 100 + STATE_BYTES);
    }
}
