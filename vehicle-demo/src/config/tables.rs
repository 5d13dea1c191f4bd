//! The tables of the configuration file, and the ranges of their numbers.

use crate::law::Tuning;
use crate::plant::PlantConfig;
use crate::ranges::{self, OutOfRange};
use crate::sensors::SensorConfig;
use crate::signals::SIGNALS;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use twinhelm_hal::signals::Bounds;
use twinhelm_hal::signals::table::{Kind, SIGNALS_MAX};
use twinhelm_standby::OnDispute;
use twinhelm_standby::file_error::{Document, FileError};

/// The file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) timing: Timing,
    pub(super) bus: Bus,
    pub(super) pair: Pair,
    pub(super) link: Link,
    pub(super) vehicle: PlantConfig,
    pub(super) sensors: SensorConfig,
    pub(super) law: Tuning,
}

impl File {
    /// Checks each number against its range.
    pub(super) fn check(&self, document: &Document<'_>) -> Result<(), FileError> {
        let within = |table, checked: Result<(), OutOfRange>| checked.map_err(|error| error.at(document, &[table]));
        within("timing", self.timing.check())?;
        let divergence = self.pair.divergence.check();
        divergence.map_err(|error| error.at(document, &["pair", "divergence"]))?;
        within("link", self.link.check())?;
        within("vehicle", self.vehicle.check())?;
        within("sensors", self.sensors.check())?;
        within("law", self.law.check())
    }
}

/// When things happen. What is not named follows the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timing {
    pub(super) period_ms: Option<f64>,
    pub(super) margin_ms: Option<f64>,
    pub(super) gate_lease_ms: Option<f64>,
    pub(super) link_lease_ms: Option<f64>,
    pub(super) blind_limit_ms: Option<f64>,
    pub(super) command_timeout_ms: Option<f64>,
    pub(super) ftti_ms: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
}

impl Timing {
    /// Ranges of what could be meant; what fits together is `Config::new`'s to say.
    fn check(&self) -> Result<(), OutOfRange> {
        let fields = [
            ("period_ms", self.period_ms, 0.1, 1_000.0),
            ("margin_ms", self.margin_ms, 0.01, 1_000.0),
            ("gate_lease_ms", self.gate_lease_ms, 0.1, 60_000.0),
            ("link_lease_ms", self.link_lease_ms, 1.0, 10_000.0),
            ("blind_limit_ms", self.blind_limit_ms, 0.1, 60_000.0),
            ("command_timeout_ms", self.command_timeout_ms, 0.1, 60_000.0),
            ("ftti_ms", self.ftti_ms, 0.1, 60_000.0),
            ("jitter_ms", self.jitter_ms, 0.0, 1_000.0),
        ];
        let named = fields.iter().filter_map(|&(name, value, min, max)| Some((name, value?, min, max)));
        ranges::check(&named.collect::<Vec<_>>())
    }
}

/// The bus. Its numbers are checked by `Config::new`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Bus {
    pub(super) bitrate_bit_s: u32,
    pub(super) gates: u8,
}

impl Default for Bus {
    fn default() -> Self {
        Self { bitrate_bit_s: 500_000, gates: 1 }
    }
}

/// What makes two devices a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pair {
    pub(super) divergence: Divergence,
    pub(super) on_dispute: OnDispute,
}

/// How far two commands may be apart, in the order of the signals and in their units. A file names those that are not as in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Divergence([f64; SIGNALS_MAX]);

const NAMES: [&str; SIGNALS_MAX] = SIGNALS.names();

impl Default for Divergence {
    fn default() -> Self {
        let mut apart = [0.0; SIGNALS_MAX];
        apart.iter_mut().zip(SIGNALS.signals()).for_each(|(apart, signal)| *apart = signal.apart_max);
        Self(apart)
    }
}

/// Which signal a key names. An error of its own says where in the file the key stands.
struct Place(usize);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = NAMES.get(..SIGNALS.signals().len()).unwrap_or_default();
        let place = known.iter().position(|known| *known == name);
        place.map(Self).ok_or_else(|| D::Error::unknown_field(&name, known))
    }
}

impl<'de> Deserialize<'de> for Divergence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Divergence;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a number for each signal that has another bound than its table says")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Divergence, A::Error> {
                let mut all = Divergence::default();
                while let Some(Place(place)) = map.next_key()? {
                    let apart = map.next_value()?;
                    all.0.iter_mut().skip(place).take(1).for_each(|bound| *bound = apart);
                }
                Ok(all)
            }
        }

        deserializer.deserialize_map(Bounded)
    }
}

impl Divergence {
    /// Below a count no two devices agree; above all that the mechanics leave none disagree.
    fn check(&self) -> Result<(), OutOfRange> {
        let fields: Vec<_> = SIGNALS
            .signals()
            .iter()
            .zip(self.0)
            .filter(|(signal, _)| signal.kind == Kind::Quantity)
            .map(|(signal, apart)| {
                let [min, max] = signal.apart_range();
                (signal.name, apart, min, max)
            })
            .collect();
        ranges::check(&fields)
    }

    /// Returns the bounds in counts.
    pub(super) fn bounds(&self) -> Bounds {
        let counts: Vec<_> =
            SIGNALS.signals().iter().zip(self.0).map(|(signal, apart)| signal.counts_apart(apart)).collect();
        Bounds::of(&counts)
    }
}

/// The link between the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// The TCP port; 0 is any free one, which the rig chooses.
    pub port: u16,
    /// Signs of life in one link lease.
    pub keep_alive: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { port: 0, keep_alive: 4 }
    }
}

impl Link {
    /// With fewer than 2 each sign of life that is a little late ends the link; with more than 100 there is nothing else.
    fn check(&self) -> Result<(), OutOfRange> {
        ranges::check(&[("keep_alive", self.keep_alive.into(), 2.0, 100.0)])
    }
}

impl OutOfRange {
    /// Returns the error as one of a file, whose table at `path` has the field.
    #[must_use]
    pub fn at(&self, document: &Document<'_>, path: &[&str]) -> FileError {
        let Self { field, value, min, max } = self;
        let within = if path.is_empty() { String::new() } else { format!(" in [{}]", path.join(".")) };
        let path: Vec<&str> = path.iter().copied().chain([*field]).collect();
        document.error(
            &path,
            format!("`{field}`{within} is {value}"),
            format!("write a number from {min} to {max}"),
        )
    }
}
