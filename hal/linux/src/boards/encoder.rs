//! A wheel encoder's two lines, edge by edge, with the kernel's time of each.
//!
//! By the kernel's character device on every board, a Raspberry Pi too: rppal takes its edges from there as well.

use super::lines::{CONSUMER, LineAt, as_io};
use super::open::OpenError;
use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, EdgeEvent, EdgeKind, EventClock, Offset, Value};
use std::io;
use std::path::Path;
use twinhelm_hal::encoder::{Edge, Encoder, Line};
use twinhelm_hal::pins::ActiveLevel;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hal::units::Metres;

/// So many edges the kernel keeps while nobody reads: 10 ms of a wheel at 3 m/s with 0.5 mm a tick are 60.
const KERNEL_EDGES: u32 = 1_024;

/// The lines of a wheel encoder.
#[derive(Debug)]
pub struct EncoderLines {
    lines: Request,
    intake: Intake,
}

/// Edges on their way into the encoder, by the kernel's numbers.
#[derive(Debug)]
struct Intake {
    a: Offset,
    encoder: Encoder,
    /// The number of the last edge of both lines; the kernel counts from 1.
    last: u32,
}

impl EncoderLines {
    /// Opens lines `a` and `b` of one chip, pulled up as an encoder with open collectors needs it.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(
        chip: &Path,
        a: u32,
        b: u32,
        metres_per_tick: Metres,
        silence: Duration,
    ) -> Result<Self, OpenError> {
        let mut lines = Request::builder();
        lines
            .on_chip(chip)
            .with_consumer(CONSUMER)
            .with_kernel_event_buffer_size(KERNEL_EDGES)
            .with_lines(&[a, b])
            .as_input()
            .with_bias(Bias::PullUp)
            .with_edge_detection(EdgeDetection::BothEdges)
            .with_event_clock(EventClock::Monotonic);
        let lines = lines.request().map_err(|error| {
            let at = |offset| LineAt { chip: chip.to_owned(), offset, active: ActiveLevel::High };
            // Whichever of the two has a reason of its own.
            match at(a).explain(&error) {
                OpenError::System { .. } => at(b).explain(&error),
                reason @ (OpenError::NoRaspberryPi
                | OpenError::Missing { .. }
                | OpenError::Permission { .. }
                | OpenError::Busy { .. }
                | OpenError::NoLine { .. }
                | OpenError::Setting { .. }) => reason,
            }
        })?;
        let level = |offset| match lines.value(offset) {
            Ok(value) => Ok(value == Value::Active),
            Err(error) => Err(OpenError::System { path: chip.to_owned(), source: as_io(&error) }),
        };
        let encoder = Encoder::new(metres_per_tick, silence, level(a)?, level(b)?);
        Ok(Self { intake: Intake { a, encoder, last: 0 }, lines })
    }

    /// Takes in the edges that have come, without waiting.
    ///
    /// # Errors
    /// The kernel's.
    pub fn poll(&mut self) -> io::Result<&Encoder> {
        while self.lines.has_edge_event().map_err(|error| as_io(&error))? {
            let event = self.lines.read_edge_event().map_err(|error| as_io(&error))?;
            self.intake.take(&event);
        }
        Ok(&self.intake.encoder)
    }
}

impl Intake {
    fn take(&mut self, event: &EdgeEvent) {
        // What did not fit into the kernel's buffer has a number all the same.
        if event.seqno != self.last.wrapping_add(1) {
            self.encoder.on_missed();
        }
        self.last = event.seqno;
        self.encoder.on_edge(Edge {
            at: Instant::from_nanos(event.timestamp_ns),
            line: if event.offset == self.a { Line::A } else { Line::B },
            is_high: event.kind == EdgeKind::Rising,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake() -> Intake {
        let encoder = Encoder::new(Metres::new(0.001).unwrap(), Duration::from_millis(100), false, false);
        Intake { a: 17, encoder, last: 0 }
    }

    fn event(seqno: u32, offset: Offset, kind: EdgeKind) -> EdgeEvent {
        EdgeEvent { timestamp_ns: u64::from(seqno) * 1_000_000, kind, offset, seqno, line_seqno: 1 }
    }

    #[test]
    fn the_kernels_edges_become_ticks_with_their_times() {
        let mut intake = intake();
        intake.take(&event(1, 17, EdgeKind::Rising));
        intake.take(&event(2, 27, EdgeKind::Rising));
        intake.take(&event(3, 17, EdgeKind::Falling));
        assert_eq!((intake.encoder.ticks(), intake.encoder.missed()), (3, 0));
        let speed = intake.encoder.speed(Instant::from_nanos(3_000_000)).get();
        assert!((speed - 1.0).abs() < 1e-9, "{speed}");
    }

    #[test]
    fn a_number_that_is_missing_is_a_missed_edge_even_where_the_levels_fit() {
        let mut intake = intake();
        intake.take(&event(1, 17, EdgeKind::Rising));
        intake.take(&event(6, 27, EdgeKind::Rising));
        assert_eq!(intake.encoder.missed(), 1);
    }
}
