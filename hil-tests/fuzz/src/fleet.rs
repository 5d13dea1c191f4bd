//! What agents say to each other: each line of an input is a word, an offer, an entry or a report in JSON, and goes into a spare's
//! and an orchestrator's machine as an agent hands it on. The first letter of a line says how much time has passed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::access::Members;
use twinhelm_standby::data::{DataReport, Piece};
use twinhelm_standby::fleet::{Told, Word};
use twinhelm_standby::migration::{
    BusView, Effect, News, Outcome, Recruit, RecruitEffect, RecruitNews, Step, Ticket, View,
};
use twinhelm_standby::orchestrator::{Orchestrator, Seen, is_last_resort};
use twinhelm_standby::pool::{Needs, Offer, rank};
use twinhelm_standby::{AgentReport, OnDispute, Readiness};

/// Lines beyond these are not read: an input should end.
const LINES_MAX: usize = 200;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut fleet = Fleet::new();
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let Some((time, text)) = line.split_first() else { continue };
        fleet.wait(*time);
        fleet.hear(text);
    }
}

/// One agent beside the device that drives, one spare, and what they have heard.
struct Fleet {
    now: Instant,
    members: Option<Members>,
    offers: BTreeMap<String, (Instant, Offer)>,
    orchestrator: Orchestrator,
    recruit: Recruit,
    /// In which the own device holds the wheel, as the gates say.
    term: Term,
    last: Option<Ticket>,
}

impl Fleet {
    fn new() -> Self {
        Self {
            now: Instant::from_nanos(1_000_000_000),
            members: None,
            offers: BTreeMap::new(),
            orchestrator: Orchestrator::default(),
            recruit: Recruit::default(),
            term: Term::new(4),
            last: None,
        }
    }

    fn wait(&mut self, letter: u8) {
        let times = u32::from(letter.to_ascii_lowercase().saturating_sub(b'0').min(50));
        // Capital letters are seconds.
        let unit = if letter.is_ascii_uppercase() { Duration::from_secs(1) } else { Duration::from_millis(100) };
        self.now += unit.saturating_mul(times);
        if letter == b'+' {
            self.term = Term::next_of(Slot::LEFT, Some(self.term));
        }
    }

    fn hear(&mut self, text: &[u8]) {
        for_others(text);
        if let Some(members) = comes_back::<Members>(text) {
            self.members = members.problem().is_none().then_some(members);
        }
        if let Some(offer) = comes_back::<Offer>(text) {
            let _ = self.orchestrator.on_offer(&offer);
            self.offers.insert(offer.device.clone(), (self.now, offer));
            // As few as a fleet has.
            while self.offers.len() > 8 {
                self.offers.pop_first();
            }
        }
        let word = comes_back::<Word>(text);
        if let (Some(word), Some(members)) = (&word, &self.members) {
            for (name, role) in members.all() {
                assert_eq!(members.check(name, word).is_ok(), role.may_say(word));
            }
        }
        self.tell_spare(word.as_ref());
        self.tell_orchestrator(word);
    }

    fn tell_spare(&mut self, word: Option<&Word>) {
        let news = match word {
            Some(Word::Order { ticket, step }) => RecruitNews::Order(*ticket, *step),
            Some(Word::Release { ticket }) => RecruitNews::Release(*ticket),
            // The spare's own work, in the same words.
            Some(Word::Report { outcome: Outcome::Done(step), .. }) => RecruitNews::Done(*step),
            Some(Word::Report { outcome: Outcome::Failed(step, why), .. }) => {
                RecruitNews::Failed(*step, why.clone())
            }
            Some(Word::Report { outcome: Outcome::Progress(step, part), .. }) => {
                let (done, all) = part.unwrap_or_default();
                RecruitNews::Progress(*step, done, all)
            }
            Some(Word::Drain) => RecruitNews::Ended,
            _ => RecruitNews::Look,
        };
        let bus = BusView { adopted: Some(self.term), others: self.offers.len() % 4 };
        let held = self.recruit.ticket();
        for effect in self.recruit.step(self.now, &news, bus) {
            if effect == RecruitEffect::Do(Step::Join) {
                let ticket = self.recruit.ticket().expect("who joins has a ticket");
                assert_eq!(Some(ticket.term), bus.adopted, "it joins in the gates' term alone (M3)");
                assert!(bus.has_room(), "and as the second at most (M9)");
            }
        }
        if let (Some(held), Some(holds)) = (held, self.recruit.ticket()) {
            assert!(holds >= held || matches!(news, RecruitNews::Release(_)), "the highest ticket counts (M1)");
        }
        if matches!(word, Some(Word::Fence { .. })) {
            let _ = self.recruit.fence();
            assert_eq!(self.recruit.ticket(), None);
        }
    }

    fn tell_orchestrator(&mut self, word: Option<Word>) {
        let news = match word {
            Some(Word::Report { ticket, outcome }) => {
                let at = self.orchestrator.migration().and_then(|migration| migration.at());
                let device = at.map_or_else(|| "spare-2".to_owned(), |(device, _)| device.to_owned());
                News::Reported { device, ticket, outcome }
            }
            Some(Word::Fenced(fencing)) => {
                let lost = self.orchestrator.migration().and_then(|migration| migration.lost());
                News::Fence { device: lost.unwrap_or("right").to_owned(), fencing }
            }
            Some(Word::Readmit { device }) => {
                self.orchestrator.readmit(&device);
                News::Look
            }
            _ => News::Look,
        };
        let offers: Vec<_> = self.offers.values().cloned().collect();
        let needs = Needs {
            platforms: vec!["linux/amd64".to_owned()],
            memory_bytes: 64 << 20,
            reaches: vec!["demo".to_owned()],
            image: "sha256:0".to_owned(),
            data: "1-0".to_owned(),
        };
        let pool = rank(self.now, &needs, &offers);
        assert_eq!(pool.told().len(), offers.len(), "each device is in the pool once");
        assert!(!is_last_resort(self.now, None, 0, "left", &pool));
        let fenced: Vec<String> =
            offers.iter().filter(|(_, offer)| offer.fenced).map(|(_, offer)| offer.device.clone()).collect();
        let view = View { pool: &pool, on_bus: &fenced };
        let able: Vec<String> = offers
            .iter()
            .filter(|(_, offer)| offer.is_of_member())
            .map(|(_, offer)| offer.device.clone())
            .collect();
        let seen = Seen { holds: Some(self.term), able: &able, view };
        for effect in self.orchestrator.step(self.now, &news, seen) {
            if let Effect::Order { ticket, .. } = effect {
                assert_eq!(ticket.term, self.term, "orders are given in the holder's term");
                assert!(Some(ticket) >= self.last, "a ticket is never taken back");
                self.last = Some(ticket);
            }
        }
    }
}

/// What is read the same way, and no machine takes.
fn for_others(text: &[u8]) {
    if let Some(told) = comes_back::<Told>(text) {
        let _ = told.what.to_string();
    }
    comes_back::<AgentReport>(text);
    comes_back::<DataReport>(text);
    comes_back::<Piece>(text);
    comes_back::<OnDispute>(text);
    comes_back::<Readiness>(text);
    comes_back::<mission_wire::Request>(text);
    comes_back::<mission_wire::Says>(text);
}

/// Reads one, and shows that what is written of it reads the same.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(text).ok()?;
    let written = serde_json::to_vec(&value).expect("it is written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, value);
    Some(value)
}
