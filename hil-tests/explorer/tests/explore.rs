//! The search that every change goes through: nothing is broken, and each trouble is over within what docs/protocol.md promises.

use std::collections::BTreeSet;
use std::path::Path;
use twinhelm_explorer::plan::{Area, From, Rate, areas};
use twinhelm_explorer::{Detail, Figures, Found, Trouble, singles};
use twinhelm_hal::gate::rules::AsDesigned as DesignedGate;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::check::Violation;
use twinhelm_hil::recording::{Recording, replay};
use twinhelm_hil::scenario::Scenario;
use twinhelm_standby::config::{WHOLE_AFTER_BOOT_PERIODS, WHOLE_AGAIN_PERIODS};
use twinhelm_standby::node::rules::AsDesigned as DesignedNode;

/// Explores every area that starts `from`, and prints what the searches came to, all together.
#[track_caller]
fn explore(from: From) {
    let mut all = Figures::default();
    let within = if from == From::Boot { WHOLE_AFTER_BOOT_PERIODS } else { WHOLE_AGAIN_PERIODS };
    for area in areas(Detail::Quick).iter().filter(|area| area.from == from) {
        let outcome = area.explore::<DesignedGate, DesignedNode>().expect("the timing keeps the promise");
        if let Some(found) = outcome.found.first() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.mcap", from.name()));
            std::fs::write(&path, found.record::<DesignedGate, DesignedNode>()).expect("a file");
            let story = found.story::<DesignedGate, DesignedNode>().expect("it was just written");
            let scenario = found.scenario().unwrap_or_else(|| "no scenario has a word for it".to_owned());
            panic!(
                "{}: {} broken\n{story}\nrecorded in {}\n\n{scenario}",
                area.name(),
                outcome.found.len(),
                path.display()
            );
        }
        assert!(outcome.figures.runs > 1_000, "{}: {:?}", area.name(), outcome.figures);
        let is_bounded = matches!(from, From::Whole | From::Spare | From::Wrap);
        assert_eq!(!outcome.figures.gap_max.is_zero(), is_bounded, "{}: started from a whole pair", area.name());
        assert!(u32::from(outcome.figures.whole_after) <= within, "{}: {:?}", area.name(), outcome.figures);
        all = all.and(outcome.figures);
    }
    println!("{}: {all}", from.name());
}

#[test]
fn every_single_trouble_of_a_whole_pair_keeps_the_bound_and_ends() {
    explore(From::Whole);
}

#[test]
fn a_standby_that_is_not_ready_yet_becomes_ready_whatever_happens() {
    explore(From::NotReady);
}

#[test]
fn a_spare_on_the_bus_breaks_nothing() {
    explore(From::Spare);
}

#[test]
fn the_wires_counters_wrap_and_nobody_notices() {
    explore(From::Wrap);
}

#[test]
fn a_pair_that_is_switched_on_at_any_offset_is_whole_soon() {
    explore(From::Boot);
}

#[test]
fn each_area_has_a_name_of_its_own() {
    let all = areas(Detail::Full);
    let names: BTreeSet<String> = all.iter().map(Area::name).collect();
    assert_eq!(names.len(), all.len());
    assert!(Rate::ALL.iter().all(|rate| all.iter().any(|area| area.rate == *rate)));
}

/// What would be left of a violation: its recording replays to the same decisions, its story tells what happened, and its scenario
/// is one.
#[test]
fn what_is_found_can_be_replayed_told_and_made_a_scenario() {
    let area = areas(Detail::Quick).into_iter().find(|area| area.from == From::Whole && area.rate == Rate::Hz100);
    let area = area.expect("an area at 100 Hz");
    let config = area.config().expect("the timing keeps the promise");
    let hang = |trouble: &Trouble| trouble.label == "hang" && trouble.lasts == Some(Duration::from_millis(110));
    let trouble = singles(&config, 1, Detail::Quick).into_iter().find(hang).expect("it is in the fault model");
    let at = Duration::from_millis(603);
    let found = Found {
        config,
        jitter: area.jitter,
        start: area.start(&config),
        trouble: vec![(at, trouble)],
        departed: Vec::new(),
        violation: Violation {
            invariant: 5,
            at: Instant::from_nanos(1_000_000_000_000) + at + Duration::from_millis(40),
            what: "nothing is, this is a test".to_owned(),
        },
    };
    let recording =
        Recording::read("a recording", &found.record::<DesignedGate, DesignedNode>()).expect("it can be read");
    let replayed = replay(&recording).expect("the same decisions");
    assert_eq!((replayed.lives, replayed.gates), (2, 1));
    let story = found.story::<DesignedGate, DesignedNode>().expect("it can be read");
    assert!(story.contains("a takeover") && story.contains("hang hits left"), "{story}");
    let scenario = found.scenario().expect("a scenario has a word for it");
    let scenario = Scenario::parse("explored.toml", &scenario).expect("a scenario");
    assert_eq!(scenario.faults[0].at, at);
}
