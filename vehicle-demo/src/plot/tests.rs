//! The picture holds what it was given, and bad numbers do not spoil it.

use super::*;

/// A run of 14 s around a circle with a kill at 5 s.
fn figure() -> Figure {
    let course = crate::course::Course::harbour();
    let at = |i: u32| f64::from(i) * 0.01;
    let path = (0..1_400).map(|i| {
        let (x, y, heading) = course.pose(2.5 * at(i));
        let left = 0.03 * libm::sin(3.0 * at(i)) + if (500..540).contains(&i) { 0.03 } else { 0.0 };
        PathPoint {
            t_s: at(i),
            x_m: x - left * libm::sin(heading),
            y_m: y + left * libm::cos(heading),
            cross_track_m: left,
        }
    });
    let commands = (0..1_400).filter(|i| *i != 500).map(|i| CommandPoint {
        t_s: at(i),
        slot: u8::from(i > 500),
        steering_rad: 0.2 * libm::sin(at(i)),
        drive_mps2: 0.5 + 0.3 * libm::cos(2.0 * at(i)),
    });
    let span = |from_s, to_s, role: &str| RoleSpan { from_s, to_s, role: role.into() };
    Figure {
        title: "kill at 5 s, rig sim, seed 1".into(),
        course_xy: course.outline().collect(),
        path: path.collect(),
        commands: commands.collect(),
        roles: vec![
            DeviceRoles {
                device: "left".into(),
                spans: vec![span(0.0, 0.1, "claiming"), span(0.1, 5.0, "primary"), span(5.0, 14.0, "gone")],
            },
            DeviceRoles {
                device: "right".into(),
                spans: vec![span(0.0, 0.3, "joining"), span(0.3, 5.03, "standby"), span(5.03, 14.0, "primary")],
            },
        ],
        gaps: (1..1_400).map(|i| (at(i), if i == 501 { 12.4 } else { 10.0 })).collect(),
        faults: vec![(5.0, "kill left".into())],
        handovers: vec![5.03],
        period_ms: 10.0,
        command_timeout_ms: 50.0,
    }
}

#[test]
fn the_picture_names_what_it_shows() {
    let svg = figure().to_svg().expect("drawn");
    for word in [
        "kill left",
        "rig sim",
        "course",
        "handover",
        "Steering",
        "Drive",
        "primary",
        "standby",
        "left",
        "2 periods",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.len() < 600_000, "{}", svg.len());
    assert!(!svg.contains("NaN"));
}

#[test]
fn an_empty_run_and_bad_numbers_are_drawn_all_the_same() {
    assert!(Figure::default().to_svg().is_ok());
    let mut bad = figure();
    bad.path[3].x_m = f64::NAN;
    bad.path[9].cross_track_m = f64::INFINITY;
    bad.commands[7].steering_rad = f64::NAN;
    bad.gaps[2].1 = f64::NEG_INFINITY;
    bad.course_xy[0].0 = f64::NAN;
    bad.roles[0].spans[1].to_s = f64::NAN;
    assert!(!bad.to_svg().expect("drawn").contains("NaN"));
}

#[test]
fn one_long_gap_survives_the_thinning_of_an_hour() {
    let points = (0..360_000_u32).map(|i| (f64::from(i), if i == 123_456 { 47.0 } else { 10.0 }));
    let kept = thin::thinned(points);
    assert!(kept.len() < 2_000 && kept.contains(&(123_456.0, 47.0)));
    assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
}
