//! Cycles and deadlines: what a gap in the commands costs.
//!
//! The nominal start of a cycle is one period after the command acted on before it; its deadline is one period
//! later. A gap of up to two periods therefore misses none.

use core::time::Duration;

/// Returns how many deadlines a gap between two commands acted on has missed: ⌈gap / period⌉ − 2, at least 0.
#[must_use]
pub fn missed(gap: Duration, period: Duration) -> u64 {
    let periods = gap.as_nanos().div_ceil(period.as_nanos().max(1));
    u64::try_from(periods).unwrap_or(u64::MAX).saturating_sub(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_up_to_two_periods_misses_no_deadline() {
        let missed_ms = |gap| missed(Duration::from_millis(gap), Duration::from_millis(10));
        assert_eq!([0, 10, 20, 21, 30, 31, 50].map(missed_ms), [0, 0, 0, 1, 1, 2, 3]);
    }
}
