//! What each device knew, when, and why it decided so: a recording told as a story, in order of time.
//!
//! The nodes and gates are replayed beside it, so that what is told of their minds is what decided, not what a reader of
//! the frames would guess.

mod device;
mod gate;

use super::Recording;
use super::words::{self, moment};
use serde::Serialize;
use std::time::Duration;
use twinhelm_hal::time::Instant;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::{Event, Stalled};

/// Which part of a recording is told, and how much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// From here on, counted from the run's time zero; from the recording's beginning if nothing is said.
    pub from: Option<Duration>,
    /// Up to here; to the end if nothing is said.
    pub until: Option<Duration>,
    /// Every input with its answer, not only what matters.
    pub every_step: bool,
}

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// When, in seconds after the run's time zero.
    pub t_s: f64,
    /// Whose: a device, a gate, or what happened to them.
    pub who: String,
    /// What, and why.
    pub what: String,
    #[serde(skip)]
    at: Instant,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:9.4} s  {:8}  {}", self.t_s, self.who, self.what)
    }
}

/// Tells `part` of `recording`.
#[must_use]
pub fn explain(recording: &Recording, part: Part) -> Vec<Line> {
    let mut story = Story { recording, part, lines: Vec::new() };
    for life in &recording.lives {
        device::tell(&mut story, life);
    }
    for (number, judged) in (0..).zip(&recording.gates) {
        gate::tell(&mut story, number, judged);
    }
    for (at, event) in &recording.log.events {
        if let Some(what) = happened(event, recording.zero) {
            story.add(*at, "run", what);
        }
    }
    let mut lines = story.lines;
    // What has the same time stays in the order of its place: devices, gates, the run.
    lines.sort_by_key(|line| line.at);
    lines
}

/// A story that is being told.
struct Story<'a> {
    recording: &'a Recording,
    part: Part,
    lines: Vec<Line>,
}

impl Story<'_> {
    /// Adds a line, when its time is asked for.
    fn add(&mut self, at: Instant, who: &str, what: String) {
        let zero = self.recording.zero;
        let (from, until) = (self.part.from.map(|from| zero + from), self.part.until.map(|until| zero + until));
        if from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until) {
            self.lines.push(Line { t_s: at.seconds_after(zero), who: who.to_owned(), what, at });
        }
    }
}

/// Returns what happened to the run from outside, and what a device is seen to be; `None` for what the devices and gates
/// tell themselves.
fn happened(event: &Event, zero: Instant) -> Option<String> {
    match event {
        Event::Fault { label, slot, request } => {
            let whom = slot.map_or("all", device_name);
            let verb = if *request { "is asked of" } else { "hits" };
            Some(format!("{label} {verb} {whom}"))
        }
        Event::FaultEnded { label, .. } => Some(format!("{label} is over")),
        Event::Down { slot } => Some(format!("{} is down", device_name(*slot))),
        Event::Wrong { slot, cycle } => {
            Some(format!("{}'s command for cycle {cycle} is not what an unfaulted law gives", device_name(*slot)))
        }
        Event::Stalled { what, since } => {
            let whose = match what {
                Stalled::Machine => "the machine",
                Stalled::Observer => "the vehicle's own loop, which measures,",
            };
            Some(format!("{whose} has stood still since {}", moment(*since, zero)))
        }
        Event::Phase { name } => Some(name.clone()),
        Event::Acted { .. }
        | Event::Dropped { .. }
        | Event::Closed { .. }
        | Event::Restarted { .. }
        | Event::EStopped { .. }
        | Event::Followed { .. }
        | Event::Offered { .. }
        | Event::Told { .. }
        | Event::Role { .. }
        | Event::Ready { .. }
        | Event::Truth { .. } => None,
    }
}

/// Returns the words for a span between two instants.
fn since(now: Instant, then: Instant) -> String {
    words::ms(now.since(then))
}
