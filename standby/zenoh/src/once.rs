//! Each thing that is said to a fleet, heard once: between neighbours who meet at a router as well there are two ways.
//!
//! Whoever says something numbers it, and whoever hears it keeps a window of the last numbers of each speaker, as receivers
//! do against replays (RFC 4303, 3.4.3).

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many speakers are remembered. People's sessions come and go, each with a name of its own.
const SPEAKERS_MAX: usize = 4_096;

/// A life of a speaker: its session's number, which no other session has.
pub(crate) type Life = [u8; 16];
/// What goes with each thing said: the life, and a count.
type Mark = [u8; 24];

/// Numbers what is said.
#[derive(Debug)]
pub(crate) struct Numbers {
    life: Life,
    next: AtomicU64,
}

impl Numbers {
    pub(crate) const fn of(life: Life) -> Self {
        Self { life, next: AtomicU64::new(0) }
    }

    /// Returns what goes with the next thing that is said.
    pub(crate) fn mark(&self) -> Mark {
        let mut mark = [0; 24];
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        mark[..16].copy_from_slice(&self.life);
        mark[16..].copy_from_slice(&number.to_le_bytes());
        mark
    }
}

/// What was heard of whom.
#[derive(Debug, Default)]
pub(crate) struct Once(HashMap<String, Speaker>);

#[derive(Debug)]
struct Speaker {
    life: Life,
    newest: u64,
    /// Bit n: the number n before the newest was heard.
    heard: u64,
}

impl Once {
    /// Returns whether what `speaker` says with this mark is new. What has none is heard each time.
    pub(crate) fn is_new(&mut self, speaker: &str, mark: &[u8]) -> bool {
        let Some((life, number)) = mark.split_first_chunk::<16>() else { return true };
        let Ok(number) = number.try_into().map(u64::from_le_bytes) else { return true };
        let first = || Speaker { life: *life, newest: number, heard: 1 };
        match self.0.get_mut(speaker) {
            Some(known) if known.life == *life => known.takes(number),
            Some(known) => {
                *known = first();
                true
            }
            None => {
                if self.0.len() >= SPEAKERS_MAX {
                    self.0.clear();
                }
                self.0.insert(speaker.to_owned(), first());
                true
            }
        }
    }
}

impl Speaker {
    fn takes(&mut self, number: u64) -> bool {
        if let Some(ahead) = number.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            self.heard = shifted(self.heard, ahead) | 1;
            self.newest = number;
            return true;
        }
        // Beyond the window nobody knows, and it counts as heard.
        let its_bit = shifted(1, self.newest.saturating_sub(number));
        let is_new = its_bit != 0 && self.heard & its_bit == 0;
        self.heard |= its_bit;
        is_new
    }
}

/// Returns `heard` when the newest number goes up by `by`. What leaves the window, which has as many numbers as there are bits, is gone.
fn shifted(heard: u64, by: u64) -> u64 {
    u32::try_from(by).ok().and_then(|by| heard.checked_shl(by)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(numbers: &Numbers, count: usize) -> Vec<Mark> {
        (0..count).map(|_| numbers.mark()).collect()
    }

    #[test]
    fn what_comes_twice_is_heard_once_in_whatever_order() {
        let said = marks(&Numbers::of([1; 16]), 70);
        let mut once = Once::default();
        for (first, second) in [(0, 1), (3, 2)] {
            assert!(once.is_new("left", &said[first]) && once.is_new("left", &said[second]));
            assert!(!once.is_new("left", &said[first]) && !once.is_new("left", &said[second]));
        }
        assert!(once.is_new("left", &said[69]) && !once.is_new("left", &said[69]));
        assert!(once.is_new("left", &said[6]) && !once.is_new("left", &said[6]), "the oldest of the window");
        assert!(!once.is_new("left", &said[5]), "too old to tell");
    }

    #[test]
    fn each_speaker_and_each_of_its_lives_is_heard_for_itself() {
        let (one, other) = (marks(&Numbers::of([1; 16]), 2), marks(&Numbers::of([2; 16]), 2));
        let mut once = Once::default();
        assert!(once.is_new("left", &one[1]) && once.is_new("right", &other[1]));
        assert!(once.is_new("left", &other[0]), "its agent was started again");
        assert!(!once.is_new("left", &other[0]));
    }

    #[test]
    fn what_is_not_numbered_is_heard_each_time() {
        let mut once = Once::default();
        assert!((0..2).all(|_| once.is_new("left", b"") && once.is_new("left", b"no mark of ours")));
    }

    #[test]
    fn many_speakers_are_forgotten_and_heard() {
        let said = Numbers::of([1; 16]).mark();
        let mut once = Once::default();
        assert!((0..2 * SPEAKERS_MAX).all(|number| once.is_new(&format!("anna~{number}"), &said)));
        assert!(once.0.len() <= SPEAKERS_MAX);
    }
}
