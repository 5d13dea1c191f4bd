//! The tables of a board's file, as they are written.

use serde::Deserialize;
use twinhelm_hal::ports::Backend;
use twinhelm_hal::term::Slot;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default = "linux")]
    pub(super) backend: Backend,
    #[serde(default)]
    pub(super) gate: u8,
    pub(super) slot: Option<Slot>,
    pub(super) can: Can,
    pub(super) servos: Servos,
    #[serde(default)]
    pub(super) safe_state: SafeState,
    pub(super) output_enable: Line,
    pub(super) estop: Option<Line>,
    pub(super) encoder: Option<Encoder>,
    pub(super) battery: Option<Battery>,
    pub(super) watchdog: Option<Watchdog>,
}

const fn linux() -> Backend {
    Backend::Linux
}

/// The CAN interface that commands come in by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Can {
    /// Its name, as `ip link` has it.
    pub interface: String,
    /// Bits a second.
    #[serde(default = "half_a_megabit")]
    pub bitrate_bit_s: u32,
}

const fn half_a_megabit() -> u32 {
    500_000
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Servos {
    pub(super) i2c_bus: u8,
    #[serde(default = "standard_mode")]
    pub(super) i2c_bit_s: u32,
    pub(super) address: u8,
    #[serde(default = "fifty")]
    pub(super) rate_hz: u16,
    pub(super) steering: Steering,
    pub(super) drive: Drive,
}

const fn standard_mode() -> u32 {
    100_000
}

const fn fifty() -> u16 {
    50
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steering {
    pub(super) channel: u8,
    #[serde(default = "short")]
    pub(super) right_us: u16,
    #[serde(default = "middle")]
    pub(super) centre_us: u16,
    #[serde(default = "long")]
    pub(super) left_us: u16,
    #[serde(default)]
    pub(super) trim_us: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drive {
    pub(super) channel: u8,
    #[serde(default = "short")]
    pub(super) brake_us: u16,
    #[serde(default = "middle")]
    pub(super) neutral_us: u16,
    #[serde(default = "long")]
    pub(super) forward_us: u16,
    #[serde(default)]
    pub(super) trim_us: f64,
}

const fn short() -> u16 {
    1_000
}

const fn middle() -> u16 {
    1_500
}

const fn long() -> u16 {
    2_000
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SafeState {
    pub(super) brake_mps2: f64,
    pub(super) brake_for_ms: u16,
}

impl Default for SafeState {
    fn default() -> Self {
        Self { brake_mps2: -2.0, brake_for_ms: 1_500 }
    }
}

/// A GPIO line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The chip's device file.
    pub chip: String,
    /// The line's number on it.
    pub offset: u32,
    /// Whether low means yes.
    pub active_low: bool,
}

/// A wheel encoder's lines.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// The chip's device file.
    pub chip: String,
    /// The line that leads when the vehicle drives forward.
    pub a: u32,
    /// The other one.
    pub b: u32,
    /// The way from edge to edge, in m.
    pub metres_per_tick: f64,
    /// So long without an edge the vehicle stands, in ms.
    #[serde(default = "tenth")]
    pub silence_ms: u16,
}

const fn tenth() -> u16 {
    100
}

/// A battery monitor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Battery {
    /// The bus: the N of `/dev/i2c-N`.
    pub i2c_bus: u8,
    /// The chip's address.
    pub address: u8,
    /// The shunt, in Ω.
    pub shunt_ohm: f64,
    /// Below what an empty battery has, in V.
    pub voltage_min_v: f64,
    /// Above what a full one has, in V.
    pub voltage_max_v: f64,
}

/// The board's watchdog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Its device file.
    #[serde(default = "dev_watchdog")]
    pub path: String,
    /// So long without food it bites, in ms.
    pub timeout_ms: u32,
}

fn dev_watchdog() -> String {
    "/dev/watchdog".to_owned()
}
