//! What an agent does for its vehicle's redundancy while its own device holds the wheel: it notices that nobody stands by, runs the
//! [`Migration`], and keeps the orders that hold devices off the bus.
//!
//! Pure, as the migration is: what was seen and said goes in, effects come out, `now` is an argument.

use crate::migration::{Effect, End, Event, Migration, News, View};
use crate::pool::Offer;
use core::time::Duration;
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;

/// A holder that nobody stands by looks for a spare after so long: a device that restarts comes back sooner.
pub const ALONE_FOR: Duration = Duration::from_secs(2);
/// So many ended migrations are remembered.
const ENDS_MAX: usize = 16;

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
    /// Who was ordered off the bus, and not readmitted.
    fenced: Vec<String>,
    ends: Vec<End>,
}

impl Orchestrator {
    /// Returns the migration in progress.
    #[must_use]
    pub const fn migration(&self) -> Option<&Migration> {
        self.migration.as_ref()
    }

    /// Returns how the last migrations ended, the oldest first.
    #[must_use]
    pub fn ends(&self) -> &[End] {
        &self.ends
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
        if seen.able.is_empty() {
            let since = *self.alone_since.get_or_insert(now);
            if now.since(since) >= ALONE_FOR && self.migration.is_none() {
                let number = self.numbers.filter(|(last, _)| *last == term).map_or(0, |(_, number)| number);
                effects.push(Effect::Note(Event::Alone { lost: self.peer.clone() }));
                self.migration = Some(Migration::new(now, self.peer.clone(), term, number));
            }
        } else {
            self.alone_since = None;
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
        let steps = migration.step(now, news, view);
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
            self.ends.push(end.clone());
            if self.ends.len() > ENDS_MAX {
                self.ends.remove(0);
            }
            self.migration = None;
            self.alone_since = None;
        }
    }
}
