//! The fleet's membership rules on a grid: a standby dies, and in each moment of the migration that follows each trouble begins, at each
//! device. What `Fleet` checks in every run holds: at most two members, no recruit that nobody holds, a pair that is whole in the end.
//!
//! With `TWINHELM_FULL` the grid is four times as fine, with more seeds for how late messages are, and a second trouble follows the first.

use std::time::Duration;
use twinhelm_hil::fleet::{Fleet, Trouble};
use twinhelm_standby::migration::{AsDesigned, Step};

const SPARES: [&str; 2] = ["spare-a", "spare-b"];
const DEVICES: [&str; 4] = ["left", "right", "spare-a", "spare-b"];
/// When the standby dies.
const DEATH_MS: u64 = 2_000;
/// A migration that nothing hinders is done by then.
const WITHIN_MS: u64 = 20_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Every trouble of a fleet, one or two durations each.
fn troubles() -> Vec<Trouble> {
    let mut all = vec![Trouble::GatesClose, Trouble::Loses(0.6, ms(4_000))];
    for name in DEVICES {
        all.extend([
            Trouble::Dies(name, None),
            Trouble::Dies(name, Some(ms(900))),
            Trouble::Dies(name, Some(ms(7_000))),
            Trouble::CutOff(name, ms(1_500)),
            Trouble::CutOff(name, ms(20_000)),
            Trouble::MissionDies(name, ms(1_500)),
            Trouble::Blind(name, ms(5_000)),
        ]);
    }
    for step in [Step::Pull, Step::Fetch, Step::Create, Step::Start, Step::Join] {
        all.extend([Trouble::Fails("spare-a", step, 2), Trouble::Hangs("spare-a", step, 1)]);
    }
    all
}

/// So many findings are shown.
const SHOWN: usize = 20;

/// Runs one fleet, and adds what broke in it to `found`.
fn check(found: &mut Vec<String>, seed: u64, more: &[(Duration, Trouble)]) {
    let mut troubles = vec![(ms(DEATH_MS), Trouble::Dies("right", None))];
    troubles.extend_from_slice(more);
    let mut fleet = Fleet::<AsDesigned>::new(seed, &SPARES, &troubles);
    fleet.run();
    if let Some(first) = fleet.broken.first()
        && found.len() < SHOWN
    {
        found.push(format!("seed {seed}: {troubles:?}\n  {first} (and {} more)", fleet.broken.len() - 1));
    }
}

fn is_full() -> bool {
    std::env::var_os("TWINHELM_FULL").is_some()
}

#[test]
fn each_trouble_at_each_moment_of_a_migration() {
    let (every, seeds) = if is_full() { (250, 4) } else { (1_000, 1) };
    let (mut runs, mut found) = (0, Vec::new());
    for trouble in troubles() {
        for at in (0..WITHIN_MS).step_by(every) {
            for seed in 0..seeds {
                check(&mut found, seed, &[(ms(DEATH_MS + at), trouble.clone())]);
                runs += 1;
            }
        }
    }
    println!("{runs} migrations");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_trouble_after_each_other_one() {
    if !is_full() {
        println!("skipped: 100,000 migrations: ./dev hil --full");
        return;
    }
    let (mut runs, mut found) = (0, Vec::new());
    for first in troubles() {
        for at in (0..WITHIN_MS).step_by(2_500) {
            for second in troubles() {
                for later in (0..12_000).step_by(1_500) {
                    let more = [(ms(DEATH_MS + at), first.clone()), (ms(DEATH_MS + at + later), second.clone())];
                    check(&mut found, 0, &more);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} migrations");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
