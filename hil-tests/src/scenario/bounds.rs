//! The bounds of a scenario, and what a report says to them.

use super::check;
use serde::Deserialize;
use twinhelm_standby::file_error::{Document, FileError};
use twinhelm_vehicle::report::{Handover, Report};

/// What has to hold in a run; what is not named may be as it likes. The words are those of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Cycles without a command by their deadline, at most.
    pub missed_deadlines_max: Option<u64>,
    /// Those of them that a ready standby left empty, at most.
    pub uncovered_max: Option<u64>,
    /// Commands of the standby acted on while the holder stayed, at most.
    pub covers_max: Option<u64>,
    /// The same, at least.
    pub covers_min: Option<u64>,
    /// New terms adopted after a lease, at most.
    pub takeovers_max: Option<u64>,
    /// The same, at least.
    pub takeovers_min: Option<u64>,
    /// Takeovers without a reason, at most.
    pub false_takeovers_max: Option<u64>,
    /// Commands acted on that were superseded or too old, at most.
    pub stale_accepted_max: Option<u64>,
    /// Commands acted on for a cycle for the second time, at most.
    pub double_accepted_max: Option<u64>,
    /// Commands acted on that a sound law would not have given, at most.
    pub wrong_command_cycles_max: Option<u64>,
    /// The longest handover gap, at most.
    pub handover_gap_ms_max: Option<f64>,
    /// The distance from the course, at most.
    pub cross_track_error_max_m: Option<f64>,
    /// The time without a ready standby, at most.
    pub time_without_redundancy_s_max: Option<f64>,
    /// The jump of the steering command at any handover, at most.
    pub command_step_steering_rad_max: Option<f64>,
    /// Whether the vehicle comes around.
    pub course_completed: Option<bool>,
    /// Whether a standby is ready at the end.
    pub redundancy_restored: Option<bool>,
}

impl Bounds {
    /// Returns each bound that `report` breaks, in words with both numbers.
    #[must_use]
    pub fn check(&self, report: &Report) -> Vec<String> {
        let counts = [
            ("missed deadlines", report.missed_deadlines, None, self.missed_deadlines_max),
            ("uncovered cycles", report.uncovered, None, self.uncovered_max),
            ("covers", report.covers, self.covers_min, self.covers_max),
            ("takeovers", report.takeovers, self.takeovers_min, self.takeovers_max),
            ("false takeovers", report.false_takeovers, None, self.false_takeovers_max),
            ("stale commands acted on", report.stale_accepted, None, self.stale_accepted_max),
            ("commands acted on twice", report.double_accepted, None, self.double_accepted_max),
            ("wrong commands acted on", report.wrong_command_cycles, None, self.wrong_command_cycles_max),
        ];
        // Without a handover there is no gap and no step, and a bound for one is not kept.
        let largest =
            |of: fn(&Handover) -> f64| report.handovers.iter().map(of).reduce(f64::max).unwrap_or(f64::NAN);
        let gap_ms = largest(|handover| handover.handover_gap_ms);
        let step_rad = largest(|handover| handover.command_step.steering_rad);
        let off_m = report.cross_track_error_max_m;
        let alone_s = report.time_without_redundancy_s;
        let measures = [
            ("handover gap", gap_ms, self.handover_gap_ms_max, "ms"),
            ("cross-track error", off_m, self.cross_track_error_max_m, "m"),
            ("time without redundancy", alone_s, self.time_without_redundancy_s_max, "s"),
            ("step of the steering command at a handover", step_rad, self.command_step_steering_rad_max, "rad"),
        ];
        let facts = [
            ("the course was completed", report.course_completed, self.course_completed),
            ("a standby was ready at the end", report.redundancy_restored, self.redundancy_restored),
        ];
        let mut broken = Vec::new();
        for (name, count, min, max) in counts {
            if let Some(max) = max.filter(|max| count > *max) {
                broken.push(format!("{name}: {count}, at most {max} allowed"));
            }
            if let Some(min) = min.filter(|min| count < *min) {
                broken.push(format!("{name}: {count}, at least {min} expected"));
            }
        }
        for (name, value, max, unit) in measures {
            // A value that is no number keeps no bound.
            if let Some(max) = max.filter(|max| value.is_nan() || value > *max) {
                let value = if value.is_nan() { "none".to_owned() } else { format!("{value:.4} {unit}") };
                broken.push(format!("{name}: {value}, at most {max} {unit} allowed"));
            }
        }
        for (what, is, wanted) in facts {
            if wanted.is_some_and(|wanted| wanted != is) {
                broken.push(format!("{what}: {is}, expected {}", !is));
            }
        }
        broken
    }

    /// Returns the bounds that say what happens and not how soon, nor how far a command moves meanwhile: for a rig whose
    /// clock promises nothing.
    #[must_use]
    pub const fn of_order(self) -> Self {
        Self {
            missed_deadlines_max: None,
            uncovered_max: None,
            covers_max: None,
            handover_gap_ms_max: None,
            time_without_redundancy_s_max: None,
            command_step_steering_rad_max: None,
            ..self
        }
    }

    /// Checks that each bound is a number that something can be measured against.
    pub(super) fn check_ranges(&self, document: &Document<'_>) -> Result<(), FileError> {
        let measures = [
            ("handover_gap_ms_max", self.handover_gap_ms_max, 1e6),
            ("cross_track_error_max_m", self.cross_track_error_max_m, 1e3),
            ("time_without_redundancy_s_max", self.time_without_redundancy_s_max, 86_400.0),
            ("command_step_steering_rad_max", self.command_step_steering_rad_max, 2.0),
        ];
        let mut named = measures.iter().filter_map(|&(field, value, max)| Some((field, value?, max)));
        named.try_for_each(|(field, value, max)| check(document, &["bounds"], field, value, 0.0, max))
    }
}
