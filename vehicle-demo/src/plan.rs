//! The plan: what the mission is to do, as it is handed from device to device.

use crate::course::Course;
use crate::law::Tuning;
use serde::{Deserialize, Serialize};

/// A plan. Two devices that stand by for each other follow the same one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Grows with each change, and with each new drive: a mission of the same version goes on where it was.
    pub version: u64,
    /// The course to drive.
    pub course: Course,
    /// The demo law's gains.
    pub tuning: Tuning,
}

impl Plan {
    /// Returns `digest` with the plan in it (FNV-1a over the version): devices with different plans are no pair.
    #[must_use]
    pub fn mixed_into(&self, digest: u64) -> u64 {
        let bytes = self.version.to_le_bytes();
        bytes.into_iter().fold(digest, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_travels_bit_for_bit_and_another_version_is_another_mission() {
        let plan = Plan { version: 3, course: Course::harbour(), tuning: Tuning::default() };
        let text = serde_json::to_string(&plan).expect("it is written");
        let read: Plan = serde_json::from_str(&text).expect("it is read");
        assert_eq!(serde_json::to_string(&read).expect("it is written"), text);
        let next = Plan { version: 4, ..plan.clone() };
        assert_ne!(plan.mixed_into(7), next.mixed_into(7));
    }
}
