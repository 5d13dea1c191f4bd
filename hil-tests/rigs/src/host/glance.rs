//! How a run stands at a moment, for people who watch it: put together from the same events and samples as the log.

use std::collections::VecDeque;
use twinhelm_control::deadline::missed;
use twinhelm_hal::gate::How;
use twinhelm_hal::signals::Divergence;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{NotReady, RoleName, Sample};
use twinhelm_vehicle::report::log::Event;

/// So many output gaps are kept: more than a wide terminal shows.
pub const GAPS_MAX: usize = 400;

/// How a run stands.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// Since the start of the run; `None` before it.
    pub passed: Option<Duration>,
    /// When it ends; `None` when it goes on until somebody ends it.
    pub of: Option<Duration>,
    /// Where the vehicle is.
    pub pose: Option<Pose>,
    /// The gate acts on commands.
    pub gate_open: bool,
    /// The term that the gate has adopted. Its slot holds the wheel.
    pub term: Option<Term>,
    /// Left, right.
    pub devices: [DeviceGlance; 2],
    /// Commands of the standby acted on while the holder stayed.
    pub covers: u64,
    /// New terms adopted because the holder's lease had run out.
    pub takeovers: u64,
    /// Cycles for which the gate had acted on nothing by their deadline.
    pub missed_deadlines: u64,
    /// The last output gaps, oldest first, at most [`GAPS_MAX`].
    pub gaps: VecDeque<Gap>,
    /// What is wrong now, as it was asked for.
    pub faults: Vec<String>,
}

/// Where the vehicle is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Along x, in m.
    pub x_m: f64,
    /// Along y, in m.
    pub y_m: f64,
    /// Forward speed in m/s.
    pub speed_mps: f64,
    /// Distance from the course in m, left positive.
    pub cross_track_m: f64,
}

/// One device at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceGlance {
    /// Its process runs and is not stopped.
    pub runs: bool,
    /// What it is; `None` while nothing was heard of it.
    pub role: Option<RoleName>,
    /// Whether it could take over, and if not, why.
    pub ready: Option<Result<(), NotReady>>,
    /// The term that it chose, if any.
    pub term: Option<Term>,
    /// How long ago it was last heard of over the link.
    pub heard_ago: Option<Duration>,
    /// How far its command is from the holder's, in raw counts, where it said so.
    pub divergence: Option<Divergence>,
}

/// Time between two commands acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How long.
    pub length: Duration,
    /// How the command that ended it came to be acted on.
    pub how: How,
}

impl Glance {
    /// Returns the device that holds the wheel.
    #[must_use]
    pub fn holder(&self) -> Option<Slot> {
        self.term.map(Term::slot)
    }

    /// Returns whether some device is a ready standby.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.gate_open && self.devices.iter().any(|device| device.runs && device.ready == Some(Ok(())))
    }
}

/// Keeps a [`Glance`] up to date.
#[derive(Debug)]
pub(super) struct Board {
    glance: Glance,
    period: Duration,
    acted_at: Option<Instant>,
    heard_at: [Option<Instant>; 2],
}

impl Board {
    pub fn new(period: Duration) -> Self {
        Self { glance: Glance::default(), period, acted_at: None, heard_at: [None; 2] }
    }

    /// Returns how the run stands at `now`, which is `passed` after its start.
    pub fn at(&mut self, now: Instant, passed: Option<Duration>, of: Option<Duration>) -> &Glance {
        self.glance.passed = passed;
        self.glance.of = of;
        for (device, heard) in self.glance.devices.iter_mut().zip(self.heard_at) {
            device.heard_ago = heard.map(|at| now.since(at));
        }
        &self.glance
    }

    pub fn on_event(&mut self, at: Instant, event: &Event) {
        let glance = &mut self.glance;
        match event {
            Event::Acted { gate: 0, how, adopted, .. } => {
                if let Some(before) = self.acted_at.replace(at) {
                    let length = at.since(before);
                    if glance.gaps.len() >= GAPS_MAX {
                        glance.gaps.pop_front();
                    }
                    glance.gaps.push_back(Gap { length, how: *how });
                    glance.missed_deadlines += missed(length, self.period);
                }
                glance.covers += u64::from(*how == How::Cover);
                glance.takeovers += u64::from(*how == How::Takeover);
                glance.gate_open = true;
                glance.term = Some(*adopted);
            }
            Event::Followed { gate: 0, term } => {
                glance.takeovers += 1;
                glance.term = Some(*term);
            }
            Event::Closed { gate: 0 } => glance.gate_open = false,
            Event::Restarted { gate: 0 } => {
                glance.gate_open = false;
                glance.term = None;
            }
            Event::Truth { x_m, y_m, speed_mps, cross_track_m, .. } => {
                glance.pose =
                    Some(Pose { x_m: *x_m, y_m: *y_m, speed_mps: *speed_mps, cross_track_m: *cross_track_m });
            }
            Event::Down { slot } => {
                if let Some(device) = self.glance.devices.get_mut(slot.index()) {
                    *device = DeviceGlance::default();
                }
            }
            Event::Fault { label, request: false, .. } => glance.faults.push(label.clone()),
            Event::FaultEnded { label, .. } => glance.faults.retain(|on| on != label),
            Event::Acted { .. }
            | Event::Followed { .. }
            | Event::Closed { .. }
            | Event::Restarted { .. }
            | Event::EStopped { .. }
            | Event::Dropped { .. }
            | Event::Offered { .. }
            | Event::Told { .. }
            | Event::Role { .. }
            | Event::Ready { .. }
            | Event::Fault { .. }
            | Event::Wrong { .. }
            | Event::Stalled { .. }
            | Event::Phase { .. } => {}
        }
    }

    pub fn on_sample<S, M>(&mut self, at: Instant, sample: &Sample<S, M>) {
        let header = &sample.header;
        let index = header.slot.index();
        let Some(device) = self.glance.devices.get_mut(index) else {
            return;
        };
        self.heard_at[index] = Some(at);
        device.runs = true;
        device.role = Some(header.role);
        device.ready = Some(header.ready);
        device.term = header.term;
        device.divergence = header.divergence;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::signals::Signals;

    fn acted(cycle: u64, how: How) -> Event {
        let term = Term::next_of(Slot::LEFT, None);
        Event::Acted {
            gate: 0,
            how,
            slot: Slot::LEFT,
            term,
            adopted: term,
            cycle: Cycle::new(cycle),
            signals: Signals::of_16_bits([0, 0]),
            age: None,
        }
    }

    #[test]
    fn a_gap_of_three_and_a_half_periods_misses_two_deadlines() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut board = Board::new(Duration::from_millis(10));
        board.on_event(at(100), &acted(1, How::Holder));
        board.on_event(at(135), &acted(2, How::Cover));
        let glance = board.at(at(140), None, None);
        assert_eq!((glance.missed_deadlines, glance.covers), (2, 1));
        assert_eq!(glance.gaps.back().map(|gap| gap.length), Some(Duration::from_millis(35)));
    }
}
