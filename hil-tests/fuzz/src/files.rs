//! The files that people write: the first line names which, the rest is its text. And faults and periods of the command line, one a
//! line.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Plan, simulate};
use twinhelm_hil::scenario::Scenario;
use twinhelm_mission::data::Address;
use twinhelm_mission::image::{Digest, Platform, Reference};
use twinhelm_standby::access::Members;
use twinhelm_standby::{Config, Readiness};
use twinhelm_vehicle::board::BoardConfig;
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::law::CourseLaw;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (which, text) = text.split_once('\n').unwrap_or((text, ""));
    match which {
        "vehicle" => vehicle(text),
        "board" => board(text),
        "scenario" => scenario(text),
        "faults" => text.lines().for_each(fault),
        "members" => members(text),
        _ => text.lines().for_each(word),
    }
}

fn vehicle(text: &str) {
    let settings = match Settings::parse("fuzzed.toml", text) {
        Ok(settings) => settings,
        Err(error) => return drop(error.to_string()),
    };
    for period in [None, Some(Duration::ZERO), Some(Duration::from_micros(1)), Some(Duration::MAX)] {
        match settings.config(period) {
            Ok(config) => promise(&config),
            Err(error) => drop(error.to_string()),
        }
    }
}

fn promise(config: &Config) {
    assert!(config.handover_gap_max() < config.command_timeout + config.period, "a promise that can be kept");
}

fn board(text: &str) {
    let config = Settings::default().config(None).expect("the built-in file");
    match BoardConfig::parse("fuzzed.toml", text, &config) {
        Ok(board) => drop(format!("{board:?}")),
        Err(error) => drop(error.to_string()),
    }
}

/// Reads a scenario, and runs it for a while.
fn scenario(text: &str) {
    let scenario = match Scenario::parse("fuzzed.toml", text) {
        Ok(scenario) => scenario,
        Err(error) => return drop(error.to_string()),
    };
    let settings = Settings::default();
    let config = settings.config(None).expect("the built-in file");
    let config = match scenario.fit(&config) {
        Ok(config) => config,
        Err(error) => return drop(error.to_string()),
    };
    let course = Arc::clone(&scenario.course);
    let mut report = simulate(&Plan {
        config,
        plant: settings.plant(),
        sensors: settings.sensors(),
        law: CourseLaw::new(Arc::clone(&course)),
        course,
        seed: scenario.seed,
        duration: scenario.duration.min(Duration::from_millis(300)),
        standby: scenario.standby,
        faults: scenario.faults.clone(),
    })
    .report;
    scenario.judge(&mut report);
}

fn fault(line: &str) {
    match Fault::parse(line) {
        Ok(fault) => assert_eq!(Fault::parse(&fault.label), Ok(fault)),
        Err(error) => assert!(error.to_string().contains("; "), "it says what to write instead: {error}"),
    }
    let _ = twinhelm_hil::fault::parse::span(line);
}

fn members(text: &str) {
    if let Ok(members) = serde_json::from_str::<Members>(text) {
        let _ = members.problem();
    }
}

/// The words of an agent's file that are read by parsers of their own.
fn word(line: &str) {
    if let Ok(reference) = line.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("what is shown is read");
        assert_eq!(again, reference);
    }
    if let Ok(address) = line.parse::<Address>() {
        assert_eq!(address.to_string().parse::<Address>(), Ok(address));
    }
    if let Ok(digest) = line.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }
    if let Ok(platform) = line.parse::<Platform>() {
        assert_eq!(platform.to_string().parse::<Platform>().ok(), Some(platform));
    }
    let _ = line.parse::<Readiness>();
}
