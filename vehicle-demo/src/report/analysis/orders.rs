//! Switchovers that somebody asked a device for, and not the rig: nobody but the device noted them.

use crate::report::log::{Event, Log};
use crate::report::rest::rest_of;
use std::borrow::Cow;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Instant;
use twinhelm_standby::{Config, RoleName};

/// What a request from outside is called in the report.
const ASKED: &str = "switchover (asked of the device)";
/// The one fault in which a device steps aside without being asked (V12), as its notation begins.
const STEPS_ASIDE: &str = "bus-errors";

/// Returns the log with a request for each time that the holder stepped aside although the rig had asked for nothing: a primary
/// becomes a standby at once in a switchover alone (V9), whoever asked for it, and when its bus controller is failing (V12).
pub(super) fn with_orders<'a>(log: &'a Log, config: &Config) -> Cow<'a, Log> {
    let orders = orders(log, config);
    if orders.is_empty() {
        return Cow::Borrowed(log);
    }
    let mut log = log.clone();
    for (at, slot) in orders {
        let place = log.events.partition_point(|(when, _)| *when < at);
        let (label, slot) = (ASKED.to_owned(), Some(slot));
        let asked = [Event::Fault { label: label.clone(), slot, request: true }, Event::FaultEnded { label, slot }];
        log.events.splice(place..place, asked.map(|event| (at, event)));
    }
    Cow::Owned(log)
}

fn orders(log: &Log, config: &Config) -> Vec<(Instant, Slot)> {
    let rest = rest_of(config);
    let mut roles = [None; SLOTS as usize];
    let mut holder = None;
    let mut known: Vec<(Instant, &str, bool)> = Vec::new();
    let mut orders = Vec::new();
    for (at, event) in &log.events {
        if let Some(term) = event.adopted_by_gate_0() {
            holder = Some(term.slot());
        } else if let Event::Down { slot } = event {
            roles[slot.index()] = None;
        } else if let Event::Fault { label, request, .. } = event {
            known.push((*at, label, *request));
        } else if let Event::FaultEnded { label, .. } = event {
            // What was asked for is over at once, and takes effect a little later.
            known.retain(|(_, name, request)| *request || name != label);
        } else if let Event::Role { slot, role } = event {
            let before = roles[slot.index()].replace(*role);
            let steps_aside = before == Some(RoleName::Primary) && *role == RoleName::Standby;
            let explains = |(since, label, request): &(Instant, &str, bool)| {
                if *request { *since + rest >= *at } else { label.starts_with(STEPS_ASIDE) }
            };
            if steps_aside && holder == Some(*slot) && !known.iter().any(explains) {
                orders.push((*at, *slot));
            }
        }
    }
    orders
}
