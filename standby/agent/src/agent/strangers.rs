//! Who is refused: a member that says what it may not, and a stranger who has no key. The timeline tells of it, now and then: whoever
//! knocks all day does not fill a disk.

use super::Agent;
use crate::output::tell;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::clock::now;
use twinhelm_standby::fleet::{What, Word};

/// So often it is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts what is told now and then.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    told_at: Option<Instant>,
    untold: u32,
}

impl Seldom {
    /// Returns how often it happened since it was told last, if it is to be told now.
    fn count(&mut self, at: Instant) -> Option<u32> {
        self.untold += 1;
        if self.told_at.is_some_and(|last| at.since(last) < TELL_EVERY) {
            return None;
        }
        self.told_at = Some(at);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Agent {
    /// Returns whether `from` may say `word`; if it may not, it is told so.
    pub(super) fn may_say(&mut self, at: Instant, from: &str, word: &Word) -> bool {
        let Some(fleet) = &mut self.fleet else { return true };
        let Some(Err(why)) = fleet.members.as_ref().map(|members| members.check(from, word)) else { return true };
        fleet.say(from, &Word::Answer(Err(why.clone())));
        self.refuse(at, why);
        false
    }

    /// Takes in why somebody was not let in.
    pub(super) fn on_stranger(&mut self, why: String) {
        self.refuse(now(), format!("refused: a stranger at the door: {why}"));
    }

    fn refuse(&mut self, at: Instant, why: String) {
        let Some(fleet) = &mut self.fleet else {
            tell(why);
            return;
        };
        if let Some(times) = fleet.refused.count(at) {
            tell(&why);
            fleet.note(What::Refused { why, times });
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
        let told: Vec<_> = (0..25).filter_map(|second| seldom.count(at(second))).collect();
        assert_eq!(told, [1, 10, 10]);
    }
}
