//! The figures of a benchmark run, as the program and criterion leave them, and as one file keeps them.

use serde::{Deserialize, Serialize};
use twinhelm_vehicle::report::{Quantiles, Verdict};

/// The version of the form of bench.json.
pub const SCHEMA: u32 = 1;

/// Everything that `./dev bench` measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bench {
    /// [`SCHEMA`]
    pub schema: u32,
    /// When, as `2026-11-25`.
    pub date: String,
    /// The machine, in a line.
    pub machine: String,
    /// The version that was measured.
    pub twinhelm: String,
    /// It was the short one.
    pub quick: bool,
    /// Handover gaps, by rig and profile.
    pub failover: Vec<Failover>,
    /// State from device to device, beside plain Zenoh.
    pub link: Option<Link>,
    /// What criterion measured in this process.
    pub micro: Vec<Micro>,
}

/// What `vehicle-demo failover --json` writes: one rig, one profile, each fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// The version of its form.
    pub schema: u32,
    /// `host` or `netns`.
    pub rig: String,
    /// `100hz` or `1khz`.
    pub profile: String,
    /// The machine, in a line.
    pub machine: String,
    /// The version that was measured.
    pub twinhelm: String,
    /// The control period.
    pub period_ms: f64,
    /// The gate closes after so long.
    pub command_timeout_ms: f64,
    /// The vehicle tolerates so long.
    pub ftti_ms: f64,
    /// What virtual time promises.
    pub gap_bound_ms: f64,
    /// The faults.
    pub faults: Vec<OfFault>,
}

/// The figures of one fault, in the words of docs/glossary.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfFault {
    /// The fault, as it was written.
    pub fault: String,
    /// So often.
    pub runs: usize,
    /// The handover gap of each handover.
    pub gap_ms: Vec<f64>,
    /// Detection.
    pub detection_ms: Vec<f64>,
    /// Reaction.
    pub reaction_ms: Vec<f64>,
    /// Whether the machine itself stalled meanwhile.
    pub set_aside: Vec<bool>,
    /// Covers in the whole measurement.
    pub covers: u64,
    /// Takeovers.
    pub takeovers: u64,
    /// Missed deadlines.
    pub missed_deadlines: u64,
    /// Missed although a standby was ready.
    pub uncovered: u64,
    /// Takeovers that nothing explains.
    pub false_takeovers: u64,
    /// Takeovers that a stall explains.
    pub stall_takeovers: u64,
    /// Changes of holder.
    pub handovers: usize,
    /// The longest time between two commands.
    pub longest_gap_ms: Option<f64>,
    /// How late the machine woke its most urgent thread.
    pub watcher_stall_ms: Option<Quantiles>,
    /// How often the loop that measures stood still for more than half a period.
    pub observer_stalls: u64,
    /// Bounds that were broken.
    pub broken: Vec<String>,
    /// What it came to.
    pub verdict: Verdict,
}

/// What `vehicle-demo link --json` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The version of its form.
    pub schema: u32,
    /// The machine, in a line.
    pub machine: String,
    /// How long a message is.
    pub bytes: usize,
    /// How often one of the two was sent.
    pub every_ms: f64,
    /// So many came later than the next was sent.
    pub late: u64,
    /// State, device to device.
    pub state_us: Vec<f64>,
    /// Plain Zenoh.
    pub plain_us: Vec<f64>,
    /// The first's median by the second's.
    pub ratio_of_medians: Option<f64>,
}

/// One of criterion's benchmarks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Micro {
    /// Its group and name.
    pub name: String,
    /// The median of one iteration, in ns.
    pub median_ns: f64,
    /// So many elements are in one iteration, where it has some: simulated seconds, schedules, takeovers.
    pub elements: Option<u64>,
}

impl OfFault {
    /// Returns the quantiles of the handover gap.
    #[must_use]
    pub fn gap(&self) -> Quantiles {
        Quantiles::of(self.gap_ms.clone())
    }

    /// Returns the quantiles of the gaps during which the machine did not stall.
    #[must_use]
    pub fn calm_gap(&self) -> Quantiles {
        let calm = self.gap_ms.iter().zip(&self.set_aside).filter(|(_, aside)| !**aside);
        Quantiles::of(calm.map(|(gap, _)| *gap).collect())
    }
}

impl Micro {
    /// Returns elements a second.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.elements.map(|elements| elements as f64 / (self.median_ns * 1e-9))
    }
}
