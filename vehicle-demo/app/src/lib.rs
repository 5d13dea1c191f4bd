//! The vehicle demo: `run`, `replay`, `failover`, `link`, `report`, `check`, `scenarios`, with the law of whoever calls [`run_with`].
//!
//! One program has all roles: the runner that people call executes it again for each device and for the vehicle.
//! A project of its own therefore needs a `main` of one line and a law:
//!
//! ```no_run
//! # use twinhelm_vehicle::law::CourseLaw;
//! fn main() -> std::process::ExitCode {
//!     vehicle_demo::run_with(|setup| CourseLaw::new(setup.course.clone()))
//! }
//! ```
//!
//! This room wires doors to decisions and presents results; it has no protocol logic.

mod cli;
mod cloud;
mod commands;
mod device;
mod fed;
mod gate;
mod handed;
mod live;
mod machine;
mod output;
mod plain;
mod ports;
mod role;
mod signals;
mod stage;
mod vehicle;

use std::process::ExitCode;
use std::sync::Arc;
use twinhelm_control::Controller;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::Tuning;
use twinhelm_vehicle::signals::{Command, State};

pub use twinhelm_control as control;
pub use twinhelm_vehicle as model;

/// What a law is made from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The course to drive.
    pub course: Arc<Course>,
    /// The gains of the `[law]` table; a law of one's own may ignore them.
    pub tuning: Tuning,
}

/// Runs the program with the law that `factory` makes, and returns its exit code: 0 ran and its bounds hold, 1 ran and
/// a bound was broken, 2 bad input, 3 this machine cannot run it.
///
/// The factory is called for each instance that is needed: two in each device, because one checks the other.
pub fn run_with<L, F>(factory: F) -> ExitCode
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    cli::main(&factory)
}
