//! Quantiles that are only given where there are enough samples to know them.

use serde::{Deserialize, Serialize};

/// A quantile is given when so many samples at least are expected beyond it: one outlier more or less must not move it
/// through the whole tail. So the median takes 10 samples, p99 takes 500, p99.9 takes 5,000.
pub const BEYOND_MIN: f64 = 5.0;

/// Quantiles of a span in milliseconds; `None` where there are too few samples for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// How many samples there are.
    pub samples: u64,
    /// The median.
    pub p50: Option<f64>,
    /// 99 % are not above.
    pub p99: Option<f64>,
    /// 99.9 % are not above.
    pub p999: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Quantiles {
    /// Returns the quantiles of `values` (nearest rank).
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |part: f64| {
            let index = (values.len() as f64 * part).ceil() as usize;
            values.get(index.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self::with(values.len() as u64, values.last().copied(), rank)
    }

    /// Returns the quantiles of `samples` samples, of which `rank` tells the value that a share (0 to 1) does not exceed.
    #[must_use]
    pub fn with(samples: u64, max: Option<f64>, rank: impl Fn(f64) -> f64) -> Self {
        let given = |part: f64| is_known(samples, part).then(|| rank(part));
        Self { samples, p50: given(0.5), p99: given(0.99), p999: given(0.999), max: max.filter(|_| samples > 0) }
    }
}

/// Returns whether `samples` samples are enough for the quantile `part`.
fn is_known(samples: u64, part: f64) -> bool {
    // A thousandth is no binary number: a hair's breadth must not cost a quantile.
    samples as f64 * (1.0 - part) >= BEYOND_MIN - 1e-6
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(max) = self.max else {
            return f.write_str("no samples");
        };
        for (name, part, value) in [("median", 0.5, self.p50), ("p99", 0.99, self.p99), ("p99.9", 0.999, self.p999)]
        {
            match value {
                Some(value) => write!(f, "{name} {value:.2} ms, ")?,
                None => write!(f, "{name} takes {:.0} samples, ", (BEYOND_MIN / (1.0 - part)).round())?,
            }
        }
        write!(f, "max {max:.2} ms ({} samples)", self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(count: u32) -> Quantiles {
        Quantiles::of((1..=count).map(f64::from).collect())
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let all = up_to(10_000);
        assert_eq!(
            (all.p50, all.p99, all.p999, all.max),
            (Some(5_000.0), Some(9_900.0), Some(9_990.0), Some(10_000.0))
        );
    }

    #[test]
    fn a_quantile_from_too_few_samples_is_refused() {
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
        assert_eq!((up_to(9).p50, up_to(9).max), (None, Some(9.0)));
        assert_eq!((up_to(10).p50, up_to(10).p99), (Some(5.0), None));
        assert_eq!((up_to(499).p99, up_to(500).p99), (None, Some(495.0)));
        assert_eq!((up_to(4_999).p999, up_to(5_000).p999), (None, Some(4_995.0)));
    }

    #[test]
    fn a_refused_quantile_says_how_many_samples_it_takes() {
        assert_eq!(
            up_to(1_000).to_string(),
            "median 500.00 ms, p99 990.00 ms, p99.9 takes 5000 samples, max 1000.00 ms (1000 samples)"
        );
        assert_eq!(up_to(0).to_string(), "no samples");
    }
}
