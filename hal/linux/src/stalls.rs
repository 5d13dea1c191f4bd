//! The machine's own stalls: how late a core wakes a thread of the highest priority.
//!
//! A run on a real machine is judged beside this: what a [`Watcher`] thread suffers, no program of ours can have
//! caused, and each of them suffers too. [`Spinners`] keep the cores from sleeping deeply, without taking time from
//! anyone.

use crate::clock::{now, sleep_until};
use crate::core_threads::CoreThreads;
use crate::scheduling::{Core, Priority, lower_to_idle, pin_to_core, run_at, sleep_exactly};
use std::hint::spin_loop;
use std::io;
use std::sync::atomic::Ordering;
use twinhelm_hal::time::{Duration, Instant};

/// How often a watcher wakes, most times. A stall shorter than this may pass between two wakes.
pub const WATCH_PERIOD: Duration = Duration::from_millis(1);
/// A lateness above this is recorded with its place in time.
pub const STALL_MIN: Duration = Duration::from_micros(500);
/// How many stalls a core's record holds: over a minute of nothing but stalls. More are counted only.
pub const STALLS_MAX: usize = 65_536;
/// Latenesses are told apart by the microsecond up to this many; above, only the largest is known.
const BUCKETS: usize = 20_000;

/// A time in which a core did not run the thread of the highest priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which core.
    pub core: Core,
    /// When the thread should have run.
    pub from: Instant,
    /// When it ran.
    pub to: Instant,
}

/// How late the watchers woke, and when that was remarkable.
#[derive(Clone, Debug)]
pub struct Stalls {
    stalls: Vec<Stall>,
    lost: u64,
    /// How many wakes were at most so many microseconds late, by bucket.
    buckets: Vec<u32>,
    wakes: u64,
    max: Duration,
    scheduling: Result<(), String>,
}

impl Stalls {
    /// Returns an empty record that will not allocate.
    fn for_one_core() -> Self {
        let stalls = Vec::with_capacity(STALLS_MAX);
        Self { stalls, lost: 0, buckets: vec![0; BUCKETS], wakes: 0, max: Duration::ZERO, scheduling: Ok(()) }
    }

    /// Takes down a wake at `to` that was due at `from`.
    fn record(&mut self, core: Core, from: Instant, to: Instant) {
        let late = to.since(from);
        let bucket = usize::try_from(late.as_micros()).map_or(BUCKETS - 1, |us| us.min(BUCKETS - 1));
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.wakes += 1;
        self.max = self.max.max(late);
        if late <= STALL_MIN {
            return;
        }
        if self.stalls.len() < STALLS_MAX {
            self.stalls.push(Stall { core, from, to });
        } else {
            self.lost += 1;
        }
    }

    /// Adds another core's record.
    fn merge(&mut self, other: Self) {
        self.stalls.extend(other.stalls);
        self.stalls.sort_by_key(|stall| stall.from);
        self.lost += other.lost;
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(theirs);
        }
        self.wakes += other.wakes;
        self.max = self.max.max(other.max);
        self.scheduling = std::mem::replace(&mut self.scheduling, Ok(())).and(other.scheduling);
    }

    /// Returns the stalls above [`STALL_MIN`], earliest first.
    #[must_use]
    pub fn stalls(&self) -> &[Stall] {
        &self.stalls
    }

    /// Returns how many stalls found no place in the record.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns how many wakes were measured.
    #[must_use]
    pub const fn wakes(&self) -> u64 {
        self.wakes
    }

    /// Returns the lateness that the share `quantile` (0 to 1) of the wakes did not exceed, in ms, rounded up to the
    /// next microsecond; zero when nothing was measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of wakes and microseconds are far below 2^52")]
    pub fn lateness_ms(&self, quantile: f64) -> f64 {
        let max_ms = self.max.as_secs_f64() * 1e3;
        let enough = self.wakes as f64 * quantile;
        let mut seen = 0.0;
        for (us, count) in self.buckets.iter().enumerate().take(BUCKETS - 1) {
            seen += f64::from(*count);
            if seen > 0.0 && seen >= enough {
                return ((us + 1) as f64 * 1e-3).min(max_ms);
            }
        }
        max_ms
    }

    /// Returns how many wakes were at most `us` microseconds late, for up to 20,000.
    #[must_use]
    pub fn wakes_within(&self, us: u32) -> u64 {
        // A bucket holds what was late by its number and less than the next.
        self.buckets
            .iter()
            .take(usize::try_from(us).unwrap_or(BUCKETS).min(BUCKETS - 1))
            .map(|n| u64::from(*n))
            .sum()
    }

    /// Returns the largest lateness in ms.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1e3
    }

    /// Returns whether the watchers had real-time scheduling. Without it they measure other programs' load as well.
    ///
    /// # Errors
    /// Says in words what was missing.
    pub fn scheduling(&self) -> Result<(), &str> {
        self.scheduling.as_ref().copied().map_err(String::as_str)
    }
}

/// One thread a core that writes down how late it is woken.
#[derive(Debug)]
pub struct Watcher {
    threads: CoreThreads<Stalls>,
}

impl Watcher {
    /// Starts watching all cores that this process may use, waking every `period`: [`WATCH_PERIOD`], or more where a wake
    /// is dear.
    ///
    /// # Errors
    /// The kernel's, when a thread cannot be started or pinned.
    pub fn start(period: Duration) -> io::Result<Self> {
        let threads = CoreThreads::start("stalls", move |core, stop, ready| {
            let mut record = Stalls::for_one_core();
            pin_to_core(core)?;
            record.scheduling = run_at(Priority::WATCHER).map_err(|error| error.to_string());
            sleep_exactly();
            ready();
            let mut due = now() + period;
            while !stop.load(Ordering::Relaxed) {
                sleep_until(due);
                let woke = now();
                record.record(core, due, woke);
                // The wakes that a stall swallowed are not measured again as stalls of their own.
                due = if woke < due + period { due + period } else { woke + period };
            }
            Ok(record)
        })?;
        Ok(Self { threads })
    }

    /// Ends watching and returns what was seen.
    ///
    /// # Errors
    /// The kernel's, when a watcher could not do its work.
    pub fn stop(mut self) -> io::Result<Stalls> {
        let mut all = Stalls::for_one_core();
        for record in self.threads.stop() {
            all.merge(record?);
        }
        Ok(all)
    }
}

/// One thread a core that does nothing, only when nobody else has anything to do, so that the core does not sleep.
#[derive(Debug)]
pub struct Spinners {
    threads: CoreThreads<()>,
}

impl Spinners {
    /// Starts spinning on all cores that this process may use.
    ///
    /// # Errors
    /// The kernel's, when a thread cannot be started, pinned or lowered: none spins at a normal priority.
    pub fn start() -> io::Result<Self> {
        let threads = CoreThreads::start("spinner", |core, stop, ready| {
            pin_to_core(core)?;
            lower_to_idle()?;
            ready();
            while !stop.load(Ordering::Relaxed) {
                spin_loop();
            }
            Ok(())
        })?;
        Ok(Self { threads })
    }

    /// Ends spinning. Dropping does the same.
    pub fn stop(mut self) {
        drop(self.threads.stop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduling::cores;

    const CORE: Core = Core(3);

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1_000)
    }

    fn record_of(latenesses_us: impl IntoIterator<Item = u64>) -> Stalls {
        let mut record = Stalls::for_one_core();
        for (due, late) in (0..).step_by(100_000).zip(latenesses_us) {
            record.record(CORE, at(due), at(due + late));
        }
        record
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let record = record_of(1..=100);
        assert!((record.lateness_ms(0.5) - 0.051).abs() < 1e-9);
        assert!((record.lateness_ms(0.99) - 0.1).abs() < 1e-9);
        assert!((record.lateness_ms(1.0) - 0.1).abs() < 1e-9);
        assert!((record_of([50_000]).lateness_ms(0.5) - 50.0).abs() < 1e-9);
        assert!(Stalls::for_one_core().lateness_ms(0.99).abs() < 1e-9);
    }

    #[test]
    fn a_stall_is_what_exceeds_half_a_millisecond() {
        let record = record_of([10, 500, 501, 3_000]);
        let stalls: Vec<_> = record.stalls().iter().map(|stall| stall.to.since(stall.from).as_micros()).collect();
        assert_eq!(stalls, [501, 3_000]);
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let record = record_of(std::iter::repeat_n(600, STALLS_MAX + 2));
        assert_eq!((record.stalls().len(), record.lost()), (STALLS_MAX, 2));
        let mut both = record_of([700]);
        both.merge(record);
        assert_eq!((both.stalls().len(), both.lost()), (STALLS_MAX + 1, 2));
        assert_eq!(both.wakes(), u64::try_from(STALLS_MAX).unwrap() + 3);
    }

    #[test]
    fn every_core_is_watched_and_spun_until_stop() {
        let watcher = Watcher::start(WATCH_PERIOD).unwrap();
        let spinners = Spinners::start().unwrap();
        sleep_until(now() + Duration::from_millis(30));
        spinners.stop();
        let stalls = watcher.stop().unwrap();
        assert!(stalls.wakes() >= u64::try_from(cores().unwrap().len()).unwrap());
        assert!(stalls.max_ms() >= stalls.lateness_ms(0.5));
    }
}
