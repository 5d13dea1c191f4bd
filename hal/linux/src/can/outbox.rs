//! What a station has on its way to the wire: one frame with the controller, and a short queue behind it.
//!
//! A controller cannot be asked to give a frame back, so a frame is handed over only when the one before it is on the wire.
//! What waits meanwhile is replaced by what is newer, and forgotten when it has missed its cycle.

// What is read here came over the bus, or from the kernel.
#![deny(clippy::arithmetic_side_effects)]

use arrayvec::ArrayVec;
use twinhelm_hal::bus::QUEUE_MAX;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::time::{Duration, Instant};

/// A controller that has not sent its frame for so long will not say so any more: its interface went down, or the receive
/// queue was full.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(100);

/// A station's frames towards the bus.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    depth: usize,
    /// A frame that waited longer than this is not sent any more.
    holds: Duration,
    handed_over: Option<(Instant, Frame)>,
    waiting: ArrayVec<(Instant, Frame), QUEUE_MAX>,
    /// What the controller never said it had sent; it may say so yet, when the station has slept.
    given_up: ArrayVec<Frame, QUEUE_MAX>,
    /// So many frames were replaced or outlived.
    pub(super) dropped: u64,
}

impl Outbox {
    /// Returns an empty one, with room for `depth` frames behind the one that the controller has.
    pub(super) fn new(depth: usize, holds: Duration) -> Self {
        let depth = depth.clamp(1, QUEUE_MAX);
        Self {
            depth,
            holds,
            handed_over: None,
            waiting: ArrayVec::new_const(),
            given_up: ArrayVec::new_const(),
            dropped: 0,
        }
    }

    /// Takes `frame`, and returns what the controller gets now.
    pub(super) fn offer(&mut self, now: Instant, frame: Frame) -> Option<Frame> {
        if let Some((_, frame)) = self.handed_over.take_if(|(since, _)| now.since(*since) > GIVEN_UP_AFTER) {
            if self.given_up.is_full() {
                self.given_up.remove(0);
            }
            self.given_up.push(frame);
        }
        if self.waiting.len() >= self.depth {
            self.waiting.remove(0);
            self.dropped = self.dropped.saturating_add(1);
        }
        self.waiting.push((now, frame));
        self.next(now)
    }

    /// Returns whether `frame` is the one that the controller was given; then it is on the wire.
    pub(super) fn is_ours(&mut self, frame: &Frame) -> bool {
        if self.handed_over.take_if(|(_, handed_over)| handed_over == frame).is_some() {
            return true;
        }
        let given_up = self.given_up.iter().position(|given_up| given_up == frame);
        given_up.is_some_and(|at| self.given_up.pop_at(at).is_some())
    }

    /// Returns what the controller gets next, if it is free.
    pub(super) fn next(&mut self, now: Instant) -> Option<Frame> {
        if self.handed_over.is_some() {
            return None;
        }
        while let Some((since, frame)) = self.waiting.pop_at(0) {
            if now.since(since) <= self.holds {
                self.handed_over = Some((now, frame));
                return Some(frame);
            }
            self.dropped = self.dropped.saturating_add(1);
        }
        None
    }

    /// Returns whether a frame is with the controller.
    pub(super) const fn is_busy(&self) -> bool {
        self.handed_over.is_some()
    }

    /// The kernel did not take the frame.
    pub(super) fn refused(&mut self) {
        self.handed_over = None;
        self.dropped = self.dropped.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn frame(byte: u8) -> Frame {
        Frame { id: 0x100, len: 8, data: [byte; 8] }
    }

    const fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms.saturating_mul(1_000_000))
    }

    fn outbox() -> Outbox {
        Outbox::new(1, Duration::from_millis(10))
    }

    #[test]
    fn a_frame_waits_until_the_one_before_it_is_on_the_wire() {
        let mut outbox = outbox();
        assert_eq!(outbox.offer(ms(0), frame(1)), Some(frame(1)));
        assert_eq!(outbox.offer(ms(1), frame(2)), None);
        assert!(!outbox.is_ours(&frame(9)) && outbox.is_ours(&frame(1)));
        assert_eq!(outbox.next(ms(2)), Some(frame(2)));
        assert_eq!(outbox.next(ms(2)), None);
    }

    #[test]
    fn a_newer_frame_replaces_the_one_that_waits() {
        let mut outbox = outbox();
        for byte in 1..=9 {
            outbox.offer(ms(1), frame(byte));
        }
        assert!(outbox.is_ours(&frame(1)));
        assert_eq!((outbox.next(ms(2)), outbox.dropped), (Some(frame(9)), 7));
    }

    #[test]
    fn what_missed_its_cycle_is_not_sent_late() {
        let mut outbox = outbox();
        outbox.offer(ms(0), frame(1));
        outbox.offer(ms(1), frame(2));
        assert!(outbox.is_ours(&frame(1)));
        assert_eq!((outbox.next(ms(12)), outbox.dropped), (None, 1));
    }

    #[test]
    fn a_gates_frames_go_out_in_their_order() {
        let mut outbox = Outbox::new(4, Duration::from_millis(10));
        let handed_over: Vec<_> = (1..=4).filter_map(|byte| outbox.offer(ms(0), frame(byte))).collect();
        assert_eq!(handed_over, [frame(1)]);
        for byte in 1..=4 {
            assert!(outbox.is_ours(&frame(byte)));
            assert_eq!(outbox.next(ms(1)), (byte < 4).then(|| frame(byte + 1)));
        }
    }

    #[test]
    fn a_controller_that_never_sends_is_given_the_newest_frame_after_a_while() {
        let mut outbox = outbox();
        outbox.offer(ms(0), frame(1));
        assert_eq!(outbox.offer(ms(90), frame(2)), None);
        assert_eq!(outbox.offer(ms(101), frame(3)), Some(frame(3)));
        // The station had slept, and its frame was sent all the same: it is no other station's.
        assert!(outbox.is_ours(&frame(1)) && !outbox.is_ours(&frame(1)) && outbox.is_ours(&frame(3)));
    }
}
