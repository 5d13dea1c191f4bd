//! Series made fit for a screen: thinned, and the ranges of their axes.

use std::ops::Range;

/// How many buckets a long series is thinned to; each keeps its lowest and highest point.
const BUCKETS: usize = 700;

/// Returns the points that are numbers; of long series the extremes of each stretch, in their order.
pub(super) fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<_> = points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if points.len() <= 2 * BUCKETS {
        return points;
    }
    let stretch = points.len().div_ceil(BUCKETS);
    let mut kept = Vec::with_capacity(2 * BUCKETS);
    for bucket in points.chunks(stretch) {
        let order = |a: &usize, b: &usize| bucket[*a].1.total_cmp(&bucket[*b].1);
        let low = (0..bucket.len()).min_by(order).unwrap_or(0);
        let high = (0..bucket.len()).max_by(order).unwrap_or(0);
        kept.push(bucket[low.min(high)]);
        if low != high {
            kept.push(bucket[low.max(high)]);
        }
    }
    kept
}

/// Returns every n-th point that is a number, for a line in the plane.
pub(super) fn sparse(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<_> = points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let stride = points.len().div_ceil(2 * BUCKETS).max(1);
    points.into_iter().step_by(stride).collect()
}

/// Returns the range of `values` with `share` of it added at both ends; never an empty one.
pub(super) fn range(values: impl Iterator<Item = f64>, share: f64) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let room = ((high - low) * share).max(if high - low < 1e-9 { 0.5 } else { 0.0 });
    low - room..high + room
}
