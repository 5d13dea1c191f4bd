//! What a run on real processes leaves behind: the log, put together from what the vehicle noted, what the devices
//! published, and what the runner did.

use crate::tape::Tape;
use std::collections::HashMap;
use twinhelm_control::Controller;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{NotReady, RoleName, Sample};
use twinhelm_vehicle::report::log::{Event, Log, Observer as _};
use twinhelm_vehicle::report::witness::Witness;
use twinhelm_vehicle::signals::{Command, State};

/// A published step belongs to a command acted on when they are not further apart in time: the cycle counter on
/// the wire repeats after 4096 cycles.
const TOGETHER: Duration = Duration::from_millis(200);

/// Collects what happens in a run.
pub struct Collector<'a, L: Controller> {
    log: Log,
    tape: Option<&'a Tape>,
    witness: Witness<L>,
    /// What an unfaulted law gives for each published step: by sender and the cycle's low bits, with the time.
    expected: HashMap<(Slot, u16), Vec<(Instant, Signals)>>,
    devices: [Seen; SLOTS as usize],
    holder: Option<Slot>,
    first_acted: Option<Instant>,
    /// What a device said of its readiness counts for so long.
    said_for: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    role: Option<RoleName>,
    ready: Option<Result<(), NotReady>>,
    at: Option<Instant>,
}

impl<'a, L: Controller<State = State, Command = Command>> Collector<'a, L> {
    /// Returns an empty collector; `witness` holds an unfaulted law. What is collected goes to `tape` as well. A device of which
    /// nothing was heard for `said_for` does not count as ready from then on.
    pub fn new(witness: Witness<L>, tape: Option<&'a Tape>, said_for: Duration) -> Self {
        Self {
            log: Log::default(),
            tape,
            witness,
            expected: HashMap::new(),
            devices: [Seen::default(); SLOTS as usize],
            holder: None,
            first_acted: None,
            said_for,
        }
    }

    /// Takes note of an event.
    pub fn on_event(&mut self, at: Instant, event: &Event) {
        if let Event::Acted { gate: 0, adopted, .. } = event {
            self.holder = Some(adopted.slot());
            self.first_acted.get_or_insert(at);
        }
        self.note(at, event);
    }

    fn note(&mut self, at: Instant, event: &Event) {
        self.log.on(at, event);
        if let Some(tape) = self.tape {
            let event = event.clone();
            tape.note(move |recorder| recorder.event(at, &event));
        }
    }

    /// Takes note of what a device published; returns its role when it has changed.
    pub fn on_sample(&mut self, at: Instant, sample: &Sample<State, L::Memory>) -> Option<(Slot, RoleName)> {
        let header = &sample.header;
        let slot = header.slot;
        if let Some(tape) = self.tape {
            let sample = *sample;
            tape.note(move |recorder| recorder.sample(at, &sample));
        }
        self.let_lapse(slot, at);
        let seen = self.devices.get_mut(slot.index())?;
        let now = Seen { role: Some(header.role), ready: Some(header.ready), at: Some(at) };
        let before = std::mem::replace(seen, now);
        let changed = before.role != now.role;
        if changed {
            self.note(at, &Event::Role { slot, role: header.role });
        }
        if before.ready != now.ready {
            self.note(at, &Event::Ready { slot, ready: header.ready });
        }
        if let Some(published) = sample.published.as_ref().filter(|_| header.sent)
            && let Some(signals) = self.witness.expected_of(published)
        {
            self.expected.entry((slot, header.cycle.to_wire())).or_default().push((at, signals));
        }
        changed.then_some((slot, header.role))
    }

    /// Notes that what `slot` said of its readiness had grown too old before `at`.
    fn let_lapse(&mut self, slot: Slot, at: Instant) {
        let Some(seen) = self.devices.get_mut(slot.index()) else { return };
        if let Some(lapsed) = seen.at.map(|heard| heard + self.said_for).filter(|lapsed| *lapsed < at)
            && seen.ready == Some(Ok(()))
        {
            let ready = Err(NotReady::Link);
            seen.ready = Some(ready);
            self.note(lapsed, &Event::Ready { slot, ready });
        }
    }

    /// Forgets what a device was that is gone, or stopped.
    pub fn on_down(&mut self, slot: Slot) {
        if let Some(seen) = self.devices.get_mut(slot.index()) {
            // When it was last heard of stays: the plain heartbeat of the `fresh` baseline counts from there.
            *seen = Seen { at: seen.at, ..Seen::default() };
        }
    }

    /// Returns the device that holds the wheel.
    #[must_use]
    pub const fn holder(&self) -> Option<Slot> {
        self.holder
    }

    /// Returns when the first command was acted on.
    #[must_use]
    pub const fn first_acted(&self) -> Option<Instant> {
        self.first_acted
    }

    /// Returns when `slot` was last heard of.
    #[must_use]
    pub fn heard_at(&self, slot: Slot) -> Option<Instant> {
        self.devices.get(slot.index()).and_then(|seen| seen.at)
    }

    /// Returns whether some device is a ready standby.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.devices.iter().any(|seen| seen.ready == Some(Ok(())))
    }

    /// Returns why no device is ready, as the standby itself says.
    #[must_use]
    pub fn why_not(&self) -> Option<NotReady> {
        let standby = self.devices.iter().find(|seen| seen.role == Some(RoleName::Standby));
        let joining = self.devices.iter().find(|seen| seen.role == Some(RoleName::Joining));
        standby.or(joining).and_then(|seen| seen.ready).and_then(Result::err)
    }

    /// Ends the collection of a run that lasted until `end`: sorts, and marks the commands acted on that an unfaulted law would not
    /// have given. A command whose published step did not arrive is not judged.
    #[must_use]
    pub fn finish(mut self, end: Instant) -> Log {
        for slot in (0..SLOTS).filter_map(Slot::new) {
            self.let_lapse(slot, end);
        }
        let mut wrong = Vec::new();
        for (at, event) in &self.log.events {
            let Event::Acted { slot, cycle, signals, .. } = event else {
                continue;
            };
            let steps = self.expected.get(&(*slot, cycle.to_wire()));
            let together =
                |(published, _): &&(Instant, Signals)| published.since(*at).max(at.since(*published)) <= TOGETHER;
            let expected = steps.and_then(|steps| steps.iter().find(together));
            if expected.is_some_and(|(_, expected)| self.witness.is_apart(*signals, *expected)) {
                wrong.push((*at, Event::Wrong { slot: *slot, cycle: *cycle }));
            }
        }
        for (at, event) in wrong {
            self.note(at, &event);
        }
        self.log.sort();
        drop_told_while_down(&mut self.log);
        self.log
    }
}

/// A device that is stopped or dead hears nothing, although its socket still takes what the bus delivers.
fn drop_told_while_down(log: &mut Log) {
    let mut down = [false; SLOTS as usize];
    log.events.retain(|(_, event)| {
        if let Event::Down { slot } = event {
            down[slot.index()] = true;
        } else if let Event::Role { slot, .. } = event {
            down[slot.index()] = false;
        }
        !matches!(event, Event::Told { slot, .. } if down[slot.index()])
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::signals::Bounds;
    use twinhelm_standby::sample::Header;
    use twinhelm_vehicle::course::Course;
    use twinhelm_vehicle::law::CourseLaw;

    const SAID_FOR: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn ready_after(heard_ms: &[u64], end_ms: u64) -> Vec<(Instant, bool)> {
        let law = CourseLaw::new(Arc::new(Course::harbour()));
        let witness = Witness::new(law, Duration::from_millis(10), Bounds::of(&[1, 1]));
        let mut collector = Collector::new(witness, None, SAID_FOR);
        let header = Header {
            slot: Slot::RIGHT,
            cycle: Cycle::new(1),
            term: None,
            role: RoleName::Standby,
            ready: Ok(()),
            sent: false,
            checked: true,
            divergence: None,
            disputes: false,
            digest: 0,
            relayed: Default::default(),
        };
        for ms in heard_ms {
            collector.on_sample(at(*ms), &Sample { header, published: None });
        }
        let log = collector.finish(at(end_ms));
        let change = |(at, event): &(Instant, Event)| {
            if let Event::Ready { ready, .. } = event { Some((*at, ready.is_ok())) } else { None }
        };
        log.events.iter().filter_map(change).collect()
    }

    #[test]
    fn what_a_device_said_of_its_readiness_lapses() {
        let ready = (at(100), true);
        assert_eq!(ready_after(&[100, 300], 700), [ready]);
        assert_eq!(ready_after(&[100, 300], 9_000), [ready, (at(800), false)]);
        assert_eq!(ready_after(&[100, 2_000], 2_100), [ready, (at(600), false), (at(2_000), true)]);
    }
}
