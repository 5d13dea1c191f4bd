//! What people ask of the device: to hand the wheel over, or to leave the pair. They are told what came of it, and the timeline is.

use super::{Fleet, HEARD_WITHIN, Part};
use crate::agent::Agent;
use std::time::Duration;
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;
use twinhelm_linux::clock::now;
use twinhelm_linux::terminal::chain;
use twinhelm_standby::Order;
use twinhelm_standby::asked::{Asked, Came, DONE_WITHIN, Seen, UnderWay};
use twinhelm_standby::fleet::{What, Word};
use twinhelm_standby::migration::Recruit;

/// Who asks says it again until it is answered: what is still on its way when the answer is given gets the same one.
const SAID_AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// Returns what an order is called in messages.
const fn name(asked: Asked) -> &'static str {
    match asked {
        Asked::Switchover => "switchover",
        Asked::Drain => "drain",
    }
}

impl Fleet {
    /// Refuses an order, to who gave it and in the timeline.
    pub(super) fn decline(&mut self, from: &str, order: &str, why: &str) {
        self.note(What::NotDone { order: order.to_owned(), why: why.to_owned() });
        self.say(from, &Word::Answer(Err(why.to_owned())));
    }

    /// Returns whether `from` only says again what it has said: it is answered as before.
    fn is_said_again(&mut self, at: Instant, from: &str, asked: Asked) -> bool {
        if let Some(order) = self.under_way.as_mut().filter(|order| order.asked == asked) {
            order.joined_by(from);
            self.say(from, &Word::Begun);
            return true;
        }
        let told = self.told.as_ref().filter(|(when, order, _)| {
            at.since(*when) <= SAID_AGAIN_WITHIN && order.asked == asked && order.by.iter().any(|by| by == from)
        });
        let Some((_, _, answer)) = told else { return false };
        self.say(from, &Word::Answer(answer.clone()));
        true
    }
}

impl Agent {
    pub(super) fn hand_over(&mut self, from: &str) {
        let at = now();
        if self.fleet.as_mut().is_some_and(|fleet| fleet.is_said_again(at, from, Asked::Switchover)) {
            return;
        }
        let ordered = match self.drives(at) {
            Some(false) => Err("it does not drive".to_owned()),
            Some(true) | None => self.order_switchover(),
        };
        self.begin(at, from, Asked::Switchover, ordered);
    }

    pub(super) fn drain(&mut self, at: Instant, from: &str) {
        if self.fleet.as_mut().is_some_and(|fleet| fleet.is_said_again(at, from, Asked::Drain)) {
            return;
        }
        let is_member = |fleet: &Fleet| fleet.part == Part::Member || fleet.recruit.has_joined();
        let ordered = match self.drives(at) {
            _ if !self.fleet.as_ref().is_some_and(is_member) => Err("it is no member of the pair".to_owned()),
            Some(true) => self.order_switchover(),
            // One that is not heard may be driving: it leaves as soon as it is known not to.
            Some(false) | None => Ok(()),
        };
        let leaves = ordered.is_ok();
        self.begin(at, from, Asked::Drain, ordered);
        if let Some(fleet) = self.fleet.as_mut().filter(|_| leaves) {
            fleet.part = Part::Leaving;
        }
    }

    fn order_switchover(&self) -> Result<(), String> {
        let ordered = self.line.order(&self.config.link.vehicle, self.config.slot, Order::Switchover);
        ordered.map_err(|error| chain(&error))
    }

    fn begin(&mut self, at: Instant, from: &str, asked: Asked, ordered: Result<(), String>) {
        let Some(fleet) = &mut self.fleet else { return };
        let other = fleet.under_way.as_ref().map(|order| format!("a {} is under way", name(order.asked)));
        if let Err(why) = other.map_or(ordered, Err) {
            fleet.decline(from, name(asked), &why);
            return;
        }
        fleet.note(match asked {
            Asked::Switchover => What::Switchover,
            Asked::Drain => What::Drained,
        });
        fleet.say(from, &Word::Begun);
        fleet.under_way = Some(UnderWay::new(asked, at, from));
    }

    /// Leaves the pair, once another device drives.
    pub(super) fn leave_when_it_may(&mut self, at: Instant) {
        let drives = self.drives(at);
        let Some(fleet) = &mut self.fleet else { return };
        // A device that is not heard may be driving.
        if fleet.part == Part::Leaving && drives == Some(false) {
            fleet.part = Part::Spare;
            fleet.recruit = Recruit::default();
            self.go_back_to_the_pool();
        }
    }

    /// Has the timeline tell when the device takes the wheel.
    pub(super) fn tell_who_drives(&mut self, at: Instant) {
        let drives = self.drives(at);
        let term = self.line.ear().headers()[self.config.slot.index()].and_then(|(_, header)| header.term);
        let Some((fleet, drives)) = self.fleet.as_mut().zip(drives) else { return };
        if drives && !fleet.has_the_wheel {
            fleet.note(What::Drives { term: term.map(Term::number) });
        }
        fleet.has_the_wheel = drives;
    }

    /// Tells those who asked what came of it, once that is known.
    pub(super) fn tell_what_came_of_it(&mut self, at: Instant) {
        let own = self.config.slot;
        let refused = self.line.ear().refusal(own).filter(|(heard, _)| at.since(*heard) < HEARD_WITHIN);
        let has_left = self.held.is_none();
        let Some(fleet) = &mut self.fleet else { return };
        let Some(order) = fleet.under_way.take() else { return };
        let is_off = has_left && fleet.part == Part::Spare;
        let seen = Seen { holder: fleet.ear.holder(at), refused, is_off };
        let answer = match order.came(at, own, &seen) {
            None => {
                fleet.under_way = Some(order);
                return;
            }
            Some(Came::HandedOver(to)) => {
                let to = fleet.names(|slot| slot == to).pop().unwrap_or_else(|| format!("slot-{to}"));
                Ok(format!("has handed the wheel over to {to}"))
            }
            Some(Came::Left) => Ok("has left the pair".to_owned()),
            Some(Came::Refused(refusal)) => Err(refusal.to_string()),
            Some(Came::Nothing) => Err(format!("nothing came of it within {} s", DONE_WITHIN.as_secs())),
        };
        if answer.is_err() && fleet.part == Part::Leaving {
            // Nobody took the wheel: it keeps it, and is a member as before.
            fleet.part = Part::Member;
        }
        fleet.note(match &answer {
            Ok(what) => What::Done { what: what.clone() },
            Err(why) => What::NotDone { order: name(order.asked).to_owned(), why: why.clone() },
        });
        order.by.iter().for_each(|by| fleet.say(by, &Word::Answer(answer.clone())));
        fleet.told = Some((at, order, answer));
    }
}
