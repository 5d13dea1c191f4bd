//! Recordings: everything that a run was told and decided, as an MCAP file, and what can be done with one.
//!
//! A [`Recorder`] turns what happens into bytes that somebody else writes to a file; [`Recording::read`] reads them
//! again. [`replay`] feeds the inputs to fresh nodes and gates and compares decision by decision (invariant 8);
//! [`explain`] tells in words what each device knew, when, and why it decided so. Nothing here touches a file.
//!
//! The file is for others as well: Foxglove shows it with [`LAYOUT`], and Python's `mcap` reads it without us.
//!
//! | Topic | Encoding | What |
//! |---|---|---|
//! | `/run`, `/run/begins`, `/report`, `/lost` | JSON | the run, its time zero, its figures, what found no place |
//! | `/gate/N/decision` | JSON | commands acted on, frames dropped, closings, restarts, terms of other gates |
//! | `/gate/N/input` | JSON | each frame that a gate judged and what it answered, for `replay` |
//! | `/device/NAME/step` | JSON | a turn: each input of the node with its effects, for `replay` |
//! | `/device/NAME/sample` | JSON | header, readings, the law's memory and the command, as published |
//! | `/device/NAME/role`, `ready`, `down`, `sent`, `told`, `wrong` | JSON | the device's events |
//! | `/fault`, `/stall`, `/phase`, `/truth` | JSON | the rig's events |
//! | `/odom`, `/device/NAME/odom` | CDR | `nav_msgs/msg/Odometry`: the truth; what a device reads, 50 times a second |
//! | `/drive`, `/device/NAME/drive` | CDR | `ackermann_msgs/msg/AckermannDriveStamped`: acted on at gate 0; sent |
//! | `/imu`, `/battery` | CDR | `sensor_msgs/msg/Imu`, an ideal one; `sensor_msgs/msg/BatteryState`, once a second |
//! | `/diagnostics` | CDR | `diagnostic_msgs/msg/DiagnosticArray`: the devices' roles and readiness |
//!
//! A message's log time is the rig's time plus [`RunHeader::epoch_ns`]; the publish time of a step is the device's.

// Whatever a file says comes through here.
#![deny(clippy::arithmetic_side_effects)]

mod diagnosis;
mod explain;
mod lines;
mod reader;
mod recorder;
mod replay;
mod ros;
mod same_config;
mod topic;
mod words;

pub use explain::{Line, Part, explain};
pub use lines::Step;
pub use reader::{Ended, Judged, Life, Recording, RecordingError};
pub use recorder::Recorder;
pub use replay::{Difference, Place, Replayed, replay, replay_variant};
pub use same_config::{ConfigDiffers, Differing};

use serde::{Deserialize, Serialize};
use twinhelm_standby::Parameters;

/// The version of what the JSON messages look like. Since 2 a command is the bytes of its signals in hexadecimal digits; before, it was the two
/// numbers that a car has. What is read is what has been written since [`SCHEMA_MIN`].
pub const SCHEMA: u32 = 2;
/// The oldest version that is read.
pub const SCHEMA_MIN: u32 = 1;

/// A layout for Foxglove that shows a recording: commands, roles, the course, diagnostics.
pub const LAYOUT: &str = include_str!("recording/foxglove-layout.json");

/// What a recording says of its run before anything happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The rig, as in the report.
    pub rig: String,
    /// The seed.
    pub seed: u64,
    /// The machine, in a line.
    pub machine: String,
    /// `none`, `fresh` or `hot`.
    pub standby: String,
    /// The timing that nodes and gates ran with.
    pub parameters: Parameters,
    /// The length of the course.
    pub course_length_m: f64,
    /// The Unix time of the rig's instant 0 in ns, so that a file shows the date; 0 in virtual time, so that a seed
    /// gives the same bytes each time.
    pub epoch_ns: u64,
}
