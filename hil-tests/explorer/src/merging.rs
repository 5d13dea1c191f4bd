//! The search takes two states with one canonical form for one. So they must go on alike: whatever happens to both of them from then
//! on, the same device holds the wheel after each period, the same ones are ready, and the same is found broken. (They need not have
//! one form again: a device that starts anew counts its probes from 1, whatever the others have come to.)

use crate::found::Start;
use crate::pair::{Corner, Pair, Wakes};
use crate::search::begun;
use crate::trouble::{Detail, Trouble, singles};
use std::collections::HashMap;
use twinhelm_hal::gate::rules::AsDesigned as DesignedGate;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Duration;
use twinhelm_hil::rng::Rng;
use twinhelm_standby::node::rules::AsDesigned as DesignedNode;
use twinhelm_standby::{Config, NotReady, Parameters};

type Designed = Pair<DesignedGate, DesignedNode>;

/// Both go on for so many periods.
const PERIODS: u32 = 120;

fn config(gates: u8) -> Config {
    Config::new(Parameters { gates, ..Parameters::at_period(Duration::from_millis(10)) })
        .expect("it keeps the promise")
}

fn start(rng: &mut Rng, config: &Config) -> Start {
    let mut within_leases = || Duration::from_micros(rng.below(600) * 100);
    let boots = [Some(within_leases()), Some(within_leases()), None];
    let gates = (0..config.gates).map(|_| within_leases()).collect();
    Start { boots, gates, ready_after: Duration::from_millis(60), wraps: false }
}

/// One thing that happens to a pair: when, counted from a moment, and until when.
struct Blow {
    at: Duration,
    trouble: Trouble,
}

fn blows(rng: &mut Rng, troubles: &[Trouble], count: u64) -> Vec<Blow> {
    let mut all: Vec<_> = (0..count)
        .map(|_| Blow {
            at: Duration::from_micros(rng.below(u64::from(PERIODS) * 7_000)),
            trouble: troubles[rng.below(troubles.len() as u64) as usize].clone(),
        })
        .collect();
    all.sort_by_key(|blow| blow.at);
    all
}

/// Lets `pair` go on through `blows`, and calls `look` after each period, until it says that it has seen enough.
fn go_on(pair: &mut Designed, corner: Corner, blows: &[Blow], mut look: impl FnMut(&Designed) -> bool) {
    let (from, period) = (pair.now, pair.config.period);
    let ends = blows.iter().filter_map(|blow| Some((blow.at + blow.trouble.lasts?, blow, false)));
    let mut turns: Vec<_> = blows.iter().map(|blow| (blow.at, blow, true)).chain(ends).collect();
    turns.sort_by_key(|(at, _, _)| *at);
    let mut turns = turns.into_iter().peekable();
    for number in 1..=PERIODS {
        let until = from + period * number;
        while let Some((at, blow, on)) = turns.next_if(|(at, _, _)| from + *at < until) {
            pair.advance((from + at).max(pair.now), &mut { corner }, None);
            blow.trouble.apply(pair, on, None);
        }
        pair.advance(until, &mut { corner }, None);
        if look(pair) {
            return;
        }
    }
}

/// How a pair stands, as far as anybody cares.
#[derive(Debug, PartialEq)]
struct Standing {
    is_commanded: bool,
    holder: Option<Slot>,
    ready: Vec<Result<(), NotReady>>,
    gap: Duration,
}

fn standing(pair: &Designed) -> Standing {
    Standing {
        is_commanded: pair.is_commanded(),
        holder: pair.holder(),
        ready: pair.devices.iter().map(|device| device.readiness()).collect(),
        gap: pair.gap,
    }
}

fn broken(pair: &Designed) -> Vec<(u8, String)> {
    let all = pair.wrong.iter().chain(pair.checks.violations());
    all.map(|violation| (violation.invariant, violation.what.clone())).collect()
}

#[test]
fn states_that_are_taken_for_one_go_on_alike() {
    let corner = Corner([Wakes::OnTime, Wakes::InTurn, Wakes::OnTime, Wakes::OnTime]);
    let mut merged = 0;
    for seed in 0..1_000 {
        let mut rng = Rng::new(seed, 1);
        let config = config(1 + (seed % 2) as u8);
        let troubles = singles(&config, config.gates.into(), Detail::Quick);
        let troubles: Vec<_> = troubles.into_iter().filter(|it| !it.label.starts_with("held-frame=2100")).collect();
        let start = start(&mut rng, &config);
        let mut pair = begun::<DesignedGate, DesignedNode>(config, &start, &mut { corner }, None);
        let mut seen: HashMap<u64, Designed> = HashMap::new();
        let before = blows(&mut rng, &troubles, seed % 4);
        let mut pairs = Vec::new();
        go_on(&mut pair, corner, &before, |pair| {
            if let Some(earlier) = seen.insert(pair.key(), pair.clone()) {
                pairs.push((earlier, pair.clone()));
            }
            pairs.len() == 3
        });
        for (mut earlier, mut later) in pairs {
            assert!(earlier.now < later.now);
            let already = [broken(&earlier).len(), broken(&later).len()];
            let after = blows(&mut rng, &troubles, 1 + seed % 3);
            (earlier.gap, later.gap) = (Duration::ZERO, Duration::ZERO);
            let mut standings = Vec::new();
            go_on(&mut earlier, corner, &after, |pair| {
                standings.push(standing(pair));
                false
            });
            let mut at = 0;
            go_on(&mut later, corner, &after, |pair| {
                let labels = || after.iter().map(|blow| (blow.at, blow.trouble.to_string())).collect::<Vec<_>>();
                assert_eq!(standing(pair), standings[at], "seed {seed}, {at} periods later, {:?}", labels());
                at += 1;
                false
            });
            let [earlier, later] = [broken(&earlier), broken(&later)];
            assert_eq!(earlier.len() - already[0], later.len() - already[1], "seed {seed}: {earlier:?} {later:?}");
            merged += 1;
        }
    }
    println!("{merged} pairs of states went on alike");
    assert!(merged > 300, "{merged}");
}
