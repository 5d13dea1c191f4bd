//! The search sees: each rule that is broken on purpose is found out, in an area where the design breaks nothing.
//!
//! Three are beyond it, and have a scenario each in hil-tests/tests/variants.rs. `KeepsOwnState`: what a law remembers is no part of a
//! search about who drives. `SendsBlind`: a deaf standby takes the wheel only if its clock is ahead as well, and that is two faults.
//! `OpensOnOne`: no queue keeps a frame for longer than a period, so an old one meets a closed gate only where it was held and the gate restarts, which is two faults as well.

use std::collections::BTreeSet;
use twinhelm_explorer::Detail;
use twinhelm_explorer::plan::{From, Rate, areas};
use twinhelm_hal::gate::rules::{AsDesigned as DesignedGate, GateRules};
use twinhelm_hil::broken::{
    AnyTerm, ClaimsAgainstTheStop, ClaimsWithPeersReadings, CountsPastTheGate, FollowsNobody, ForgetsTheStop,
    GoesOnSending, KeepsOldCycle, LateFramesRenew, NAMES, NeverCloses, NeverTooFarAhead, NextTermOfAll,
    NoCycleCheck, NoDueCheck, NoLease, NoRelock, NoSelfCheck, NoTermCheck, NoTolerance, OnlyAnswers, TrustsBus,
};
use twinhelm_standby::node::rules::{AsDesigned as DesignedNode, NodeRules};

/// The ones that a scenario catches, and no search.
const EXCUSED: [&str; 3] = ["KeepsOwnState", "OpensOnOne", "SendsBlind"];

/// Explores the areas from `from` at `rate` with `gates` gates until something is broken, by one of `invariants`; 0 is recovery.
#[track_caller]
fn is_found<G: GateRules, N: NodeRules>(from: From, rate: Rate, gates: u8, invariants: &[u8]) {
    let is_meant = |area: &twinhelm_explorer::plan::Area| (area.from, area.rate, area.gates) == (from, rate, gates);
    let mut seen = BTreeSet::new();
    for area in areas(Detail::Quick).iter().filter(|area| is_meant(area)) {
        let outcome = area.explore::<G, N>().expect("the timing keeps the promise");
        if let Some(found) = outcome.found.iter().find(|found| invariants.contains(&found.violation.invariant)) {
            println!("{}: {found}", area.name());
            return;
        }
        seen.extend(outcome.found.iter().map(|found| found.violation.invariant));
    }
    panic!("nothing shows that {invariants:?} are broken, but {seen:?}");
}

macro_rules! caught {
    ($($test:ident: $gate:ty, $node:ty, $from:ident, $rate:ident, $gates:literal gate(s), $invariants:expr;)*) => {
        $(
            #[test]
            fn $test() {
                is_found::<$gate, $node>(From::$from, Rate::$rate, $gates, &$invariants);
            }
        )*

        /// Every rule that is broken in one of the tests.
        const CAUGHT: &[&str] = &[$(stringify!($gate), stringify!($node)),*];
    };
}

caught! {
    a_gate_without_a_lease: NoLease, DesignedNode, Whole, Hz100, 1 gate(s), [4];
    a_gate_that_does_not_ask_whether_a_cover_is_due: NoDueCheck, DesignedNode, Whole, Hz100, 1 gate(s), [4];
    a_gate_that_never_closes: NeverCloses, DesignedNode, Whole, Hz100, 2 gate(s), [6];
    a_gate_that_forgets_its_stop: ForgetsTheStop, ClaimsAgainstTheStop, Whole, Hz100, 1 gate(s), [13];
    a_device_that_claims_while_it_is_stopped: DesignedGate, ClaimsAgainstTheStop, Whole, Hz100, 1 gate(s), [13];
    a_standby_that_counts_past_a_late_holder: DesignedGate, CountsPastTheGate, Spare, Hz100, 1 gate(s), [0, 5];
    a_gate_that_does_not_follow_the_other: FollowsNobody, DesignedNode, Whole, Hz100, 2 gate(s), [11];
    a_gate_without_tolerance_for_a_hair_early: NoTolerance, DesignedNode, Whole, Hz100, 1 gate(s), [0, 5];
    a_gate_that_does_not_compare_terms: NoTermCheck, DesignedNode, Whole, Hz100, 1 gate(s), [1];
    a_gate_that_does_not_check_the_cycle: NoCycleCheck, DesignedNode, Whole, Hz100, 1 gate(s), [3];
    a_gate_that_acts_on_what_was_held_for_half_the_range: NeverTooFarAhead, DesignedNode, Whole, Hz100, 1 gate(s), [3];
    a_gate_whose_lease_late_frames_renew: LateFramesRenew, DesignedNode, Whole, Hz100, 1 gate(s), [4];
    a_gate_that_reports_only_when_spoken_to: OnlyAnswers, DesignedNode, Whole, Hz100, 1 gate(s), [0];
    terms_that_belong_to_nobody: AnyTerm, NextTermOfAll, Whole, Hz100, 1 gate(s), [0, 2];
    a_standby_that_believes_the_bus_and_not_the_gate: DesignedGate, TrustsBus, Whole, Hz100, 1 gate(s), [5];
    a_standby_that_does_not_lock_on_again: DesignedGate, NoRelock, Whole, Hz100, 1 gate(s), [0, 4];
    a_superseded_device_that_goes_on_sending: DesignedGate, GoesOnSending, Whole, Hz100, 1 gate(s), [7];
    a_primary_that_does_not_lift_its_cycle: DesignedGate, KeepsOldCycle, Whole, Hz100, 1 gate(s), [4];
    a_stuck_output_that_is_not_checked: DesignedGate, NoSelfCheck, Whole, Hz100, 1 gate(s), [5];
    a_device_that_claims_with_its_peers_readings: DesignedGate, ClaimsWithPeersReadings, NotReady, Hz100, 1 gate(s), [0];
}

#[test]
fn every_broken_rule_is_caught_or_excused() {
    let missing: Vec<_> = NAMES.iter().filter(|name| !CAUGHT.contains(name) && !EXCUSED.contains(name)).collect();
    assert!(missing.is_empty(), "neither caught nor excused: {missing:?}");
}
