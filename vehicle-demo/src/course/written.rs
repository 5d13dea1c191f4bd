//! A course as it travels in a plan: read back bit for bit, and only if a vehicle could follow it.
//!
//! Whoever wrote the plan, the law takes places, lengths and slopes of it at their word.

// The numbers come from a file.
#![deny(clippy::arithmetic_side_effects)]

use super::{CRUISE_MPS, Course, CourseError, LENGTH_MAX_M, SAMPLE_M, Sample, SideSlope, refuse};
use crate::ranges::OutOfRange;
use serde::Deserialize;

/// A course, not yet checked.
#[derive(Deserialize)]
pub(super) struct Written {
    samples: Vec<Sample>,
    step_m: f64,
    length_m: f64,
    slopes: Vec<SideSlope>,
}

/// What is wrong with a course that was read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum WrittenError {
    /// There are too few samples to be a line, or more than the longest course has.
    #[error("the course has {0} samples, and should have 8 to {SAMPLES_MAX}; write the plan again")]
    Count(usize),
    /// A sample is no place that a vehicle could be at.
    #[error("the course's sample {index} is no place on a line: {sample}; write the plan again")]
    Sample {
        /// Which, from 0.
        index: usize,
        /// What it says.
        sample: String,
    },
    /// Its length is not that of its samples.
    #[error("the course is {length_m} m long, with {count} samples {step_m} m apart; write the plan again")]
    Length {
        /// How long it says that it is.
        length_m: f64,
        /// How many samples it has.
        count: usize,
        /// How far apart it says that they are.
        step_m: f64,
    },
    /// The vehicle cannot steer that much.
    #[error(transparent)]
    Bend(#[from] CourseError),
    /// The ground falls more than ground does.
    #[error(transparent)]
    Slope(#[from] OutOfRange),
}

/// The longest course has so many samples.
const SAMPLES_MAX: usize = (LENGTH_MAX_M / SAMPLE_M) as usize;
/// So much of its length, a course's samples may miss it by: what rounding makes of them.
const LENGTH_WITHIN: f64 = 1e-9;

impl TryFrom<Written> for Course {
    type Error = WrittenError;

    fn try_from(written: Written) -> Result<Self, WrittenError> {
        let Written { samples, step_m, length_m, slopes } = written;
        let count = samples.len();
        if !(8..=SAMPLES_MAX).contains(&count) {
            return Err(WrittenError::Count(count));
        }
        if let Some(index) = samples.iter().position(|sample| !is_place(sample)) {
            return Err(WrittenError::Sample { index, sample: format!("{:?}", samples[index]) });
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let missed = (step_m * count as f64 - length_m).abs();
        // Written so that NaN is refused.
        if !(length_m > 0.0 && length_m <= LENGTH_MAX_M && missed <= LENGTH_WITHIN * length_m) {
            return Err(WrittenError::Length { length_m, count, step_m });
        }
        refuse::curvature(&samples, step_m)?;
        slopes.iter().try_for_each(SideSlope::check)?;
        Ok(Self { samples, step_m, length_m, slopes })
    }
}

fn is_place(sample: &Sample) -> bool {
    let Sample { x_m, y_m, heading_rad, cos, sin, curvature_per_m, speed_mps } = *sample;
    let is_direction = (libm::hypot(cos, sin) - 1.0).abs() < 1e-6;
    let are_finite = [x_m, y_m, heading_rad, curvature_per_m].iter().all(|number| number.is_finite());
    is_direction && are_finite && (0.0..=CRUISE_MPS).contains(&speed_mps)
}
