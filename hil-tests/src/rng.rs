//! Numbers by seed. The generator is PCG, whose values are fixed by its specification.

use rand_core::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use twinhelm_hal::time::{Duration, nanos};

/// A seeded source of numbers.
#[derive(Clone, Debug)]
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// Returns the source of `seed`; `stream` keeps sources with one seed apart.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Returns a number from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a whole number below `bound`, or 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// Returns a span from `from` to `to`, `to` excluded.
    pub fn span(&mut self, from: Duration, to: Duration) -> Duration {
        Duration::from_nanos(nanos(from) + self.below(nanos(to.saturating_sub(from))))
    }

    /// Returns true with probability `part`.
    pub fn chance(&mut self, part: f64) -> bool {
        self.unit() < part
    }
}
