//! The law on the road, one test a fact.

use super::*;
use crate::plant::{Plant, PlantConfig};
use crate::sensors::{SensorConfig, Sensors};
use twinhelm_hal::signals::Command as _;

const PERIOD: Duration = Duration::from_millis(10);
const STEPS_A_PERIOD: u32 = 5;

/// A vehicle on its course with two devices, each with sensors and a law of its own.
struct Road {
    course: Arc<Course>,
    plant: Plant,
    sensors: [Sensors; 2],
    laws: [CourseLaw; 2],
    driver: usize,
    progress_m: Option<f64>,
    driven_m: f64,
}

impl Road {
    fn new(seed: u64) -> Self {
        let course = Arc::new(Course::harbour());
        let (x_m, y_m, yaw_rad) = course.pose(0.0);
        let start = State { x_m, y_m, yaw_rad, speed_mps: 0.0 };
        let sensors = |device| Sensors::new(SensorConfig::default(), seed * 2 + device);
        Self {
            plant: Plant::new(PlantConfig::default(), start),
            sensors: [sensors(0), sensors(1)],
            laws: [CourseLaw::new(Arc::clone(&course)), CourseLaw::new(Arc::clone(&course))],
            course,
            driver: 0,
            progress_m: None,
            driven_m: 0.0,
        }
    }

    /// Drives one cycle. Returns the command that was acted on and the true cross-track error in m.
    fn cycle(&mut self) -> (Command, f64) {
        let truth = *self.plant.state();
        let commands = [0, 1].map(|device| {
            let state = self.sensors[device].read(&truth).expect("no fault");
            self.laws[device].step(&state, PERIOD)
        });
        let applied = Command::decode(&commands[self.driver].encode().expect("a sound law's command is in range"));
        let standby = 1 - self.driver;
        let memory = self.laws[self.driver].export();
        self.laws[standby].import(&memory);
        for law in &mut self.laws {
            law.track(&applied);
        }
        let on = self.course.nearest(truth.x_m, truth.y_m, self.progress_m);
        self.driven_m += wrap_way(on.s_m - self.progress_m.unwrap_or(on.s_m), self.course.length_m());
        self.progress_m = Some(on.s_m);
        self.plant.set_side_slope_rad(self.course.side_slope_rad(on.s_m));
        for _ in 0..STEPS_A_PERIOD {
            let dt_s = PERIOD.as_secs_f64() / f64::from(STEPS_A_PERIOD);
            self.plant.step(dt_s, applied.steering_rad, applied.drive_mps2);
        }
        (applied, on.cross_track_m)
    }
}

fn wrap_way(way_m: f64, length_m: f64) -> f64 {
    way_m - length_m * libm::round(way_m / length_m)
}

#[test]
fn laps_are_driven_close_to_the_line_with_integrals_far_from_zero() {
    for seed in 0..20 {
        let mut road = Road::new(seed);
        let mut worst = 0.0_f64;
        let mut fastest = 0.0_f64;
        for cycle in 0..4_000 {
            let (_, cross_track_m) = road.cycle();
            if cycle > 200 {
                worst = worst.max(cross_track_m.abs());
                fastest = fastest.max(road.plant.state().speed_mps);
            }
        }
        let memory = road.laws[0].export();
        let laps = road.driven_m / road.course.length_m();
        assert!(worst < 0.15, "seed {seed}: {worst} m");
        assert!(laps > 3.5 && fastest > 2.5 && fastest < 3.0, "seed {seed}: {laps} laps, {fastest} m/s");
        assert!(memory.steering_integral_rad < -0.05, "seed {seed}: {memory:?}");
        assert!(memory.drive_integral_mps2 > 0.3, "seed {seed}: {memory:?}");
    }
}

/// Returns the command's steps, as root mean squares over many handovers, in rad and m/s².
fn handover_steps(with_memory: bool) -> (f64, f64) {
    let (mut steering, mut drive, mut count) = (0.0, 0.0, 0.0);
    for seed in 0..25 {
        let mut road = Road::new(seed);
        for _ in 0..600 + 17 * seed {
            let _ = road.cycle();
        }
        let (before, _) = road.cycle();
        road.driver = 1;
        if !with_memory {
            let course = Arc::clone(&road.course);
            road.laws[1] = CourseLaw::new(course);
        }
        let (after, _) = road.cycle();
        let step = (after.steering_rad - before.steering_rad, after.drive_mps2 - before.drive_mps2);
        steering += step.0 * step.0;
        drive += step.1 * step.1;
        count += 1.0;
    }
    (libm::sqrt(steering / count), libm::sqrt(drive / count))
}

#[test]
fn a_handover_with_memory_steps_many_times_less() {
    let (with, without) = (handover_steps(true), handover_steps(false));
    assert!(with.0 * 10.0 < without.0 && with.1 * 5.0 < without.1, "{with:?} {without:?}");
}

#[test]
fn tracking_ones_own_command_changes_nothing() {
    let mut road = Road::new(4);
    for _ in 0..1_000 {
        let state = road.sensors[0].read(road.plant.state()).expect("no fault");
        let command = road.laws[0].step(&state, PERIOD);
        let memory = road.laws[0].export();
        road.laws[0].track(&Command::decode(&command.encode().expect("in range")));
        assert_eq!(road.laws[0].export(), memory);
        road.plant.step(PERIOD.as_secs_f64(), command.steering_rad, command.drive_mps2);
    }
}

#[test]
fn tracking_after_an_import_meets_the_command_that_was_acted_on() {
    let mut road = Road::new(5);
    for _ in 0..500 {
        let (applied, _) = road.cycle();
        let seen = road.laws[1].seen.expect("a finite state was seen");
        let own = road.laws[1].output(&seen);
        assert!((own.steering_rad - applied.steering_rad).abs() <= STEERING.factor);
        assert!((own.drive_mps2 - applied.drive_mps2).abs() <= DRIVE.factor);
    }
}

#[test]
fn nan_in_is_nan_out_and_leaves_the_memory_alone() {
    let mut road = Road::new(6);
    for _ in 0..300 {
        let _ = road.cycle();
    }
    let memory = road.laws[0].export();
    let good = *road.plant.state();
    let bad = [
        State { x_m: f64::NAN, ..good },
        State { y_m: f64::INFINITY, ..good },
        State { yaw_rad: f64::NAN, ..good },
        State { speed_mps: f64::NAN, ..good },
        State { x_m: 1e300, y_m: -1e300, yaw_rad: 1e300, speed_mps: 1e308 },
    ];
    for state in bad {
        let command = road.laws[0].step(&state, PERIOD);
        let sent = command.encode();
        if state.is_finite() {
            assert!(road.laws[0].export().is_finite());
            road.laws[0].import(&memory);
        } else {
            assert_eq!(sent, None, "{state:?}");
            road.laws[0].track(&Command { steering_rad: 0.1, drive_mps2: 0.1 });
            assert_eq!(road.laws[0].export(), memory);
        }
    }
    road.laws[0].import(&Memory { drive_integral_mps2: f64::NAN, ..memory });
    assert_eq!(road.laws[0].export(), memory);
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let run = || {
        let mut road = Road::new(11);
        let commands: Vec<_> = (0..1_500).map(|_| road.cycle().0.encode()).collect();
        let state = road.plant.state();
        let bits = [state.x_m, state.y_m, state.yaw_rad, state.speed_mps].map(f64::to_bits);
        (commands, bits)
    };
    assert_eq!(run(), run());
}

#[test]
fn two_laws_with_one_memory_and_one_state_give_one_command() {
    let mut road = Road::new(12);
    for _ in 0..700 {
        let _ = road.cycle();
    }
    let before = road.laws[0].export();
    let state = road.sensors[0].read(road.plant.state()).expect("no fault");
    let mut check = CourseLaw::new(Arc::clone(&road.course));
    check.import(&before);
    assert_eq!(check.step(&state, PERIOD), road.laws[0].step(&state, PERIOD));
    assert_eq!(check.export(), road.laws[0].export());
}

#[test]
fn a_standstill_is_a_ramp_on_the_course_and_the_vehicle_stays() {
    let mut road = Road::new(13);
    for _ in 0..700 {
        let _ = road.cycle();
    }
    for _ in 0..500 {
        let state = road.sensors[0].read(road.plant.state()).expect("no fault");
        let command = road.laws[0].standstill(&state, PERIOD);
        assert!(command.encode().is_some() && command.drive_mps2 > -3.0);
        road.plant.step(PERIOD.as_secs_f64(), command.steering_rad, command.drive_mps2);
    }
    let stopped = *road.plant.state();
    assert!(stopped.speed_mps.abs() < f64::EPSILON, "{stopped:?}");
    assert!(road.course.nearest(stopped.x_m, stopped.y_m, None).cross_track_m.abs() < 0.15);
    for _ in 0..300 {
        let _ = road.cycle();
    }
    assert!(road.plant.state().speed_mps > 2.0, "it drives on when it is asked to");
}
