//! What the cloud application knows, and decides: pure, with the time as an argument.

use super::history::History;
use super::stored::Found;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::fleet::{Told, What};
use twinhelm_standby::migration::{Event, Step};
use twinhelm_standby::pool::{Offer, SILENT_AFTER};
use twinhelm_standby::{Header, RoleName};
use twinhelm_vehicle::report::device_name;

/// A device whose samples are older is not heard.
const HEARD_WITHIN: Duration = Duration::from_millis(500);
/// An order that is not confirmed is given again after so long, and each time after twice as long as before, up to the second.
const ORDER_EVERY: Duration = Duration::from_secs(2);
const ORDER_EVERY_MAX: Duration = Duration::from_secs(64);
/// What an order has come to is unknown after so long.
const UNKNOWN_AFTER: Duration = Duration::from_secs(6);
/// So much of the vehicle's way is shown, and so many handovers and migrations.
const TRACK_MAX: usize = 600;
const SHOWN_MAX: usize = 20;

/// One device.
#[derive(Default)]
struct Device {
    offer: Option<(Instant, Offer)>,
    header: Option<(Instant, Header)>,
}

impl Device {
    /// Returns what it said of itself, if that was just now.
    fn heard(&self, now: Instant) -> Option<Header> {
        self.header.filter(|(at, _)| now.since(*at) < HEARD_WITHIN).map(|(_, header)| header)
    }
}

/// An order to stay off the bus.
struct Order {
    since: Instant,
    /// When it was given last, and after how long it is given again.
    said: Option<(Instant, Duration)>,
    is_confirmed: bool,
}

/// A change of who drives, as it was heard.
#[derive(Clone, Serialize)]
struct Handover {
    from: String,
    to: String,
    /// From the last command that the one published to the first of the other, by their arrival here. That is no gap at the gate.
    silence_ms: f64,
}

/// All of it.
pub(super) struct Ledger {
    ftti: Duration,
    devices: BTreeMap<String, Device>,
    history: History,
    /// Spares that were heard to join, live, before it was known whom they replace.
    undecided: Vec<Told>,
    orders: BTreeMap<String, Order>,
    handovers: Vec<Handover>,
    drove: Option<(Slot, Instant)>,
    track: VecDeque<[f64; 2]>,
    stored: Option<Found>,
}

impl Ledger {
    pub(super) fn new(ftti: Duration) -> Self {
        Self {
            ftti,
            devices: BTreeMap::new(),
            history: History::default(),
            undecided: Vec::new(),
            orders: BTreeMap::new(),
            handovers: Vec::new(),
            drove: None,
            track: VecDeque::new(),
            stored: None,
        }
    }

    /// Takes in what object storage has.
    pub(super) fn on_stored(&mut self, found: Found) {
        self.stored = Some(found);
    }

    /// Returns the course of the plan that object storage has.
    pub(super) fn outline(&self) -> Option<Vec<[f64; 2]>> {
        self.stored.as_ref()?.outline.clone()
    }

    /// Takes in an entry of the timeline; returns whether it is new. One that comes from the disk orders nothing.
    pub(super) fn on_told(&mut self, at: Instant, told: &Told, is_live: bool) -> bool {
        if !self.history.add(told) {
            return false;
        }
        if matches!(told.what, What::Readmitted) {
            self.orders.remove(&told.device);
        }
        if is_live && matches!(told.what, What::Migration(Event::Did { step: Step::Join, .. })) {
            self.undecided.push(told.clone());
        }
        self.decide(at);
        true
    }

    /// Decides who was replaced, and so stays off the bus, wherever that is known.
    fn decide(&mut self, at: Instant) {
        self.undecided.retain(|joined| {
            let Some(migration) = self.history.migration_of(joined).filter(|migration| migration.to.is_some())
            else {
                return true;
            };
            if let Some(lost) = migration.from.filter(|lost| migration.to.as_ref() != Some(lost)) {
                self.orders.insert(lost, Order { since: at, said: None, is_confirmed: false });
            }
            false
        });
    }

    pub(super) fn on_offer(&mut self, at: Instant, offer: Offer) {
        if let Some(order) = self.orders.get_mut(&offer.device) {
            order.is_confirmed = offer.fenced;
        }
        let device = offer.device.clone();
        self.devices.entry(device).or_default().offer = Some((at, offer));
    }

    /// Takes in what a device published: its header, and where it believes the vehicle to be.
    pub(super) fn on_sample(&mut self, at: Instant, header: Header, place: Option<[f64; 2]>) {
        let named = self.devices.values().find_map(|device| {
            let (_, offer) = device.offer.as_ref().filter(|(_, offer)| offer.slot == Some(header.slot.number()))?;
            Some(offer.device.clone())
        });
        let name = named.unwrap_or_else(|| device_name(header.slot).to_owned());
        self.devices.entry(name).or_default().header = Some((at, header));
        if !header.sent {
            return;
        }
        if let Some((before, last)) = self.drove
            && before != header.slot
            && header.role == RoleName::Primary
        {
            let silence_ms = at.since(last).as_secs_f64() * 1e3;
            let (from, to) = (self.name_of(before), self.name_of(header.slot));
            self.handovers.push(Handover { from, to, silence_ms });
        }
        if header.role == RoleName::Primary {
            self.drove = Some((header.slot, at));
            if let Some(place) = place {
                self.track.push_back(place);
                if self.track.len() > TRACK_MAX {
                    self.track.pop_front();
                }
            }
        }
    }

    fn name_of(&self, slot: Slot) -> String {
        let of = |device: &&Device| device.header.is_some_and(|(_, header)| header.slot == slot);
        let named = self.devices.iter().find(|(_, device)| of(device)).map(|(name, _)| name.clone());
        named.unwrap_or_else(|| device_name(slot).to_owned())
    }

    /// Returns who is to be ordered off the bus now, and notes that it was.
    pub(super) fn orders_due(&mut self, now: Instant) -> Vec<String> {
        let is_due =
            |order: &Order| !order.is_confirmed && order.said.is_none_or(|(said, every)| now.since(said) >= every);
        let mut due = Vec::new();
        for (device, order) in self.orders.iter_mut().filter(|(_, order)| is_due(order)) {
            let every = order.said.map_or(ORDER_EVERY, |(_, every)| (2 * every).min(ORDER_EVERY_MAX));
            order.said = Some((now, every));
            due.push(device.clone());
        }
        due
    }

    /// Returns what the devices said of themselves that were heard just now.
    fn heard(&self, now: Instant) -> impl Iterator<Item = Header> + use<'_> {
        self.devices.values().filter_map(move |device| device.heard(now))
    }

    /// Returns whether a device could take the wheel over right now.
    pub(super) fn is_protected(&self, now: Instant) -> bool {
        self.heard(now).any(|header| header.role == RoleName::Primary)
            && self.heard(now).any(|header| header.ready.is_ok())
    }

    /// Returns all that the page shows.
    pub(super) fn shown(&self, now: Instant) -> serde_json::Value {
        let devices = self.devices.iter().map(|(name, device)| {
            let header = device.header.filter(|(at, _)| now.since(*at) < 10 * HEARD_WITHIN);
            let age_ms = header.map(|(at, _)| now.since(at).as_secs_f64() * 1e3);
            let is_fresh = device.heard(now);
            let fencing = self.orders.get(name).map(|order| match order {
                Order { is_confirmed: true, .. } => "fenced",
                Order { since, .. } if now.since(*since) > UNKNOWN_AFTER => "unknown",
                Order { .. } => "ordered",
            });
            let offer = device.offer.as_ref().map(|(_, offer)| offer);
            let is_silent = device.offer.as_ref().is_none_or(|(at, _)| now.since(*at) > SILENT_AFTER);
            serde_json::json!({
                "device": name,
                "slot": offer.and_then(|offer| offer.slot).or(header.map(|(_, header)| header.slot.number())),
                "role": is_fresh.map(|header| header.role.to_string()),
                "ready": is_fresh.map(|header| match header.ready {
                    Ok(()) => "ready".to_owned(),
                    Err(why) => why.to_string(),
                }),
                "term": is_fresh.and_then(|header| header.term).map(|term| term.number()),
                "heartbeat_age_ms": age_ms,
                "doing": offer.map(|offer| match (&offer.busy, offer.fenced) {
                    _ if is_silent => "its agent is silent".to_owned(),
                    (_, true) => "fenced".to_owned(),
                    (Some(busy), false) => busy.clone(),
                    (None, false) => "waits in the pool".to_owned(),
                }),
                "fencing": fencing,
            })
        });
        let last = |count: usize| count.saturating_sub(SHOWN_MAX);
        let migrations = self.history.migrations();
        let timeline = self.history.newest().take(10 * SHOWN_MAX).map(
            |told| serde_json::json!({ "device": told.device, "time": told.time(), "what": told.what.to_string() }),
        );
        let timeline = timeline.collect::<Vec<_>>();
        serde_json::json!({
            // Whoever is not heard may be well, or not.
            "protected": self.heard(now).next().map(|_| self.is_protected(now)),
            "devices": devices.collect::<Vec<_>>(),
            "ftti_ms": self.ftti.as_secs_f64() * 1e3,
            "handovers": &self.handovers[last(self.handovers.len())..],
            "migrations": &migrations[last(migrations.len())..],
            "timeline": timeline,
            "track": self.track,
            "stored": self.stored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::term::Term;
    use twinhelm_standby::NotReady;
    use twinhelm_standby::migration::{End, Fencing, Ticket};

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + ms * 1_000_000)
    }

    fn header(slot: Slot, role: RoleName, ready: Result<(), NotReady>) -> Header {
        Header {
            slot,
            cycle: Cycle::default(),
            term: Some(Term::new(4)),
            role,
            ready,
            sent: role == RoleName::Primary,
            checked: true,
            divergence: None,
            disputes: false,
            digest: 0,
            relayed: [None; 4],
        }
    }

    fn offer(device: &str, slot: u8, fenced: bool) -> Offer {
        Offer { fenced, ..Offer::of(device, slot) }
    }

    fn told(seq: u64, event: Event) -> Told {
        Told { device: "right".to_owned(), seq, unix_ms: 0, what: What::Migration(event) }
    }

    /// The entries of a migration up to where the spare has joined.
    fn until_joined() -> Vec<Told> {
        let ticket = Ticket { term: Term::new(5), number: 0 };
        let spare = || "spare".to_owned();
        let did = |step| Event::Did { device: spare(), step };
        let events = [Event::Alone { lost: Some("left".to_owned()) }, Event::Chosen { device: spare(), ticket }];
        let events = events.into_iter().chain(Step::ALL.map(did));
        events.zip(0..).map(|(event, seq)| told(seq, event)).collect()
    }

    #[test]
    fn a_replaced_device_is_ordered_off_until_it_confirms_and_again_when_it_has_forgotten() {
        let mut ledger = Ledger::new(Duration::from_millis(100));
        ledger.on_offer(at(0), offer("left", 0, false));
        let entries = until_joined();
        for entry in &entries[..entries.len() - 1] {
            assert!(ledger.on_told(at(0), entry, true));
            assert!(ledger.orders_due(at(0)).is_empty(), "nobody has joined yet");
        }
        assert!(ledger.on_told(at(0), &entries[entries.len() - 1], true));
        assert_eq!(ledger.orders_due(at(0)), ["left"]);
        assert!(ledger.orders_due(at(1_999)).is_empty());
        assert_eq!(ledger.orders_due(at(2_000)), ["left"], "it has not confirmed");
        assert_eq!(ledger.shown(at(7_000))["devices"][0]["fencing"], "unknown");
        ledger.on_offer(at(0), offer("left", 0, true));
        assert!(ledger.orders_due(at(9_000)).is_empty());
        let shown = ledger.shown(at(9_000));
        let left = &shown["devices"][0];
        assert_eq!((&left["fencing"], &left["doing"]), (&"fenced".into(), &"its agent is silent".into()));
        ledger.on_offer(at(0), offer("left", 0, false));
        assert_eq!(ledger.orders_due(at(10_000)), ["left"], "it came back without knowing of it");
        ledger.on_told(
            at(10_000),
            &Told { device: "left".to_owned(), ..told(0, Event::Ended(End::NotNeeded)) },
            true,
        );
        let readmitted = Told { device: "left".to_owned(), seq: 1, unix_ms: 0, what: What::Readmitted };
        ledger.on_told(at(10_000), &readmitted, true);
        assert!(ledger.orders_due(at(20_000)).is_empty());
    }

    #[test]
    fn what_comes_twice_or_from_the_disk_orders_nothing() {
        let mut ledger = Ledger::new(Duration::from_millis(100));
        for entry in until_joined() {
            assert!(ledger.on_told(at(0), &entry, false));
            assert!(!ledger.on_told(at(0), &entry, true), "it is known");
        }
        assert!(ledger.orders_due(at(0)).is_empty());
        let end = End::Whole { device: "spare".to_owned(), fencing: Fencing::Fenced };
        ledger.on_told(at(0), &told(99, Event::Ended(end)), true);
        let shown = ledger.shown(at(0));
        let done: Vec<_> = shown["migrations"][0]["done"].as_array().into_iter().flatten().cloned().collect();
        assert_eq!(done.len(), 8, "{shown}");
    }

    #[test]
    fn entries_that_come_in_another_order_tell_the_same() {
        let mut in_order = until_joined();
        in_order.push(told(99, Event::Ended(End::Whole { device: "spare".to_owned(), fencing: Fencing::Fenced })));
        let heard = |entries: &[(&Told, bool)]| {
            let mut ledger = Ledger::new(Duration::from_millis(100));
            for (entry, is_live) in entries {
                assert!(ledger.on_told(at(0), entry, *is_live));
            }
            (ledger.shown(at(0))["migrations"].clone(), ledger.orders_due(at(0)))
        };
        let as_told: Vec<_> = in_order.iter().map(|entry| (entry, true)).collect();
        let wanted = heard(&as_told);
        assert_eq!(wanted.1, ["left"]);
        for missed in 1..in_order.len() - 1 {
            // Heard live from there on; what came before is caught up between, the newest first or the oldest first.
            let (before, after) = in_order.split_at(missed);
            let live = after.iter().map(|entry| (entry, true));
            let caught_up = before.iter().map(|entry| (entry, false));
            assert_eq!(heard(&live.clone().chain(caught_up.clone()).collect::<Vec<_>>()), wanted, "{missed}");
            assert_eq!(heard(&live.chain(caught_up.rev()).collect::<Vec<_>>()), wanted, "{missed}");
        }
    }

    #[test]
    fn a_device_that_counts_anew_goes_on_behind_what_it_told_before() {
        let mut ledger = Ledger::new(Duration::from_millis(100));
        let later = |entry: Told| Told { unix_ms: 5_000, ..entry };
        for entry in until_joined().into_iter().chain(until_joined().into_iter().map(later)) {
            assert!(ledger.on_told(at(0), &entry, false));
        }
        let shown = ledger.shown(at(0));
        let counts: Vec<_> = shown["migrations"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|migration| migration["done"].as_array().map(Vec::len))
            .collect();
        assert_eq!(counts, [7, 7], "{shown}");
    }

    #[test]
    fn protected_is_what_was_heard_just_now() {
        let mut ledger = Ledger::new(Duration::from_millis(100));
        let not_yet = Err(NotReady::Role);
        ledger.on_sample(at(0), header(Slot::LEFT, RoleName::Primary, not_yet), Some([1.0, 2.0]));
        assert!(!ledger.is_protected(at(0)));
        ledger.on_sample(at(0), header(Slot::RIGHT, RoleName::Standby, Ok(())), None);
        assert!(ledger.is_protected(at(0)) && ledger.is_protected(at(499)));
        assert!(!ledger.is_protected(at(500)), "nobody was heard for half a second");
        ledger.on_sample(at(512), header(Slot::RIGHT, RoleName::Primary, not_yet), Some([1.1, 2.0]));
        let shown = ledger.shown(at(512));
        assert_eq!(shown["handovers"][0]["silence_ms"], 512.0);
        assert_eq!(ledger.shown(at(512))["protected"], false);
        assert_eq!(ledger.shown(at(5_000))["protected"], serde_json::Value::Null, "nobody is heard");
        assert_eq!(shown["track"].as_array().map(Vec::len), Some(2));
    }
}
