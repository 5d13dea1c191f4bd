//! The configuration file: one annotated TOML file for vehicle, timing and law.
//!
//! A timing that the file does not name follows the period; one that it names stays, whatever `--period` says. What
//! comes out is a [`Config`], which cannot be built when the timing cannot keep the promise.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

mod tables;
#[cfg(test)]
mod tests;

use crate::law::Tuning;
use crate::plant::PlantConfig;
use crate::sensors::SensorConfig;
use serde::Serialize;
use std::time::Duration;
use tables::File;
use twinhelm_standby::file_error::{Document, FileError};
use twinhelm_standby::{Config, ConfigError, Parameters};

pub use tables::Link;

/// The built-in file: each key with its default, its unit and its reason.
pub const DEFAULT: &str = include_str!("../vehicle.toml");
/// How the built-in file is named in messages.
pub const DEFAULT_NAME: &str = "built-in vehicle.toml";
/// The built-in files, by the name of their timing profile; the first one is the default.
pub const PROFILES: [(&str, &str); 3] = [
    ("100hz", DEFAULT),
    ("1khz", include_str!("../vehicle-1khz.toml")),
    ("25hz", include_str!("../vehicle-25hz.toml")),
];
/// The control period of a file that names none.
const PERIOD: Duration = Duration::from_millis(10);

/// What a configuration file says.
///
/// # Invariants
/// Each number is in its range, and the timing keeps the promise at the file's own period.
#[derive(Clone, Debug)]
pub struct Settings {
    file: File,
    name: String,
    text: String,
}

impl Default for Settings {
    /// Returns the built-in file's settings.
    fn default() -> Self {
        Self { file: File::default(), name: DEFAULT_NAME.to_owned(), text: DEFAULT.to_owned() }
    }
}

/// No built-in file has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile `{0}`; write 100hz, 1khz or 25hz, or name a file by --config")]
pub struct UnknownProfile(String);

/// What two devices have to agree in: the canonical form is this as JSON, in the order of the fields.
#[derive(Serialize)]
struct Agreed<'a> {
    parameters: &'a Parameters,
    vehicle: &'a PlantConfig,
    sensors: &'a SensorConfig,
    law: &'a Tuning,
}

impl Settings {
    /// Reads the `text` of a configuration file; `file_name` is for messages.
    ///
    /// # Errors
    /// [`FileError`] points at the first key or value that cannot be, and says what to write instead.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, FileError> {
        let document = Document::parse(file_name, text)?;
        let file: File = document.read()?;
        file.check(&document)?;
        let settings = Self { file, name: file_name.to_owned(), text: text.to_owned() };
        settings.config(None)?;
        Ok(settings)
    }

    /// Reads the built-in file of the profile `name`.
    ///
    /// # Errors
    /// [`UnknownProfile`] names those that there are.
    ///
    /// # Panics
    /// Never: a test reads each of them.
    pub fn profile(name: &str) -> Result<Self, UnknownProfile> {
        let found = PROFILES.iter().find(|(profile, _)| *profile == name);
        let (_, text) = found.ok_or_else(|| UnknownProfile(name.to_owned()))?;
        Ok(Self::parse(DEFAULT_NAME, text).expect("the built-in files are read in a test"))
    }

    /// Returns the file, as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the timing, checked, at the file's period or at `period`, which leases, limits and timeouts follow
    /// unless the file names them.
    ///
    /// # Errors
    /// [`FileError`] names the inequality that does not hold, with its numbers.
    pub fn config(&self, period: Option<Duration>) -> Result<Config, FileError> {
        let mut parameters = self.parameters(period);
        parameters.digest = self.digest(&parameters);
        Config::new(parameters).map_err(|error| self.refuse(&error, period))
    }

    /// Returns the vehicle.
    #[must_use]
    pub const fn plant(&self) -> PlantConfig {
        self.file.vehicle
    }

    /// Returns how good each device's sensors are.
    #[must_use]
    pub const fn sensors(&self) -> SensorConfig {
        self.file.sensors
    }

    /// Returns how the law is tuned.
    #[must_use]
    pub const fn tuning(&self) -> Tuning {
        self.file.law
    }

    /// Returns the link between the devices. Its lease is the timing's [`Parameters::link_lease`].
    #[must_use]
    pub const fn link(&self) -> Link {
        self.file.link
    }

    fn parameters(&self, period: Option<Duration>) -> Parameters {
        let timing = &self.file.timing;
        let period = period.or(timing.period_ms.map(span)).unwrap_or(PERIOD);
        let scaled = Parameters::at_period(period);
        let named = |named: Option<f64>, scaled: Duration| named.map_or(scaled, span);
        Parameters {
            period,
            margin: named(timing.margin_ms, scaled.margin),
            gate_lease: named(timing.gate_lease_ms, scaled.gate_lease),
            link_lease: named(timing.link_lease_ms, scaled.link_lease),
            blind_limit: named(timing.blind_limit_ms, scaled.blind_limit),
            command_timeout: named(timing.command_timeout_ms, scaled.command_timeout),
            ftti: named(timing.ftti_ms, scaled.ftti),
            jitter: named(timing.jitter_ms, scaled.jitter),
            bitrate: self.file.bus.bitrate_bit_s,
            gates: self.file.bus.gates,
            divergence_max: self.file.pair.divergence.bounds(),
            on_dispute: self.file.pair.on_dispute,
            digest: 0,
        }
    }

    /// Returns the digest of what two devices have to agree in: FNV-1a over 64 bits of its canonical form. The link's
    /// port is not part of it, since a rig chooses one for each run.
    ///
    /// # Panics
    /// Never: numbers, words and structs of them have a JSON form.
    fn digest(&self, parameters: &Parameters) -> u64 {
        let File { vehicle, sensors, law, .. } = &self.file;
        let agreed = Agreed { parameters, vehicle, sensors, law };
        let canonical = serde_json::to_vec(&agreed).expect("numbers and words have a JSON form");
        canonical.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
    }

    /// Returns the error of a timing, at the key of the file that it is about, the right side of the inequality first.
    fn refuse(&self, error: &ConfigError, period: Option<Duration>) -> FileError {
        let (about, what, instead) = match error {
            ConfigError::Inequality { left, right, left_ms, right_ms, remedy } => {
                let what = format!("{left} < {right} does not hold: {left_ms:?} ms is not below {right_ms:?} ms");
                (format!("{right} + {left}"), what, *remedy)
            }
            ConfigError::Value { name, value, remedy } => {
                ((*name).to_owned(), format!("{name} = {value} cannot be"), *remedy)
            }
        };
        let asked = period.map_or(String::new(), |period| format!(" (with the period of {period:?} asked for)"));
        let what = format!("{what}{asked}");
        let Ok(document) = Document::parse(&self.name, &self.text) else {
            // Not so: the text was read before.
            let (line, column) = (1, 1);
            return FileError { file: self.name.clone(), line, column, what, instead: instead.to_owned() };
        };
        let words = about.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let mut paths = words.flat_map(|word| {
            [("timing", format!("{word}_ms")), ("bus", format!("{word}_bit_s")), ("bus", word.to_owned())]
        });
        let path = paths.find(|(table, key)| document.has(&[table, key]));
        let (table, key) = path.unwrap_or(("timing", String::new()));
        document.error(&[table, &key], what, instead)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns `ms` as a span, rounded to microseconds. It was checked to be in range.
fn span(ms: f64) -> Duration {
    Duration::try_from_secs_f64((ms * 1e3).round() / 1e6).unwrap_or_default()
}
