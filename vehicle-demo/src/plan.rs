//! The plan: what the mission is to do, as it is handed from device to device.

// The numbers come from a file.
#![deny(clippy::arithmetic_side_effects)]

use crate::course::Course;
use crate::law::Tuning;
use crate::ranges::OutOfRange;
use serde::{Deserialize, Serialize};

/// A plan. Two devices that stand by for each other follow the same one: with another course their commands diverge, and neither is
/// ready for the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Plan {
    /// Grows with each change, and with each new drive: a mission of the same version goes on where it was.
    pub version: u64,
    /// The course to drive.
    pub course: Course,
    /// The demo law's gains.
    pub tuning: Tuning,
}

/// A plan, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    course: Course,
    tuning: Tuning,
}

impl TryFrom<Written> for Plan {
    type Error = OutOfRange;

    fn try_from(Written { version, course, tuning }: Written) -> Result<Self, OutOfRange> {
        tuning.check()?;
        Ok(Self { version, course, tuning })
    }
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

    #[test]
    fn a_plan_that_no_vehicle_could_follow_is_refused() {
        type Change = fn(&mut serde_json::Value);
        let plan = Plan { version: 3, course: Course::harbour(), tuning: Tuning::default() };
        let refused = |change: Change| {
            let mut value = serde_json::to_value(&plan).expect("it is written");
            change(&mut value);
            serde_json::from_value::<Plan>(value).expect_err("no vehicle could follow it").to_string()
        };
        // The first of these once ended the mission with an index out of bounds, at the first turn.
        let none = refused(|plan| plan["course"]["samples"] = serde_json::json!([]));
        assert_eq!(none, "the course has 0 samples, and should have 8 to 40000; write the plan again");
        let long = refused(|plan| plan["course"]["length_m"] = 1e6.into());
        assert!(long.starts_with("the course is 1000000 m long, with 511 samples"), "{long}");
        for step_m in [0.0, -1.0, 1e-300] {
            let value = serde_json::json!(step_m);
            let mut changed = serde_json::to_value(&plan).expect("it is written");
            changed["course"]["step_m"] = value;
            assert!(serde_json::from_value::<Plan>(changed).is_err(), "{step_m}");
        }
        let tight = refused(|plan| plan["course"]["samples"][7]["curvature_per_m"] = 1e3.into());
        assert!(tight.starts_with("course: radius 0.00 m near ["), "{tight}");
        let turned = refused(|plan| plan["course"]["samples"][7]["cos"] = 17.into());
        assert!(turned.starts_with("the course's sample 7 is no place on a line"), "{turned}");
        let steep = refused(|plan| plan["course"]["slopes"][0]["slope_rad"] = 5.into());
        assert_eq!(steep, "slope_rad = 5: has to be a number from -0.2 to 0.2");
        let eager = refused(|plan| plan["tuning"]["ramp_mps2"] = 1e9.into());
        assert_eq!(eager, "ramp_mps2 = 1000000000: has to be a number from 0.1 to 4");
    }
}
