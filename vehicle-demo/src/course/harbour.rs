//! The built-in course: around a harbour basin, with a bend the other way where the quay juts in.

use super::SideSlope;

/// The harbour's points, in m.
pub(super) const POINTS: [[f64; 2]; 16] = [
    [0.0, 0.0],
    [1.95, 0.22],
    [3.61, 0.85],
    [4.71, 1.79],
    [5.1, 2.9],
    [4.71, 4.0],
    [3.61, 4.79],
    [1.95, 4.63],
    [0.0, 4.43],
    [-1.95, 5.28],
    [-3.61, 4.93],
    [-4.71, 4.01],
    [-5.1, 2.9],
    [-4.71, 1.79],
    [-3.61, 0.85],
    [-1.95, 0.22],
];

/// The quay falls away from the basin, by sections.
pub(super) const SLOPES: [SideSlope; 3] = [
    SideSlope { from_m: 0.0, slope_rad: -0.05 },
    SideSlope { from_m: 8.0, slope_rad: -0.02 },
    SideSlope { from_m: 14.0, slope_rad: -0.07 },
];
