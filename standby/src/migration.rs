//! Migration: bringing back the redundancy that a pair has lost, on a spare.
//!
//! ```text
//!   detect ──► choose ──► notify ─► pull ─► fetch ─► create ─► start ─► join ──► fence ──► done
//!                ▲                        │ a step fails twice, or takes too long
//!                └── the next candidate ◄─┘
//! ```
//!
//! [`Migration`] is the side of the agent that orchestrates: the one beside the device that holds the wheel. [`Recruit`] is the
//! side of the spare. Both are pure: news in, effects out, `now` an argument. What they say to each other may be lost, come
//! twice, or late; the orchestrator may die at any step.
//!
//! What keeps two migrations apart is what keeps two holders apart: the **term**. Each order carries a [`Ticket`], the term of the
//! holder in whose name it is given. A recruit obeys the highest ticket that it has seen (M1), keeps what it has
//! reached when a higher one comes (M2), and joins the pair only while the gates say on the bus that the ticket's term is the one
//! that they have adopted (M3). An orchestrator whose holder lost the wheel can go on talking; nobody joins by its word. A recruit
//! whose ticket is not renewed goes back to the pool (M4), unless it has joined: then it is a member like any other, and only an
//! order takes it off the bus (M5).
//!
//! What keeps a third device off the bus is the bus: a recruit joins, and a device that boots takes part, only while at most one
//! other is heard there (M9). So whoever is in the way goes first: a faulty device that is still heard is fenced before the recruit
//! joins, and a recruit that joined and never became ready before another is chosen (M6).

mod recruit;
#[cfg(test)]
mod tests;
mod words;

pub use recruit::{AsDesigned, BusView, Recruit, RecruitEffect, RecruitNews, RecruitRules};
pub use words::{End, Event, Fencing, Outcome, Step, Ticket};

use crate::pool::Ranking;
use core::time::Duration;
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;

/// An order is given again so often while it is carried out: it is also the renewal of its ticket.
pub const RENEW_EVERY: Duration = Duration::from_millis(500);
/// A recruit whose ticket was not renewed for so long is free again.
pub const TICKET_LEASE: Duration = Duration::from_secs(3);
/// How often a step is tried on one device.
const ATTEMPTS: u8 = 2;
/// How often the faulty device's agent is asked to stay off the bus.
const FENCE_ATTEMPTS: u8 = 3;
/// So long each of these may take.
const FENCE_WITHIN: Duration = Duration::from_secs(2);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing but time.
    Look,
    /// A recruit has said something.
    Reported {
        /// Who.
        device: String,
        /// For which ticket.
        ticket: Ticket,
        /// What.
        outcome: Outcome,
    },
    /// A device is a ready standby.
    Ready(String),
    /// What became of the fence.
    Fence {
        /// Of whom.
        device: String,
        /// What.
        fencing: Fencing,
    },
    /// The own device holds the wheel no more, or another has a higher term.
    Superseded,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A spare is to do a step; said again and again, it means the same.
    Order {
        /// Who.
        device: String,
        /// In whose name.
        ticket: Ticket,
        /// What.
        step: Step,
    },
    /// A spare is needed no more.
    Release {
        /// Who.
        device: String,
        /// Which ticket ends.
        ticket: Ticket,
    },
    /// The faulty device is to be shut down.
    Fence {
        /// Who.
        device: String,
    },
    /// For the timeline.
    Note(Event),
}

/// Where it is. Each stage but the last ends by time at the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Ends with a candidate, or by [`CHOOSE_WITHIN`].
    Choosing { since: Instant },
    /// Ends with the step done, or given up after [`ATTEMPTS`] times its limit.
    Working { device: String, ticket: Ticket, step: Step, attempt: u8, until: Instant, said_at: Instant, part: u64 },
    /// It was told to join, and never became ready. Ends when it is not heard on the bus any more, or when it is ready after all.
    Withdrawing { device: String, ticket: Ticket, until: Instant },
    /// Ends with an answer, or after [`FENCE_ATTEMPTS`].
    Fencing { device: String, attempt: u8, until: Instant },
    /// For good.
    Ended(End),
}

/// A pool without a candidate is looked at for so long.
pub const CHOOSE_WITHIN: Duration = Duration::from_secs(5);

/// What an orchestrator sees besides what it is told.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The pool as of now.
    pub pool: &'a Ranking,
    /// The other devices whose frames are heard on the bus.
    pub on_bus: &'a [String],
}

impl View<'_> {
    fn hears(&self, device: &str) -> bool {
        self.on_bus.iter().any(|heard| heard == device)
    }
}

/// One migration, as its orchestrator sees it.
#[derive(Clone, Debug)]
pub struct Migration {
    /// `None`: it was lost before this agent knew of it.
    lost: Option<String>,
    next: Ticket,
    stage: Stage,
    /// Who was given up already.
    tried: Vec<String>,
    /// Somebody was told to join, and may be a member at any moment.
    has_invited: bool,
    /// The faulty device came back after that.
    has_returned: bool,
}

impl Migration {
    /// Begins a migration at `now`: the device `lost` is to be replaced, in the name of the holder of `term`, whose first number not
    /// used yet is `number`.
    #[must_use]
    pub const fn new(now: Instant, lost: Option<String>, term: Term, number: u32) -> Self {
        Self {
            lost,
            next: Ticket { term, number },
            stage: Stage::Choosing { since: now },
            tried: Vec::new(),
            has_invited: false,
            has_returned: false,
        }
    }

    /// Returns how it ended, if it has.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Choosing { .. } | Stage::Working { .. } | Stage::Withdrawing { .. } | Stage::Fencing { .. } => {
                None
            }
        }
    }

    /// Returns in whose name it is.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.next.term
    }

    /// Returns the next number that is free, for the holder's next migration.
    #[must_use]
    pub const fn next_number(&self) -> u32 {
        self.next.number
    }

    /// Goes on in the name of the holder of `term`, which is the same holder: the gates had closed, and it opened them again. What was
    /// reached stays (M2), and the next order is given in the term that the gates name now (M3). A lower term changes nothing.
    pub fn go_on_in(&mut self, now: Instant, term: Term, view: View<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if term <= self.next.term {
            return effects;
        }
        let renewed = Ticket { term, number: 0 };
        self.next = Ticket { term, number: 1 };
        match &mut self.stage {
            Stage::Working { ticket, said_at, .. } => {
                (*ticket, *said_at) = (renewed, now);
                self.order(view, &mut effects);
            }
            Stage::Withdrawing { ticket, .. } => *ticket = renewed,
            Stage::Choosing { .. } | Stage::Fencing { .. } | Stage::Ended(_) => {}
        }
        effects
    }

    /// Returns who works on it, and at which step.
    #[must_use]
    pub fn at(&self) -> Option<(&str, Step)> {
        match &self.stage {
            Stage::Working { device, step, .. } => Some((device, *step)),
            Stage::Withdrawing { device, .. } => Some((device, Step::Join)),
            Stage::Choosing { .. } | Stage::Fencing { .. } | Stage::Ended(_) => None,
        }
    }

    /// Returns who is replaced.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Takes in what has happened by `now`, with what is seen then.
    pub fn step(&mut self, now: Instant, news: &News, view: View<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        match news {
            News::Look => {}
            News::Reported { device, ticket, outcome } => {
                self.on_report(now, (device, *ticket), outcome, view, &mut effects);
            }
            News::Ready(device) => self.on_ready(now, device, &mut effects),
            News::Fence { device: whom, fencing } => {
                if let Stage::Fencing { device, .. } = &self.stage
                    && self.lost.as_ref() == Some(whom)
                {
                    let device = device.clone();
                    self.finish(End::Whole { device, fencing: *fencing }, &mut effects);
                }
            }
            News::Superseded => self.abandon(End::Superseded, &mut effects),
        }
        self.on_time(now, view, &mut effects);
        self.choose_if_it_can(now, view.pool, &mut effects);
        effects
    }

    fn on_report(
        &mut self,
        now: Instant,
        (from, with): (&str, Ticket),
        outcome: &Outcome,
        view: View<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Stage::Working { device, ticket, step, attempt, until, part, .. } = &mut self.stage else { return };
        if from != device || with != *ticket {
            // Of a candidate that was given up, or of an order of long ago.
            return;
        }
        match outcome {
            Outcome::Progress(at, amount) => {
                if let Some((done, _)) = amount.filter(|(done, _)| at == step && *done > *part) {
                    (*part, *until) = (done, now + step.limit());
                }
            }
            // It may be further than was asked: it goes on from what it has.
            Outcome::Done(done) if *done >= *step && *done < Step::Join => {
                effects.push(Effect::Note(Event::Did { device: from.to_owned(), step: *done }));
                let next = done.next().unwrap_or(Step::Join);
                (*step, *attempt, *until, *part) = (next, 1, now + next.limit(), 0);
                self.order(view, effects);
            }
            // A member is one when the pair says so: its word alone is not enough.
            Outcome::Done(_) => {}
            Outcome::Failed(at, why) => {
                if at == step {
                    let why = why.clone();
                    self.retry_or_give_up(now, &why, view, effects);
                }
            }
            Outcome::Refused(holds) => {
                let why = format!("it obeys ticket {holds}");
                self.withdraw(now, &why, view, effects);
            }
        }
    }

    /// Says what is to be done now. M9: nobody is told to join while the faulty device is heard on the bus.
    fn order(&mut self, view: View<'_>, effects: &mut Vec<Effect>) {
        let Stage::Working { device, ticket, step, .. } = &self.stage else { return };
        let (device, ticket, mut step) = (device.clone(), *ticket, *step);
        if let Some(lost) = self.lost.as_ref().filter(|lost| step == Step::Join && view.hears(lost)) {
            effects.push(Effect::Fence { device: lost.clone() });
            step = Step::Start;
        }
        self.has_invited |= step == Step::Join;
        effects.push(Effect::Order { device, ticket, step });
    }

    fn on_ready(&mut self, now: Instant, who: &str, effects: &mut Vec<Effect>) {
        match &self.stage {
            Stage::Working { device, step: Step::Join, .. } | Stage::Withdrawing { device, .. }
                if who == device =>
            {
                let device = device.clone();
                effects.push(Effect::Note(Event::Did { device: device.clone(), step: Step::Join }));
                match &self.lost {
                    Some(lost) => {
                        effects.push(Effect::Fence { device: lost.clone() });
                        self.stage = Stage::Fencing { device, attempt: 1, until: now + FENCE_WITHIN };
                    }
                    None => self.finish(End::Whole { device, fencing: Fencing::Unknown }, effects),
                }
            }
            // From here on it is the faulty device that has to go.
            Stage::Working { .. } | Stage::Withdrawing { .. } if self.has_invited => self.has_returned = true,
            Stage::Choosing { .. } | Stage::Working { .. } | Stage::Withdrawing { .. } => {
                self.abandon(End::NotNeeded, effects);
            }
            Stage::Fencing { .. } | Stage::Ended(_) => {}
        }
    }

    fn on_time(&mut self, now: Instant, view: View<'_>, effects: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Working { until, .. } if now >= *until => {
                self.retry_or_give_up(now, "nothing came of it in time", view, effects);
            }
            // Its ticket is void by now. Told to join, it may be a member all the same: the step's limit counts.
            Stage::Working { device, step, .. } if *step < Step::Join && view.pool.is_silent(device) => {
                self.withdraw(now, "nothing is heard of it", view, effects);
            }
            Stage::Working { said_at, .. } => {
                if now.since(*said_at) >= RENEW_EVERY {
                    *said_at = now;
                    self.order(view, effects);
                }
            }
            Stage::Withdrawing { device, until, .. } => {
                if !view.hears(device) {
                    self.give_up(now, effects);
                } else if now >= *until {
                    *until = now + FENCE_WITHIN;
                    effects.push(Effect::Fence { device: device.clone() });
                }
            }
            Stage::Fencing { device, attempt, until } if now >= *until => {
                if *attempt >= FENCE_ATTEMPTS {
                    let end = End::Whole { device: device.clone(), fencing: Fencing::Unknown };
                    self.finish(end, effects);
                } else {
                    (*attempt, *until) = (*attempt + 1, now + FENCE_WITHIN);
                    effects.extend(self.lost.clone().map(|device| Effect::Fence { device }));
                }
            }
            Stage::Choosing { .. } | Stage::Fencing { .. } | Stage::Ended(_) => {}
        }
    }

    fn choose_if_it_can(&mut self, now: Instant, pool: &Ranking, effects: &mut Vec<Effect>) {
        let Stage::Choosing { since } = self.stage else { return };
        let candidate = pool.fit.iter().find(|candidate| !self.tried.contains(&candidate.offer.device));
        match candidate.map(|candidate| candidate.offer.device.clone()) {
            Some(device) => self.choose(now, device, effects),
            None if now.since(since) >= CHOOSE_WITHIN => self.finish(End::NoCandidate, effects),
            None => {}
        }
    }

    fn choose(&mut self, now: Instant, device: String, effects: &mut Vec<Effect>) {
        let ticket = self.next;
        self.next.number += 1;
        // It is in the pool again: it takes its own place, and is nobody's faulty device any more.
        self.lost = self.lost.take().filter(|lost| *lost != device);
        let step = Step::Notify;
        effects.push(Effect::Note(Event::Chosen { device: device.clone(), ticket }));
        effects.push(Effect::Order { device: device.clone(), ticket, step });
        self.stage =
            Stage::Working { device, ticket, step, attempt: 1, until: now + step.limit(), said_at: now, part: 0 };
    }

    fn retry_or_give_up(&mut self, now: Instant, why: &str, view: View<'_>, effects: &mut Vec<Effect>) {
        let Stage::Working { step, attempt, until, said_at, .. } = &mut self.stage else { return };
        if *attempt < ATTEMPTS {
            (*attempt, *until, *said_at) = (*attempt + 1, now + step.limit(), now);
            self.order(view, effects);
        } else {
            self.withdraw(now, why, view, effects);
        }
    }

    /// Gives the candidate up: at once, or as soon as the bus says that it is no member.
    fn withdraw(&mut self, now: Instant, why: &str, view: View<'_>, effects: &mut Vec<Effect>) {
        let Stage::Working { device, ticket, step, .. } = &self.stage else { return };
        let (device, ticket, step, why) = (device.clone(), *ticket, *step, why.to_owned());
        effects.push(Effect::Note(Event::GivenUp { device: device.clone(), step, why }));
        if view.hears(&device) {
            effects.push(Effect::Fence { device: device.clone() });
        }
        self.stage = Stage::Withdrawing { device, ticket, until: now + FENCE_WITHIN };
        self.on_time(now, view, effects);
    }

    fn give_up(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Stage::Withdrawing { device, ticket, .. } = &self.stage else { return };
        effects.push(Effect::Release { device: device.clone(), ticket: *ticket });
        self.tried.push(device.clone());
        self.has_invited = false;
        if self.has_returned {
            self.finish(End::NotNeeded, effects);
        } else {
            self.stage = Stage::Choosing { since: now };
        }
    }

    /// Ends without anybody having joined.
    fn abandon(&mut self, end: End, effects: &mut Vec<Effect>) {
        if let Stage::Working { device, ticket, .. } | Stage::Withdrawing { device, ticket, .. } = &self.stage
            // Whoever goes on wants to find what was reached.
            && end != End::Superseded
        {
            effects.push(Effect::Release { device: device.clone(), ticket: *ticket });
        }
        if !matches!(self.stage, Stage::Ended(_)) {
            self.finish(end, effects);
        }
    }

    fn finish(&mut self, end: End, effects: &mut Vec<Effect>) {
        effects.push(Effect::Note(Event::Ended(end.clone())));
        self.stage = Stage::Ended(end);
    }
}
