//! What a course is and what it refuses, one test a fact.

use super::*;

const CIRCLE_M: f64 = 2.0;

fn circle() -> Course {
    let points: Vec<[f64; 2]> = (0..24)
        .map(|i| f64::from(i) * TAU / 24.0)
        .map(|angle| [CIRCLE_M * libm::cos(angle), CIRCLE_M * libm::sin(angle)])
        .collect();
    Course::new(&points).expect("a circle is a course")
}

#[test]
fn a_circle_has_its_length_and_curvature() {
    let circle = circle();
    assert!((circle.length_m() - TAU * CIRCLE_M).abs() < 1e-3, "{}", circle.length_m());
    for s in 0..25 {
        assert!((circle.curvature_per_m(f64::from(s) * 0.5) - 0.5).abs() < 5e-3);
    }
    assert!((circle.speed_limit_mps(1.0) - libm::sqrt(LATERAL_MAX_MPS2 * CIRCLE_M)).abs() < 0.02);
}

#[test]
fn left_of_the_course_is_positive() {
    let circle = circle();
    let inside = circle.nearest(CIRCLE_M - 0.1, 0.0, None);
    assert!((inside.cross_track_m - 0.1).abs() < 1e-3, "{inside:?}");
    let outside = circle.nearest(0.0, CIRCLE_M + 0.1, None);
    assert!((outside.cross_track_m + 0.1).abs() < 1e-3, "{outside:?}");
    assert!((outside.s_m - circle.length_m() / 4.0).abs() < 1e-2);
    assert!((wrap_angle(outside.heading_rad - PI)).abs() < 1e-2);
}

#[test]
fn a_search_with_a_hint_finds_what_a_full_search_finds() {
    let course = Course::harbour();
    let mut hint = None;
    for i in 0..2_000_u32 {
        let s_m = f64::from(i) * 0.03;
        let (x, y, heading) = course.pose(s_m);
        let left = 0.12 * libm::sin(s_m);
        let (x, y) = (x - left * libm::sin(heading), y + left * libm::cos(heading));
        let near = course.nearest(x, y, hint);
        assert_eq!(near, course.nearest(x, y, None), "at {s_m} m");
        assert!((near.cross_track_m - left).abs() < 2e-3, "{near:?} {left}");
        hint = Some(near.s_m);
    }
}

#[test]
fn a_hint_from_elsewhere_does_no_harm() {
    let course = Course::harbour();
    let (x, y, _) = course.pose(3.0);
    for hint in [Some(15.0), Some(-4.0), Some(1e12), Some(f64::NAN), None] {
        assert!((course.nearest(x, y, hint).s_m - 3.0).abs() < 1e-2, "{hint:?}");
    }
}

#[test]
fn a_point_that_is_no_number_comes_back_as_nan() {
    let course = Course::harbour();
    assert!(course.nearest(f64::NAN, 0.0, None).cross_track_m.is_nan());
    assert!(course.nearest(0.0, f64::NAN, Some(2.0)).cross_track_m.is_nan());
}

#[test]
fn the_harbour_bends_both_ways_and_is_driven_at_2_to_3_mps() {
    let course = Course::harbour();
    assert!((25.0..=30.0).contains(&course.length_m()), "{}", course.length_m());
    let over = |value: fn(&Sample) -> f64| {
        let values = course.samples.iter().map(value);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (right, left) = over(|sample| sample.curvature_per_m);
    assert!(right < -0.3 && left > 0.5, "{right} {left}");
    let (slow, fast) = over(|sample| sample.speed_mps);
    assert!(slow >= 2.0 && fast <= 3.0 && fast - slow > 0.5, "{slow} {fast}");
    assert!(course.samples.windows(2).all(|pair| (pair[1].curvature_per_m - pair[0].curvature_per_m).abs() < 0.15));
}

#[test]
fn the_side_slope_holds_from_section_to_section() {
    let course = circle()
        .with_side_slope(&[SideSlope { from_m: 8.0, slope_rad: -0.1 }, SideSlope { from_m: 2.0, slope_rad: 0.1 }]);
    for (s_m, slope) in [(0.0, -0.1), (2.0, 0.1), (7.9, 0.1), (8.0, -0.1), (circle().length_m() + 3.0, 0.1)] {
        assert!((course.side_slope_rad(s_m) - slope).abs() < 1e-12, "at {s_m} m");
    }
    assert!(circle().side_slope_rad(1.0).abs() < 1e-12);
}

#[test]
fn bad_points_are_named() {
    let square = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]];
    assert!(Course::new(&square).is_ok());
    assert_eq!(Course::new(&square[..1]).err(), Some(CourseError::TooFewPoints { count: 1 }));
    let mut bad = square;
    bad[2] = [4.0, f64::INFINITY];
    let error = Course::new(&bad).expect_err("infinite");
    assert_eq!(error, CourseError::NotFinite { index: 2, x_m: 4.0, y_m: f64::INFINITY });
    bad[2] = bad[1];
    assert_eq!(Course::new(&bad).err(), Some(CourseError::EqualNeighbours { index: 1, next: 2 }));
    bad = square;
    bad[3] = bad[0];
    assert_eq!(Course::new(&bad).err(), Some(CourseError::EqualNeighbours { index: 3, next: 0 }));
    let far = square.map(|[x, y]| [x * 1_000.0, y * 1_000.0]);
    assert!(matches!(Course::new(&far), Err(CourseError::TooLong { length_m }) if length_m > 10_000.0));
}

#[test]
fn a_bend_that_the_wheels_cannot_follow_is_named_with_its_place() {
    let error = Course::new(&[[0.0, 0.0], [5.0, 0.0], [5.3, 0.3], [5.0, 0.6], [0.0, 0.6]]).expect_err("too tight");
    let CourseError::TooTight { x_m, y_m, radius_m, radius_min_m, .. } = error else {
        panic!("{error}");
    };
    assert!(radius_m < radius_min_m);
    let ends = [5.3, -0.3];
    assert!(ends.iter().any(|end| (x_m - end).abs() < 0.5) && (-0.5..1.1).contains(&y_m), "{error}");
}
