//! A wheel encoder with two lines: edges with their times in; ticks, direction and speed out.
//!
//! Lines A and B are a quarter of a period apart, so the order of their edges says the direction: forward, A rises while
//! B is low. Every edge is one tick.

// The lines are whatever the wheel and the wires make of them.
#![deny(clippy::arithmetic_side_effects)]

use crate::time::{Duration, Instant};
use crate::units::{Metres, MetresPerSecond};
use arrayvec::ArrayVec;

/// The speed is taken over so many ticks, one period of the lines: their edges are not evenly spaced within it.
const TICKS_AVERAGED: usize = 4;

/// One of the two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line that leads when the vehicle drives forward.
    A,
    /// The other one.
    B,
}

/// A change of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// When the kernel, or the controller, saw it.
    pub at: Instant,
    /// Which line.
    pub line: Line,
    /// Whether the line is high from now on.
    pub is_high: bool,
}

/// Counts a wheel's ticks.
#[derive(Clone, Debug)]
pub struct Encoder {
    metres_per_tick: Metres,
    silence: Duration,
    a: bool,
    b: bool,
    ticks: i64,
    /// The newest ticks in one direction, oldest first.
    recent: ArrayVec<Instant, { TICKS_AVERAGED + 1 }>,
    direction: i8,
    missed: u32,
    /// The line of the last edge, and how many edges in a row came from it.
    run: Option<(Line, u32)>,
}

impl Encoder {
    /// Returns an encoder whose lines stand at `a` and `b`. After `silence` without a tick the wheel stands.
    #[must_use]
    pub const fn new(metres_per_tick: Metres, silence: Duration, a: bool, b: bool) -> Self {
        Self {
            metres_per_tick,
            silence,
            a,
            b,
            ticks: 0,
            recent: ArrayVec::new_const(),
            direction: 0,
            missed: 0,
            run: None,
        }
    }

    /// Takes in an edge, in the order of their times.
    ///
    /// An edge to a level at which the line stood already means that another one was missed: it is counted as such, and
    /// as no tick, because nobody knows the direction.
    pub fn on_edge(&mut self, edge: Edge) {
        self.run = match self.run {
            Some((line, count)) if line == edge.line => Some((line, count.saturating_add(1))),
            Some(_) | None => Some((edge.line, 1)),
        };
        let level = match edge.line {
            Line::A => &mut self.a,
            Line::B => &mut self.b,
        };
        if *level == edge.is_high {
            self.on_missed();
            return;
        }
        *level = edge.is_high;
        let is_forward = match edge.line {
            Line::A => self.a != self.b,
            Line::B => self.a == self.b,
        };
        let direction = if is_forward { 1 } else { -1 };
        if direction != self.direction {
            // The time to the last tick of the other direction says nothing about the speed.
            self.recent.clear();
            self.direction = direction;
        }
        if self.recent.is_full() {
            self.recent.remove(0);
        }
        self.recent.push(edge.at);
        self.ticks = self.ticks.saturating_add(direction.into());
    }

    /// Takes in that edges were lost before they came here: the kernel numbers them, and a number is missing.
    pub fn on_missed(&mut self) {
        self.missed = self.missed.saturating_add(1);
        self.recent.clear();
    }

    /// Returns the ticks since the start, forward less backward.
    #[must_use]
    pub const fn ticks(&self) -> i64 {
        self.ticks
    }

    /// Returns how often edges were missed; the ticks are wrong by an unknown number then.
    #[must_use]
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    /// Returns how many edges in a row came from one line.
    ///
    /// In driving it is 1. It grows when the other line is stuck, and also when the vehicle trembles on the spot, so it is
    /// a finding for people and no verdict.
    #[must_use]
    pub const fn edges_on_one_line(&self) -> u32 {
        match self.run {
            Some((_, count)) => count,
            None => 0,
        }
    }

    /// Returns the speed at `now` over the last ticks, negative backward.
    ///
    /// While no tick comes, the wheel cannot be faster than one tick in the time since the last; after the silence it
    /// stands. Two ticks of one direction are the least that says a speed.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a handful of ticks")]
    pub fn speed(&self, now: Instant) -> MetresPerSecond {
        let [first, .., last] = *self.recent.as_slice() else {
            return MetresPerSecond::ZERO;
        };
        let since = now.since(last);
        if since >= self.silence {
            return MetresPerSecond::ZERO;
        }
        let intervals = self.recent.len().saturating_sub(1) as f64;
        let measured_s = last.since(first).as_secs_f64() / intervals;
        let seconds_per_tick = measured_s.max(since.as_secs_f64());
        let speed = self.metres_per_tick.get() / seconds_per_tick;
        // Two edges at one instant are no speed.
        MetresPerSecond::new(if self.direction < 0 { -speed } else { speed }).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;

    const TICK_US: u64 = 1_000;

    fn at(us: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 + us * 1_000)
    }

    fn encoder() -> Encoder {
        let metres_per_tick = Metres::new(0.002).expect("a number");
        Encoder::new(metres_per_tick, Duration::from_millis(100), false, false)
    }

    /// A wheel: the lines stand by its position, and each step is one edge.
    struct SimWheel {
        position: i64,
        us: u64,
    }

    impl SimWheel {
        const LEVELS: [(bool, bool); 4] = [(false, false), (true, false), (true, true), (false, true)];

        fn levels(&self) -> (bool, bool) {
            Self::LEVELS[usize::try_from(self.position.rem_euclid(4)).expect("0 to 3")]
        }

        fn step(&mut self, direction: i64) -> Edge {
            let before = self.levels();
            self.position += direction;
            self.us += TICK_US;
            let (a, b) = self.levels();
            let (line, is_high) = if a == before.0 { (Line::B, b) } else { (Line::A, a) };
            Edge { at: at(self.us), line, is_high }
        }
    }

    #[test]
    fn ticks_follow_the_wheel_both_ways() {
        let (mut encoder, mut wheel) = (encoder(), SimWheel { position: 0, us: 0 });
        for direction in [1; 50].into_iter().chain([-1; 80]).chain([1, -1, 1, 1]) {
            encoder.on_edge(wheel.step(direction));
            assert_eq!(encoder.ticks(), wheel.position);
        }
        assert_eq!(encoder.missed(), 0);
    }

    #[test]
    fn speed_is_metres_by_time_and_its_sign_the_direction() {
        let (mut encoder, mut wheel) = (encoder(), SimWheel { position: 0, us: 0 });
        assert_eq!(encoder.speed(at(0)), MetresPerSecond::ZERO);
        for (direction, speed_mps) in [(1, 2.0), (-1, -2.0)] {
            for _ in 0..9 {
                encoder.on_edge(wheel.step(direction));
            }
            let speed = encoder.speed(at(wheel.us + TICK_US)).get();
            assert!((speed - speed_mps).abs() < 1e-9, "{speed}");
        }
    }

    #[test]
    fn a_wheel_that_slows_down_is_slower_with_each_moment_of_silence_and_stands_at_last() {
        let (mut encoder, mut wheel) = (encoder(), SimWheel { position: 0, us: 0 });
        for _ in 0..9 {
            encoder.on_edge(wheel.step(1));
        }
        let speed = |us| encoder.speed(at(wheel.us + us)).get();
        assert!((speed(10_000) - 0.2).abs() < 1e-9, "{}", speed(10_000));
        assert!((speed(99_999) - 0.02).abs() < 1e-6 && speed(100_000) == 0.0);
    }

    #[test]
    fn a_missed_edge_is_counted_and_no_tick() {
        let (mut encoder, mut wheel) = (encoder(), SimWheel { position: 0, us: 0 });
        for _ in 0..4 {
            encoder.on_edge(wheel.step(1));
        }
        let _missed = wheel.step(1);
        let _missed = wheel.step(1);
        encoder.on_edge(wheel.step(1));
        assert_eq!((encoder.missed(), encoder.ticks()), (1, 4));
        assert_eq!(encoder.speed(at(wheel.us)), MetresPerSecond::ZERO);
    }

    #[test]
    fn a_stuck_line_shows_as_edges_of_one_line_and_no_way() {
        let mut encoder = encoder();
        for us in 0..40 {
            encoder.on_edge(Edge { at: at(us * TICK_US), line: Line::A, is_high: us % 2 == 0 });
        }
        assert_eq!((encoder.ticks(), encoder.edges_on_one_line(), encoder.missed()), (0, 40, 0));
        assert_eq!(encoder.speed(at(40 * TICK_US)), MetresPerSecond::ZERO);
    }

    #[test]
    fn two_edges_at_one_instant_are_no_speed() {
        let mut encoder = encoder();
        encoder.on_edge(Edge { at: at(0), line: Line::A, is_high: true });
        encoder.on_edge(Edge { at: at(0), line: Line::B, is_high: true });
        assert_eq!(encoder.speed(at(0)), MetresPerSecond::ZERO);
    }
}
