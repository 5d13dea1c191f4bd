//! A spare's side of a migration: what it obeys, and what becomes of what it has begun.

use super::{Outcome, Step, TICKET_LEASE, Ticket};
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;

/// What has happened to a spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecruitNews {
    /// Nothing but time.
    Look,
    /// It is to do a step.
    Order(Ticket, Step),
    /// It is needed no more.
    Release(Ticket),
    /// What it did is done.
    Done(Step),
    /// So much of it.
    Progress(Step, u64, u64),
    /// It did not work. What it changed, it has undone.
    Failed(Step, String),
    /// What it had started has ended by itself.
    Ended,
}

/// What a spare is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecruitEffect {
    /// Do a step.
    Do(Step),
    /// Remove what was made, and be a spare again. What was pulled and fetched stays.
    Undo,
    /// Tell whoever has the ticket.
    Report(Ticket, Outcome),
}

/// A spare's rules that are a single choice. [`AsDesigned`] is the only implementation outside tests; a test breaks one, and shows
/// that a checker notices.
pub trait RecruitRules: Clone + core::fmt::Debug + Default {
    /// M3: it joins only by a ticket of the term that the gates have adopted.
    const ASKS_THE_GATES: bool = true;
    /// M4: it is free again when nobody renews its ticket.
    const TICKET_EXPIRES: bool = true;
    /// M9: it joins only while at most one other device is heard on the bus.
    const COUNTS_MEMBERS: bool = true;
}

/// The rules as the design has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsDesigned;

impl RecruitRules for AsDesigned {}

/// What a device hears on the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusView {
    /// The term that an open gate named within the gate lease, if one did.
    pub adopted: Option<Term>,
    /// How many other devices were heard within the last second.
    pub others: usize,
}

impl BusView {
    /// M9: returns whether there is room for one more.
    #[must_use]
    pub const fn has_room(self) -> bool {
        self.others < 2
    }
}

/// A spare's side.
///
/// # Invariants
/// It joins only in the term that the gates have adopted, by a ticket of that term, and as the second device on the bus at most.
#[derive(Clone, Debug, Default)]
pub struct Recruit<R: RecruitRules = AsDesigned> {
    ticket: Option<Ticket>,
    renewed_at: Option<Instant>,
    reached: Option<Step>,
    busy: Option<Step>,
    rules: core::marker::PhantomData<R>,
}

impl<R: RecruitRules> Recruit<R> {
    /// Returns which ticket it obeys; `None`: it is in the pool.
    #[must_use]
    pub const fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }

    /// Returns how far it has come.
    #[must_use]
    pub const fn reached(&self) -> Option<Step> {
        self.reached
    }

    /// An order holds it off the bus: what it had reached is given up, and told.
    pub fn fence(&mut self) -> Vec<RecruitEffect> {
        let mut effects = Vec::new();
        if self.ticket.is_some() {
            self.report(Outcome::Failed(Step::Join, "it was fenced".to_owned()), &mut effects);
            self.go_back(&mut effects);
        }
        effects
    }

    /// Returns whether it is a member of the pair.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.reached == Some(Step::Join)
    }

    /// Takes in what has happened by `now`; `bus` is what is heard there.
    pub fn step(&mut self, now: Instant, news: &RecruitNews, bus: BusView) -> Vec<RecruitEffect> {
        let mut effects = Vec::new();
        match news {
            RecruitNews::Look => {}
            RecruitNews::Order(ticket, step) => self.on_order(now, *ticket, *step, bus, &mut effects),
            RecruitNews::Release(ticket) => {
                // M5: a member is no recruit any more.
                if self.ticket.is_some_and(|own| own <= *ticket) && !self.has_joined() {
                    self.go_back(&mut effects);
                }
            }
            RecruitNews::Done(step) => {
                if self.busy == Some(*step) {
                    self.busy = None;
                    if *step == Step::Join && !bus.has_room() && R::COUNTS_MEMBERS {
                        // Two joined at one moment; the one that sees it first makes way.
                        self.report(
                            Outcome::Failed(Step::Join, "two others are on the bus".to_owned()),
                            &mut effects,
                        );
                        self.go_back(&mut effects);
                    } else {
                        self.reached = self.reached.max(Some(*step));
                        self.report(Outcome::Done(*step), &mut effects);
                    }
                }
            }
            RecruitNews::Progress(step, done, all) => {
                if self.busy == Some(*step) {
                    self.report(Outcome::Progress(*step, Some((*done, *all))), &mut effects);
                }
            }
            RecruitNews::Failed(step, why) => {
                if self.busy == Some(*step) {
                    self.busy = None;
                    self.report(Outcome::Failed(*step, why.clone()), &mut effects);
                }
            }
            RecruitNews::Ended => {
                // What is on the disk is still there.
                self.reached = self.reached.min(Some(Step::Fetch));
                self.busy = None;
                self.report(Outcome::Failed(Step::Start, "what was started has ended".to_owned()), &mut effects);
            }
        }
        self.on_time(now, &mut effects);
        effects
    }

    fn on_order(
        &mut self,
        now: Instant,
        ticket: Ticket,
        step: Step,
        bus: BusView,
        effects: &mut Vec<RecruitEffect>,
    ) {
        // M1: the highest ticket that it has seen.
        if let Some(own) = self.ticket.filter(|own| *own > ticket) {
            effects.push(RecruitEffect::Report(ticket, Outcome::Refused(own)));
            return;
        }
        // M2: what was reached under a lower one stays.
        self.ticket = Some(ticket);
        self.renewed_at = Some(now);
        if let Some(reached) = self.reached.filter(|reached| *reached >= step) {
            effects.push(RecruitEffect::Report(ticket, Outcome::Done(reached)));
            return;
        }
        if let Some(busy) = self.busy {
            effects.push(RecruitEffect::Report(ticket, Outcome::Progress(busy, None)));
            return;
        }
        // One after the other, whatever was asked: an order may have been lost.
        let next = self.reached.map_or(Some(Step::Notify), Step::next).unwrap_or(Step::Join);
        match next {
            Step::Notify => {
                self.reached = Some(Step::Notify);
                effects.push(RecruitEffect::Report(ticket, Outcome::Done(Step::Notify)));
            }
            Step::Join if step == Step::Join => {
                // M3, M9: by the gates' word and the bus's, not by the orchestrator's.
                let is_asked = bus.adopted == Some(ticket.term) || !R::ASKS_THE_GATES;
                if is_asked && (bus.has_room() || !R::COUNTS_MEMBERS) {
                    self.busy = Some(Step::Join);
                    effects.push(RecruitEffect::Do(Step::Join));
                } else {
                    effects.push(RecruitEffect::Report(ticket, Outcome::Progress(Step::Join, None)));
                }
            }
            Step::Join => effects.push(RecruitEffect::Report(ticket, Outcome::Done(Step::Start))),
            Step::Pull | Step::Fetch | Step::Create | Step::Start => {
                self.busy = Some(next);
                effects.push(RecruitEffect::Do(next));
            }
        }
    }

    fn on_time(&mut self, now: Instant, effects: &mut Vec<RecruitEffect>) {
        // M4. One that is joining may be a member in a moment, and the only one that is left: it has the time that a join has.
        let lease = if self.busy == Some(Step::Join) { TICKET_LEASE + Step::Join.limit() } else { TICKET_LEASE };
        let is_stale = R::TICKET_EXPIRES && self.renewed_at.is_some_and(|at| now.since(at) >= lease);
        if is_stale && !self.has_joined() {
            self.go_back(effects);
        }
    }

    fn go_back(&mut self, effects: &mut Vec<RecruitEffect>) {
        *self = Self::default();
        effects.push(RecruitEffect::Undo);
    }

    fn report(&self, outcome: Outcome, effects: &mut Vec<RecruitEffect>) {
        if let Some(ticket) = self.ticket {
            effects.push(RecruitEffect::Report(ticket, outcome));
        }
    }
}
