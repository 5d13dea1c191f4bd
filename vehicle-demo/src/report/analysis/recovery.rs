//! How long it took after a fault had ended until a standby was ready again.

use crate::report::log::{Event, Log};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};

/// Returns the longest such time; `None` when no fault ended, or another one began before a standby was ready. A device that was
/// started again counts from its first turn. `changes` says when which device was ready.
pub(super) fn back_after(log: &Log, changes: &[(Instant, Slot, bool)]) -> Option<Duration> {
    let ended = log.events.iter().enumerate().filter_map(|(place, (at, event))| {
        if let Event::FaultEnded { slot: Some(slot), .. } = event { Some((place, *at, *slot)) } else { None }
    });
    let after = ended.filter_map(|(place, at, slot)| {
        let from = first_turn(log, place, slot).unwrap_or(at);
        let back = ready_from(changes, from)?;
        let is_hit_again =
            log.events.iter().any(|(at, event)| matches!(event, Event::Fault { .. }) && *at > from && *at < back);
        (!is_hit_again).then(|| back.since(from))
    });
    after.max()
}

/// Returns when the device in `slot`, which was down when its fault ended at `place`, turned first after that.
fn first_turn(log: &Log, place: usize, slot: Slot) -> Option<Instant> {
    let (before, after) = log.events.split_at_checked(place)?;
    let is_down = |(_, event): &&(Instant, Event)| matches!(event, Event::Down { slot: down } if *down == slot);
    let is_up = |(_, event): &&(Instant, Event)| matches!(event, Event::Role { slot: up, .. } if *up == slot);
    let last = before.iter().rev().find(|it| is_down(it) || is_up(it));
    last.filter(is_down).and_then(|_| after.iter().find(is_up)).map(|(at, _)| *at)
}

/// Returns when a standby was ready first, from `from` on.
fn ready_from(changes: &[(Instant, Slot, bool)], from: Instant) -> Option<Instant> {
    let mut ready = [false; SLOTS as usize];
    for (_, slot, is_ready) in changes.iter().take_while(|(at, ..)| *at <= from) {
        ready[slot.index()] = *is_ready;
    }
    if ready.contains(&true) {
        return Some(from);
    }
    changes.iter().find(|(at, _, is_ready)| *at > from && *is_ready).map(|(at, ..)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_standby::RoleName;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    fn log(events: &[(u64, Event)]) -> Log {
        Log { events: events.iter().map(|(ms, event)| (at(*ms), event.clone())).collect() }
    }

    fn fault(slot: Slot) -> Event {
        Event::Fault { label: "kill".to_owned(), slot: Some(slot), request: false }
    }

    fn ended(slot: Slot) -> Event {
        Event::FaultEnded { label: "kill".to_owned(), slot: Some(slot) }
    }

    #[test]
    fn a_device_that_was_started_again_counts_from_its_first_turn() {
        let joins = Event::Role { slot: Slot::LEFT, role: RoleName::Joining };
        let events =
            [(0, fault(Slot::LEFT)), (0, Event::Down { slot: Slot::LEFT }), (500, ended(Slot::LEFT)), (700, joins)];
        let changes = [(at(0), Slot::RIGHT, false), (at(810), Slot::LEFT, true)];
        assert_eq!(back_after(&log(&events), &changes), Some(Duration::from_millis(110)));
    }

    #[test]
    fn a_standby_that_stayed_ready_was_back_at_once_and_a_second_fault_is_no_recovery() {
        let events = [(10, fault(Slot::LEFT)), (20, ended(Slot::LEFT))];
        assert_eq!(back_after(&log(&events), &[(at(0), Slot::RIGHT, true)]), Some(Duration::ZERO));
        let again = [(10, fault(Slot::LEFT)), (20, ended(Slot::LEFT)), (30, fault(Slot::RIGHT))];
        assert_eq!(back_after(&log(&again), &[(at(40), Slot::RIGHT, true)]), None);
        assert_eq!(back_after(&log(&[(10, fault(Slot::LEFT))]), &[(at(40), Slot::RIGHT, true)]), None);
    }
}
