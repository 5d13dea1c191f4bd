//! The agent's part in its fleet: it offers its device, orchestrates while its own device holds the wheel, obeys as a recruit, and
//! keeps the orders that hold it off the bus.
//!
//! What is decided is decided by `standby`: [`Orchestrator`], [`Recruit`], [`rank`]. Here is what they see, and what becomes of
//! what they say.

mod membership;
mod orders;
mod resume;

use super::data::Data;
use super::ear::BusEar;
use super::timeline::Timeline;
use super::{Agent, Happened, bytes_of};
use crate::config::{Config, Pool};
use crate::output::tell;
use resume::Resort;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_mission::image::Platform;
use twinhelm_standby::access::Members;
use twinhelm_standby::asked::UnderWay;
use twinhelm_standby::data::Position;
use twinhelm_standby::fleet::{What, Word};
use twinhelm_standby::migration::{
    AsDesigned, BusView, Effect, Event, Fencing, News, Recruit, RecruitEffect, RecruitNews, Step, View,
};
use twinhelm_standby::orchestrator::{Crowd, Orchestrator, Seen};
use twinhelm_standby::pool::{MEMBER, Needs, Offer, Ranking, SILENT_AFTER, rank};
use twinhelm_standby::{Header, Readiness, RoleName};
use twinhelm_zenoh::OpenError;
use twinhelm_zenoh::agents::AgentLine;
use twinhelm_zenoh::fleet::{FleetLine, Heard};

/// So often it looks at its vehicle.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// An agent that has not looked for so long stood still, or its machine did.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// So often it says what it offers.
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// A device whose samples are older is not heard: five of the slowest profile's.
const HEARD_WITHIN: Duration = Duration::from_millis(500);
/// An order to stay off the bus counts as another one after so long.
const FENCE_WITHIN: Duration = Duration::from_secs(2);
/// A device that boots listens on the bus for so long before it takes part (M9): several of a standby's probes.
const LISTENS_FOR: Duration = Duration::from_millis(1_200);

/// What an agent's part in its fleet is made of.
pub(super) struct Fleet {
    slot: Slot,
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
    asked: BTreeMap<String, (u32, Option<Instant>)>,
    offered_at: Option<Instant>,
    /// Until then it listens; `None`: it takes part, or is a spare.
    listens_until: Option<Instant>,
    part: Part,
    /// The order that holds it off the bus, until the disk has it.
    unkept: Option<String>,
    resort: Resort,
    /// It is a member because nobody was left: its mission is the one that they had.
    resumes: bool,
    /// Who may say what; `None` where nobody beyond this machine is heard.
    pub(super) members: Option<Members>,
    looked_at: Option<Instant>,
    crowd: Crowd,
    /// It holds the wheel, and the timeline has that.
    has_the_wheel: bool,
    /// What people asked of it, until it is known what came of it.
    under_way: Option<UnderWay>,
    /// Who was told last what came of it, and what: who repeats the order meanwhile gets the same answer.
    told: Option<(Instant, UnderWay, Result<String, String>)>,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A member of the pair, or about to be one.
    Member,
    /// It waits to be recruited.
    Spare,
    /// It is to hand the wheel over first, and then to leave the pair.
    Leaving,
    /// An order holds it off the bus.
    Fenced,
}

impl Fleet {
    pub(super) fn open(
        config: &Config,
        pool: Pool,
        platform: Platform,
        line: &AgentLine,
        ear: BusEar,
        happen: Sender<Happened>,
    ) -> Result<Self, OpenError> {
        let heard = move |heard| drop(happen.send(Happened::Fleet(heard)));
        let line = line.fleet(&config.device, &config.link.vehicle, heard)?;
        let members = config.link.credentials()?.map(|credentials| credentials.members().clone());
        let (timeline, kept) = Timeline::open(&config.store, &config.device);
        for entry in kept {
            line.keep(entry.into_bytes());
        }
        let needs = Needs {
            // Of whoever drives it: the image runs there, and on what is like it.
            platforms: platform.runs().iter().map(ToString::to_string).collect(),
            memory_bytes: config.allowance.memory_bytes,
            reaches: vec![config.bus.name().to_owned()],
            image: config.image.to_string(),
            // The newest that anybody has.
            data: String::new(),
        };
        let is_fenced = fence_file(config).exists();
        let part = match (is_fenced, pool.spare) {
            (true, _) => Part::Fenced,
            (false, true) => Part::Spare,
            (false, false) => Part::Member,
        };
        let listens_until = (part == Part::Member).then(|| now() + LISTENS_FOR);
        let mut fleet = Self {
            slot: config.slot,
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
            unkept: None,
            resort: Resort::Idle,
            resumes: false,
            members,
            looked_at: None,
            crowd: Crowd::default(),
            has_the_wheel: false,
            under_way: None,
            told: None,
        };
        fleet.note(What::Up);
        Ok(fleet)
    }

    /// Returns the rung that the device holds when it comes up.
    pub(super) fn first_rung(&self, wanted: Readiness) -> Readiness {
        match self.part {
            Part::Spare => wanted,
            Part::Member | Part::Leaving | Part::Fenced => wanted.min(Readiness::Pulled),
        }
    }

    /// Takes note that the agent is awake. If it stood still before, it has heard nobody meanwhile, which says nothing about them.
    fn awake(&mut self, at: Instant) {
        if self.looked_at.is_some_and(|last| at.since(last) >= STOOD_STILL) {
            self.offers.values_mut().for_each(|(heard, _)| *heard = at);
        }
        self.looked_at = Some(at);
    }

    pub(super) fn note(&mut self, what: What) {
        if let Some(entry) = self.timeline.note(what) {
            self.line.note(entry.into_bytes());
        }
    }

    pub(super) fn say(&self, to: &str, word: &Word) {
        match serde_json::to_vec(word) {
            Ok(bytes) => self.line.say(to, bytes),
            Err(error) => tell(format_args!("writing to {to}: {error}")),
        }
    }

    /// Returns the names of the devices whose `is_so` holds, from what they say of their slots.
    fn names(&self, is_so: impl Fn(Slot) -> bool) -> Vec<String> {
        let own = self.timeline.device();
        let others = (0..SLOTS).filter_map(Slot::new).filter(|slot| *slot != self.slot && is_so(*slot));
        let named = |slot: Slot| {
            let of = |(_, offer): &&(Instant, Offer)| offer.device != own && offer.slot == Some(slot.number());
            // One whose agent was never heard is there all the same.
            let name = self.offers.values().filter(of).max_by_key(|(heard, _)| *heard);
            name.map_or_else(|| format!("slot-{slot}"), |(_, offer)| offer.device.clone())
        };
        others.map(named).collect()
    }
}

pub(super) fn fence_file(config: &Config) -> PathBuf {
    config.store.join("fenced")
}

impl Agent {
    /// Takes in what was heard of the fleet.
    pub(super) fn on_fleet(&mut self, heard: Heard) {
        let at = now();
        if let Some(fleet) = &mut self.fleet {
            fleet.awake(at);
        }
        match heard {
            Heard::Offer { device, bytes } => {
                let offer = serde_json::from_slice::<Offer>(&bytes).ok().filter(|offer| offer.device == device);
                let (Some(offer), Some(fleet)) = (offer, &mut self.fleet) else { return };
                // Nobody takes another's place on the bus.
                if fleet.members.as_ref().is_some_and(|members| !members.is_device(&offer.device, offer.slot)) {
                    return;
                }
                let effect = fleet.orchestrator.on_offer(&offer);
                fleet.offers.insert(offer.device.clone(), (at, offer));
                if let Some(data) = &self.data {
                    data.on_peer(fleet.newest_of_peers(at));
                }
                self.carry_out_orders(effect.into_iter().collect());
            }
            Heard::Word { from, bytes } => match serde_json::from_slice(&bytes) {
                Ok(word) if self.may_say(at, &from, &word) => self.on_word(at, &from, word),
                Ok(_) => {}
                Err(error) => self.refuse(at, format!("a word of {from} cannot be read: {error}")),
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
            Word::Fence { why } => self.obey_fence(at, from, why),
            Word::Fenced(fencing) => {
                if let Some(fleet) = &mut self.fleet {
                    fleet.asked.remove(from);
                }
                self.orchestrate(at, &News::Fence { device: from.to_owned(), fencing });
            }
            Word::Readmit { device } => self.readmit(from, &device),
            Word::Switchover => self.hand_over(from),
            Word::Drain => self.drain(at, from),
            Word::AskPool => {
                let Some(fleet) = &self.fleet else { return };
                fleet.say(from, &Word::Pool(fleet.ranking(at).told()));
            }
            Word::Pool(_) | Word::Begun | Word::Answer(_) => {}
        }
    }

    /// Looks at the vehicle, and does what is due.
    pub(super) fn look_at_fleet(&mut self) {
        let at = now();
        self.tell_who_was_refused(at);
        let Some(fleet) = &mut self.fleet else { return };
        fleet.awake(at);
        self.take_part_or_not(at);
        self.resume_if_nobody_is_left(at);
        self.leave_when_it_may(at);
        self.tell_what_came_of_it(at);
        self.tell_who_drives(at);
        self.leave_a_crowd(at);
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
        if fleet.listens_until.is_some() && !fleet.ear.is_on_the_bus(at) {
            // It begins to count when it hears the bus.
            fleet.listens_until = Some(at + LISTENS_FOR);
        }
        if fleet.listens_until.is_none_or(|until| at < until) {
            return;
        }
        fleet.listens_until = None;
        if fleet.ear.others(at) < 2 {
            if !self.keeper.is_urged() {
                self.keeper.want(wanted);
            }
        } else {
            fleet.part = Part::Spare;
            fleet.note(What::StaysSpare);
        }
    }

    fn orchestrate(&mut self, at: Instant, news: &News) {
        let (own, headers) = (self.config.slot, self.line.ear().headers());
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
                Effect::Note(event) => {
                    if let Event::Ended(_) = event {
                        fleet.asked.clear();
                    }
                    fleet.note(What::Migration(event));
                }
            }
        }
    }

    /// Asks a device to stay off the bus; one that was asked before and has not answered loses its power, where that can be
    /// switched.
    fn ask_off(&mut self, device: String) {
        let happen = self.happen.clone();
        let Some(fleet) = &mut self.fleet else { return };
        fleet.say(&device, &Word::Fence { why: "it was replaced".to_owned() });
        let at = now();
        let (asked, last) = fleet.asked.entry(device.clone()).or_insert((0, None));
        if last.is_some_and(|last| at.since(last) < FENCE_WITHIN) {
            return;
        }
        (*asked, *last) = (*asked + 1, Some(at));
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
                    } else if step == Step::Fetch {
                        self.begin_to_fetch(now());
                    }
                }
                RecruitEffect::Undo => {
                    fleet.doing = None;
                    self.go_back_to_the_pool();
                }
                RecruitEffect::Report(ticket, outcome) => {
                    // Whoever has the ticket is a member of the pair, and listens.
                    let word = Word::Report { ticket, outcome };
                    let members = fleet.offers.values().filter(|(_, offer)| offer.is_of_member());
                    members.for_each(|(_, offer)| fleet.say(&offer.device, &word));
                }
            }
        }
    }

    /// Tells the recruit how the keeper does.
    fn tell_how_the_step_went(&mut self, at: Instant) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(step) = fleet.doing else { return };
        let news = match rung_of(step) {
            // Its end is told, where it keeps mission data; otherwise it is what the neighbour publishes.
            None if self.data.is_some() => return,
            None => match self.line.ear().last_state() {
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
    pub(super) fn on_mission_ended(&mut self, how: String) {
        if let Some(fleet) = &mut self.fleet {
            fleet.note(What::MissionEnded { how });
        }
        // A member is made anew, as any other.
        if self.fleet.as_ref().is_some_and(|fleet| !fleet.recruit.has_joined()) {
            self.recruited(now(), &RecruitNews::Ended, None);
        }
    }

    /// Returns whether the mission is started in the place of a lost one, and goes on with what was published last.
    pub(super) fn takes_over_a_mission(&self) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.resumes || fleet.recruit.ticket().is_some())
    }

    fn offer(&mut self, at: Instant) {
        let has_image = self.unpacked.is_some();
        let platform = self.platform.to_string();
        let (slot, bus) = (self.config.slot, self.config.bus.name().to_owned());
        let data = self.data.as_ref();
        let (plan, state) = (data.and_then(Data::plan), data.and_then(Data::newest));
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.offered_at.is_some_and(|last| at.since(last) < OFFER_EVERY) {
            return;
        }
        fleet.offered_at = Some(at);
        let ticket = fleet.recruit.ticket().map(|ticket| format!("recruited by ticket {ticket}"));
        let busy = match fleet.part {
            Part::Member | Part::Leaving => Some(MEMBER.to_owned()),
            Part::Spare if fleet.recruit.has_joined() => Some(MEMBER.to_owned()),
            Part::Spare => ticket,
            Part::Fenced => None,
        };
        let mut reaches = fleet.pool.reaches.clone();
        if fleet.ear.is_on_the_bus(at) {
            reaches.push(bus);
        }
        let offer = Offer {
            device: self.config.device.clone(),
            slot: (!fleet.pool.no_slot).then(|| slot.number()),
            platform,
            free_bytes: bytes_of("/proc/meminfo", "MemAvailable:"),
            reaches,
            images: has_image.then(|| self.config.image.to_string()).into_iter().collect(),
            data: plan.map(|plan| plan.name()).into_iter().collect(),
            state,
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
    /// Returns whether the device is a member of the pair, or about to be one.
    pub(super) fn is_member(&self) -> bool {
        self.part == Part::Member || self.part == Part::Spare && self.recruit.has_joined()
    }

    /// Returns what the device is, in a word.
    pub(super) fn part(&self) -> &'static str {
        match self.part {
            _ if self.is_member() => "member",
            Part::Member | Part::Spare => "spare",
            Part::Leaving => "leaving",
            Part::Fenced => "fenced",
        }
    }

    fn ranking(&self, at: Instant) -> Ranking {
        let own = self.timeline.device();
        let offers: Vec<_> = self.offers.values().filter(|(_, offer)| offer.device != own).cloned().collect();
        rank(at, &self.needs(), &offers)
    }

    /// Returns what a mission needs: of the plans that anybody has, the newest.
    fn needs(&self) -> Needs {
        let version = |name: &String| name.split('-').next().and_then(|version| version.parse::<u64>().ok());
        let plans = self.offers.values().flat_map(|(_, offer)| &offer.data);
        let newest = plans.max_by_key(|name| (version(name), *name)).cloned();
        Needs { data: newest.unwrap_or_default(), ..self.needs.clone() }
    }

    /// Returns the newest state that is on the disk of another member of the pair.
    fn newest_of_peers(&self, at: Instant) -> Option<Position> {
        let own = self.timeline.device();
        let is_peer = |(heard, offer): &&(Instant, Offer)| {
            offer.device != own && at.since(*heard) < SILENT_AFTER && offer.is_of_member()
        };
        self.offers.values().filter(is_peer).filter_map(|(_, offer)| offer.state).max()
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

/// Returns the tasks that want to run, for each core, as the last minute had it.
fn load() -> f32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f32 = text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    load / cores as f32
}
