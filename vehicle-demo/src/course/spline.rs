//! A periodic cubic spline in the plane, by length of chord.

/// How many pieces each part of the spline is cut into to measure its length.
const PIECES: usize = 64;
/// Sweeps of the relaxation. Each halves the error at least, because the matrix is diagonally dominant.
const SWEEPS: usize = 80;

/// A place on the spline with its first two derivatives.
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    pub dx: f64,
    pub dy: f64,
    ddx: f64,
    ddy: f64,
}

impl Point {
    pub fn curvature(&self) -> f64 {
        let speed = libm::hypot(self.dx, self.dy);
        (self.dx * self.ddy - self.dy * self.ddx) / (speed * speed * speed)
    }
}

/// The spline: knots, their second derivatives, and the chords between them.
pub(super) struct Spline {
    knots: Vec<[f64; 2]>,
    bends: Vec<[f64; 2]>,
    chords: Vec<f64>,
    /// Length up to each piece.
    lengths: Vec<f64>,
}

impl Spline {
    /// Returns the spline through `knots`; neighbours have to differ.
    pub fn through(knots: &[[f64; 2]]) -> Self {
        let count = knots.len();
        let chords = (0..count).map(|i| {
            let ([x, y], [x_next, y_next]) = (knots[i], knots[(i + 1) % count]);
            libm::hypot(x_next - x, y_next - y)
        });
        let chords: Vec<f64> = chords.collect();
        let bends = bends(knots, &chords);
        let mut spline = Self { knots: knots.to_vec(), bends, chords, lengths: vec![0.0] };
        let mut length = 0.0;
        let mut last = spline.at(0.0);
        for piece in 1..=count * PIECES {
            let here = spline.at(parameter(piece));
            length += libm::hypot(here.x - last.x, here.y - last.y);
            spline.lengths.push(length);
            last = here;
        }
        spline
    }

    pub fn length_m(&self) -> f64 {
        self.lengths.last().copied().unwrap_or(0.0)
    }

    /// Returns `count` points, evenly spaced, from the first knot on.
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    pub fn evenly(&self, count: usize) -> impl Iterator<Item = Point> + '_ {
        let step = self.length_m() / count as f64;
        let mut piece = 0;
        (0..count).map(move |index| {
            let s = index as f64 * step;
            while piece + 2 < self.lengths.len() && self.lengths[piece + 1] <= s {
                piece += 1;
            }
            let (from, to) = (self.lengths[piece], self.lengths[piece + 1]);
            let rest = if to > from { (s - from) / (to - from) } else { 0.0 };
            self.at(parameter(piece) + rest / PIECES as f64)
        })
    }

    /// Returns the place at `parameter`: whole numbers are the knots.
    fn at(&self, parameter: f64) -> Point {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "counts knots, from 0")]
        let part = (parameter as usize).min(self.knots.len() - 1);
        let next = (part + 1) % self.knots.len();
        #[expect(clippy::cast_precision_loss, reason = "a count of knots")]
        let u = parameter - part as f64;
        let h = self.chords[part];
        let along = |axis: usize| {
            let (p, q) = (self.knots[part][axis], self.knots[next][axis]);
            let (m, n) = (self.bends[part][axis], self.bends[next][axis]);
            let v = 1.0 - u;
            let value = v * p + u * q + h * h / 6.0 * ((v * v * v - v) * m + (u * u * u - u) * n);
            let slope = (q - p) / h + h / 6.0 * ((3.0 * u * u - 1.0) * n - (3.0 * v * v - 1.0) * m);
            (value, slope, v * m + u * n)
        };
        let ((x, dx, ddx), (y, dy, ddy)) = (along(0), along(1));
        Point { x, y, dx, dy, ddx, ddy }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of pieces")]
fn parameter(piece: usize) -> f64 {
    piece as f64 / PIECES as f64
}

/// Returns the second derivatives at the knots that make the first ones continuous, by Gauss and Seidel.
fn bends(knots: &[[f64; 2]], chords: &[f64]) -> Vec<[f64; 2]> {
    let count = knots.len();
    let mut bends = vec![[0.0; 2]; count];
    for _ in 0..SWEEPS {
        for i in 0..count {
            let (before, next) = ((i + count - 1) % count, (i + 1) % count);
            let (h, k) = (chords[before], chords[i]);
            for axis in 0..2 {
                let turn = (knots[next][axis] - knots[i][axis]) / k - (knots[i][axis] - knots[before][axis]) / h;
                bends[i][axis] = (6.0 * turn - h * bends[before][axis] - k * bends[next][axis]) / (2.0 * (h + k));
            }
        }
    }
    bends
}
