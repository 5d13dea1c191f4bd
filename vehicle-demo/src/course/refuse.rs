//! What is refused as a course, and the sentence that says so.

use super::{LENGTH_MAX_M, STEERING_ON_COURSE_MAX_RAD, Sample};
use crate::plant::WHEELBASE_M;

/// What is wrong with a course's points.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CourseError {
    /// A closed line needs four points.
    #[error("course: {count} points; a closed course needs at least 4")]
    TooFewPoints {
        /// How many there are.
        count: usize,
    },
    /// A coordinate is NaN or infinite.
    #[error("course: point {index} is [{x_m}, {y_m}]; both have to be finite numbers of metres")]
    NotFinite {
        /// Which point, from 0.
        index: usize,
        /// Its x in m.
        x_m: f64,
        /// Its y in m.
        y_m: f64,
    },
    /// Two neighbours are the same point; the last one's neighbour is the first.
    #[error("course: points {index} and {next} are the same; leave one out (the course closes by itself)")]
    EqualNeighbours {
        /// The first of the two, from 0.
        index: usize,
        /// The second.
        next: usize,
    },
    /// The line is too long to be a course in metres.
    #[error("course: {length_m:.0} m long; at most {LENGTH_MAX_M} m (are the points in metres?)")]
    TooLong {
        /// Its length in m.
        length_m: f64,
    },
    /// The vehicle cannot steer that much.
    #[error(
        "course: radius {radius_m:.2} m near [{x_m:.2}, {y_m:.2}], {s_m:.1} m from the start; \
         the steering reaches {radius_min_m:.2} m: move the points there apart"
    )]
    TooTight {
        /// Where, in m along the course.
        s_m: f64,
        /// Where, x in m.
        x_m: f64,
        /// Where, y in m.
        y_m: f64,
        /// The radius there, in m.
        radius_m: f64,
        /// The smallest allowed radius, in m.
        radius_min_m: f64,
    },
}

/// Refuses points that make no line.
pub(super) fn points(points: &[[f64; 2]]) -> Result<(), CourseError> {
    if let Some(index) = points.iter().position(|[x, y]| !(x.is_finite() && y.is_finite())) {
        let [x_m, y_m] = points[index];
        return Err(CourseError::NotFinite { index, x_m, y_m });
    }
    if points.len() < 4 {
        return Err(CourseError::TooFewPoints { count: points.len() });
    }
    for (index, [x, y]) in points.iter().enumerate() {
        let next = (index + 1) % points.len();
        let [x_next, y_next] = points[next];
        // Points a hair apart bend the line as badly as equal ones.
        if libm::hypot(x_next - x, y_next - y) < 1e-3 {
            return Err(CourseError::EqualNeighbours { index, next });
        }
    }
    Ok(())
}

/// Refuses a line that the wheels cannot follow.
pub(super) fn curvature(samples: &[Sample], step_m: f64) -> Result<(), CourseError> {
    let radius_min_m = WHEELBASE_M / libm::tan(STEERING_ON_COURSE_MAX_RAD);
    let tightest = samples
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.curvature_per_m.abs().total_cmp(&b.curvature_per_m.abs()));
    let Some((index, sample)) = tightest else {
        return Ok(());
    };
    let radius_m = 1.0 / sample.curvature_per_m.abs();
    // Not `<`: a cusp has a curvature that is no number.
    if radius_m >= radius_min_m {
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let s_m = index as f64 * step_m;
    Err(CourseError::TooTight { s_m, x_m: sample.x_m, y_m: sample.y_m, radius_m, radius_min_m })
}
