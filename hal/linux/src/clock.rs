//! The machine's monotonic clock: reading it, and sleeping until a point on it.
//!
//! `CLOCK_MONOTONIC` is one clock for all processes of a machine, so instants of two of them may be compared. It
//! is never set back, and it stands still while the machine is suspended.

use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};
use twinhelm_hal::time::{Duration, Instant, nanos};

/// Returns the time by the machine's monotonic clock.
#[must_use]
pub fn now() -> Instant {
    // The kernel's monotonic time is never negative; zero would show at once.
    Duration::try_from(clock_gettime(ClockId::Monotonic)).map_or(Instant::ZERO, |up| Instant::ZERO + up)
}

/// Returns what has to be added to the monotonic clock's nanoseconds, now, to have the date (Unix time). For files that
/// people compare with others; nothing is ever decided by it, because the date may be set at any moment.
#[must_use]
pub fn unix_epoch_ns() -> u64 {
    let date = Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap_or_default();
    nanos(date.saturating_sub(now().since(Instant::ZERO)))
}

/// Sleeps until `until`, or not at all when that is over. Signals do not shorten it.
pub fn sleep_until(until: Instant) {
    let until = timespec(until.since(Instant::ZERO));
    loop {
        match clock_nanosleep_absolute(ClockId::Monotonic, &until) {
            Ok(()) => return,
            Err(Errno::INTR) => {}
            // The clock exists and the time is in range, so the kernel has no other answer.
            Err(error) => panic!("clock_nanosleep refuses a time it must take: {error}"),
        }
    }
}

/// Returns `span` as the kernel takes it.
pub(crate) fn timespec(span: Duration) -> Timespec {
    Timespec::try_from(span).expect("584 years of nanoseconds fit into 64 bits of seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_never_ends_early() {
        for us in [1, 50, 300, 2_000] {
            let until = now() + Duration::from_micros(us);
            sleep_until(until);
            assert!(now() >= until, "{us} µs");
        }
    }

    #[test]
    fn a_sleep_until_the_past_returns() {
        sleep_until(now() - Duration::from_secs(1));
        sleep_until(Instant::ZERO);
    }
}
