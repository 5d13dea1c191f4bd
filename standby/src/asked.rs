//! What people ask of the device that drives, from the asking to what came of it: nobody is told "done" before it is.

use crate::input::Refusal;
use core::time::Duration;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;

/// A device that was asked has so long. A handover takes three periods and a lease; the rest is for a busy machine.
pub const DONE_WITHIN: Duration = Duration::from_secs(5);

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To hand the wheel over.
    Switchover,
    /// To hand the wheel over, and to leave the pair.
    Drain,
}

/// What is known of the device that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whose term an open gate names.
    pub holder: Option<Slot>,
    /// What it refused last, and when.
    pub refused: Option<(Instant, Refusal)>,
    /// Its mission does not run.
    pub is_off: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Another device holds the wheel.
    HandedOver(Slot),
    /// It has left the pair.
    Left,
    /// It did not do it.
    Refused(Refusal),
    /// Nothing came of it within [`DONE_WITHIN`].
    Nothing,
}

/// An order that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// What was asked.
    pub asked: Asked,
    /// When.
    pub since: Instant,
    /// By whom: each of them is told what came of it.
    pub by: Vec<String>,
}

impl UnderWay {
    /// Begins with who asked first.
    #[must_use]
    pub fn new(asked: Asked, since: Instant, by: &str) -> Self {
        Self { asked, since, by: vec![by.to_owned()] }
    }

    /// Takes note of who asks for the same meanwhile; an order that is said again is one order.
    pub fn joined_by(&mut self, by: &str) {
        if !self.by.iter().any(|asker| asker == by) {
            self.by.push(by.to_owned());
        }
    }

    /// Returns what came of it at the device in `own`; `None` while that is not known.
    #[must_use]
    pub fn came(&self, at: Instant, own: Slot, seen: &Seen) -> Option<Came> {
        if let Some((_, refusal)) = seen.refused.filter(|(when, _)| *when >= self.since) {
            return Some(Came::Refused(refusal));
        }
        let done = match self.asked {
            Asked::Switchover => seen.holder.filter(|holder| *holder != own).map(Came::HandedOver),
            Asked::Drain => seen.is_off.then_some(Came::Left),
        };
        done.or_else(|| (at.since(self.since) > DONE_WITHIN).then_some(Came::Nothing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::NotReady;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn came(asked: Asked, ms: u64, seen: Seen) -> Option<Came> {
        UnderWay::new(asked, at(1_000), "anna").came(at(ms), Slot::LEFT, &seen)
    }

    #[test]
    fn a_switchover_is_done_when_the_gates_name_another() {
        let holder = |slot| Seen { holder: Some(slot), ..Seen::default() };
        assert_eq!(came(Asked::Switchover, 1_020, holder(Slot::LEFT)), None, "it has stepped aside, and no more");
        assert_eq!(came(Asked::Switchover, 1_040, holder(Slot::RIGHT)), Some(Came::HandedOver(Slot::RIGHT)));
        assert_eq!(came(Asked::Switchover, 6_001, holder(Slot::LEFT)), Some(Came::Nothing));
    }

    #[test]
    fn a_device_has_left_when_its_mission_does_not_run_any_more() {
        let handed = Seen { holder: Some(Slot::RIGHT), ..Seen::default() };
        assert_eq!(came(Asked::Drain, 1_040, handed), None);
        assert_eq!(came(Asked::Drain, 1_900, Seen { is_off: true, ..handed }), Some(Came::Left));
    }

    #[test]
    fn a_refusal_of_this_order_ends_it_and_one_of_before_does_not() {
        let why = Refusal::PeerNotReady(NotReady::Link);
        for asked in [Asked::Switchover, Asked::Drain] {
            let refused = |ms| Seen { refused: Some((at(ms), why)), ..Seen::default() };
            assert_eq!(came(asked, 1_030, refused(1_025)), Some(Came::Refused(why)));
            assert_eq!(came(asked, 1_030, refused(999)), None);
        }
    }

    #[test]
    fn an_order_that_is_said_again_is_one_order() {
        let mut order = UnderWay::new(Asked::Drain, at(0), "anna");
        ["anna", "berta", "anna"].iter().for_each(|by| order.joined_by(by));
        assert_eq!(order.by, ["anna", "berta"]);
    }
}
