//! A plan, as it is handed from device to device, and the law that follows its course.

use std::sync::Arc;
use twinhelm_control::Controller as _;
use twinhelm_hal::signals::Command as _;
use twinhelm_hal::time::Duration;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plan::Plan;
use twinhelm_vehicle::signals::{LAYOUT, State};

const PERIOD: Duration = Duration::from_millis(10);

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(Plan { version, course, tuning }) = serde_json::from_slice(data) else { return };
    let text = serde_json::to_string(&Plan { version, course: course.clone(), tuning }).expect("it is written");
    let again: Plan = serde_json::from_str(&text).expect("what was written is read");
    assert_eq!(serde_json::to_string(&again).expect("it is written"), text);
    let length_m = course.length_m();
    assert!(length_m.is_finite() && length_m > 0.0, "a course has a length");
    assert!(course.outline().all(|(x_m, y_m)| x_m.is_finite() && y_m.is_finite()));
    let mut law = CourseLaw::with_tuning(Arc::new(course.clone()), tuning);
    for part in [0.0, 0.25, 0.999, 1.0, -3.0, 1e300, f64::NAN] {
        let s_m = part * length_m;
        let (x_m, y_m, yaw_rad) = course.pose(s_m);
        let on_course = course.nearest(x_m, y_m, Some(s_m));
        assert!(on_course.s_m.is_nan() || (0.0..=length_m).contains(&on_course.s_m), "a place on the course");
        let _ = (course.curvature_per_m(s_m), course.speed_limit_mps(s_m), course.side_slope_rad(s_m));
        let state = State { x_m, y_m, yaw_rad, speed_mps: 2.0 };
        for command in [law.step(&state, PERIOD), law.standstill(&state, PERIOD)] {
            // What cannot be computed is not sent.
            assert!(command.encode().is_none_or(|signals| LAYOUT.allows(&signals)));
            law.track(&command);
        }
        let memory = law.export();
        law.import(&memory);
    }
}
