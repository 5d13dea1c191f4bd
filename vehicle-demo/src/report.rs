//! The report of a run: what happened at the gate, in the words of docs/glossary.md.
//!
//! Every rig writes the same [`log::Log`]; [`analysis`] turns it into a [`Report`]; [`text`] shows it to people
//! and [`crate::plot`] draws it. Nothing here asks a device about itself: what counts is what the gate acted on.

pub mod analysis;
pub mod figure;
pub mod ladder;
pub mod log;
mod quantiles;
mod rest;
mod stalls;
pub mod text;
pub mod witness;

pub use quantiles::{BEYOND_MIN, Quantiles};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the report's form.
pub const SCHEMA: u32 = 2;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All bounds hold.
    Pass,
    /// A bound was broken; `broken` says which.
    Fail,
    /// The machine was too disturbed while the run lasted for its figures to mean anything.
    Invalid,
}

/// The report of one run. Times are in the unit that the name ends with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA`]
    pub schema: u32,
    /// What the scenario ran on: `sim`, `host` or `netns`.
    pub rig: String,
    /// The seed of noise, jitter and biases.
    pub seed: u64,
    /// The machine, in a line.
    pub machine: String,
    /// The version of this program.
    pub twinhelm: String,
    /// Which standby the run had: `none`, `fresh` or `hot`.
    pub standby: String,
    /// The control period.
    pub period_ms: f64,
    /// Control periods from the first command acted on to the end.
    pub cycles: u64,
    /// Cycles for which the gate had acted on nothing by their deadline.
    pub missed_deadlines: u64,
    /// Cycles missed while a ready standby existed.
    pub uncovered: u64,
    /// Commands of the standby acted on while the holder stayed.
    pub covers: u64,
    /// New terms adopted because the holder's lease had run out.
    pub takeovers: u64,
    /// Takeovers while no fault and no request was active, and which no recorded stalls explain.
    pub false_takeovers: u64,
    /// Takeovers while no fault was active, but for which recorded stalls left too little of a gate lease.
    pub stall_takeovers: u64,
    /// Commands acted on in a superseded term, or older than the command timeout.
    pub stale_accepted: u64,
    /// Commands acted on for a cycle that was acted on before.
    pub double_accepted: u64,
    /// Periods in which two gates named different holders beyond one status period.
    pub split_owner_cycles: u64,
    /// Commands acted on that an unfaulted law would not have given.
    pub wrong_command_cycles: u64,
    /// Time between two commands acted on.
    pub output_gap_ms: Quantiles,
    /// Each change of holder after a fault or a request.
    pub handovers: Vec<Handover>,
    /// The steps of the `fresh` baseline, or of an agent that starts a mission, as they were reached.
    pub phases: Vec<Phase>,
    /// The vehicle's fault tolerant time interval.
    pub ftti_ms: f64,
    /// The largest distance from the course in the whole run, the start included.
    pub cross_track_error_max_m: f64,
    /// The vehicle came once around.
    pub course_completed: bool,
    /// From the fault until a standby was ready again, or the end; all faults together.
    pub time_without_redundancy_s: f64,
    /// The longest time from the end of a fault until a standby was ready again, in control periods; from the first turn, where a
    /// device was started again. `None` when no fault ended, or another one began before that. The protocol promises at most
    /// [`WHOLE_AGAIN_PERIODS`](twinhelm_standby::config::WHOLE_AGAIN_PERIODS) after a single fault.
    #[serde(default)]
    pub redundancy_back_periods: Option<f64>,
    /// A standby was ready at the end.
    pub redundancy_restored: bool,
    /// How late the machine woke a thread of the highest priority; absent in virtual time.
    pub watcher_stall_ms: Option<Quantiles>,
    /// So often the vehicle's own loop, which measures, stood still for longer than half a period; 0 in virtual time.
    pub observer_stalls: u64,
    /// The longest of all its stalls above a millisecond. One longer than the gate lease makes the run invalid: takeovers
    /// come of it that no device is to blame for.
    pub observer_stall_max_ms: Option<f64>,
    /// The most that the machine and that loop together stood still within one gate lease, of stalls that were recorded. More than the
    /// lease but a period can make the gate take a healthy holder for silent.
    #[serde(default)]
    pub stalled_in_one_lease_ms: Option<f64>,
    /// What a reader has to know of how it was measured.
    pub notes: Vec<String>,
    /// Handovers during which the machine itself stalled for more than a millisecond; their figures are also
    /// among the others.
    pub handovers_set_aside: u64,
    /// Migrations onto a spare that were begun, in order.
    #[serde(default)]
    pub migrations: Vec<Migration>,
    /// Of the mission data that was acknowledged, what neither object storage nor a device that lived to the end has; `None` where
    /// none was kept, or object storage could not be read.
    #[serde(default)]
    pub mission_data_lost_bytes: Option<u64>,
    /// Frames that the gate dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// The bounds that were broken, in words.
    pub broken: Vec<String>,
    /// What it came to.
    pub verdict: Verdict,
}

/// One change of holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// The fault or request, as it was written.
    pub cause: String,
    /// Who drove.
    pub from: String,
    /// Who drives.
    pub to: String,
    /// When the fault was, in seconds after the start of the run.
    pub fault_t_s: f64,
    /// Detection: fault until the other device decided to send.
    pub fdti_ms: f64,
    /// Reaction: until that command was acted on.
    pub frti_ms: f64,
    /// Handling: detection and reaction.
    pub fhti_ms: f64,
    /// The longest output gap between the fault and the command timeout after the other device's first command.
    pub handover_gap_ms: f64,
    /// How far the first command of the new device is from the last of the old one.
    pub command_step: CommandStep,
    /// The machine itself stalled for more than a millisecond between fault and first command.
    pub stalled: bool,
}

/// A step of the `fresh` baseline, or of an agent that starts a mission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Which.
    pub name: String,
    /// When, in seconds after the start of the run.
    pub t_s: f64,
}

/// A migration: the redundancy that was lost with a device is brought back on a spare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    /// Which device was lost, if the one that orchestrated knew.
    pub from: Option<String>,
    /// Which spare joined, or resumed the mission; `None` when it ended otherwise, or not at all.
    pub to: Option<String>,
    /// How long each step took, in milliseconds, as its orchestrator's entries of the timeline came in: `detect` (from the loss
    /// of the device), `notify`, `pull`, `fetch`, `create`, `start`, `join`, `fence`. Where no controller was left: `detect`, with the
    /// wait for the safe state and the mission's data, and `resume`, until it drives.
    pub steps: BTreeMap<String, f64>,
    /// How much of the image was downloaded for it.
    pub bytes: u64,
    /// How it ended, in words.
    pub end: String,
}

/// A jump of the command at a handover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandStep {
    /// Steering angle.
    pub steering_rad: f64,
    /// Drive acceleration.
    pub drive_mps2: f64,
}

/// Returns the name of a device of the pair or of a spare.
#[must_use]
pub fn device_name(slot: twinhelm_hal::term::Slot) -> &'static str {
    match slot.number() {
        0 => "left",
        1 => "right",
        2 => "spare-2",
        _ => "spare-3",
    }
}
