//! The gate in front of a board's own pins, as a process of its own: a law that hangs or crashes does not take it along.
//!
//! [`LocalGate::turn`] is the loop's body: e-stop line, frames, time, statuses. What stands behind it is opened by
//! `commands/gate.rs`; a test puts simulated chips there.

use embedded_hal::digital::InputPin;
use rtrb::Producer;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twinhelm_hal::gate::Verdict;
use twinhelm_hal::pins::{GuardedPins, Outputs};
use twinhelm_hal::ports::{Bus, Confinement};
use twinhelm_hal::term::Term;
use twinhelm_hal::time::Instant;
use twinhelm_linux::realtime::Next;

/// So many frames are taken in a turn at most: a bus that is flooded must not keep the e-stop line from being read.
const FRAMES_A_TURN_MAX: usize = 32;

/// How the gate stands, as far as people want to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as people are told of it")]
pub(crate) struct Standing {
    /// It acts on commands.
    pub(crate) open: bool,
    /// The slot that drives, or drove last.
    pub(crate) slot: Option<u8>,
    /// The e-stop is latched: by the line, by a device, or because the pins failed.
    pub(crate) stopped: bool,
    /// The e-stop line is pressed, or cannot be read.
    pub(crate) pressed: bool,
    /// The process is ending, and brings the vehicle to rest.
    pub(crate) ending: bool,
    /// The pulses have ended and the line is released.
    pub(crate) rests: bool,
    /// Why the pins failed, since the last reset.
    pub(crate) failure: Option<String>,
    /// The encoder cannot be read.
    pub(crate) no_speed: bool,
    /// How its bus controller stands.
    pub(crate) bus: Confinement,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { failure: Some(failure), stopped: true, .. } => write!(f, "stopped: {failure}")?,
            Self { pressed: true, .. } => write!(f, "stopped: the e-stop is pressed")?,
            Self { ending: true, rests: true, .. } => write!(f, "ending: at rest")?,
            Self { ending: true, .. } => write!(f, "ending: brings the vehicle to rest")?,
            Self { stopped: true, .. } => write!(f, "stopped: the e-stop is latched, until it is reset here")?,
            Self { open: true, slot: Some(slot), .. } => write!(f, "open: slot {slot} drives")?,
            Self { .. } => write!(f, "closed: nobody drives")?,
        }
        if self.no_speed {
            f.write_str("; its encoder cannot be read")?;
        }
        let bus = match self.bus {
            Confinement::Active => "",
            Confinement::Passive => "; its CAN controller is error-passive",
            Confinement::Off => "; it is off the bus",
        };
        f.write_str(bus)
    }
}

/// What people, or a service manager, want of the gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// The process is to end: the vehicle is brought to rest first.
    pub(crate) end: Arc<AtomicBool>,
    /// The e-stop is to be reset.
    pub(crate) reset: Arc<AtomicBool>,
}

/// What the encoder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// There is none.
    NoEncoder,
    /// It cannot be read.
    Unreadable,
    /// So many mm/s.
    Of(i16),
}

impl Speed {
    /// Returns it in mm/s, if it is known.
    const fn mm_s(self) -> Option<i16> {
        match self {
            Self::Of(mm_s) => Some(mm_s),
            Self::NoEncoder | Self::Unreadable => None,
        }
    }
}

/// What the loop's doors are.
pub(crate) struct Doors<B, S, E> {
    /// The bus.
    pub(crate) bus: B,
    /// The e-stop line, if there is one.
    pub(crate) estop: Option<S>,
    /// Returns the vehicle's speed.
    pub(crate) speed: E,
    /// Where a latched e-stop is kept over a crash of this process, if anywhere.
    pub(crate) latch: Option<Latch>,
}

/// A file that is there while the e-stop is latched: whoever starts the process again after a crash starts it stopped.
#[derive(Debug)]
pub(crate) struct Latch {
    path: PathBuf,
    is_there: bool,
}

impl Latch {
    /// Returns the one at `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { is_there: path.exists(), path }
    }

    /// Returns whether an e-stop was latched when the last process ended.
    pub(crate) const fn is_set(&self) -> bool {
        self.is_there
    }

    /// Keeps what is so now; what the file system refuses is tried again by the next call.
    fn keep(&mut self, stopped: bool) {
        if stopped != self.is_there {
            let done = if stopped { std::fs::write(&self.path, "") } else { std::fs::remove_file(&self.path) };
            self.is_there = if done.is_ok() { stopped } else { self.path.exists() };
        }
    }
}

/// A gate, its pins, and what it hears and says.
pub(crate) struct LocalGate<B, O: Outputs, S, E> {
    doors: Doors<B, S, E>,
    pins: GuardedPins<O>,
    wishes: Wishes,
    told: Option<Standing>,
    tell: Producer<(Instant, Standing)>,
    /// A turn comes at least so often.
    look_every: Duration,
    ends: Option<End>,
    /// So long after it was told to end, it ends, at rest or not.
    rests_within: Duration,
}

/// It was told to end.
#[derive(Clone, Copy, Debug)]
struct End {
    since: Instant,
    was_latched: bool,
}

impl<B, O, S, E> LocalGate<B, O, S, E>
where
    B: Bus,
    O: Outputs,
    S: InputPin,
    E: FnMut(Instant) -> Speed,
    O::Error: fmt::Display,
{
    /// Returns the loop around `pins`, whose turns come at least every `look_every`; it needs at most `rests_within` to bring the
    /// vehicle to rest.
    pub(crate) fn new(
        pins: GuardedPins<O>,
        doors: Doors<B, S, E>,
        wishes: Wishes,
        tell: Producer<(Instant, Standing)>,
        (look_every, rests_within): (Duration, Duration),
    ) -> Self {
        Self { doors, pins, wishes, told: None, tell, look_every, ends: None, rests_within }
    }

    /// Does what is to be done at `now`, and returns when the next turn is due at the latest.
    ///
    /// The e-stop comes first, and a line that cannot be read is pressed.
    pub(crate) fn turn(&mut self, now: Instant) -> Next {
        let pressed = match &mut self.doors.estop {
            Some(line) => line.is_high().unwrap_or(true),
            None => false,
        };
        let is_over = self.is_over(now);
        if !is_over && self.wishes.reset.swap(false, Ordering::Relaxed) {
            // One that is pressed stays as it is, and is told as such.
            let _ = self.pins.reset(now);
        }
        match &mut self.ends {
            None => self.pins.on_estop_line(now, pressed),
            Some(end) => end.was_latched |= pressed,
        }
        for _ in 0..FRAMES_A_TURN_MAX {
            let Some(received) = self.doors.bus.receive() else { break };
            if let (Verdict::EStopped { .. }, Some(end)) =
                (self.pins.on_frame(now, &received.frame), &mut self.ends)
            {
                end.was_latched = true;
            }
        }
        let speed = (self.doors.speed)(now);
        let _timed_out = self.pins.on_tick(now, speed.mm_s());
        while let Some(frame) = self.pins.outgoing(now, speed.mm_s()) {
            self.doors.bus.send(frame);
        }
        let is_latched = self.is_latched();
        if let Some(latch) = &mut self.doors.latch {
            latch.keep(is_latched);
        }
        self.tell_changes(now, pressed, speed == Speed::Unreadable);
        if is_over {
            return Next::Stop;
        }
        Next::At(self.pins.next_tick(now).min(now + self.look_every))
    }

    /// Returns the bus, to wait at.
    pub(crate) const fn bus(&self) -> &B {
        &self.doors.bus
    }

    /// Returns whether the pulses have ended and the line is released.
    pub(crate) const fn is_at_rest(&self) -> bool {
        self.pins.is_at_rest()
    }

    /// Returns whether the e-stop is latched; ending is no e-stop, although it stops by the same way.
    const fn is_latched(&self) -> bool {
        match self.ends {
            None => self.pins.gate().is_stopped(),
            Some(end) => end.was_latched || self.pins.failure().is_some(),
        }
    }

    /// Returns whether the process was told to end, and the vehicle is at rest.
    fn is_over(&mut self, now: Instant) -> bool {
        if self.ends.is_none() && self.wishes.end.load(Ordering::Relaxed) {
            self.ends = Some(End { since: now, was_latched: self.pins.gate().is_stopped() });
            self.pins.on_estop_line(now, true);
            return false;
        }
        self.ends.is_some_and(|end| self.pins.is_at_rest() || now.since(end.since) >= self.rests_within)
    }

    fn tell_changes(&mut self, now: Instant, pressed: bool, no_speed: bool) {
        let standing = Standing {
            open: self.pins.gate().is_open(),
            slot: self.pins.gate().term().map(|term: Term| term.slot().number()),
            stopped: self.pins.gate().is_stopped(),
            pressed,
            ending: self.ends.is_some(),
            rests: self.pins.is_at_rest(),
            failure: self.pins.failure().map(ToString::to_string),
            no_speed,
            bus: self.doors.bus.confinement(),
        };
        // A queue that is full belongs to a terminal that stands still; then it is told later.
        if self.told.as_ref() != Some(&standing) && self.tell.push((now, standing.clone())).is_ok() {
            self.told = Some(standing);
        }
    }
}

#[cfg(test)]
mod tests;
