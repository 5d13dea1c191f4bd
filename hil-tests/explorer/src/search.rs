//! The search: from a start, through one trouble, until the pair is whole again; or a state comes back, and it never will be.

use crate::found::{Figures, Found, Jitter, Start};
use crate::pair::{Chooser, Corner, Notes, ORIGIN, Pair};
use crate::trouble::Trouble;
use std::collections::HashMap;
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::check::Violation;
use twinhelm_standby::Config;
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_vehicle::report::log::Event;

/// A pair that is not whole after so many periods, without having been anywhere twice, is given up: nothing the rules count lasts
/// longer.
const PERIODS_MAX: u16 = 200;
/// After the holder's death it is watched for so many periods.
const AFTER_DEATH: u16 = 9;
/// So much that is broken is kept; then the search ends.
const FOUND_MAX: usize = 20;
/// The holder is killed at so many moments of each period.
const DEATHS: u32 = 4;

/// What is to come true after a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The holder may die: the bound holds.
    Whole,
    /// The vehicle is commanded, for good.
    Commanded,
}

/// Wakes by a corner, with the departures that are prescribed; behind them by the corner alone, each wake noted.
pub(crate) struct Script {
    corner: Corner,
    departed: Vec<bool>,
    at: usize,
}

impl Chooser for Script {
    fn wakes_late(&mut self, slot: Slot, is_odd: bool) -> bool {
        if self.at == self.departed.len() {
            self.departed.push(false);
        }
        self.at += 1;
        self.corner.wakes_late(slot, is_odd) != self.departed[self.at - 1]
    }
}

impl Script {
    /// Returns a script with these departures.
    pub(crate) const fn new(corner: Corner, departed: Vec<bool>) -> Self {
        Self { corner, departed, at: 0 }
    }

    /// Prescribes the next combination of at most `most` departures; `None` when this was the last.
    fn next(mut self, most: u8) -> Option<Self> {
        loop {
            while self.departed.pop()? {}
            if departures(&self.departed) < most {
                self.departed.push(true);
                return Some(Self::new(self.corner, self.departed));
            }
        }
    }
}

/// Returns how many of the wakes departed.
fn departures(departed: &[bool]) -> u8 {
    departed.iter().fold(0, |count: u8, departed| count.saturating_add(u8::from(*departed)))
}

/// What a pair came to, and which wakes departed meanwhile.
type After<G, N> = (Box<Pair<G, N>>, Vec<bool>);

/// A search with one code, one timing, one way to wake.
#[derive(Debug)]
pub struct Search<G, N> {
    config: Config,
    jitter: Jitter,
    /// So many periods in a row are taken for good; `None`: until a state comes back.
    for_good: Option<usize>,
    /// What is known of a state, with so many departures left: after how many periods at most the goal is reached.
    settled: HashMap<(u64, u8, bool), u16>,
    /// Whether the holder may die in a state, with so many departures left.
    whole: HashMap<(u64, u8), bool>,
    /// Whether somebody takes over, the holder being dead, with so many departures left.
    taken_over: HashMap<(u64, u8), bool>,
    figures: Figures,
    found: Vec<Found>,
    /// What is being gone through.
    start: Option<Start>,
    trouble: Vec<(Duration, Trouble)>,
    departed: Vec<bool>,
    code: core::marker::PhantomData<(G, N)>,
}

impl<G: GateRules, N: NodeRules> Search<G, N> {
    /// Returns a search that has found nothing.
    #[must_use]
    pub fn new(config: Config, jitter: Jitter) -> Self {
        Self {
            config,
            jitter,
            for_good: None,
            settled: HashMap::new(),
            whole: HashMap::new(),
            taken_over: HashMap::new(),
            figures: Figures::default(),
            found: Vec::new(),
            start: None,
            trouble: Vec::new(),
            departed: Vec::new(),
            code: core::marker::PhantomData,
        }
    }

    /// Takes a pair that is whole for `periods` in a row for one that stays so.
    #[must_use]
    pub fn content_after(self, periods: usize) -> Self {
        Self { for_good: Some(periods), ..self }
    }

    /// Returns what was found.
    #[must_use]
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Returns what it came to so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { states: (self.settled.len() + self.whole.len() + self.taken_over.len()) as u64, ..self.figures }
    }

    /// Goes from `start` to a whole pair, with nothing wrong.
    pub fn boot(&mut self, start: &Start) {
        if self.has_seen_enough() {
            return;
        }
        self.figures.runs += 1;
        self.begin(start);
        let pair = begun::<G, N>(self.config, start, &mut self.corner(), None);
        self.settle_after(pair, Goal::Whole);
    }

    /// Goes from `start` through `trouble` at each moment, `every` so often for `within`, until what it has to come to. From a pair
    /// that is whole the bound on the gap holds.
    pub fn through(&mut self, start: &Start, troubles: &[Trouble], every: Duration, within: Duration) {
        self.begin(start);
        let mut pair = begun::<G, N>(self.config, start, &mut self.corner(), None);
        let from = pair.now;
        let is_whole = self.is_whole(&pair, pair.key());
        if is_whole {
            self.stays_whole(pair.clone());
        }
        while pair.now < from + within {
            for trouble in troubles {
                if self.has_seen_enough() {
                    return;
                }
                self.figures.runs += 1;
                self.trouble = vec![(pair.now.since(ORIGIN), trouble.clone())];
                self.departed.clear();
                self.one(pair.clone(), trouble, is_whole);
            }
            let next = pair.now + every;
            pair.advance(next, &mut self.corner(), None);
        }
    }

    /// Goes from a whole pair through each ordered pair of troubles, the second one up to `within` after the first. Two troubles
    /// are outside the promise: what is safe stays so, and the pair becomes whole, or the vehicle is stopped.
    pub fn through_two(&mut self, start: &Start, troubles: &[Trouble], every: Duration, within: Duration) {
        self.begin(start);
        let mut pair = begun::<G, N>(self.config, start, &mut self.corner(), None);
        pair.all_hear = false;
        let over: Vec<_> = troubles.iter().filter(|trouble| trouble.is_over()).collect();
        for first in &over {
            let mut begun = pair.clone();
            first.apply(&mut begun, true, None);
            let ends = first.lasts.map(|lasts| begun.now + lasts);
            let until = begun.now + within;
            while begun.now < until {
                let still = ends.filter(|ends| *ends > begun.now);
                for second in &over {
                    if self.has_seen_enough() {
                        return;
                    }
                    self.figures.runs += 1;
                    self.trouble = vec![
                        (pair.now.since(ORIGIN), (*first).clone()),
                        (begun.now.since(ORIGIN), (*second).clone()),
                    ];
                    self.departed.clear();
                    self.two(begun.clone(), (first, still), second);
                }
                let next = begun.now + every;
                if let Some(ends) = still.filter(|ends| *ends <= next) {
                    begun.advance(ends, &mut self.corner(), None);
                    first.apply(&mut begun, false, None);
                }
                begun.advance(next, &mut self.corner(), None);
            }
        }
    }

    fn two(&mut self, mut pair: Pair<G, N>, first: (&Trouble, Option<Instant>), second: &Trouble) {
        second.apply(&mut pair, true, None);
        let mut ends = [first.1.map(|at| (at, first.0)), second.lasts.map(|lasts| (pair.now + lasts, second))];
        ends.sort_by_key(|end| end.map(|(at, _)| at));
        for (at, trouble) in ends.into_iter().flatten() {
            if !self.go_to(&mut pair, at) {
                return;
            }
            trouble.apply(&mut pair, false, None);
        }
        self.settle_after(pair, Goal::Whole);
    }

    fn one(&mut self, mut pair: Pair<G, N>, trouble: &Trouble, is_whole: bool) {
        pair.gap_max = trouble.gap_max(&self.config).filter(|_| is_whole);
        let devices = pair.devices.iter().filter(|device| device.node.is_some()).count();
        pair.keeps_holder = is_whole && trouble.keeps_holder(&self.config, devices);
        pair.gap = Duration::ZERO;
        trouble.apply(&mut pair, true, None);
        // Until a frame that was held back has come, nothing has happened yet.
        while (pair.holds.is_some() || pair.holds_a_frame()) && self.go_to_next(&mut pair) {}
        if let Some(lasts) = trouble.lasts {
            let ends = pair.now + lasts;
            for (mut pair, departed) in self.all_at(pair, ends) {
                trouble.apply(&mut pair, false, None);
                self.departed = departed;
                self.settle_after(*pair, Goal::Whole);
            }
        } else {
            let goal = if trouble.is_over() { Goal::Whole } else { Goal::Commanded };
            self.settle_after(pair, goal);
        }
    }

    /// Returns whether so much is broken that more would tell nothing.
    fn has_seen_enough(&self) -> bool {
        self.found.len() >= FOUND_MAX
    }

    fn begin(&mut self, start: &Start) {
        self.start = Some(start.clone());
        self.trouble.clear();
        self.departed.clear();
    }

    const fn corner(&self) -> Corner {
        self.jitter.corner
    }

    /// Returns how many departures are left on the way that is being gone.
    fn left(&self) -> u8 {
        self.jitter.departures.saturating_sub(departures(&self.departed))
    }

    /// Goes on to `until` by the corner; returns whether nothing was found.
    fn go_to(&mut self, pair: &mut Pair<G, N>, until: Instant) -> bool {
        pair.advance(until, &mut self.corner(), None);
        self.figures.periods += 1;
        !self.note(pair)
    }

    fn go_to_next(&mut self, pair: &mut Pair<G, N>) -> bool {
        let next = pair.now + self.config.period;
        self.go_to(pair, next)
    }

    /// Returns all states that may be there at `until`, with the wakes that lead there.
    fn all_at(&mut self, pair: Pair<G, N>, until: Instant) -> Vec<After<G, N>> {
        let mut all = vec![(Box::new(pair), Vec::new())];
        loop {
            let now = all.first().map_or(until, |(pair, _)| pair.now);
            if now >= until {
                return all;
            }
            let next = (now + self.config.period).min(until);
            let mut after = HashMap::new();
            for (pair, before) in all {
                self.departed.clone_from(&before);
                for (pair, since) in self.successors(&pair, next) {
                    let way = [&before[..], &since].concat();
                    after.entry((pair.key(), departures(&way))).or_insert_with(|| (pair, way));
                }
            }
            self.departed.clear();
            all = after.into_values().collect();
        }
    }

    /// Returns what may come of `pair` by `until`, with the wakes that lead there. What is broken on the way is noted, and left out.
    fn successors(&mut self, pair: &Pair<G, N>, until: Instant) -> Vec<After<G, N>> {
        self.figures.periods += 1;
        let left = self.left();
        if left == 0 {
            let mut after = Box::new(pair.clone());
            after.advance(until, &mut self.corner(), None);
            return if self.note(&after) { Vec::new() } else { vec![(after, Vec::new())] };
        }
        let mut all = Vec::new();
        let mut script = Some(Script::new(self.corner(), Vec::new()));
        while let Some(mut wakes) = script {
            let mut after = Box::new(pair.clone());
            after.advance(until, &mut wakes, None);
            let len = self.departed.len();
            self.departed.extend(&wakes.departed);
            if !self.note(&after) {
                all.push((after, wakes.departed.clone()));
            }
            self.departed.truncate(len);
            script = wakes.next(left);
        }
        all
    }

    /// Takes note of what `pair` has broken; returns whether it has.
    fn note(&mut self, pair: &Pair<G, N>) -> bool {
        self.figures.gap_max =
            self.figures.gap_max.max(if pair.gap_max.is_some() { pair.gap } else { Duration::ZERO });
        let Some(violation) = pair.broken() else {
            return false;
        };
        self.broken(violation.clone());
        true
    }

    fn broken(&mut self, violation: Violation) {
        let Some(start) = self.start.clone() else {
            return;
        };
        let (config, jitter) = (self.config, self.jitter);
        let (trouble, departed) = (self.trouble.clone(), self.departed.clone());
        self.found.push(Found { config, jitter, start, trouble, departed, violation });
    }

    /// Goes on until `goal`, from the end of a trouble.
    fn settle_after(&mut self, pair: Pair<G, N>, goal: Goal) {
        // All at the same moments of a period, so that states that are the same are found to be.
        let period = self.config.period;
        let into = Duration::from_nanos((pair.now.since(ORIGIN).as_nanos() % period.as_nanos()) as u64);
        let until = pair.now + (period - into);
        if self.note(&pair) {
            return;
        }
        for (pair, departed) in self.successors(&pair, until) {
            let len = self.departed.len();
            self.departed.extend(departed);
            self.settle_here(pair, goal);
            self.departed.truncate(len);
        }
    }

    fn settle_here(&mut self, pair: Box<Pair<G, N>>, goal: Goal) {
        let mut path = Vec::new();
        if let Some(periods) = self.settle(pair, goal, &mut path)
            && goal == Goal::Whole
        {
            self.figures.whole_after = self.figures.whole_after.max(periods + 1);
        }
    }

    /// Returns after how many periods at most the goal is reached for good; `None` when it never is. `path` is how it came here: the
    /// states, and whether each is as it is to be.
    fn settle(&mut self, pair: Box<Pair<G, N>>, goal: Goal, path: &mut Vec<((u64, u8), bool)>) -> Option<u16> {
        let key = (pair.key(), self.left());
        if let Some(periods) = self.settled.get(&(key.0, key.1, goal == Goal::Whole)) {
            return Some(*periods);
        }
        if let Some(round) = path.iter().position(|(before, _)| *before == key) {
            // Once around, and for ever.
            if path[round..].iter().all(|(_, is_there)| *is_there) {
                return Some(0);
            }
            let what = match goal {
                Goal::Whole => "the pair is not whole for good, and never will be: its state comes back",
                Goal::Commanded => "the vehicle is not commanded for good, and never will be: its state comes back",
            };
            self.broken(Violation { invariant: 0, at: pair.now, what: what.to_owned() });
            return None;
        }
        let is_there = match goal {
            Goal::Whole => self.is_whole(&pair, key.0),
            Goal::Commanded => pair.is_commanded(),
        };
        if path.len() > usize::from(PERIODS_MAX) {
            if goal == Goal::Commanded && is_there {
                // Cycles of a late holder and of the gates that come together too seldom to wait for it.
                self.figures.given_up += 1;
                return Some(0);
            }
            let what = "nothing comes to an end".to_owned();
            self.broken(Violation { invariant: 0, at: pair.now, what });
            return None;
        }
        path.push((key, is_there));
        let is_content =
            |periods| path.len() >= periods && path.iter().rev().take(periods).all(|(_, is_there)| *is_there);
        if goal == Goal::Whole && self.for_good.is_some_and(is_content) {
            path.pop();
            return Some(0);
        }
        let mut longest = Some(0);
        for (next, departed) in self.successors(&pair, pair.now + self.config.period) {
            let len = self.departed.len();
            self.departed.extend(departed);
            let periods = self.settle(next, goal, path);
            self.departed.truncate(len);
            longest = longest.zip(periods).map(|(longest, periods): (u16, u16)| longest.max(periods));
        }
        path.pop();
        let periods = longest.map(|longest| if longest > 0 || !is_there { longest + 1 } else { 0 });
        self.settled.insert((key.0, key.1, goal == Goal::Whole), periods.unwrap_or(0));
        periods
    }

    /// Returns whether the holder may die here, at any moment of a period: the bound holds, and the vehicle is commanded after it.
    /// `key` is its number.
    fn is_whole(&mut self, pair: &Pair<G, N>, key: u64) -> bool {
        let key = (key, self.left());
        if let Some(whole) = self.whole.get(&key) {
            return *whole;
        }
        let is_ready = pair.devices.iter().any(|device| device.readiness().is_ok());
        let whole = is_ready && pair.is_commanded() && (0..DEATHS).all(|death| self.survives(pair.clone(), death));
        self.whole.insert(key, whole);
        whole
    }

    fn survives(&mut self, mut pair: Pair<G, N>, death: u32) -> bool {
        let Some(holder) = pair.holder() else {
            return false;
        };
        // A frame that will be lost, or held, some day has not been yet: that would be a second fault.
        (pair.loses, pair.holds) = (None, None);
        pair.keeps_holder = false;
        pair.gap = Duration::ZERO;
        pair.gap_max = Some(self.config.handover_gap_max());
        let at = pair.now + self.config.period * death / DEATHS;
        pair.advance(at, &mut self.corner(), None);
        pair.die(holder, None);
        self.is_taken_over(pair, holder, self.left(), AFTER_DEATH)
    }

    fn is_taken_over(&mut self, pair: Pair<G, N>, dead: Slot, left: u8, periods: u16) -> bool {
        if pair.broken().is_some() {
            return false;
        }
        if pair.is_commanded() && pair.holder() != Some(dead) {
            return true;
        }
        if periods == 0 {
            return false;
        }
        let until = pair.now + self.config.period;
        self.figures.periods += 1;
        if left == 0 {
            let mut after = pair;
            after.advance(until, &mut self.corner(), None);
            return self.is_taken_over(after, dead, 0, periods - 1);
        }
        let key = (pair.key(), left);
        if let Some(taken) = self.taken_over.get(&key) {
            return *taken;
        }
        let mut script = Some(Script::new(self.corner(), Vec::new()));
        let mut is_taken = true;
        while let Some(mut wakes) = script.filter(|_| is_taken) {
            let mut after = pair.clone();
            after.advance(until, &mut wakes, None);
            is_taken = self.is_taken_over(after, dead, left - departures(&wakes.departed), periods - 1);
            script = wakes.next(left);
        }
        self.taken_over.insert(key, is_taken);
        is_taken
    }

    /// With nothing wrong a whole pair stays whole, through all that its probes go through.
    fn stays_whole(&mut self, mut pair: Pair<G, N>) {
        pair.gap_max = Some(self.config.handover_gap_max());
        for _ in 0..42 {
            let until = pair.now + self.config.period;
            if !self.go_to(&mut pair, until) {
                return;
            }
            if !self.is_whole(&pair, pair.key()) {
                let what = "a whole pair is not whole any more, with nothing wrong".to_owned();
                self.broken(Violation { invariant: 0, at: pair.now, what });
                return;
            }
        }
    }
}

/// Returns the pair at the moment when trouble may begin.
pub(crate) fn begun<G: GateRules, N: NodeRules>(
    config: Config,
    start: &Start,
    chooser: &mut impl Chooser,
    mut notes: Option<&mut Notes>,
) -> Pair<G, N> {
    let mut pair = Pair::new(config, &start.gates);
    let mut boots: Vec<_> = start.boots.iter().zip(0..).filter_map(|(at, slot)| at.zip(Slot::new(slot))).collect();
    boots.sort_by_key(|(at, _)| *at);
    for (at, slot) in boots {
        pair.advance(ORIGIN + at, chooser, notes.as_deref_mut());
        pair.start(slot);
    }
    pair.advance(ORIGIN + start.ready_after, chooser, notes.as_deref_mut());
    if start.wraps {
        go_to_the_wrap(&mut pair, chooser, notes);
    }
    pair
}

/// Lets the devices die and come back in turn until the term is near the end of its 8 bits, and then waits until the cycle is near
/// the end of its 12.
fn go_to_the_wrap<G: GateRules, N: NodeRules>(
    pair: &mut Pair<G, N>,
    chooser: &mut impl Chooser,
    mut notes: Option<&mut Notes>,
) {
    const TERM: u32 = 252;
    const CYCLE: u64 = 4_090;
    let period = pair.config.period;
    while pair.term().is_none_or(|term| term.number() + 4 < TERM) {
        let holder = pair.holder().unwrap_or(Slot::LEFT);
        pair.die(holder, notes.as_deref_mut());
        pair.advance(pair.now + 6 * period, chooser, notes.as_deref_mut());
        pair.start(holder);
        let ended = Event::FaultEnded { label: "kill".to_owned(), slot: Some(holder) };
        pair.tell(&ended, notes.as_deref_mut());
        pair.advance(pair.now + 12 * period, chooser, notes.as_deref_mut());
    }
    while pair.cycle().is_none_or(|cycle| cycle.number() < CYCLE) {
        pair.advance(pair.now + period, chooser, notes.as_deref_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::Wakes;

    /// Returns all ways in which `wakes` wakes by a corner come, with at most `most` departures.
    fn ways(corner: Corner, wakes: usize, most: u8) -> Vec<Vec<bool>> {
        let mut all = Vec::new();
        let mut script = Some(Script::new(corner, Vec::new()));
        while let Some(mut woken) = script {
            all.push((0..wakes).map(|wake| woken.wakes_late(Slot::LEFT, wake % 2 == 1)).collect());
            script = woken.next(most);
        }
        all
    }

    #[test]
    fn each_way_with_so_many_departures_at_most_is_gone_once() {
        let corner = Corner([Wakes::OnTime, Wakes::Late, Wakes::OnTime, Wakes::Late]);
        for (most, count) in [(0, 1), (1, 1 + 5), (2, 1 + 5 + 10), (5, 32), (9, 32)] {
            let all = ways(corner, 5, most);
            assert_eq!(all.len(), count, "{most} departures");
            let different: std::collections::HashSet<_> = all.iter().collect();
            assert_eq!(different.len(), count, "{most} departures");
            assert!(all.iter().all(|way| departures(way) <= most), "{all:?}");
        }
    }

    #[test]
    fn a_departure_is_late_for_on_time_and_on_time_for_late() {
        let in_turn = ways(Corner([Wakes::InTurn; 4]), 2, 1);
        assert_eq!(in_turn, [[false, true], [false, false], [true, true]]);
    }
}
