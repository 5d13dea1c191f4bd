//! A device of the fleet, with its agent: what it is, what it has heard, and what is to go wrong with it.

use std::collections::BTreeMap;
use std::time::Duration;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;
use twinhelm_standby::migration::{Recruit, RecruitRules, Step};
use twinhelm_standby::orchestrator::{Crowd, Orchestrator};
use twinhelm_standby::pool::{MEMBER, Offer};

/// A member is ready so long after it came.
const READY_AFTER: Duration = Duration::from_secs(1);

/// A device of the fleet.
pub(super) struct Device<R: RecruitRules> {
    pub name: &'static str,
    /// `None`: there are more spares than the bus has numbers.
    pub slot: Option<Slot>,
    pub alive: bool,
    pub comes_back: Option<Instant>,
    /// When it came up last.
    pub came_up_at: Instant,
    pub crowd: Crowd,
    pub cut_until: Instant,
    pub blind_until: Instant,
    pub mission_back: Option<Instant>,
    /// On the disk: survives its death.
    pub fenced: bool,
    pub has_image: bool,
    /// It belongs to the pair by its configuration.
    pub is_original: bool,
    /// Since when it is on the bus as a member.
    pub member_since: Option<Instant>,
    pub recruit: Recruit<R>,
    pub doing: Option<(Step, Option<Instant>)>,
    pub fails: Vec<(Step, u32)>,
    pub hangs: Vec<(Step, u32)>,
    pub orchestrator: Orchestrator,
    /// What its agent saw last.
    pub saw: Saw,
    pub heard: Vec<(Instant, Offer)>,
    /// Where among them each device's is.
    pub heard_at: BTreeMap<&'static str, usize>,
    pub offered_at: Instant,
}

/// What an agent sees of the pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Saw {
    pub holds: Option<Term>,
    pub able: Vec<String>,
    pub on_bus: Vec<String>,
}

impl<R: RecruitRules> Device<R> {
    pub fn new(zero: Instant, name: &'static str, index: usize) -> Self {
        let number = u8::try_from(index).unwrap_or(u8::MAX);
        Self {
            name,
            slot: Slot::new(number),
            alive: true,
            comes_back: None,
            came_up_at: zero,
            crowd: Crowd::default(),
            cut_until: zero,
            blind_until: zero,
            mission_back: None,
            fenced: false,
            has_image: false,
            is_original: index < 2,
            member_since: (index < 2).then_some(zero),
            recruit: Recruit::default(),
            doing: None,
            fails: Vec::new(),
            hangs: Vec::new(),
            orchestrator: Orchestrator::default(),
            saw: Saw::default(),
            heard: Vec::new(),
            heard_at: BTreeMap::new(),
            offered_at: zero,
        }
    }

    pub fn die(&mut self, comes_back: Option<Instant>) {
        self.alive = false;
        self.comes_back = comes_back;
        (self.member_since, self.mission_back) = (None, None);
        self.recruit = Recruit::default();
        self.doing = None;
        (self.orchestrator, self.saw) = (Orchestrator::default(), Saw::default());
        self.heard.clear();
        self.heard_at.clear();
    }

    pub fn is_member(&self) -> bool {
        self.alive && self.member_since.is_some()
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.alive && self.member_since.is_some_and(|since| now.since(since) >= READY_AFTER)
    }

    /// Returns whether a ticket holds it, and it is no member.
    pub fn is_held(&self) -> bool {
        self.recruit.ticket().is_some() && !self.recruit.has_joined()
    }

    pub fn takes_a_failure(&mut self, step: Step) -> bool {
        takes(&mut self.fails, step)
    }

    pub fn takes_a_hang(&mut self, step: Step) -> bool {
        takes(&mut self.hangs, step)
    }

    pub fn hear(&mut self, now: Instant, from: &'static str, offer: &Offer) {
        let at = *self.heard_at.entry(from).or_insert(self.heard.len());
        match self.heard.get_mut(at) {
            Some((heard, known)) => {
                *heard = now;
                if known != offer {
                    known.clone_from(offer);
                }
            }
            None => self.heard.push((now, offer.clone())),
        }
    }

    pub fn offer(&self) -> Offer {
        // One whose mission is gone for a while is a member all the same.
        let is_member = self.member_since.is_some() || self.mission_back.is_some();
        let busy = is_member.then(|| MEMBER.to_owned());
        Offer {
            reaches: vec!["can0".to_owned()],
            images: if self.has_image { vec!["mission".to_owned()] } else { Vec::new() },
            busy,
            fenced: self.fenced,
            slot: self.slot.map(Slot::number),
            ..Offer::of(self.name, 0)
        }
    }
}

/// Takes one of the troubles that are left for `step`.
fn takes(left: &mut [(Step, u32)], step: Step) -> bool {
    match left.iter_mut().find(|(at, left)| *at == step && *left > 0) {
        Some((_, left)) => {
            *left -= 1;
            true
        }
        None => false,
    }
}
