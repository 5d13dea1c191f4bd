//! The checkers: each invariant of the design, looked at with every event of every run.
//!
//! A checker believes nobody: it keeps its own books from what the gates did, not from what devices say. Each is
//! shown to catch a broken variant of node, gate or law in `tests/variants.rs`.

#[cfg(feature = "canon")]
mod canon;

use std::time::Duration;
use twinhelm_control::deadline::missed;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::GATES;
use twinhelm_hal::gate::How;
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hal::time::Instant;
use twinhelm_standby::Config;
use twinhelm_standby::config::bus_time;
use twinhelm_vehicle::report::log::{Event, Observer};

/// How long after the command timeout a gate may take to close: its own timer's grain.
const CLOSING_GRACE: Duration = Duration::from_millis(1);
/// So many violations are kept; one is enough to fail.
const VIOLATIONS_MAX: usize = 32;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The invariant's number in ARCHITECTURE.md.
    pub invariant: u8,
    /// When, by the rig's clock.
    pub at: Instant,
    /// What was seen.
    pub what: String,
}

/// What a run promises.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The output gap under a single fault with a ready standby (invariant 5); `None` when it promises none.
    pub gap_max: Option<Duration>,
    /// No new term while nothing is wrong and nothing was asked for.
    pub no_false_takeover: bool,
}

/// The checkers' books.
#[derive(Clone, Debug)]
pub struct Checks {
    config: Config,
    promise: Promise,
    gates: [GateBook; GATES as usize],
    devices: [DeviceBook; SLOTS as usize],
    violations: Vec<Violation>,
    missed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct GateBook {
    /// Known to be open, with its last command acted on.
    open: Option<Act>,
    adopted: Option<Term>,
    holder_at: Instant,
    split_since: Option<Instant>,
    /// Its e-stop is latched.
    is_stopped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Act {
    at: Instant,
    slot: Slot,
    cycle: Cycle,
    /// A device was ready then to go on from there: the one that covered, or one beside the holder.
    had_standby: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct DeviceBook {
    ready: bool,
    /// The highest term that an open gate named to this device on the bus, and when it first did.
    told: Option<(u8, Instant)>,
    /// So many faults are at work on it now.
    faults_on: u32,
    /// What was done to it until now may cost it the wheel until then.
    excused_until: Instant,
}

impl Checks {
    /// Returns empty books for a run with `config` that makes `promise`.
    #[must_use]
    pub fn new(config: Config, promise: Promise) -> Self {
        Self {
            config,
            promise,
            gates: [GateBook::default(); GATES as usize],
            devices: [DeviceBook::default(); SLOTS as usize],
            violations: Vec::new(),
            missed: 0,
        }
    }

    /// Returns what was found so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Returns how many deadlines were missed so far, at all gates, whether a standby was ready or not.
    #[must_use]
    pub const fn missed_deadlines(&self) -> u64 {
        self.missed
    }

    /// Takes note that the e-stop of `gate` was reset.
    pub const fn reset(&mut self, gate: u8) {
        self.gates[gate as usize].is_stopped = false;
    }

    /// Looks at what lasts too long: a gate that should have closed, gates that name two holders.
    pub fn look(&mut self, at: Instant) {
        self.check_timeouts(at);
        self.check_owners(at);
    }

    /// Looks at what is still open when the run ends at `at`.
    pub fn finish(&mut self, at: Instant) {
        for gate in 0..self.gates.len() {
            self.check_gap(gate, at);
        }
    }

    fn broken(&mut self, invariant: u8, at: Instant, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, at, what });
        }
    }

    fn on_acted(&mut self, at: Instant, gate: usize, act: &Acted) {
        let Acted { how, slot, term, adopted, cycle, age } = *act;
        let book = self.gates[gate];
        if book.is_stopped {
            self.broken(13, at, format!("gate {gate} acted on cycle {cycle} although its e-stop is latched"));
        }
        if book.adopted.is_some_and(|before| term < before) {
            self.broken(1, at, format!("gate {gate} acted on term {term} after term {:?}", book.adopted));
        }
        if term.slot() != slot {
            self.broken(2, at, format!("slot {slot} was acted on in term {term}, which is another's"));
        }
        if let (Some(last), true) = (book.open, how != How::Opening)
            && cycle <= last.cycle
        {
            self.broken(3, at, format!("gate {gate} acted on cycle {cycle} after cycle {}", last.cycle));
        }
        self.check_adoption(at, gate, how, adopted);
        if how != How::Opening {
            self.check_gap(gate, at);
        }
        let too_old = age.is_some_and(|age| age > self.config.command_timeout);
        if too_old {
            let invariant = if how == How::Opening { 12 } else { 3 };
            self.broken(invariant, at, format!("gate {gate} acted on a frame that was {age:?} old"));
        }
        self.check_reason(at, gate, how, adopted);
        let mut ready = self.devices.iter().enumerate().filter(|(_, book)| book.ready);
        let had_standby = ready.any(|(device, _)| how == How::Cover || device != slot.index());
        let book = &mut self.gates[gate];
        book.open = Some(Act { at, slot, cycle, had_standby });
        if book.adopted != Some(adopted) || how == How::Holder {
            book.holder_at = at;
        }
        book.adopted = Some(adopted);
        self.check_owners(at);
    }

    /// No false takeover: the wheel is taken only from a device that something was wrong with, or that was asked. A
    /// fault of the standby is no excuse. And a holder whose lease has run out does not stay.
    fn check_reason(&mut self, at: Instant, gate: usize, how: How, adopted: Term) {
        let book = self.gates[gate];
        let Some(holder) = book.adopted.map(Term::slot) else {
            return;
        };
        let device = self.devices[holder.index()];
        let excused = device.faults_on > 0 || at <= device.excused_until;
        if how == How::Takeover && self.promise.no_false_takeover && !excused && holder != adopted.slot() {
            self.broken(
                4,
                at,
                format!("gate {gate} took the wheel from slot {holder}, which nothing was wrong with"),
            );
        }
        let silent = at.since(book.holder_at);
        let gap = book.open.map(|last| at.since(last.at));
        if how == How::Cover && gap.is_some_and(|gap| gap + self.config.margin < self.config.period) {
            self.broken(4, at, format!("gate {gate} lets slot {holder} be covered, which was not late"));
        }
        if how == How::Cover && silent > self.config.gate_lease {
            self.broken(4, at, format!("gate {gate} keeps slot {holder}, {silent:?} after its last command"));
        }
    }

    /// Takes note that a fault at `slot` begins (`by` 1), ends (−1), or was over at once (0).
    fn on_fault(&mut self, at: Instant, slot: Option<Slot>, by: i8) {
        let rest = self.config.command_timeout + self.config.gate_lease;
        for (index, device) in self.devices.iter_mut().enumerate() {
            if slot.is_none_or(|slot| slot.index() == index) {
                device.faults_on = device.faults_on.saturating_add_signed(by.into());
                device.excused_until = at + rest;
            }
        }
    }

    /// Invariant 4: another term only after a lease without the holder, or because another open gate has it.
    fn check_adoption(&mut self, at: Instant, gate: usize, how: How, adopted: Term) {
        if how != How::Takeover {
            return;
        }
        let silent = at.since(self.gates[gate].holder_at);
        let elsewhere = self.gates.iter().any(|other| other.open.is_some() && other.adopted >= Some(adopted));
        if silent < self.config.gate_lease && !elsewhere {
            self.broken(4, at, format!("gate {gate} adopted term {adopted} {silent:?} after the holder's last"));
        }
    }

    /// Invariant 5: with a ready standby the gap stays within its bound.
    fn check_gap(&mut self, gate: usize, at: Instant) {
        let Some(last) = self.gates[gate].open else {
            return;
        };
        let gap = at.since(last.at);
        self.missed += missed(gap, self.config.period);
        if let Some(bound) = self.promise.gap_max.filter(|bound| last.had_standby && gap > *bound) {
            let Act { slot, .. } = last;
            self.broken(
                5,
                at,
                format!("gate {gate} had no command for {gap:?} after slot {slot}'s, bound {bound:?}, although a standby was ready"),
            );
        }
    }

    /// Invariant 6: no open gate without a command for longer than the command timeout.
    fn check_timeouts(&mut self, at: Instant) {
        for gate in 0..self.gates.len() {
            let silent = self.gates[gate].open.map(|last| at.since(last.at));
            if let Some(silent) = silent.filter(|silent| *silent > self.config.command_timeout + CLOSING_GRACE) {
                self.broken(6, at, format!("gate {gate} is still open after {silent:?} without a command"));
            }
        }
    }

    /// Invariant 11: two open gates name different holders for at most one status period.
    fn check_owners(&mut self, at: Instant) {
        let first = self.gates[0].adopted.filter(|_| self.gates[0].open.is_some());
        let status_period = self.config.period + bus_time(self.config.bitrate, self.config.gates);
        for gate in 1..self.gates.len() {
            let book = &mut self.gates[gate];
            let other = book.adopted.filter(|_| book.open.is_some());
            if first.is_none() || other.is_none() || first == other {
                book.split_since = None;
                continue;
            }
            let since = *book.split_since.get_or_insert(at);
            if at.since(since) > status_period {
                self.broken(11, at, format!("gate 0 names {first:?}, gate {gate} names {other:?} since {since:?}"));
            }
        }
    }

    /// Invariant 7: a device that was told of a higher term sends nothing more in its own.
    fn on_offered(&mut self, at: Instant, slot: Slot, term: u8, woke: Option<Instant>) {
        let Some((told, since)) = self.devices[slot.index()].told else {
            return;
        };
        let is_below = i8::from_ne_bytes([term.wrapping_sub(told)]) < 0;
        // A rig that does not know when the turn began grants it two periods.
        if is_below && woke.unwrap_or(at - 2 * self.config.period) > since {
            self.broken(7, at, format!("slot {slot} sends in term {term} although it was told of term {told}"));
        }
    }

    fn on_told(&mut self, at: Instant, slot: Slot, term: u8) {
        let told = &mut self.devices[slot.index()].told;
        let is_above = told.is_none_or(|(before, _)| i8::from_ne_bytes([term.wrapping_sub(before)]) > 0);
        if is_above {
            *told = Some((term, at));
        }
    }
}

/// The fields of [`Event::Acted`], without the gate and the signals.
#[derive(Clone, Copy)]
struct Acted {
    how: How,
    slot: Slot,
    term: Term,
    adopted: Term,
    cycle: Cycle,
    age: Option<Duration>,
}

impl Observer for Checks {
    fn on(&mut self, at: Instant, event: &Event) {
        match event {
            Event::Acted { gate, how, slot, term, adopted, cycle, age, .. } => {
                let act =
                    Acted { how: *how, slot: *slot, term: *term, adopted: *adopted, cycle: *cycle, age: *age };
                self.on_acted(at, usize::from(*gate), &act);
            }
            Event::Closed { gate } => {
                self.check_gap(usize::from(*gate), at);
                self.gates[usize::from(*gate)].open = None;
            }
            // A gate's restart is outside the promise, and it forgets its term by design.
            Event::Restarted { gate } => self.gates[usize::from(*gate)] = GateBook::default(),
            Event::EStopped { gate } => self.gates[usize::from(*gate)].is_stopped = true,
            Event::Followed { gate, term } => {
                let book = &mut self.gates[usize::from(*gate)];
                book.adopted = Some(*term);
                book.holder_at = at;
            }
            Event::Offered { slot, term, probe: false, woke, .. } => self.on_offered(at, *slot, *term, *woke),
            Event::Told { slot, term } => self.on_told(at, *slot, *term),
            Event::Ready { slot, ready } => self.devices[slot.index()].ready = ready.is_ok(),
            // A device that starts again has been told nothing in its new life.
            Event::Down { slot } => {
                let book = &mut self.devices[slot.index()];
                *book = DeviceBook { ready: false, told: None, ..*book };
            }
            Event::Fault { slot, request, .. } => self.on_fault(at, *slot, i8::from(!request)),
            Event::FaultEnded { slot, .. } => self.on_fault(at, *slot, -1),
            Event::Truth { .. } => self.look(at),
            Event::Wrong { slot, cycle } => {
                if self.promise.gap_max.is_some() {
                    self.broken(
                        5,
                        at,
                        format!("slot {slot}'s command for cycle {cycle} is none that an unfaulted law gives"),
                    );
                }
            }
            Event::Offered { .. }
            | Event::Dropped { .. }
            | Event::Role { .. }
            | Event::Stalled { .. }
            | Event::Phase { .. } => {}
        }
    }
}
