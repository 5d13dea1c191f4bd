//! A device's ear to the link, which may be slow and rough when the runner says so.
//!
//! TCP loses nothing and keeps the order, and the network underneath has no such faults on one machine: so samples are
//! delayed, dropped and repeated where they arrive.

use super::changes;
use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer};
use twinhelm_hal::time::Instant;
use twinhelm_hil::rng::Rng;
use twinhelm_rigs::host::spec::LinkTrouble;
use twinhelm_standby::HeardSample;

/// So many samples may be under way: what two seconds of delay hold at 100 Hz. The oldest gives way.
const UNDER_WAY_MAX: usize = 200;

/// An ear that the run makes fail.
pub(crate) struct Ear<S, M> {
    changes: Consumer<LinkTrouble>,
    trouble: LinkTrouble,
    rng: Rng,
    under_way: ArrayVec<(Instant, HeardSample<S, M>), UNDER_WAY_MAX>,
    last: Option<HeardSample<S, M>>,
}

/// Returns the runner's end, and an ear that takes what is said there.
pub(crate) fn link_troubles<S, M>(seed: u64) -> (Producer<LinkTrouble>, Ear<S, M>) {
    let (producer, changes) = changes();
    let ear = Ear {
        changes,
        trouble: LinkTrouble::default(),
        rng: Rng::new(seed, 7),
        under_way: ArrayVec::new(),
        last: None,
    };
    (producer, ear)
}

impl<S: Copy, M: Copy> Ear<S, M> {
    /// Returns what the device hears at `now`, when `arrived` has just come over the link.
    pub(crate) fn hear(&mut self, now: Instant, arrived: Option<HeardSample<S, M>>) -> Option<HeardSample<S, M>> {
        while let Ok(trouble) = self.changes.pop() {
            self.trouble = trouble;
        }
        if let Some(sample) = arrived {
            if self.rng.chance(self.trouble.rough) {
                // Lost; or the one before it comes once more, behind newer ones.
                if let Some(again) = self.last.filter(|_| self.rng.chance(0.5)) {
                    self.send(HeardSample { at: sample.at, ..again });
                }
            } else {
                self.last = Some(sample);
                self.send(sample);
            }
        }
        let mut heard = None;
        while self.under_way.first().is_some_and(|(due, _)| *due <= now) {
            heard = self.under_way.pop_at(0).map(|(at, sample)| HeardSample { at, ..sample });
        }
        heard
    }

    fn send(&mut self, sample: HeardSample<S, M>) {
        if self.under_way.is_full() {
            self.under_way.remove(0);
        }
        self.under_way.push((sample.at + self.trouble.delay, sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(ms: u64) -> HeardSample<(), ()> {
        HeardSample { at: Instant::from_nanos(ms * 1_000_000), sample: None }
    }

    #[test]
    fn a_slow_link_hands_a_sample_over_when_its_delay_has_passed() {
        let (mut runner, mut ear) = link_troubles::<(), ()>(1);
        runner.push(LinkTrouble { delay: Duration::from_millis(30), rough: 0.0 }).expect("room");
        assert_eq!(ear.hear(sample(10).at, Some(sample(10))), None);
        assert_eq!(ear.hear(sample(39).at, None), None);
        assert_eq!(ear.hear(sample(40).at, None), Some(sample(40)));
    }

    #[test]
    fn a_link_that_loses_everything_hands_nothing_new_over() {
        let (mut runner, mut ear) = link_troubles::<(), ()>(1);
        runner.push(LinkTrouble { delay: Duration::ZERO, rough: 1.0 }).expect("room");
        for ms in 0..100 {
            assert_eq!(ear.hear(sample(ms).at, Some(sample(ms))), None);
        }
    }
}
