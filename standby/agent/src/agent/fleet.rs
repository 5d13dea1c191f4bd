//! The agent's part in its fleet: it offers its device, orchestrates while its own device holds the wheel, obeys as a recruit, and
//! keeps the orders that hold it off the bus.
//!
//! What is decided is decided by `standby`: [`Orchestrator`], [`Recruit`], [`rank`]. Here is what they see, and what becomes of
//! what they say.

use super::ear::BusEar;
use super::timeline::Timeline;
use super::{Agent, Happened};
use crate::config::{Config, Pool};
use crate::output::tell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_mission::image::Platform;
use twinhelm_standby::fleet::{What, Word};
use twinhelm_standby::migration::{
    AsDesigned, BusView, Effect, Fencing, News, Recruit, RecruitEffect, RecruitNews, Step, View,
};
use twinhelm_standby::orchestrator::{Orchestrator, Seen, is_last_resort};
use twinhelm_standby::pool::{Needs, Offer, Ranking, rank};
use twinhelm_standby::{Header, Order, Readiness, RoleName};
use twinhelm_zenoh::OpenError;
use twinhelm_zenoh::agents::AgentLine;
use twinhelm_zenoh::fleet::{FleetLine, Heard};

/// So often it looks at its vehicle.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So often it says what it offers.
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// A device whose samples are older is not heard: five of the slowest profile's.
const HEARD_WITHIN: Duration = Duration::from_millis(500);
/// A device that boots listens on the bus for so long before it takes part (M9): several of a standby's probes.
const LISTENS_FOR: Duration = Duration::from_millis(1_200);

/// What an agent's part in its fleet is made of.
pub(super) struct Fleet {
    line: FleetLine,
    ear: BusEar,
    timeline: Timeline,
    pool: Pool,
    needs: Needs,
    offers: BTreeMap<String, (Instant, Offer)>,
    orchestrator: Orchestrator,
    recruit: Recruit<AsDesigned>,
    /// The step that the keeper works on.
    doing: Option<Step>,
    /// Who has to be told that it is off the bus.
    tells: Vec<String>,
    /// How often each device was asked to stay off the bus.
    asked: BTreeMap<String, u32>,
    offered_at: Option<Instant>,
    /// Until then it listens; `None`: it takes part, or is a spare.
    listens_until: Option<Instant>,
    part: Part,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A member of the pair, or about to be one.
    Member,
    /// It waits to be recruited.
    Spare,
    /// It is to hand the wheel over first, and then to leave the pair.
    Leaving { since: Instant },
    /// An order holds it off the bus.
    Fenced,
}

/// A device that drives has so long to hand the wheel over; then it leaves all the same, if somebody can take it.
const DRAINS_WITHIN: Duration = Duration::from_secs(5);

impl Fleet {
    pub(super) fn open(
        config: &Config,
        pool: Pool,
        platform: Platform,
        line: &AgentLine,
        happen: Sender<Happened>,
    ) -> Result<Self, OpenError> {
        let ear = BusEar::start(config);
        let heard = move |heard| drop(happen.send(Happened::Fleet(heard)));
        let line = line.fleet(&config.device, &config.link.vehicle, heard)?;
        let (timeline, kept) = Timeline::open(&config.store, &config.device);
        for entry in kept {
            line.keep(entry.into_bytes());
        }
        let needs = Needs {
            // Of whoever drives it: the image runs there, and on what is like it.
            platforms: platform.runs().iter().map(ToString::to_string).collect(),
            memory_bytes: config.allowance.memory_bytes,
            reaches: vec![config.bus.clone()],
            image: config.image.to_string(),
            data: pool.plan.clone(),
        };
        let is_fenced = fence_file(config).exists();
        let part = match (is_fenced, pool.spare) {
            (true, _) => Part::Fenced,
            (false, true) => Part::Spare,
            (false, false) => Part::Member,
        };
        let listens_until = (part == Part::Member).then(|| now() + LISTENS_FOR);
        let mut fleet = Self {
            line,
            ear,
            timeline,
            pool,
            needs,
            offers: BTreeMap::new(),
            orchestrator: Orchestrator::default(),
            recruit: Recruit::default(),
            doing: None,
            tells: Vec::new(),
            asked: BTreeMap::new(),
            offered_at: None,
            listens_until,
            part,
        };
        fleet.note(What::Up);
        Ok(fleet)
    }

    /// Returns the rung that the device holds when it comes up.
    pub(super) fn first_rung(&self, wanted: Readiness) -> Readiness {
        match self.part {
            Part::Member | Part::Leaving { .. } => wanted.min(Readiness::Pulled),
            Part::Spare => wanted,
            Part::Fenced => wanted.min(Readiness::Pulled),
        }
    }

    fn note(&mut self, what: What) {
        if let Some(entry) = self.timeline.note(what) {
            self.line.note(entry.into_bytes());
        }
    }

    fn say(&self, to: &str, word: &Word) {
        match serde_json::to_vec(word) {
            Ok(bytes) => self.line.say(to, bytes),
            Err(error) => tell(format_args!("writing to {to}: {error}")),
        }
    }

    /// Returns the names of the devices whose `is_so` holds, from what they say of their slots.
    fn names(&self, is_so: impl Fn(Slot) -> bool) -> Vec<String> {
        let own = self.timeline.device();
        let others = self.offers.values().filter(|(_, offer)| offer.device != own);
        let named = others.filter(|(_, offer)| offer.slot.and_then(Slot::new).is_some_and(&is_so));
        named.map(|(_, offer)| offer.device.clone()).collect()
    }
}

pub(super) fn fence_file(config: &Config) -> PathBuf {
    config.store.join("fenced")
}

impl Agent {
    /// Takes in what was heard of the fleet.
    pub(super) fn on_fleet(&mut self, heard: Heard) {
        let at = now();
        match heard {
            Heard::Offer { bytes, .. } => {
                let Ok(offer) = serde_json::from_slice::<Offer>(&bytes) else { return };
                let Some(fleet) = &mut self.fleet else { return };
                let effect = fleet.orchestrator.on_offer(&offer);
                fleet.offers.insert(offer.device.clone(), (at, offer));
                self.carry_out_orders(effect.into_iter().collect());
            }
            Heard::Word { from, bytes } => match serde_json::from_slice(&bytes) {
                Ok(word) => self.on_word(at, &from, word),
                Err(error) => tell(format_args!("a word of {from} that cannot be read: {error}")),
            },
            // Of others: for those who keep a timeline of all.
            Heard::Event { .. } => {}
        }
    }

    fn on_word(&mut self, at: Instant, from: &str, word: Word) {
        match word {
            Word::Order { ticket, step } => {
                self.recruited(at, &RecruitNews::Order(ticket, step), Some(ticket.term));
            }
            Word::Release { ticket } => self.recruited(at, &RecruitNews::Release(ticket), Some(ticket.term)),
            Word::Report { ticket, outcome } => {
                let news = News::Reported { device: from.to_owned(), ticket, outcome };
                self.orchestrate(at, &news);
            }
            Word::Fence { why } => self.obey_fence(from, why),
            Word::Fenced(fencing) => self.orchestrate(at, &News::Fence { device: from.to_owned(), fencing }),
            Word::Readmit { device } => self.readmit(from, &device),
            Word::Switchover => self.hand_over(from),
            Word::Drain => self.drain(at, from),
            Word::AskPool => {
                let Some(fleet) = &self.fleet else { return };
                fleet.say(from, &Word::Pool(fleet.ranking(at).told()));
            }
            Word::Pool(_) | Word::Answer(_) => {}
        }
    }

    /// Looks at the vehicle, and does what is due.
    pub(super) fn look_at_fleet(&mut self) {
        let at = now();
        if self.fleet.is_none() {
            return;
        }
        self.take_part_or_not(at);
        self.resume_if_nobody_is_left(at);
        self.leave_when_it_may(at);
        self.tell_how_the_step_went(at);
        self.recruited(at, &RecruitNews::Look, None);
        self.orchestrate(at, &News::Look);
        self.offer(at);
        self.answer_fences();
    }

    /// M9: a device that boots takes part only while at most one other is on the bus.
    fn take_part_or_not(&mut self, at: Instant) {
        let wanted = self.config.readiness;
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.listens_until.is_none_or(|until| at < until) {
            return;
        }
        fleet.listens_until = None;
        if fleet.ear.others(at) < 2 {
            self.keeper.want(wanted);
        } else {
            fleet.part = Part::Spare;
            fleet.note(What::StaysSpare);
        }
    }

    /// The last resort: no controller is left, and the vehicle stands.
    fn resume_if_nobody_is_left(&mut self, at: Instant) {
        // A vehicle that nobody drove yet waits for those that are configured to.
        if self.line.last_state().is_none() {
            return;
        }
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.part != Part::Spare || fleet.recruit.ticket().is_some() {
            return;
        }
        let offers: Vec<_> = fleet.offers.values().cloned().collect();
        let pool = rank(at, &fleet.needs, &offers);
        let (closed, others) = (fleet.ear.closed_since(at), fleet.ear.others(at));
        if is_last_resort(at, closed, others, fleet.timeline.device(), &pool) {
            fleet.part = Part::Member;
            fleet.note(What::LastResort);
            self.keeper.want(Readiness::Shadow);
        }
    }

    fn orchestrate(&mut self, at: Instant, news: &News) {
        let (own, headers) = (self.config.slot, self.line.headers());
        let Some(fleet) = &mut self.fleet else { return };
        let fresh = |slot: Slot| {
            headers[slot.index()].filter(|(heard, _)| at.since(*heard) < HEARD_WITHIN).map(|(_, header)| header)
        };
        let holds = fresh(own).filter(|header| header.role == RoleName::Primary).and_then(|header| header.term);
        let is_able = |slot: Slot| {
            fresh(slot).is_some_and(|header: Header| header.role == RoleName::Primary || header.ready.is_ok())
        };
        let (able, on_bus) = (fleet.names(is_able), fleet.names(|slot| fleet.ear.hears(slot, at)));
        let ranking = fleet.ranking(at);
        let seen = Seen { holds, able: &able, view: View { pool: &ranking, on_bus: &on_bus } };
        let effects = fleet.orchestrator.step(at, news, seen);
        self.carry_out_orders(effects);
    }

    fn carry_out_orders(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let Some(fleet) = &mut self.fleet else { return };
            match effect {
                Effect::Order { device, ticket, step } => fleet.say(&device, &Word::Order { ticket, step }),
                Effect::Release { device, ticket } => fleet.say(&device, &Word::Release { ticket }),
                Effect::Fence { device } => self.ask_off(device),
                Effect::Note(event) => fleet.note(What::Migration(event)),
            }
        }
    }

    /// Asks a device to stay off the bus; one that was asked before and has not answered loses its power, where that can be
    /// switched.
    fn ask_off(&mut self, device: String) {
        let happen = self.happen.clone();
        let Some(fleet) = &mut self.fleet else { return };
        fleet.say(&device, &Word::Fence { why: "it was replaced".to_owned() });
        let asked = fleet.asked.entry(device.clone()).or_default();
        *asked += 1;
        let Some(words) = fleet.pool.power_off.get(&device).filter(|words| *asked == 2 && !words.is_empty()) else {
            return;
        };
        let words = words.clone();
        let run = move || {
            let done = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output();
            let done = match done {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(format!("{}: {}", words.join(" "), output.status)),
                Err(error) => Err(format!("{}: {error}", words.join(" "))),
            };
            drop(happen.send(Happened::PowerIsOff(device, done)));
        };
        if let Err(error) = std::thread::Builder::new().name("power-off".to_owned()).spawn(run) {
            tell(format_args!("starting the thread that takes a device's power: {error}"));
        }
    }

    pub(super) fn on_power_off(&mut self, device: &str, done: Result<(), String>) {
        match done {
            Ok(()) => {
                let news = News::Fence { device: device.to_owned(), fencing: Fencing::Fenced };
                self.orchestrate(now(), &news);
            }
            Err(error) => tell(format_args!("taking the power of {device}: {error}")),
        }
    }

    /// Has the recruit decide. `term` is the one of the ticket that is spoken of.
    fn recruited(&mut self, at: Instant, news: &RecruitNews, term: Option<Term>) {
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.part != Part::Spare {
            return;
        }
        let term = term.or_else(|| fleet.recruit.ticket().map(|ticket| ticket.term));
        let adopted = term.filter(|term| fleet.ear.is_adopted(*term, at, self.config.gate_lease));
        let bus = BusView { adopted, others: fleet.ear.others(at) };
        let effects = fleet.recruit.step(at, news, bus);
        self.carry_out_steps(effects);
    }

    fn carry_out_steps(&mut self, effects: Vec<RecruitEffect>) {
        for effect in effects {
            let Some(fleet) = &mut self.fleet else { return };
            match effect {
                RecruitEffect::Do(step) => {
                    self.problem = None;
                    fleet.doing = Some(step);
                    if let Some(rung) = rung_of(step) {
                        self.keeper.want(rung);
                    }
                }
                RecruitEffect::Undo => {
                    fleet.doing = None;
                    self.keeper.want(self.config.readiness.min(Readiness::Pulled));
                }
                RecruitEffect::Report(ticket, outcome) => {
                    // Whoever has the ticket listens; the others' migrations have other ones.
                    let word = Word::Report { ticket, outcome };
                    let members: Vec<_> = fleet.offers.keys().cloned().collect();
                    members.iter().for_each(|device| fleet.say(device, &word));
                }
            }
        }
    }

    /// Tells the recruit how the keeper does.
    fn tell_how_the_step_went(&mut self, at: Instant) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(step) = fleet.doing else { return };
        let news = match rung_of(step) {
            // What the neighbour publishes, which is handed to the mission when it joins.
            None => match self.line.last_state() {
                Some(_) => RecruitNews::Done(step),
                None => return,
            },
            Some(rung) if self.keeper.target() == rung && self.keeper.is_ready() => RecruitNews::Done(step),
            Some(_) => match (&self.problem, self.pulled) {
                (Some(problem), _) => RecruitNews::Failed(step, problem.clone()),
                (None, Some((done, all))) => RecruitNews::Progress(step, done, all),
                (None, None) => return,
            },
        };
        if !matches!(news, RecruitNews::Progress(..)) {
            fleet.doing = None;
        }
        self.recruited(at, &news, None);
    }

    /// The mission of a recruit has ended by itself.
    pub(super) fn on_mission_ended(&mut self) {
        // A member is made anew, as any other.
        if self.fleet.as_ref().is_some_and(|fleet| !fleet.recruit.has_joined()) {
            self.recruited(now(), &RecruitNews::Ended, None);
        }
    }

    /// Returns whether the mission is started in the place of a lost one, and goes on with what was published last.
    pub(super) fn takes_over_a_mission(&self) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.pool.spare && fleet.part() != "fenced")
    }

    fn obey_fence(&mut self, from: &str, why: String) {
        let Some(fleet) = &mut self.fleet else { return };
        if !fleet.tells.iter().any(|teller| teller == from) {
            fleet.tells.push(from.to_owned());
        }
        if fleet.part == Part::Fenced {
            return;
        }
        // First the disk: whatever happens next, the order stands.
        if let Err(error) = std::fs::write(fence_file(&self.config), format!("{from}: {why}\n")) {
            tell(format_args!("keeping the order to stay off the bus: {error}; it holds until this agent ends"));
        }
        fleet.part = Part::Fenced;
        fleet.listens_until = None;
        fleet.note(What::Fenced { why });
        let effects = fleet.recruit.fence();
        self.carry_out_steps(effects);
        self.keeper.want(self.config.readiness.min(Readiness::Pulled));
    }

    /// Tells those who ordered it that the device is off the bus, once it is.
    fn answer_fences(&mut self) {
        let is_off = self.held.is_none();
        let Some(fleet) = &mut self.fleet else { return };
        if is_off && fleet.part == Part::Fenced {
            for teller in std::mem::take(&mut fleet.tells) {
                fleet.say(&teller, &Word::Fenced(Fencing::Fenced));
                fleet.say(&teller, &Word::Answer(Ok("it is off the bus".to_owned())));
            }
        }
    }

    fn readmit(&mut self, from: &str, device: &str) {
        let Some(fleet) = &mut self.fleet else { return };
        fleet.orchestrator.readmit(device);
        if device != self.config.device {
            return;
        }
        if fleet.part != Part::Fenced {
            fleet.say(from, &Word::Answer(Err("it is not fenced".to_owned())));
            return;
        }
        if let Err(error) = std::fs::remove_file(fence_file(&self.config)) {
            fleet.say(from, &Word::Answer(Err(format!("forgetting the order: {error}"))));
            return;
        }
        fleet.part = if fleet.pool.spare { Part::Spare } else { Part::Member };
        fleet.listens_until = (fleet.part == Part::Member).then(|| now() + LISTENS_FOR);
        fleet.note(What::Readmitted);
        fleet.say(from, &Word::Answer(Ok("it may come back".to_owned())));
    }

    fn hand_over(&mut self, from: &str) {
        let answer = self.order_switchover();
        let Some(fleet) = &mut self.fleet else { return };
        if answer.is_ok() {
            fleet.note(What::Switchover);
        }
        fleet.say(from, &Word::Answer(answer));
    }

    fn order_switchover(&self) -> Result<String, String> {
        let ordered = self.line.order(&self.config.link.vehicle, self.config.slot, Order::Switchover);
        ordered.map(|()| "it was asked to hand the wheel over".to_owned()).map_err(|error| error.to_string())
    }

    fn drain(&mut self, at: Instant, from: &str) {
        let ordered = if self.drives(at) { self.order_switchover().map(drop) } else { Ok(()) };
        let Some(fleet) = &mut self.fleet else { return };
        let answer = match ordered {
            Ok(()) if fleet.part == Part::Member || fleet.recruit.has_joined() => {
                fleet.part = Part::Leaving { since: at };
                fleet.note(What::Drained);
                Ok("it leaves the pair as soon as it does not drive".to_owned())
            }
            Ok(()) => Err("it is no member of the pair".to_owned()),
            Err(error) => Err(error),
        };
        fleet.say(from, &Word::Answer(answer));
    }

    fn drives(&self, at: Instant) -> bool {
        let header = self.line.headers()[self.config.slot.index()];
        header.is_some_and(|(heard, header)| at.since(heard) < HEARD_WITHIN && header.role == RoleName::Primary)
    }

    fn leave_when_it_may(&mut self, at: Instant) {
        let drives = self.drives(at);
        let Some(fleet) = &mut self.fleet else { return };
        let Part::Leaving { since } = fleet.part else { return };
        if !drives {
            fleet.part = Part::Spare;
            fleet.recruit = Recruit::default();
            self.keeper.want(self.config.readiness.min(Readiness::Pulled));
        } else if at.since(since) > DRAINS_WITHIN {
            // Nobody took the wheel: it keeps it.
            fleet.part = if fleet.pool.spare { Part::Spare } else { Part::Member };
        }
    }

    fn offer(&mut self, at: Instant) {
        let has_image = self.unpacked.is_some();
        let platform = self.platform.to_string();
        let (slot, bus) = (self.config.slot, self.config.bus.clone());
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.offered_at.is_some_and(|last| at.since(last) < OFFER_EVERY) {
            return;
        }
        fleet.offered_at = Some(at);
        let ticket = fleet.recruit.ticket().map(|ticket| format!("recruited by ticket {ticket}"));
        let busy = match fleet.part {
            Part::Member | Part::Leaving { .. } => Some("a member of the pair".to_owned()),
            Part::Spare if fleet.recruit.has_joined() => Some("a member of the pair".to_owned()),
            Part::Spare => ticket,
            Part::Fenced => None,
        };
        let mut reaches = fleet.pool.reaches.clone();
        if fleet.ear.is_on_the_bus() {
            reaches.push(bus);
        }
        let offer = Offer {
            device: self.config.device.clone(),
            slot: (!fleet.pool.no_slot).then(|| slot.number()),
            platform,
            free_bytes: free_bytes(),
            reaches,
            images: has_image.then(|| self.config.image.to_string()).into_iter().collect(),
            data: vec![fleet.pool.plan.clone()],
            load: load(),
            busy,
            fenced: fleet.part == Part::Fenced,
        };
        fleet.offers.insert(offer.device.clone(), (at, offer.clone()));
        match serde_json::to_vec(&offer) {
            Ok(bytes) => fleet.line.offer(bytes),
            Err(error) => tell(format_args!("writing the offer: {error}")),
        }
    }
}

impl Fleet {
    /// Returns what the device is, in a word.
    pub(super) fn part(&self) -> &'static str {
        match self.part {
            Part::Member => "member",
            Part::Spare if self.recruit.has_joined() => "member",
            Part::Spare => "spare",
            Part::Leaving { .. } => "leaving",
            Part::Fenced => "fenced",
        }
    }

    fn ranking(&self, at: Instant) -> Ranking {
        let own = self.timeline.device();
        let offers: Vec<_> = self.offers.values().filter(|(_, offer)| offer.device != own).cloned().collect();
        rank(at, &self.needs, &offers)
    }
}

/// Returns the rung that is reached with `step`; none for the two that are no rungs.
const fn rung_of(step: Step) -> Option<Readiness> {
    match step {
        Step::Notify | Step::Fetch => None,
        Step::Pull => Some(Readiness::Pulled),
        Step::Create => Some(Readiness::Created),
        // Up, and frozen: it computes nothing, and says nothing on the bus, until it joins.
        Step::Start => Some(Readiness::Paused),
        Step::Join => Some(Readiness::Shadow),
    }
}

/// Returns the machine's memory that is free for a mission.
fn free_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Returns the tasks that want to run, for each core, as the last minute had it.
fn load() -> f32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f32 = text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    load / cores as f32
}
