//! What a mission goes on with: the step *fetch* of a recruit, and the last resort.

use super::{Agent, Part};
use crate::agent::data::{Data, Found, Purpose};
use crate::output::tell;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::Readiness;
use twinhelm_standby::data::Position;
use twinhelm_standby::fleet::What;
use twinhelm_standby::migration::{RecruitNews, Step};
use twinhelm_standby::orchestrator::is_last_resort;
use twinhelm_standby::pool::rank;

/// What was not found is looked for again so much later.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How the last resort stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resort {
    /// Nothing was looked for.
    Idle,
    /// The mission's data is looked for.
    Fetching,
    /// It was not found, at that time.
    Missed(Instant),
    /// It is here.
    Fetched,
}

impl Agent {
    /// The last resort: no controller is left, and the vehicle stands.
    pub(super) fn resume_if_nobody_is_left(&mut self, at: Instant) {
        let has_overheard = self.line.ear().last_state().is_some();
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.part != Part::Spare || fleet.recruit.ticket().is_some() {
            return;
        }
        // A vehicle that nobody drove yet waits for those that are configured to.
        let was_driven = has_overheard || fleet.ear.known_term(at).is_some();
        let offers: Vec<_> = fleet.offers.values().cloned().collect();
        let pool = rank(at, &fleet.needs(), &offers);
        let (closed, others) = (fleet.ear.closed_since(at), fleet.ear.others(at));
        if !was_driven || !is_last_resort(at, closed, others, fleet.timeline.device(), &pool) {
            fleet.resort = Resort::Idle;
            return;
        }
        let may_look = match fleet.resort {
            Resort::Idle => true,
            Resort::Missed(when) => at.since(when) >= AGAIN_AFTER,
            Resort::Fetching | Resort::Fetched => false,
        };
        match &self.data {
            Some(data) if may_look => {
                fleet.resort = Resort::Fetching;
                data.fetch(Purpose::LastResort, fleet.ear.known_term(at), self.happen.clone());
                return;
            }
            Some(_) if fleet.resort != Resort::Fetched => return,
            // Without mission data of its own it has what it overheard.
            None if !has_overheard => return,
            Some(_) | None => {}
        }
        (fleet.part, fleet.resumes, fleet.resort) = (Part::Member, true, Resort::Idle);
        fleet.note(What::LastResort);
        self.keeper.want(Readiness::Shadow);
    }

    /// Begins to fetch what the mission goes on with; its end is told. Without mission data of its own the device takes what it
    /// overhears.
    pub(super) fn begin_to_fetch(&self, at: Instant) {
        if let (Some(data), Some(fleet)) = (&self.data, &self.fleet) {
            data.fetch(Purpose::Recruit, fleet.ear.known_term(at), self.happen.clone());
        }
    }

    pub(in crate::agent) fn on_fetched(
        &mut self,
        at: Instant,
        purpose: Purpose,
        found: Result<Box<Found>, String>,
    ) {
        let has_overheard = self.line.ear().last_state().is_some();
        let Some(fleet) = &mut self.fleet else { return };
        let done = match found {
            Ok(found) => {
                fleet.note(What::Fetched { what: found.words() });
                self.fetched = found.snapshot;
                Ok(())
            }
            // The pair may be too young to have a snapshot; what it publishes is newer than one in any case.
            Err(error) if has_overheard && self.data.as_ref().is_none_or(Data::has_plan) => {
                tell(format_args!("{error}; it goes on with what was overheard"));
                Ok(())
            }
            Err(error) => Err(error),
        };
        match purpose {
            Purpose::Recruit => {
                if fleet.doing != Some(Step::Fetch) {
                    return;
                }
                fleet.doing = None;
                let news = match done {
                    Ok(()) => RecruitNews::Done(Step::Fetch),
                    Err(error) => RecruitNews::Failed(Step::Fetch, error),
                };
                self.recruited(at, &news, None);
            }
            Purpose::LastResort => {
                fleet.resort = if done.is_ok() { Resort::Fetched } else { Resort::Missed(at) };
                self.problem = done.err();
            }
        }
    }

    /// Returns the newest state that the mission can go on with: what was overheard, or what was fetched.
    pub(in crate::agent) fn state_to_go_on_with(&self) -> Option<Vec<u8>> {
        let overheard = self.line.ear().last_state();
        match (overheard, &self.fetched) {
            (Some(overheard), Some(fetched)) if Position::of(&overheard.header) < Some(fetched.position) => {
                Some(fetched.sample.clone())
            }
            (Some(overheard), _) => Some(overheard.bytes),
            (None, fetched) => fetched.as_ref().map(|fetched| fetched.sample.clone()),
        }
    }
}
