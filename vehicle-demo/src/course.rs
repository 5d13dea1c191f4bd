//! A closed course: a smooth line through a few points, and where a vehicle is along it.
//!
//! The line is a periodic cubic spline, so curvature has no jumps that the wheels would have to follow. It is
//! sampled once, evenly; a search near the last place is then a walk over a few samples, cheap enough for twice a
//! cycle in a simulator that runs a thousand times faster than time.

mod harbour;
mod refuse;
mod spline;
#[cfg(test)]
mod tests;
mod written;

use crate::ranges::{self, OutOfRange};
pub use refuse::CourseError;
use serde::{Deserialize, Serialize};
use spline::Spline;
use std::f64::consts::{PI, TAU};

/// How far samples are apart at most, in m.
pub const SAMPLE_M: f64 = 0.05;
/// A course longer than this, in m, is a mistake in its units.
pub const LENGTH_MAX_M: f64 = 2_000.0;
/// The steering angle that a course may ask for, in rad. What is left of the mechanical limit of 0.5 rad is for a
/// servo that sits askew, and for corrections.
pub const STEERING_ON_COURSE_MAX_RAD: f64 = 0.36;
/// Speed on a straight, in m/s.
pub const CRUISE_MPS: f64 = 2.8;
/// The sideways acceleration that the tyres hold comfortably, in m/s².
const LATERAL_MAX_MPS2: f64 = 3.0;
/// How hard the speed limit may rise and fall along the course, in m/s².
const SPEED_UP_MPS2: f64 = 1.2;
const SLOW_DOWN_MPS2: f64 = 1.5;
/// Farther than this from the hint, in m, the hint is worth nothing and all samples are searched.
const HINT_WORTH_M: f64 = 1.0;

/// From `from_m` on, the ground falls sideways by `slope_rad`, until the next section begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideSlope {
    /// Where the section begins, in m along the course.
    pub from_m: f64,
    /// How much higher the left side is, in rad; positive pushes the vehicle to the right.
    pub slope_rad: f64,
}

impl SideSlope {
    /// Checks that every field is a number that a side slope can have.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        ranges::check(&[("from_m", self.from_m, 0.0, LENGTH_MAX_M), ("slope_rad", self.slope_rad, -0.2, 0.2)])
    }
}

/// One place on the line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sample {
    x_m: f64,
    y_m: f64,
    /// Continuous along the course: grows or falls by a turn a lap.
    heading_rad: f64,
    cos: f64,
    sin: f64,
    curvature_per_m: f64,
    speed_mps: f64,
}

/// Where a point is, seen from the course.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnCourse {
    /// The nearest place, in m along the course, from 0 to its length.
    pub s_m: f64,
    /// How far to the left of it, in m.
    pub cross_track_m: f64,
    /// The course's heading there, in rad.
    pub heading_rad: f64,
    /// The course's curvature there, in 1/m; positive bends to the left.
    pub curvature_per_m: f64,
}

/// A closed course.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "written::Written")]
pub struct Course {
    samples: Vec<Sample>,
    step_m: f64,
    length_m: f64,
    slopes: Vec<SideSlope>,
}

impl Course {
    /// Returns the smooth closed line through `points`, in m.
    ///
    /// # Errors
    /// [`CourseError`] says which point or place does not do.
    pub fn new(points: &[[f64; 2]]) -> Result<Self, CourseError> {
        refuse::points(points)?;
        let spline = Spline::through(points);
        let length_m = spline.length_m();
        if length_m.is_nan() || length_m > LENGTH_MAX_M {
            return Err(CourseError::TooLong { length_m });
        }
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "at most LENGTH_MAX / SAMPLE")]
        let count = libm::ceil(length_m / SAMPLE_M).max(8.0) as usize;
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let step_m = length_m / count as f64;
        let mut samples: Vec<Sample> = spline.evenly(count).map(Sample::from).collect();
        unwind(&mut samples);
        refuse::curvature(&samples, step_m)?;
        let mut course = Self { samples, step_m, length_m, slopes: Vec::new() };
        course.limit_speed(CRUISE_MPS);
        Ok(course)
    }

    /// Returns the built-in course: 25.5 m around a harbour basin, bends to both sides, a quay that falls to one.
    ///
    /// # Panics
    /// Never: a test builds it.
    #[must_use]
    pub fn harbour() -> Self {
        let course = Self::new(&harbour::POINTS).expect("the built-in course is a good one");
        course.with_side_slope(&harbour::SLOPES)
    }

    /// Returns the course with a side slope, for the plant. Sections count from the start, in order; before the
    /// first one the last one holds.
    #[must_use]
    pub fn with_side_slope(mut self, sections: &[SideSlope]) -> Self {
        self.slopes = sections.to_vec();
        self.slopes.sort_by(|a, b| a.from_m.total_cmp(&b.from_m));
        self
    }

    /// Returns the course's length in m.
    #[must_use]
    pub const fn length_m(&self) -> f64 {
        self.length_m
    }

    /// Returns the points of the line, for a picture.
    pub fn outline(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.samples.iter().map(|sample| (sample.x_m, sample.y_m))
    }

    /// Returns the pose on the line, `s_m` along the course: x and y in m, heading in rad.
    #[must_use]
    pub fn pose(&self, s_m: f64) -> (f64, f64, f64) {
        let (index, rest_m) = self.place(s_m);
        let sample = &self.samples[index];
        let heading = sample.heading_rad + sample.curvature_per_m * rest_m;
        (sample.x_m + sample.cos * rest_m, sample.y_m + sample.sin * rest_m, heading)
    }

    /// Returns the curvature `s_m` along the course, in 1/m.
    #[must_use]
    pub fn curvature_per_m(&self, s_m: f64) -> f64 {
        self.between(s_m, |sample| sample.curvature_per_m)
    }

    /// Returns the speed limit `s_m` along the course, in m/s.
    #[must_use]
    pub fn speed_limit_mps(&self, s_m: f64) -> f64 {
        self.between(s_m, |sample| sample.speed_mps)
    }

    /// Returns the side slope `s_m` along the course, in rad; positive pushes to the right.
    #[must_use]
    pub fn side_slope_rad(&self, s_m: f64) -> f64 {
        let s_m = self.wrap(s_m);
        let section = self.slopes.iter().rev().find(|section| section.from_m <= s_m).or(self.slopes.last());
        section.map_or(0.0, |section| section.slope_rad)
    }

    /// Returns the place on the course nearest to the point, in m.
    ///
    /// With a `hint` (m along the course) it walks from there to the nearest place around; where the course passes
    /// close to itself that is what keeps a vehicle on its own lane. A point that is no number comes back as NaN.
    #[must_use]
    pub fn nearest(&self, x_m: f64, y_m: f64, hint: Option<f64>) -> OnCourse {
        let near = hint.filter(|s_m| s_m.is_finite()).map(|s_m| self.walk(self.place(s_m).0, x_m, y_m));
        let index = match near {
            Some(index) if self.distance2(index, x_m, y_m) <= HINT_WORTH_M * HINT_WORTH_M => index,
            Some(_) | None => self.search(x_m, y_m),
        };
        self.project(index, x_m, y_m)
    }

    /// Walks downhill in distance from sample `index`.
    fn walk(&self, mut index: usize, x_m: f64, y_m: f64) -> usize {
        let count = self.samples.len();
        let mut best = self.distance2(index, x_m, y_m);
        for way in [1, count - 1] {
            loop {
                let next = self.after(index, way);
                let distance2 = self.distance2(next, x_m, y_m);
                // Written so that NaN stops the walk; it is strictly downhill, so it ends.
                if distance2 < best {
                    (index, best) = (next, distance2);
                } else {
                    break;
                }
            }
        }
        index
    }

    /// Returns the index `way` samples after `index`; both are less than the number of samples.
    fn after(&self, index: usize, way: usize) -> usize {
        let next = index + way;
        // Cheaper than a division, in what each cycle does some ten times.
        if next >= self.samples.len() { next - self.samples.len() } else { next }
    }

    fn search(&self, x_m: f64, y_m: f64) -> usize {
        let mut best = (0, f64::INFINITY);
        for index in 0..self.samples.len() {
            let distance2 = self.distance2(index, x_m, y_m);
            if distance2 < best.1 {
                best = (index, distance2);
            }
        }
        best.0
    }

    fn distance2(&self, index: usize, x_m: f64, y_m: f64) -> f64 {
        let sample = &self.samples[index];
        let (dx, dy) = (x_m - sample.x_m, y_m - sample.y_m);
        dx * dx + dy * dy
    }

    /// Returns the place around sample `index`: its circle of curvature stands for the line.
    fn project(&self, index: usize, x_m: f64, y_m: f64) -> OnCourse {
        let sample = &self.samples[index];
        let (dx, dy) = (x_m - sample.x_m, y_m - sample.y_m);
        let ahead = dx * sample.cos + dy * sample.sin;
        let left = dy * sample.cos - dx * sample.sin;
        // Seen from the left of a left bend the course passes faster; beyond the bend's centre it makes no sense.
        let along = ahead / (1.0 - sample.curvature_per_m * left).max(0.2);
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let s_m = self.wrap(index as f64 * self.step_m + along);
        OnCourse {
            s_m,
            cross_track_m: left - 0.5 * sample.curvature_per_m * along * along,
            heading_rad: sample.heading_rad + sample.curvature_per_m * along,
            curvature_per_m: self.curvature_per_m(s_m),
        }
    }

    /// Returns `s_m` on the first lap; what is no number is the start.
    fn wrap(&self, s_m: f64) -> f64 {
        let laps = libm::floor(s_m / self.length_m);
        let wrapped = s_m - laps * self.length_m;
        if wrapped >= 0.0 && wrapped < self.length_m { wrapped } else { 0.0 }
    }

    /// Returns the sample before `s_m`, and how many m lie between.
    fn place(&self, s_m: f64) -> (usize, f64) {
        let s_m = self.wrap(s_m);
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "wrap is from 0 to the length")]
        let index = ((s_m / self.step_m) as usize).min(self.samples.len() - 1);
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let rest_m = s_m - index as f64 * self.step_m;
        (index, rest_m)
    }

    fn between(&self, s_m: f64, value: impl Fn(&Sample) -> f64) -> f64 {
        let (index, rest_m) = self.place(s_m);
        let (a, b) = (value(&self.samples[index]), value(&self.samples[self.after(index, 1)]));
        a + (b - a) * (rest_m / self.step_m)
    }

    /// Sets the speed limit: as the bends allow, and so that it can be reached and left in time.
    fn limit_speed(&mut self, cruise_mps: f64) {
        let count = self.samples.len();
        for sample in &mut self.samples {
            let bend = libm::sqrt(LATERAL_MAX_MPS2 / sample.curvature_per_m.abs().max(1e-6));
            sample.speed_mps = bend.min(cruise_mps);
        }
        // Twice around, because the course is closed: the start has to know of the end.
        for index in (0..2 * count).rev() {
            let next = self.samples[(index + 1) % count].speed_mps;
            let reachable = libm::sqrt(next * next + 2.0 * SLOW_DOWN_MPS2 * self.step_m);
            let here = &mut self.samples[index % count].speed_mps;
            *here = here.min(reachable);
        }
        for index in 0..2 * count {
            let before = self.samples[index % count].speed_mps;
            let reachable = libm::sqrt(before * before + 2.0 * SPEED_UP_MPS2 * self.step_m);
            let here = &mut self.samples[(index + 1) % count].speed_mps;
            *here = here.min(reachable);
        }
    }
}

impl From<spline::Point> for Sample {
    fn from(point: spline::Point) -> Self {
        Self {
            x_m: point.x,
            y_m: point.y,
            heading_rad: libm::atan2(point.dy, point.dx),
            cos: point.dx / libm::hypot(point.dx, point.dy),
            sin: point.dy / libm::hypot(point.dx, point.dy),
            curvature_per_m: point.curvature(),
            speed_mps: 0.0,
        }
    }
}

/// Makes the headings continuous, so that they can be compared and interpolated along the course.
fn unwind(samples: &mut [Sample]) {
    let mut last = samples.first().map_or(0.0, |sample| sample.heading_rad);
    for sample in samples {
        sample.heading_rad = last + wrap_angle(sample.heading_rad - last);
        last = sample.heading_rad;
    }
}

/// Returns `angle` in rad from −π to π. What is no number stays so.
#[must_use]
pub fn wrap_angle(angle: f64) -> f64 {
    angle - TAU * libm::floor((angle + PI) / TAU)
}
