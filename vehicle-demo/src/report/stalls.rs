//! When the machine, or the loop that measures, stood still, and what that explains.

use super::log::{Event, Log};
use super::rest::rest_of;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::Config;

/// The times in which something stood still, the machine or the loop that measures: in order, and apart from each other.
pub(super) struct Stalls {
    spans: Vec<(Instant, Instant)>,
}

impl Stalls {
    pub(super) fn of(log: &Log) -> Self {
        let stall = |(at, event): &(Instant, Event)| {
            if let Event::Stalled { since, .. } = event { Some((*since, *at)) } else { None }
        };
        let mut all: Vec<_> = log.events.iter().filter_map(stall).collect();
        all.sort_unstable();
        let mut spans: Vec<(Instant, Instant)> = Vec::with_capacity(all.len());
        for (from, to) in all {
            match spans.last_mut() {
                // Two cores at one time are one time.
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => spans.push((from, to)),
            }
        }
        Self { spans }
    }

    /// Returns whether stalls explain that the gate took a healthy holder for silent at `at`.
    ///
    /// Its next command is due a period after the one that the gate acted on last: whoever is held up for the rest of the gate
    /// lease from then on is silent for the whole of it. What came of a stall has come to rest as what came of a fault has.
    pub(super) fn explain_a_takeover(&self, at: Instant, config: &Config) -> bool {
        let rest = rest_of(config);
        let first = self.spans.partition_point(|(_, to)| *to + rest < at);
        let end = self.spans.partition_point(|(from, _)| *from < at);
        let before = self.spans[first..end].iter().map(|(from, to)| (*from, (*to).min(at)));
        most_within(&before.collect::<Vec<_>>(), config.gate_lease) > config.gate_lease - config.period
    }

    /// Returns the most that it stood still within one gate lease.
    pub(super) fn in_one_lease(&self, config: &Config) -> Duration {
        most_within(&self.spans, config.gate_lease)
    }
}

/// Returns how much of a window of this length the spans fill at most.
fn most_within(spans: &[(Instant, Instant)], window: Duration) -> Duration {
    // A window that begins with one of them is as good as any.
    let from = |(first, (start, _)): (usize, &(Instant, Instant))| {
        let end = *start + window;
        let inside = spans[first..].iter().take_while(|(from, _)| *from < end);
        inside.map(|(from, to)| (*to).min(end).since(*from)).sum()
    };
    spans.iter().enumerate().map(from).max().unwrap_or_default()
}

/// How often and how long the loop that measures stood still.
pub(super) struct ObserverStalls {
    pub(super) count: u64,
    longest: Duration,
    pub(super) disturbs: bool,
}

impl ObserverStalls {
    pub(super) fn of(log: &Log, config: &Config) -> Self {
        let mut stalls = Self { count: 0, longest: Duration::ZERO, disturbs: false };
        for (since, until) in log.observer_stalls() {
            let length = until.since(since);
            stalls.count += u64::from(length > config.period / 2);
            stalls.longest = stalls.longest.max(length);
        }
        stalls.disturbs = stalls.longest > config.gate_lease;
        stalls
    }

    pub(super) fn max_ms(&self) -> Option<f64> {
        ms_if_any(self.longest)
    }

    pub(super) fn note(&self) -> Option<String> {
        let longest_ms = self.longest.as_secs_f64() * 1e3;
        self.disturbs.then(|| {
            format!("the observer, which measures at the gate, stood still for {longest_ms:.1} ms, longer than the gate lease")
        })
    }
}

/// Returns a span in ms; `None` when there was none.
pub(super) fn ms_if_any(span: Duration) -> Option<f64> {
    (!span.is_zero()).then_some(span.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::log::Stalled;
    use super::*;
    use twinhelm_standby::Parameters;

    /// A gate lease of 30 ms, and a rest of 80 ms.
    fn config() -> Config {
        Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile keeps the promise")
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn stalls(of: &[(Stalled, u64, u64)]) -> Stalls {
        let event =
            |(what, from, to): &(Stalled, u64, u64)| (at(*to), Event::Stalled { what: *what, since: at(*from) });
        Stalls::of(&Log { events: of.iter().map(event).collect() })
    }

    #[test]
    fn a_stall_of_all_the_lease_but_a_period_explains_a_takeover() {
        let explains = |from, to| stalls(&[(Stalled::Machine, from, to)]).explain_a_takeover(at(200), &config());
        assert!(explains(175, 198) && explains(150, 250));
        assert!(!explains(180, 200), "the holder had time for a command");
        assert!(!explains(190, 250), "most of it came later");
        assert!(!explains(50, 119) && explains(50, 120), "what came of it is over");
    }

    #[test]
    fn stalls_that_follow_each_other_explain_it_together_and_those_of_two_cores_count_once() {
        let [machine, observer] = [Stalled::Machine, Stalled::Observer];
        let explain = |of: &[_]| stalls(of).explain_a_takeover(at(200), &config());
        assert!(explain(&[(machine, 170, 182), (observer, 186, 196)]));
        assert!(!explain(&[(machine, 170, 182), (observer, 171, 182)]));
        assert!(!explain(&[(machine, 140, 152), (observer, 186, 196)]), "not within one lease");
    }

    #[test]
    fn the_worst_lease_of_a_run_is_known() {
        let of = [(Stalled::Machine, 100, 108), (Stalled::Observer, 110, 140), (Stalled::Machine, 300, 325)];
        assert_eq!(stalls(&of).in_one_lease(&config()), Duration::from_millis(30));
        assert_eq!(stalls(&of[..1]).in_one_lease(&config()), Duration::from_millis(8));
        assert_eq!(stalls(&[]).in_one_lease(&config()), Duration::ZERO);
    }
}
