//! The plan: what the mission is to do, as it is handed from device to device.

use crate::course::Course;
use crate::law::Tuning;
use serde::{Deserialize, Serialize};

/// A plan. Two devices that stand by for each other follow the same one: with another course their commands diverge, and neither is
/// ready for the other.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_travels_bit_for_bit() {
        let plan = Plan { version: 3, course: Course::harbour(), tuning: Tuning::default() };
        let text = serde_json::to_string(&plan).expect("it is written");
        let read: Plan = serde_json::from_str(&text).expect("it is read");
        assert_eq!(serde_json::to_string(&read).expect("it is written"), text);
    }
}
