//! Scenarios: a TOML file with course, devices, faults at times, and bounds that have to hold. One file, any rig.
//!
//! The vehicle and its timing are the configuration's (`twinhelm_vehicle::config`); what happens to them is the
//! scenario's. The built-in ones cover the everyday faults, and each counterexample that shaped a rule of the protocol.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

mod bounds;
mod builtin;

use crate::fault::Fault;
use crate::run::Standby;
pub use bounds::Bounds;
pub use builtin::{UnknownScenario, scenarios};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_standby::file_error::{Document, FileError, nearest};
use twinhelm_standby::{Config, ConfigError};
use twinhelm_vehicle::course::{Course, CourseError, SideSlope};
use twinhelm_vehicle::ranges::OutOfRange;
use twinhelm_vehicle::report::{Report, Verdict};

/// How long a run lasts when nobody says: once around the harbour, and a little more.
pub const DURATION: Duration = Duration::from_secs(14);
/// The seed when nobody says.
pub const SEED: u64 = 1;
/// The courses that have a name.
const COURSES: [&str; 1] = ["harbour"];

/// What happens in a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// For how long it runs.
    pub duration: Duration,
    /// Which standby it has.
    pub standby: Standby,
    /// The seed.
    pub seed: u64,
    /// How many gates there are, when the scenario needs another number than the configuration's.
    pub gates: Option<u8>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The course.
    pub course: Arc<Course>,
    /// What has to hold.
    pub bounds: Bounds,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    about: String,
    duration_s: Option<f64>,
    standby: Option<String>,
    seed: Option<u64>,
    gates: Option<u8>,
    #[serde(default)]
    faults: Vec<String>,
    course: Option<CourseFile>,
    #[serde(default)]
    bounds: Bounds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CourseFile {
    name: Option<String>,
    points: Option<Vec<[f64; 2]>>,
    side_slopes: Option<Vec<SideSlope>>,
}

impl Scenario {
    /// Reads the `text` of a scenario file; `file_name` is for messages.
    ///
    /// # Errors
    /// [`FileError`] points at the first key or value that cannot be, and says what to write instead.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, FileError> {
        let document = Document::parse(file_name, text)?;
        let file: File = document.read()?;
        let duration_s = file.duration_s.unwrap_or(DURATION.as_secs_f64());
        // The longest run that a fault can be written for.
        check(&document, &[], "duration_s", duration_s, 0.1, 86_400.0)?;
        let duration = Duration::from_secs_f64(duration_s);
        if let Some(gates) = file.gates {
            check(&document, &[], "gates", gates.into(), 1.0, 4.0)?;
        }
        file.bounds.check_ranges(&document)?;
        Ok(Self {
            standby: standby(&document, file.standby.as_deref())?,
            faults: faults(&document, &file.faults, duration)?,
            course: Arc::new(course(&document, file.course)?),
            name: file.name,
            about: file.about,
            duration,
            seed: file.seed.unwrap_or(SEED),
            gates: file.gates,
            bounds: file.bounds,
        })
    }

    /// Returns the built-in scenario with `name`.
    ///
    /// # Errors
    /// [`UnknownScenario`] says which one may have been meant.
    pub fn builtin(name: &str) -> Result<&'static Self, UnknownScenario> {
        builtin::named(name)
    }

    /// Returns `config` with the scenario's number of gates.
    ///
    /// # Errors
    /// [`ConfigError`] when so many gates do not fit on that bus.
    pub fn fit(&self, config: &Config) -> Result<Config, ConfigError> {
        let mut parameters = **config;
        parameters.gates = self.gates.unwrap_or(parameters.gates);
        Config::new(parameters)
    }

    /// Adds the bounds that `report` broke to it, and fails it for them. An invalid run stays invalid.
    pub fn judge(&self, report: &mut Report) {
        Self::judge_by(self.bounds, report);
    }

    /// The same by [`Bounds::of_order`] alone, and says so.
    pub fn judge_order(&self, report: &mut Report) {
        report.notes.push("the scenario's bounds on deadlines, covers and time were not judged here".to_owned());
        Self::judge_by(self.bounds.of_order(), report);
    }

    fn judge_by(bounds: Bounds, report: &mut Report) {
        let broken = bounds.check(report);
        if !broken.is_empty() && report.verdict == Verdict::Pass {
            report.verdict = Verdict::Fail;
        }
        report.broken.extend(broken);
    }
}

fn standby(document: &Document<'_>, word: Option<&str>) -> Result<Standby, FileError> {
    let Some(word) = word else {
        return Ok(Standby::default());
    };
    let found = [Standby::None, Standby::Fresh, Standby::Hot].into_iter().find(|standby| standby.name() == word);
    found.ok_or_else(|| {
        document.error(
            &["standby"],
            format!("`standby` cannot be `{word}`"),
            "write \"none\", \"fresh\" or \"hot\"",
        )
    })
}

fn faults(document: &Document<'_>, texts: &[String], duration: Duration) -> Result<Vec<Fault>, FileError> {
    let fault = |(index, text): (usize, &String)| {
        let index = index.to_string();
        let refuse = |what: String, instead: &str| document.error(&["faults", &index], what, instead.to_owned());
        let fault = Fault::parse(text).map_err(|error| {
            let error = error.to_string();
            let (what, instead) = error.split_once("; ").unwrap_or((&error, "write KIND@TIME"));
            refuse(what.to_owned(), instead)
        })?;
        if fault.at >= duration {
            let what = format!("fault `{text}` comes after the run, which ends at {duration:?}");
            return Err(refuse(what, "write an earlier time, or a longer `duration_s`"));
        }
        Ok(fault)
    };
    texts.iter().enumerate().map(fault).collect()
}

fn course(document: &Document<'_>, file: Option<CourseFile>) -> Result<Course, FileError> {
    let Some(CourseFile { name, points, side_slopes }) = file else {
        return Ok(Course::harbour());
    };
    let slopes = side_slopes.unwrap_or_default();
    for (index, slope) in slopes.iter().enumerate() {
        let index = index.to_string();
        slope.check().map_err(|error| error.at(document, &["course", "side_slopes", &index]))?;
    }
    let course = match (name, points) {
        (Some(name), None) if COURSES.contains(&name.as_str()) => Course::harbour(),
        (Some(name), None) => {
            let meant = nearest(&name, COURSES).unwrap_or(COURSES[0]);
            let what = format!("there is no course `{name}`");
            return Err(document.error(
                &["course", "name"],
                what,
                format!("write `name = \"{meant}\"`, or points"),
            ));
        }
        (None, Some(points)) => Course::new(&points).map_err(|error| course_error(document, &error))?,
        (Some(_), Some(_)) | (None, None) => {
            let what = "[course] has to have a name or points, one of the two";
            let instead = "write `name = \"harbour\"` or `points = [[0, 0], [4, 0], [6, 3], [4, 6], [0, 6], [-2, 3]]`, in metres";
            return Err(document.error(&["course"], what, instead));
        }
    };
    Ok(if slopes.is_empty() { course } else { course.with_side_slope(&slopes) })
}

/// Returns what a course says about its points, at the point that it is about.
fn course_error(document: &Document<'_>, error: &CourseError) -> FileError {
    let point = match error {
        CourseError::NotFinite { index, .. } | CourseError::EqualNeighbours { index, .. } => {
            Some(index.to_string())
        }
        CourseError::TooFewPoints { .. } | CourseError::TooLong { .. } | CourseError::TooTight { .. } => None,
    };
    let path: Vec<&str> = ["course", "points"].into_iter().chain(point.as_deref()).collect();
    let text = error.to_string();
    let text = text.strip_prefix("course: ").unwrap_or(&text);
    let (what, instead) = text.split_once("; ").unwrap_or((text, "move the points apart"));
    document.error(&path, format!("the course does not do: {what}"), instead)
}

/// Checks one number against its range.
fn check(
    document: &Document<'_>,
    path: &[&str],
    field: &'static str,
    value: f64,
    min: f64,
    max: f64,
) -> Result<(), FileError> {
    // `contains` is false for NaN.
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange { field, value, min, max }.at(document, path))
}
