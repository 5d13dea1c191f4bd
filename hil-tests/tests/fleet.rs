//! Migrations in a simulated fleet, with faults at every step; and rules that are broken on purpose, which the checks find.

use std::time::Duration;
use twinhelm_hil::fleet::{Fleet, Trouble};
use twinhelm_hil::rng::Rng;
use twinhelm_standby::migration::{AsDesigned, End, Fencing, RecruitRules, Step};

const SPARES: [&str; 2] = ["spare-a", "spare-b"];
const DEATH: (Duration, Trouble) = (Duration::from_secs(5), Trouble::Dies("right", None));

fn run(seed: u64, spares: &[&'static str], troubles: &[(Duration, Trouble)]) -> Fleet {
    let mut fleet = Fleet::<AsDesigned>::new(seed, spares, troubles);
    fleet.run();
    assert_eq!(fleet.broken, Vec::<String>::new(), "seed {seed}: {troubles:?}");
    fleet
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_dead_standby_is_replaced_by_a_spare() {
    for seed in 0..50 {
        let fleet = run(seed, &SPARES, &[DEATH]);
        assert!(fleet.is_whole(), "seed {seed}");
        let whole = End::Whole { device: "spare-a".to_owned(), fencing: Fencing::Unknown };
        assert_eq!(fleet.ends, [whole], "seed {seed}: nobody answers for a dead device");
    }
}

#[test]
fn a_dead_holder_is_replaced_too_and_the_former_standby_orchestrates() {
    let fleet = run(1, &SPARES, &[(s(5.0), Trouble::Dies("left", None))]);
    assert_eq!(fleet.members().collect::<Vec<_>>(), ["right", "spare-a"]);
}

#[test]
fn then_the_survivor_dies_as_well_and_the_former_spare_recruits_the_next() {
    let fleet = run(1, &SPARES, &[DEATH, (s(60.0), Trouble::Dies("left", None))]);
    assert_eq!(fleet.members().collect::<Vec<_>>(), ["spare-a", "spare-b"]);
    assert_eq!(fleet.ends.len(), 2, "{:?}", fleet.ends);
}

#[test]
fn a_device_that_restarts_in_time_is_not_replaced_and_one_that_comes_back_later_is_fenced() {
    let fleet = run(1, &SPARES, &[(s(5.0), Trouble::Dies("right", Some(s(1.0))))]);
    assert_eq!((fleet.ends.as_slice(), fleet.is_fenced("right")), (&[][..], false));
    // It comes back while a spare is under way, or behind it; seen over many seeds both happen.
    let mut ends = [0, 0];
    for seed in 0..100 {
        let back = s(2.0 + 0.2 * seed as f64);
        let fleet = run(seed, &SPARES, &[(s(5.0), Trouble::Dies("right", Some(back)))]);
        let not_needed = fleet.ends == [End::NotNeeded];
        ends[usize::from(not_needed)] += 1;
        assert_eq!(
            fleet.members().count(),
            if not_needed || fleet.is_fenced("right") { 2 } else { 3 },
            "seed {seed}"
        );
    }
    assert!(ends.iter().all(|count| *count > 5), "{ends:?}");
}

#[test]
fn a_spare_that_dies_fails_or_hangs_at_any_step_is_followed_by_the_next() {
    for seed in 0..20 {
        for step in [Step::Pull, Step::Fetch, Step::Create, Step::Start, Step::Join] {
            for trouble in [Trouble::Fails("spare-a", step, 9), Trouble::Hangs("spare-a", step, 9)] {
                let fleet = run(seed, &SPARES, &[(s(0.0), trouble), DEATH]);
                assert!(fleet.members().any(|name| name == "spare-b"), "seed {seed}, {step:?}");
            }
            // Once is no reason.
            let fleet = run(seed, &SPARES, &[(s(0.0), Trouble::Fails("spare-a", step, 1)), DEATH]);
            assert!(fleet.members().any(|name| name == "spare-a"), "seed {seed}, {step:?}");
        }
        for after in 0..12 {
            let dies = (s(7.0 + 0.7 * f64::from(after)), Trouble::Dies("spare-a", None));
            assert!(run(seed, &SPARES, &[DEATH, dies]).is_whole(), "seed {seed}, {after}");
        }
    }
}

#[test]
fn gates_that_close_in_the_middle_of_any_step_give_the_migration_a_new_term_and_it_goes_on() {
    for seed in 0..10 {
        for after in 0..60 {
            let closes = |more: f64| (s(6.0 + 0.25 * f64::from(after) + more), Trouble::GatesClose);
            let fleet = run(seed, &SPARES, &[DEATH, closes(0.0)]);
            assert!(fleet.is_whole(), "seed {seed}, {after}");
            assert_eq!(
                fleet.members().collect::<Vec<_>>(),
                ["left", "spare-a"],
                "what was reached stays: {seed}, {after}"
            );
            // Whether it was waited for is seen in the time that it took.
            assert!(fleet.ran() < s(60.0), "seed {seed}, {after}: {:?}", fleet.ran());
            assert!(
                run(seed, &SPARES, &[DEATH, closes(0.0), closes(0.4), closes(1.1)]).is_whole(),
                "{seed}, {after}"
            );
        }
    }
}

#[test]
fn without_a_spare_it_says_so_once_and_goes_on_looking() {
    let fleet = run(1, &[], &[DEATH]);
    assert!(!fleet.is_whole() && fleet.ends == [End::NoCandidate], "{:?}", fleet.ends);
    let late = (s(0.0), Trouble::Dies("spare-a", Some(s(60.0))));
    let fleet = run(1, &["spare-a"], &[late, DEATH]);
    assert!(fleet.is_whole() && fleet.ends.len() == 2, "{:?}", fleet.ends);
}

#[test]
fn a_migration_takes_as_many_words_in_a_large_pool_as_in_a_small_one() {
    for count in [5, 100] {
        let names: Vec<&'static str> = (0..count).map(|number| &*format!("spare-{number:03}").leak()).collect();
        let mut fleet: Fleet = Fleet::new(1, &names, &[(s(2.0), Trouble::Dies("right", None))]);
        fleet.run_until_whole();
        assert!(fleet.is_whole() && fleet.broken.is_empty(), "{:?}", fleet.broken);
        assert!(fleet.sent.words < 200, "{count} spares: {:?}", fleet.sent);
    }
}

/// A schedule of up to four troubles, from a seed.
fn storm(seed: u64) -> Vec<(Duration, Trouble)> {
    const NAMES: [&str; 4] = ["left", "right", "spare-a", "spare-b"];
    let mut rng = Rng::new(seed, 7);
    let mut troubles = vec![(s(2.0), Trouble::Dies(["left", "right"][rng.below(2) as usize], None))];
    for _ in 0..=rng.below(3) {
        let at = rng.span(s(0.0), s(30.0));
        let name = NAMES[rng.below(4) as usize];
        let step = Step::ALL[1 + rng.below(5) as usize];
        let times = 1 + rng.below(2) as u32;
        troubles.push((
            at,
            match rng.below(9) {
                0 => Trouble::Dies(name, None),
                1 => Trouble::Dies(name, Some(rng.span(s(0.5), s(20.0)))),
                2 => Trouble::Fails(name, step, times),
                3 => Trouble::Hangs(name, step, times),
                4 => Trouble::CutOff(name, rng.span(s(0.5), s(90.0))),
                5 => Trouble::MissionDies(name, rng.span(s(0.5), s(5.0))),
                6 => Trouble::Blind(name, rng.span(s(0.5), s(20.0))),
                7 => Trouble::GatesClose,
                _ => Trouble::Loses(0.6, rng.span(s(0.5), s(20.0))),
            },
        ));
    }
    troubles
}

#[test]
fn whatever_else_goes_wrong_meanwhile_nobody_joins_twice_and_the_pair_is_whole_in_the_end() {
    let mut whole = 0;
    for seed in 0..1_000 {
        whole += u32::from(run(seed, &SPARES, &storm(seed)).is_whole());
    }
    // In the others nobody was left who could drive, or who could be recruited.
    assert!(whole > 600, "{whole} of 1000");
}

/// Returns whether a broken rule is found by its code, in a thousand storms.
fn found<R: RecruitRules>(code: &str) -> bool {
    (0..1_000).any(|seed| {
        let mut fleet = Fleet::<R>::new(seed, &SPARES, &storm(seed));
        fleet.run();
        fleet.broken.iter().any(|what| what.starts_with(code))
    })
}

#[derive(Clone, Debug, Default)]
struct JoinsUnasked;

impl RecruitRules for JoinsUnasked {
    const ASKS_THE_GATES: bool = false;
}

#[test]
fn a_recruit_that_joins_without_asking_the_gates() {
    // The holder's mission dies, and its agent, which does not notice, goes on recruiting. The device that was lost comes back.
    let troubles = [
        (s(2.0), Trouble::Dies("right", Some(s(14.0)))),
        (s(5.0), Trouble::Blind("left", s(60.0))),
        (s(5.1), Trouble::MissionDies("left", s(60.0))),
    ];
    let broken = |seed| {
        let mut fleet = Fleet::<JoinsUnasked>::new(seed, &SPARES, &troubles);
        fleet.run();
        fleet.broken.iter().any(|what| what.starts_with("F5"))
    };
    assert!((0..50).any(broken));
    for seed in 0..50 {
        assert!(run(seed, &SPARES, &troubles).is_whole(), "seed {seed}");
    }
}

#[derive(Clone, Debug, Default)]
struct CountsNobody;

impl RecruitRules for CountsNobody {
    const COUNTS_MEMBERS: bool = false;
}

#[test]
fn a_recruit_that_joins_as_the_third() {
    // The faulty device comes back in the moment in which the spare joins.
    let broken = |back: u32| {
        let troubles = [(s(2.0), Trouble::Dies("right", Some(s(f64::from(back) * 0.05))))];
        let mut fleet = Fleet::<CountsNobody>::new(back.into(), &SPARES, &troubles);
        fleet.run();
        fleet.broken.iter().any(|what| what.starts_with("F1"))
    };
    assert!((40..400).any(broken));
    for back in 40u32..400 {
        run(back.into(), &SPARES, &[(s(2.0), Trouble::Dies("right", Some(s(f64::from(back) * 0.05))))]);
    }
}

#[test]
fn a_standby_that_the_fleet_does_not_hear_keeps_its_place() {
    // Its samples do not come, and the holder's agent looks for a spare; the bus knows better.
    for seed in 0..50 {
        let fleet = run(seed, &SPARES, &[(s(5.0), Trouble::CutOff("right", s(90.0)))]);
        assert_eq!(fleet.members().collect::<Vec<_>>(), ["left", "right"], "seed {seed}");
    }
}

#[derive(Clone, Debug, Default)]
struct WaitsForEver;

impl RecruitRules for WaitsForEver {
    const TICKET_EXPIRES: bool = false;
}

#[test]
fn a_recruit_that_waits_for_a_dead_orchestrator_for_ever() {
    assert!(found::<WaitsForEver>("F2"));
}
