//! The report once more, from the recorded events.

use super::{Difference, Place, Recording};
use serde_json::Value;
use twinhelm_hal::time::Instant;
use twinhelm_vehicle::report::Report;
use twinhelm_vehicle::report::analysis::{Setting, analyse};

/// Compares `report` with what the recorded events give.
pub(super) fn compare(recording: &Recording, end: Instant, report: &Report) -> Result<(), Box<Difference>> {
    let again = fields(&again(recording, end, report));
    let recorded = fields(report);
    let differs = |(name, value): &(&String, &Value)| again.get(*name) != Some(value);
    let Some((name, value)) = recorded.iter().find(differs) else {
        return Ok(());
    };
    Err(Box::new(Difference {
        place: Place::Report,
        index: 0,
        of: recorded.len(),
        at: end,
        t_s: end.seconds_after(recording.zero),
        told: format!("`{name}`"),
        recorded: value.to_string(),
        replayed: again.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string),
        context: Vec::new(),
        lost: recording.lost,
    }))
}

fn again(recording: &Recording, end: Instant, report: &Report) -> Report {
    // What the rig collected behind the end is in the file and not in its report; the watchers' stalls are added later.
    let mut log = recording.log.clone();
    log.cut(end, recording.config.gate_lease);
    let run = &recording.run;
    let setting = Setting {
        rig: run.rig.clone(),
        seed: run.seed,
        machine: run.machine.clone(),
        standby: run.standby.clone(),
        config: recording.config,
        zero: recording.zero,
        end,
        course_length_m: run.course_length_m,
        watcher_stall_ms: report.watcher_stall_ms,
        notes: Vec::new(),
    };
    let mut again = analyse(&log, &setting);
    // What is judged from outside the events, and who judged.
    again.broken = report.broken.clone();
    again.notes = report.notes.clone();
    again.verdict = report.verdict;
    again.twinhelm = report.twinhelm.clone();
    again
}

fn fields(report: &Report) -> serde_json::Map<String, Value> {
    match serde_json::to_value(report) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => unreachable!("a report is an object in JSON"),
    }
}
