//! Who is refused: a member that says what it may not, and a connection that is not let in. The timeline tells of it, now and then:
//! whoever knocks all day does not fill a disk.

use super::{Agent, Happened};
use crate::output::tell;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::fleet::{What, Word};
use twinhelm_zenoh::watch_strangers;

/// So often it is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts what is told now and then.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    told_at: Option<Instant>,
    /// The last that was not told yet, and how many there are.
    untold: Option<(String, u32)>,
}

impl Seldom {
    /// Takes note of one; returns the last, and how many there were since it was told last, if it is to be told now.
    fn count(&mut self, at: Instant, why: String) -> Option<(String, u32)> {
        let times = self.untold.take().map_or(0, |(_, times)| times);
        self.untold = Some((why, times.saturating_add(1)));
        self.due(at)
    }

    /// The same, when there was none.
    fn due(&mut self, at: Instant) -> Option<(String, u32)> {
        if self.told_at.is_some_and(|last| at.since(last) < TELL_EVERY) {
            return None;
        }
        let untold = self.untold.take()?;
        self.told_at = Some(at);
        Some(untold)
    }
}

fn locked(seldom: &Mutex<Seldom>) -> std::sync::MutexGuard<'_, Seldom> {
    seldom.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `happen` hear of connections that are not let in.
pub(super) fn watch(strangers: &Arc<Mutex<Seldom>>, happen: Sender<Happened>) {
    let counts = Arc::clone(strangers);
    // There is one agent in a process: it is the first that asks.
    watch_strangers(move |why| {
        let due = locked(&counts).count(now(), format!("a connection was not let in: {why}"));
        if let Some((why, times)) = due {
            drop(happen.send(Happened::Stranger(why, times)));
        }
    });
}

impl Agent {
    /// Returns whether `from` may say `word`; if it may not, it is told so.
    pub(super) fn may_say(&mut self, at: Instant, from: &str, word: &Word) -> bool {
        // Nothing follows from these, and two that refuse each other's would go on for ever.
        if matches!(word, Word::Begun | Word::Answer(_) | Word::Pool(_)) {
            return true;
        }
        let Some(fleet) = &mut self.fleet else { return true };
        let Some(Err(why)) = fleet.members.as_ref().map(|members| members.check(from, word)) else { return true };
        fleet.say(from, &Word::Answer(Err(why.clone())));
        self.refuse(at, why);
        false
    }

    /// Takes note of what was refused.
    pub(super) fn refuse(&mut self, at: Instant, why: String) {
        if let Some((why, times)) = self.refused.count(at, why) {
            self.on_refused(why, times);
        }
    }

    /// Tells what was not told at once.
    pub(super) fn tell_who_was_refused(&mut self, at: Instant) {
        let due = [self.refused.due(at), locked(&self.strangers).due(at)];
        due.into_iter().flatten().for_each(|(why, times)| self.on_refused(why, times));
    }

    /// Tells of it.
    pub(super) fn on_refused(&mut self, why: String, times: u32) {
        let what = What::Refused { why, times };
        tell(&what);
        if let Some(fleet) = &mut self.fleet {
            fleet.note(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knocks_all_day_is_told_of_now_and_then() {
        let mut seldom = Seldom::default();
        let at = |seconds| Instant::from_nanos(1) + Duration::from_secs(seconds);
        let told: Vec<_> = (0..25).filter_map(|second| seldom.count(at(second), second.to_string())).collect();
        assert_eq!(told, [("0".to_owned(), 1), ("10".to_owned(), 10), ("20".to_owned(), 10)]);
        // The last ones are told, too, though nobody knocks any more.
        assert_eq!(seldom.due(at(29)), None);
        assert_eq!(seldom.due(at(30)), Some(("24".to_owned(), 4)));
        assert_eq!(seldom.due(at(60)), None);
    }
}
