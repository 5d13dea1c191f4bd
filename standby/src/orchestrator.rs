//! What an agent does for its vehicle's redundancy while its own device holds the wheel: it notices that nobody stands by, runs the
//! [`Migration`], and keeps the orders that hold devices off the bus.
//!
//! Pure, as the migration is: what was seen and said goes in, effects come out, `now` is an argument.

use crate::migration::{Effect, End, Event, Migration, News, View};
use crate::pool::{Offer, Ranking};
use core::time::Duration;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;

/// A holder that nobody stands by looks for a spare after so long: a device that restarts comes back sooner.
pub const ALONE_FOR: Duration = Duration::from_secs(2);

/// Every gate is in the safe state for so long before a spare resumes the mission: the vehicle is brought to a stop first.
pub const LAST_RESORT_AFTER: Duration = Duration::from_secs(2);

/// Returns whether the device `own` is the one that resumes a mission that no controller is left of. The caller has heard, on the
/// bus, that every live gate is in the safe state since `closed_since`, and `others` other devices.
///
/// Two that do not hear each other may both; then the bus makes a pair of them, as of any two that boot.
#[must_use]
pub fn is_last_resort(
    now: Instant,
    closed_since: Option<Instant>,
    others: usize,
    own: &str,
    pool: &Ranking,
) -> bool {
    let is_best = pool.fit.first().is_some_and(|candidate| candidate.offer.device == own);
    is_best && others == 0 && closed_since.is_some_and(|since| now.since(since) >= LAST_RESORT_AFTER)
}

/// Three are on the bus for so long before one leaves: one that died is heard for a second more.
pub const CROWDED_FOR: Duration = Duration::from_secs(3);

/// M9, when it was broken all the same (two decided at one moment): returns whether the device in `own` is the one that leaves. It is the
/// one in the highest slot that does not hold the wheel; `heard` are the slots of the others on the bus.
#[must_use]
fn leaves_a_crowd(own: Slot, heard: &[Slot], holder: Option<Slot>) -> bool {
    let highest = heard.iter().copied().chain([own]).filter(|slot| Some(*slot) != holder).max();
    heard.len() >= 2 && highest == Some(own)
}

/// Whether there have been three on the bus for so long that this device leaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowd {
    since: Option<Instant>,
}

impl Crowd {
    /// Returns whether the device leaves at `now`; it is a member in the slot `own`, or `None`. `heard` and `holder` are as the bus says.
    pub fn leaves(&mut self, now: Instant, own: Option<Slot>, heard: &[Slot], holder: Option<Slot>) -> bool {
        let is_one_too_many = own.is_some_and(|own| leaves_a_crowd(own, heard, holder));
        self.since = is_one_too_many.then(|| self.since.unwrap_or(now));
        self.since.is_some_and(|since| now.since(since) >= CROWDED_FOR)
    }
}

/// What an agent sees of its vehicle.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The term in which the own device holds the wheel.
    pub holds: Option<Term>,
    /// The other devices that are ready to take it, or have it.
    pub able: &'a [String],
    /// The pool, and the bus.
    pub view: View<'a>,
}

/// One agent's side.
#[derive(Clone, Debug, Default)]
pub struct Orchestrator {
    migration: Option<Migration>,
    /// The next number in the term that the last migration was begun in.
    numbers: Option<(Term, u32)>,
    /// Who was able last.
    peer: Option<String>,
    /// The own device held the wheel when it was looked at last.
    holds: bool,
    alone_since: Option<Instant>,
    /// It was told that nobody stands by, and nobody has since: looking again is no news, nor is finding nobody again.
    has_told: bool,
    /// Who was ordered off the bus, and not readmitted.
    fenced: Vec<String>,
}

impl Orchestrator {
    /// Returns the migration in progress.
    #[must_use]
    pub const fn migration(&self) -> Option<&Migration> {
        self.migration.as_ref()
    }

    /// Takes in what has happened by `now`, and what is seen then.
    pub fn step(&mut self, now: Instant, news: &News, seen: Seen<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(peer) = seen.able.first() {
            self.peer = Some(peer.clone());
        }
        self.holds = seen.holds.is_some();
        let Some(term) = seen.holds else {
            self.alone_since = None;
            self.pass(now, &News::Superseded, seen.view, &mut effects);
            return effects;
        };
        if let Some(migration) = &mut self.migration {
            effects.extend(migration.go_on_in(now, term, seen.view));
        }
        if seen.able.is_empty() {
            let since = *self.alone_since.get_or_insert(now);
            if now.since(since) >= ALONE_FOR && self.migration.is_none() {
                let number = self.numbers.filter(|(last, _)| *last == term).map_or(0, |(_, number)| number);
                // Who is on the bus, and not able to drive for so long, is what is lost, if nobody else is known to be.
                let lost = self.peer.clone().or_else(|| seen.view.on_bus.first().cloned());
                if !self.has_told {
                    effects.push(Effect::Note(Event::Alone { lost: lost.clone() }));
                }
                self.migration = Some(Migration::new(now, lost, term, number));
            }
        } else {
            (self.alone_since, self.has_told) = (None, false);
        }
        for device in seen.able {
            self.pass(now, &News::Ready(device.clone()), seen.view, &mut effects);
        }
        self.pass(now, news, seen.view, &mut effects);
        effects
    }

    /// M8: a device that was ordered off the bus, and says that it may be on it, has not heard of it: it is told again.
    #[must_use]
    pub fn on_offer(&self, offer: &Offer) -> Option<Effect> {
        let unheard = self.holds && !offer.fenced && self.fenced.contains(&offer.device);
        unheard.then(|| Effect::Fence { device: offer.device.clone() })
    }

    /// Somebody who may lets `device` back.
    pub fn readmit(&mut self, device: &str) {
        self.fenced.retain(|fenced| fenced != device);
    }

    fn pass(&mut self, now: Instant, news: &News, view: View<'_>, effects: &mut Vec<Effect>) {
        let Some(migration) = &mut self.migration else { return };
        let mut steps = migration.step(now, news, view);
        let found_nobody = Effect::Note(Event::Ended(End::NoCandidate));
        if self.has_told {
            steps.retain(|effect| *effect != found_nobody);
        }
        self.has_told |= steps.contains(&found_nobody);
        for effect in &steps {
            if let Effect::Fence { device } = effect
                && !self.fenced.contains(device)
            {
                self.fenced.push(device.clone());
            }
        }
        effects.extend(steps);
        self.numbers = Some((migration.term(), migration.next_number()));
        if let Some(end) = migration.end() {
            // Nobody is in the place of a device that was not replaced: it may come back. And whoever joined is no faulty one.
            let may_stay = match end {
                End::Whole { device, .. } => Some(device.as_str()),
                End::NotNeeded | End::NoCandidate | End::Superseded => migration.lost(),
            };
            self.fenced.retain(|fenced| Some(fenced.as_str()) != may_stay);
            self.migration = None;
            self.alone_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Needs, rank};

    #[test]
    fn of_three_on_the_bus_one_leaves_and_never_the_holder() {
        let slots: Vec<Slot> = (0..3).filter_map(Slot::new).collect();
        for holder in [None, Some(slots[0]), Some(slots[1]), Some(slots[2])] {
            let leaves = |own: &&Slot| {
                let heard: Vec<Slot> = slots.iter().copied().filter(|slot| slot != *own).collect();
                leaves_a_crowd(**own, &heard, holder)
            };
            let who: Vec<_> = slots.iter().filter(leaves).collect();
            assert!(who.len() == 1 && Some(*who[0]) != holder, "{who:?}, {holder:?}");
        }
        assert!(!leaves_a_crowd(slots[2], &slots[..1], None), "two are no crowd");
    }

    #[test]
    fn the_best_spare_resumes_when_nobody_is_left_and_nobody_else() {
        let now = Instant::from_nanos(100_000_000_000);
        let needs = Needs {
            platforms: vec!["linux/amd64".to_owned()],
            memory_bytes: 0,
            reaches: Vec::new(),
            image: String::new(),
            data: String::new(),
        };
        let pool = rank(now, &needs, &[(now, Offer::of("beta", 2)), (now, Offer::of("alpha", 3))]);
        let since = |seconds| Some(now - Duration::from_secs(seconds));
        assert!(is_last_resort(now, since(2), 0, "alpha", &pool));
        assert!(!is_last_resort(now, since(2), 0, "beta", &pool), "it is not the best");
        assert!(!is_last_resort(now, since(1), 0, "alpha", &pool), "the vehicle is not at rest yet");
        assert!(!is_last_resort(now, since(2), 1, "alpha", &pool), "somebody is left");
        assert!(!is_last_resort(now, None, 0, "alpha", &pool), "a gate is open, or none is heard");
    }
}
