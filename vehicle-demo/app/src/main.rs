//! The vehicle demo with its own law.

use std::process::ExitCode;
use twinhelm_vehicle::law::CourseLaw;

fn main() -> ExitCode {
    vehicle_demo::run_with(|setup| CourseLaw::with_tuning(setup.course.clone(), setup.tuning))
}
