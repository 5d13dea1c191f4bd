//! The built-in scenarios, in the order in which a person should see them.

use super::Scenario;
use std::sync::LazyLock;
use twinhelm_standby::file_error::nearest;

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Names and texts; a file's name is its scenario's.
const FILES: &[(&str, &str)] = files! {
    "quiet"
    "kill"
    "rejoin"
    "kill-and-back"
    "exit"
    "power"
    "hang"
    "hang-for-a-moment"
    "switchover"
    "link-cut"
    "link-rough"
    "link-slow"
    "bus-cut"
    "bus-cut-tx"
    "bus-cut-rx"
    "bus-passive"
    "bus-off"
    "standby-cut-off"
    "late"
    "nan"
    "out-of-range"
    "frozen-output"
    "frozen-counter"
    "sensor-silent"
    "sensor-stuck"
    "sensor-noisy"
    "clock-drift"
    "gate-restart"
    "estop"
    "oval"
    "alone-kill"
    "fresh-kill"
    "ce01-gate-alone-misses-a-frame"
    "ce02-takeover-with-an-early-clock"
    "ce03-late-holder-is-not-robbed"
    "ce04-old-frame-does-not-open"
    "ce05-standby-wakes-with-an-old-cycle"
    "ce06-both-claim-at-boot"
    "ce07-no-shortcut-when-known-dead"
    "ce08-switchover-with-a-lost-frame"
    "ce09-new-holder-dies-in-a-switchover"
    "ce10-holder-wakes-some-cycles-behind"
    "ce11-gate-speaks-without-being-asked"
    "ce12-late-frames-renew-nothing"
    "ce13-deaf-standby-stays-a-standby"
    "ce14-gate-restarts-and-the-holder-dies"
    "ce15-two-claimers-take-turns"
    "ce16-holder-slips-by-a-cycle"
};

static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let scenario = |(name, text): &(&str, &str)| match Scenario::parse(&format!("{name}.toml"), text) {
        Ok(scenario) => scenario,
        Err(error) => unreachable!("a test reads each built-in scenario: {error}"),
    };
    FILES.iter().map(scenario).collect()
});

/// There is no such scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{name}`; {instead}")]
pub struct UnknownScenario {
    name: String,
    instead: String,
}

/// Returns all built-in scenarios.
#[must_use]
pub fn scenarios() -> &'static [Scenario] {
    &SCENARIOS
}

pub(super) fn named(name: &str) -> Result<&'static Scenario, UnknownScenario> {
    if let Some(scenario) = scenarios().iter().find(|scenario| scenario.name == name) {
        return Ok(scenario);
    }
    let instead = match nearest(name, FILES.iter().map(|(name, _)| *name)) {
        Some(meant) => format!("write `{meant}`, or the path of a file"),
        None => "write the path of a file, or one that `vehicle-demo scenarios` lists".to_owned(),
    };
    Err(UnknownScenario { name: name.to_owned(), instead })
}
