//! The gate: the actuator's acceptance check. It alone decides whether a command is acted on, and with that
//! who holds the wheel; devices only offer.
//!
//! Rules G1 to G8 of docs/protocol.md. The ones that are a comparison stand one by one in [`rules`], so that a
//! test can break one of them and show that a checker notices.
//!
//! The gate has no clock: its owner calls [`Gate::on_frame`] for each frame heard and [`Gate::on_tick`] no later
//! than [`Gate::next_tick`], and sends [`Gate::status`] when [`Gate::is_status_due`].

#[cfg(feature = "canon")]
mod canon;
pub mod rules;
#[cfg(test)]
mod tests;
mod verdict;

use crate::cycle::Cycle;
use crate::frame::{
    COUNTERS_ID, CommandFrame, CountersFrame, Echo, Frame, GATES, Malformed, STATUS_ID, StatusFrame,
};
use crate::signals::Layout;
use crate::term::Term;
use crate::time::{Duration, Instant};
use rules::{AsDesigned, GateRules};
pub use verdict::{DROPS, Drop, How, Verdict};

/// At most so many statuses a period, so that a flood of commands cannot become a flood of statuses (G6).
pub const STATUSES_A_PERIOD_MAX: u8 = 4;

/// The spans that the gate counts by. `standby::Config` checks that they fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// One control period.
    pub period: Duration,
    /// How much earlier than nominal a frame of a higher term may come and still be due.
    pub margin: Duration,
    /// So long after the holder's last command acted on, another device may take over.
    pub gate_lease: Duration,
    /// So long after the last command acted on, the safe state.
    pub command_timeout: Duration,
}

/// The actuator's acceptance check.
///
/// # Invariants
/// The term never goes down. While open, the last cycle only goes up.
#[derive(Clone, Debug)]
pub struct Gate<R = AsDesigned> {
    number: u8,
    timing: Timing,
    layout: &'static Layout,
    state: State,
    estop: bool,
    echo: Option<Echo>,
    drops: [u32; DROPS],
    status: Pace,
    rules: core::marker::PhantomData<R>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Acts on nothing. Ends when two consecutive frames of a term higher than `known` come (G5).
    Closed { known: Option<Term>, last: Cycle, candidate: Option<Candidate> },
    /// Acts on commands. Ends at the command timeout (G4) or an e-stop (G8).
    Open {
        term: Term,
        last: Cycle,
        /// The last command acted on, whoever sent it.
        acted_at: Instant,
        /// The last command of the holder acted on.
        holder_at: Instant,
    },
}

/// The first of the two frames that open a closed gate.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    term: Term,
    cycle: Cycle,
    at: Instant,
}

/// When the last statuses went out.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Option<Instant>,
    window: Instant,
    in_window: u8,
    answer: bool,
}

impl<R: GateRules> Gate<R> {
    /// Returns a gate as it comes up: closed, knowing no term. A restarted gate is the same (G5). `layout` is of the vehicle's signals; what
    /// is beyond their limits is refused.
    ///
    /// # Panics
    /// When `number` is not below [`GATES`]: a vehicle has at most that many.
    #[must_use]
    pub fn new(number: u8, timing: Timing, layout: &'static Layout) -> Self {
        assert!(number < GATES, "a gate's number is 0 to 3");
        Self {
            number,
            timing,
            layout,
            state: State::Closed { known: None, last: Cycle::default(), candidate: None },
            estop: false,
            echo: None,
            drops: [0; DROPS],
            status: Pace::default(),
            rules: core::marker::PhantomData,
        }
    }

    /// Judges a frame that was heard on the bus at `now`.
    pub fn on_frame(&mut self, now: Instant, frame: &Frame) -> Verdict {
        // A gate that was not ticked in time still times out before it judges.
        if self.has_timed_out(now) {
            self.close();
        }
        if (STATUS_ID..STATUS_ID + u16::from(GATES)).contains(&frame.id) {
            return self.on_other_gate(now, frame);
        }
        if (COUNTERS_ID..COUNTERS_ID + u16::from(GATES)).contains(&frame.id) {
            return Verdict::Ignored;
        }
        let command = match CommandFrame::decode(frame) {
            Ok(command) => command,
            Err(Malformed::Length) => return self.drop(Drop::WrongLength),
            Err(Malformed::Crc) => return self.drop(Drop::BadCrc),
            Err(Malformed::Kind) => return self.drop(Drop::UnknownKind),
        };
        self.status.answer = true;
        self.on_command(now, &command)
    }

    fn on_command(&mut self, now: Instant, command: &CommandFrame) -> Verdict {
        if command.probe {
            // What is beyond a probe's range the status cuts off.
            let number = command.cycle.to_le_bytes()[0];
            self.echo = Some(Echo { slot: command.slot, number });
            return Verdict::Probe { slot: command.slot };
        }
        let Some(term) = Term::from_wire(command.term, self.term()) else {
            return self.drop(Drop::StaleTerm);
        };
        if !R::is_term_of(term, command.slot) {
            return self.drop(Drop::WrongSlot);
        }
        if self.term().is_some_and(|own| R::is_superseded(term, own)) {
            return self.drop(Drop::StaleTerm);
        }
        if command.estop {
            self.stop();
            return Verdict::EStopped { slot: command.slot };
        }
        if self.estop && R::LATCHES_ESTOP {
            return self.drop(Drop::EStop);
        }
        if !self.layout.allows(&command.signals) {
            return self.drop(Drop::OutOfRange);
        }
        let cycle = Cycle::from_wire(command.cycle, self.last());
        match self.state {
            State::Open { term: own, last, acted_at, holder_at } => {
                let ahead = cycle.ahead_of(last);
                if !R::is_ahead(ahead) {
                    if term == own && R::LATE_FRAME_RENEWS_LEASE {
                        self.state = State::Open { term: own, last, acted_at, holder_at: now };
                    }
                    return self.drop(Drop::OldCycle);
                }
                let gap = now.since(acted_at);
                let (how, term, holder_at) = if term == own {
                    if !R::is_recent(gap, ahead, &self.timing) {
                        return self.drop(Drop::NotDue);
                    }
                    (How::Holder, own, now)
                } else if !R::is_due(gap, ahead, &self.timing) {
                    return self.drop(Drop::NotDue);
                } else if R::has_lease_run_out(now.since(holder_at), &self.timing) {
                    (How::Takeover, term, now)
                } else {
                    (How::Cover, own, holder_at)
                };
                self.state = State::Open { term, last: cycle, acted_at: now, holder_at };
                Verdict::Acted { how, slot: command.slot, term, cycle, signals: command.signals, gap: Some(gap) }
            }
            State::Closed { known, last, candidate } => {
                if known.is_some_and(|own| term <= own) {
                    return self.drop(Drop::ClosedToTerm);
                }
                let pending = candidate.filter(|first| now.since(first.at) <= 2 * self.timing.period);
                if R::may_open(pending.map(|first| (first.term, first.cycle)), term, cycle) {
                    self.state = State::Open { term, last: cycle, acted_at: now, holder_at: now };
                    return Verdict::Acted {
                        how: How::Opening,
                        slot: command.slot,
                        term,
                        cycle,
                        signals: command.signals,
                        gap: None,
                    };
                }
                if pending.is_none_or(|first| term > first.term) {
                    let candidate = Some(Candidate { term, cycle, at: now });
                    self.state = State::Closed { known, last, candidate };
                    return self.drop(Drop::FirstOfTwo);
                }
                self.drop(Drop::OtherCandidate)
            }
        }
    }

    /// Adopts the higher term of another open gate (G7).
    fn on_other_gate(&mut self, now: Instant, frame: &Frame) -> Verdict {
        let Ok(status) = StatusFrame::decode(frame) else {
            return self.drop(Drop::BadCrc);
        };
        let State::Open { term: own, last, acted_at, .. } = self.state else {
            return Verdict::Ignored;
        };
        match Term::from_wire(status.term, Some(own)) {
            Some(term) if status.open && term > own && R::FOLLOWS_OTHER_GATES => {
                // The new holder gets a lease of its own here, too.
                self.state = State::Open { term, last, acted_at, holder_at: now };
                Verdict::Followed { gate: status.gate, term }
            }
            _ => Verdict::Ignored,
        }
    }

    /// Lets time pass. Returns `true` when the gate closed by the command timeout (G4): safe state.
    pub fn on_tick(&mut self, now: Instant) -> bool {
        let timed_out = self.has_timed_out(now);
        if timed_out {
            self.close();
        }
        timed_out
    }

    /// Returns when [`Gate::on_tick`] or [`Gate::status`] is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: Instant) -> Instant {
        let status = self.status.last.map_or(now, |last| last + self.timing.period);
        match self.state {
            State::Open { acted_at, .. } => status.min(acted_at + self.timing.command_timeout),
            State::Closed { .. } => status,
        }
    }

    /// Returns whether a status has to go out: as an answer, or because a period has passed (G6).
    #[must_use]
    pub fn is_status_due(&self, now: Instant) -> bool {
        let periodic = self.status.last.is_none_or(|last| now.since(last) >= self.timing.period);
        let fresh_window = now.since(self.status.window) >= self.timing.period;
        let allowed = fresh_window || self.status.in_window < STATUSES_A_PERIOD_MAX;
        allowed && (self.status.answer || (periodic && R::REPORTS_BY_ITSELF))
    }

    /// Returns the status frame, and notes that it was sent.
    #[must_use]
    pub fn status(&mut self, now: Instant, speed_mm_s: i16) -> Frame {
        if now.since(self.status.window) >= self.timing.period {
            self.status.window = now;
            self.status.in_window = 0;
        }
        self.status.in_window += 1;
        self.status.last = Some(now);
        self.status.answer = false;
        StatusFrame {
            gate: self.number,
            term: self.term().map_or(0, Term::to_wire),
            cycle: self.last().to_wire(),
            open: self.is_open(),
            term_known: self.term().is_some(),
            safe_state: !self.is_open(),
            estop: self.estop,
            echo: self.echo,
            speed_mm_s,
        }
        .encode()
    }

    /// Returns the frame with the drop counters of `group`; groups count from 0 and wrap.
    #[must_use]
    pub fn counters(&self, group: u8) -> Frame {
        let groups = DROPS.div_ceil(3);
        let group = usize::from(group) % groups;
        let mut counters = [0; 3];
        for (counter, drops) in counters.iter_mut().zip(&self.drops[group * 3..]) {
            *counter = (drops & 0xFFFF) as u16;
        }
        CountersFrame { gate: self.number, group: group.to_le_bytes()[0], counters }.encode()
    }

    /// Presses the local e-stop (G8).
    pub fn stop(&mut self) {
        self.estop = true;
        self.close();
    }

    /// Resets the e-stop, locally. The gate stays closed until a higher term opens it.
    pub fn reset_estop(&mut self) {
        self.estop = false;
    }

    /// Returns how a frame carries the vehicle's signals.
    #[must_use]
    pub const fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// Returns whether the e-stop is latched.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.estop
    }

    /// Returns whether the gate acts on commands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Returns the adopted term, if any.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        match self.state {
            State::Open { term, .. } => Some(term),
            State::Closed { known, .. } => known,
        }
    }

    /// Returns the last cycle that was acted on.
    #[must_use]
    pub fn last(&self) -> Cycle {
        match self.state {
            State::Open { last, .. } | State::Closed { last, .. } => last,
        }
    }

    /// Returns how many frames were dropped for `why`.
    #[must_use]
    pub fn dropped(&self, why: Drop) -> u32 {
        self.drops[why as usize]
    }

    fn has_timed_out(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { acted_at, .. } if R::has_timed_out(now.since(acted_at), &self.timing))
    }

    /// Closes; the term is kept, so that nothing of it or below ever opens the gate again (G4, G5).
    fn close(&mut self) {
        self.state = State::Closed { known: self.term(), last: self.last(), candidate: None };
    }

    fn drop(&mut self, why: Drop) -> Verdict {
        let counter = &mut self.drops[why as usize];
        *counter = counter.saturating_add(1);
        Verdict::Dropped { why }
    }
}
