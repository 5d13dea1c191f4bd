//! A fleet in virtual time: a pair, spares, their agents and the messages between these, which are late, lost, or cut.
//!
//! The agents' decisions are the real ones ([`rank`], and the orchestrator and recruit of `standby`). The pair is a model: who holds the wheel, who is a
//! ready standby, and which term the gates have adopted; what the pair itself does is the `World`'s business.
//!
//! Checked in every moment of every run:
//!
//! - **F1** at most two members are on the bus. Two that come up in the same moment see only who was there before (M9): then it is three
//!   until one of them makes way;
//! - **F2** a migration ends, and so do all its steps: no recruit is held for longer than anybody holds it;
//! - **F4** in the end there are at most two members: whoever came back beside a recruit was fenced;
//! - **F3** when nothing more goes wrong and a spare is there that could, the pair is whole in the end.

mod device;

use crate::rng::Rng;
use device::{Device, Saw};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;
use twinhelm_standby::migration::{
    AsDesigned, BusView, Effect, End, Event, Fencing, News, Outcome, Recruit, RecruitEffect, RecruitNews,
    RecruitRules, Step, TICKET_LEASE, Ticket, View,
};
use twinhelm_standby::orchestrator::{CROWDED_FOR, Seen};
use twinhelm_standby::pool::{Needs, Offer, rank};

/// The grain of the simulation.
const TICK: Duration = Duration::from_millis(50);
/// A standby takes over within a few periods.
const TAKEOVER: Duration = Duration::from_millis(50);
/// A device says what it offers so often.
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// Once nothing more goes wrong the pair is whole within so long: each candidate may fail slowly before.
const WHOLE_WITHIN: Duration = Duration::from_secs(300);
/// When a run begins.
const ZERO: Instant = Instant::from_nanos(1_000_000_000);

/// What goes wrong in a fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// A device dies, agent and mission; it comes back after a time, or never.
    Dies(&'static str, Option<Duration>),
    /// A device's next steps of this sort fail, so many of them.
    Fails(&'static str, Step, u32),
    /// They take for ever.
    Hangs(&'static str, Step, u32),
    /// For a time, a device and everybody else do not hear each other over the fleet's network. The bus is whole.
    CutOff(&'static str, Duration),
    /// The mission on a device ends, and its agent starts it again after a time.
    MissionDies(&'static str, Duration),
    /// For a time a device's agent does not notice what is said on the bus: who holds the wheel, and who is ready.
    Blind(&'static str, Duration),
    /// For a time this part of all messages is lost.
    Loses(f64, Duration),
    /// The gates close in a stall, and whoever held the wheel claims it again: in a higher term, between two looks of its agent.
    GatesClose,
}

#[derive(Clone, Debug)]
enum Message {
    Offer(Arc<Offer>),
    Order(Ticket, Step),
    Release(Ticket),
    Report(Ticket, Outcome),
    Fence,
    Fenced,
}

/// A fleet of two members and some spares.
pub struct Fleet<R: RecruitRules = AsDesigned> {
    now: Instant,
    rng: Rng,
    devices: Vec<Device<R>>,
    wires: Vec<(Instant, usize, usize, Message)>,
    troubles: Vec<(Instant, Trouble)>,
    holder: Option<usize>,
    /// Since when.
    held_since: Instant,
    term: Term,
    loss: (f64, Instant),
    last_trouble: Instant,
    /// What was found broken.
    pub broken: Vec<String>,
    /// How each migration ended, in order.
    pub ends: Vec<End>,
    /// What was sent from one device to another.
    pub sent: Sent,
}

/// How many messages there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// What devices say of what they offer, once a second to all others.
    pub offers: u64,
    /// What a migration takes, and the orders to stay off the bus.
    pub words: u64,
}

impl<R: RecruitRules> Fleet<R> {
    /// Returns a fleet whose left device drives, with spares of these names; `troubles` come at these times after the start.
    #[must_use]
    pub fn new(seed: u64, spares: &[&'static str], troubles: &[(Duration, Trouble)]) -> Self {
        let zero = ZERO;
        let names = ["left", "right"].into_iter().chain(spares.iter().copied());
        let devices = names.enumerate().map(|(index, name)| Device::new(zero, name, index)).collect();
        let troubles: Vec<_> = troubles.iter().map(|(at, trouble)| (zero + *at, trouble.clone())).collect();
        let lasts = |(at, trouble): &(Instant, Trouble)| match trouble {
            Trouble::Dies(_, back) => *at + back.unwrap_or_default(),
            Trouble::CutOff(_, lasts)
            | Trouble::MissionDies(_, lasts)
            | Trouble::Blind(_, lasts)
            | Trouble::Loses(_, lasts) => *at + *lasts,
            Trouble::Fails(..) | Trouble::Hangs(..) | Trouble::GatesClose => *at,
        };
        let last_trouble = troubles.iter().map(lasts).max().unwrap_or(zero);
        Self {
            now: zero,
            rng: Rng::new(seed, 0),
            devices,
            wires: Vec::new(),
            troubles,
            holder: Some(0),
            held_since: zero,
            term: Term::new(0),
            loss: (0.0, zero),
            last_trouble,
            broken: Vec::new(),
            ends: Vec::new(),
            sent: Sent::default(),
        }
    }

    /// Returns how long it has run.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.now.since(ZERO)
    }

    /// Runs until the pair has been whole for a while and nothing more goes wrong, or until it should have been.
    pub fn run(&mut self) {
        let until = self.last_trouble + WHOLE_WITHIN;
        let mut whole_since = None;
        while self.now < until {
            self.tick();
            let is_quiet = self.now > self.last_trouble
                && self.devices.iter().all(|device| device.orchestrator.migration().is_none());
            whole_since = if self.is_whole() && is_quiet { whole_since.or(Some(self.now)) } else { None };
            if whole_since.is_some_and(|since| self.now.since(since) > 2 * TICKET_LEASE) {
                break;
            }
        }
        // F3.
        if self.holder.is_some() && !self.is_whole() && self.could_be_whole() {
            self.broken.push(format!("F3: the pair is not whole, {}", self.standing()));
        }
        let members = self.members().count();
        if members > 2 {
            self.broken.push(format!("F4: {members} members in the end, {}", self.standing()));
        }
        // F2.
        for device in self.devices.iter().filter(|device| device.alive && device.is_held()) {
            self.broken.push(format!("F2: {} is still held, at {:?}", device.name, device.recruit.reached()));
        }
    }

    /// Runs until the pair is whole again after the last trouble, and its migration has ended; or until it should have been.
    pub fn run_until_whole(&mut self) {
        let until = self.last_trouble + WHOLE_WITHIN;
        while self.now < until && (self.ends.is_empty() || !self.is_whole() || self.now <= self.last_trouble) {
            self.tick();
        }
    }

    /// Returns whether the holder has a ready standby.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let ready = |(index, device): (usize, &Device<R>)| Some(index) != self.holder && device.is_ready(self.now);
        self.holder.is_some() && self.devices.iter().enumerate().any(ready)
    }

    /// Returns the devices that are on the bus as members.
    pub fn members(&self) -> impl Iterator<Item = &'static str> {
        self.devices.iter().filter(|device| device.is_member()).map(|device| device.name)
    }

    /// Returns whether a device is to stay off the bus.
    #[must_use]
    pub fn is_fenced(&self, name: &str) -> bool {
        self.devices.iter().any(|device| device.name == name && device.fenced)
    }

    fn could_be_whole(&self) -> bool {
        self.devices.iter().enumerate().any(|(index, device)| {
            let hopeless = device.hangs.iter().chain(&device.fails).any(|(_, left)| *left > 0);
            Some(index) != self.holder && device.alive && !device.fenced && !hopeless
        })
    }

    fn standing(&self) -> String {
        let of = |device: &Device<R>| {
            format!(
                "{}{}{}",
                device.name,
                if device.alive { "" } else { " dead" },
                if device.is_member() { " member" } else { "" }
            )
        };
        let all: Vec<_> = self.devices.iter().map(of).collect();
        format!("holder {:?}, {}", self.holder.map(|index| self.devices[index].name), all.join(", "))
    }

    fn tick(&mut self) {
        self.now += TICK;
        while let Some(index) = self.troubles.iter().position(|(at, _)| *at <= self.now) {
            let (_, trouble) = self.troubles.remove(index);
            self.begin(&trouble);
        }
        self.let_devices_come_back();
        self.let_the_pair_settle();
        self.deliver();
        for index in 0..self.devices.len() {
            if self.devices[index].alive {
                self.act(index);
            }
        }
        self.check();
    }

    fn begin(&mut self, trouble: &Trouble) {
        let now = self.now;
        let index = |name: &str| self.devices.iter().position(|device| device.name == name);
        match trouble {
            Trouble::Dies(name, back) => {
                if let Some(index) = index(name) {
                    self.devices[index].die(back.map(|back| now + back));
                }
            }
            Trouble::Fails(name, step, times) => {
                if let Some(index) = index(name) {
                    self.devices[index].fails.push((*step, *times));
                }
            }
            Trouble::Hangs(name, step, times) => {
                if let Some(index) = index(name) {
                    self.devices[index].hangs.push((*step, *times));
                }
            }
            Trouble::CutOff(name, lasts) => {
                if let Some(index) = index(name) {
                    self.devices[index].cut_until = now + *lasts;
                }
            }
            Trouble::MissionDies(name, lasts) => {
                if let Some(index) = index(name).filter(|index| self.devices[*index].is_member()) {
                    self.devices[index].member_since = None;
                    self.devices[index].mission_back = Some(now + *lasts);
                }
            }
            Trouble::Blind(name, lasts) => {
                if let Some(index) = index(name) {
                    self.devices[index].blind_until = now + *lasts;
                }
            }
            Trouble::Loses(part, lasts) => self.loss = (*part, now + *lasts),
            Trouble::GatesClose => {
                let slot = self.holder.and_then(|index| self.devices[index].slot).unwrap_or(Slot::LEFT);
                self.term = Term::next_of(slot, Some(self.term));
            }
        }
    }

    fn let_devices_come_back(&mut self) {
        let now = self.now;
        let members = self.members().count();
        for device in &mut self.devices {
            if device.comes_back.is_some_and(|at| at <= now) {
                device.comes_back = None;
                device.alive = true;
                device.came_up_at = now;
                // Its agent starts the mission that it is configured for, unless an order on its disk forbids it, or two
                // others are on the bus (M9).
                device.member_since = (device.is_original && !device.fenced && members < 2).then_some(now);
            }
            if device.mission_back.is_some_and(|at| at <= now) {
                device.mission_back = None;
                device.member_since = (device.alive && !device.fenced && members < 2).then_some(now);
            }
        }
    }

    /// Whoever is ready takes over from a holder that is gone; without one the gates close, and the first member claims.
    fn let_the_pair_settle(&mut self) {
        let now = self.now;
        if self.holder.is_some_and(|index| self.devices[index].is_member()) {
            return;
        }
        let next = self.devices.iter().position(|device| device.is_ready(now - TAKEOVER));
        if let Some(next) = next {
            self.term = Term::next_of(self.devices[next].slot.unwrap_or(Slot::LEFT), Some(self.term));
        }
        if next != self.holder {
            self.held_since = now;
        }
        self.holder = next;
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = {
            let (due, later) = std::mem::take(&mut self.wires).into_iter().partition(|(at, ..)| *at <= now);
            self.wires = later;
            due
        };
        for (_, from, to, message) in due {
            if !self.devices[to].alive {
                continue;
            }
            match message {
                Message::Offer(offer) => {
                    if self.devices[to].orchestrator.on_offer(&offer).is_some() {
                        self.send(to, from, Message::Fence);
                    }
                    let from = self.devices[from].name;
                    self.devices[to].hear(now, from, &offer);
                }
                Message::Order(ticket, step) => self.recruit(to, &RecruitNews::Order(ticket, step)),
                Message::Release(ticket) => self.recruit(to, &RecruitNews::Release(ticket)),
                Message::Report(ticket, outcome) => {
                    let device = self.devices[from].name.to_owned();
                    self.orchestrate(to, &News::Reported { device, ticket, outcome });
                }
                Message::Fence => {
                    let device = &mut self.devices[to];
                    (device.fenced, device.member_since, device.mission_back) = (true, None, None);
                    let effects = device.recruit.fence();
                    self.carry_out(to, effects);
                    self.send(to, from, Message::Fenced);
                }
                Message::Fenced => {
                    let device = self.devices[from].name.to_owned();
                    self.orchestrate(to, &News::Fence { device, fencing: Fencing::Fenced });
                }
            }
        }
    }

    /// What an agent does of itself.
    fn act(&mut self, index: usize) {
        let now = self.now;
        if let Some((step, Some(done_at))) = self.devices[index].doing
            && done_at <= now
        {
            self.devices[index].doing = None;
            if step == Step::Pull {
                self.devices[index].has_image = true;
            }
            let news = match self.devices[index].takes_a_failure(step) {
                true => RecruitNews::Failed(step, "it failed".to_owned()),
                false => RecruitNews::Done(step),
            };
            self.recruit(index, &news);
            if self.devices[index].recruit.has_joined() && !self.devices[index].is_member() && step == Step::Join {
                self.devices[index].member_since = Some(now);
            }
        }
        self.recruit(index, &RecruitNews::Look);
        self.leave_a_crowd(index);
        if now.since(self.devices[index].offered_at) >= OFFER_EVERY {
            self.devices[index].offered_at = now;
            let offer = Arc::new(self.devices[index].offer());
            for to in 0..self.devices.len() {
                self.send(index, to, Message::Offer(Arc::clone(&offer)));
            }
        }
        self.orchestrate(index, &News::Look);
    }

    /// M9, when it was broken all the same.
    fn leave_a_crowd(&mut self, index: usize) {
        let slots = |(_, device): (usize, &Device<R>)| device.slot.filter(|_| device.is_member());
        let others = self.devices.iter().enumerate().filter(|(other, _)| *other != index);
        let heard: Vec<Slot> = others.filter_map(slots).collect();
        let holder = self.holder.and_then(|index| self.devices[index].slot);
        let now = self.now;
        let device = &mut self.devices[index];
        let own = device.slot.filter(|_| device.is_member());
        if device.crowd.leaves(now, own, &heard, holder) {
            (device.member_since, device.mission_back) = (None, None);
            device.recruit = Recruit::default();
            device.doing = None;
        }
    }

    /// Has an agent look at the pair, unless it is blind: then it goes on as if nothing had changed.
    fn look(&mut self, index: usize) {
        let now = self.now;
        if self.devices[index].blind_until > now {
            return;
        }
        let others = || self.devices.iter().enumerate().filter(|(other, _)| *other != index);
        let name = |(_, device): (usize, &Device<R>)| device.name.to_owned();
        // The pair's own samples come over the fleet's network.
        let is_seen = |device: &Device<R>| {
            device.is_ready(now) && device.cut_until <= now && self.devices[index].cut_until <= now
        };
        let able = others().filter(|(_, device)| is_seen(device)).map(name).collect();
        let on_bus = others().filter(|(_, device)| device.is_member()).map(name).collect();
        let holds = (self.holder == Some(index)).then_some(self.term);
        self.devices[index].saw = Saw { holds, able, on_bus };
    }

    fn orchestrate(&mut self, index: usize, news: &News) {
        self.look(index);
        let now = self.now;
        let needs = Needs {
            platforms: vec!["linux/amd64".to_owned()],
            memory_bytes: 0,
            reaches: vec!["can0".to_owned()],
            image: "mission".to_owned(),
            data: "plan".to_owned(),
        };
        let device = &mut self.devices[index];
        let Saw { holds, able, on_bus } = &device.saw;
        // Nobody else looks at the pool.
        let looks = holds.is_some() || device.orchestrator.migration().is_some();
        let pool = rank(now, &needs, if looks { &device.heard } else { &[] });
        let seen = Seen { holds: *holds, able, view: View { pool: &pool, on_bus } };
        let effects = device.orchestrator.step(now, news, seen);
        for effect in effects {
            match effect {
                Effect::Order { device, ticket, step } => {
                    self.send_to(index, &device, Message::Order(ticket, step));
                }
                Effect::Release { device, ticket } => self.send_to(index, &device, Message::Release(ticket)),
                Effect::Fence { device } => self.send_to(index, &device, Message::Fence),
                Effect::Note(Event::Ended(end)) => self.ends.push(end),
                Effect::Note(_) => {}
            }
        }
    }

    fn recruit(&mut self, index: usize, news: &RecruitNews) {
        let others =
            self.devices.iter().enumerate().filter(|(other, device)| *other != index && device.is_member());
        let bus = BusView { adopted: self.holder.map(|_| self.term), others: others.count() };
        let effects = self.devices[index].recruit.step(self.now, news, bus);
        self.carry_out(index, effects);
    }

    fn carry_out(&mut self, index: usize, effects: Vec<RecruitEffect>) {
        let now = self.now;
        for effect in effects {
            match effect {
                RecruitEffect::Do(step) => {
                    let ticket = self.devices[index].recruit.ticket();
                    if step == Step::Join && ticket.map(|ticket| ticket.term) != self.holder.map(|_| self.term) {
                        let (who, term) = (self.devices[index].name, self.term);
                        self.broken
                            .push(format!("F5: {who} joins by {ticket:?}, and the gates are in term {term}"));
                    }
                    let takes = self.rng.span(Duration::from_millis(50), Duration::from_secs(3));
                    let hangs = self.devices[index].takes_a_hang(step);
                    self.devices[index].doing = Some((step, (!hangs).then_some(now + takes)));
                }
                RecruitEffect::Undo => {
                    self.devices[index].doing = None;
                    self.devices[index].member_since = None;
                }
                RecruitEffect::Report(ticket, outcome) => {
                    // Whoever has the ticket is a member of the pair, and listens.
                    let heard = self.devices[index].heard.iter().filter(|(_, offer)| offer.is_of_member());
                    let members: Vec<_> = heard.map(|(_, offer)| offer.device.clone()).collect();
                    for device in members {
                        self.send_to(index, &device, Message::Report(ticket, outcome.clone()));
                    }
                }
            }
        }
    }

    fn send_to(&mut self, from: usize, name: &str, message: Message) {
        if let Some(to) = self.devices.iter().position(|device| device.name == name) {
            self.send(from, to, message);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let now = self.now;
        match &message {
            _ if from == to => {}
            Message::Offer(_) => self.sent.offers += 1,
            Message::Order(..) | Message::Release(_) | Message::Report(..) | Message::Fence | Message::Fenced => {
                self.sent.words += 1;
            }
        }
        let is_cut = from != to && [from, to].iter().any(|index| self.devices[*index].cut_until > now);
        let lost = self.loss.1 > now && self.rng.chance(self.loss.0);
        if is_cut || lost {
            return;
        }
        let late = self.rng.span(Duration::from_millis(1), Duration::from_millis(400));
        self.wires.push((now + late, from, to, message));
    }

    /// Returns whether two members came up in one moment, and none has had the time to make way.
    fn came_up_together(&self) -> bool {
        // Who makes way depends on who holds the wheel.
        let is_new = |device: &&Device<R>| {
            let since = device.came_up_at.max(self.held_since);
            device.is_member() && device.came_up_at > ZERO && self.now.since(since) <= CROWDED_FOR + TICK
        };
        let mut moments: Vec<_> = self.devices.iter().filter(is_new).map(|device| device.came_up_at).collect();
        moments.sort_unstable();
        moments.windows(2).any(|pair| matches!(pair, [first, second] if first == second))
    }

    /// F1.
    fn check(&mut self) {
        let members = self.members().count();
        if members > 2 && !self.came_up_together() && self.broken.len() < 8 {
            let at_s = self.now.seconds_after(ZERO);
            self.broken.push(format!("F1: {members} members at {at_s:.2} s, {}", self.standing()));
        }
    }
}
