//! The vehicle itself, about 1:10: wheels, servo, drive and battery, in steps of a few milliseconds or less.
//!
//! A kinematic bicycle with its reference in the middle of the rear axle. The servo sits askew and the ground falls
//! sideways, so a law that drives it straight has an integrator far from zero; rolling resistance and drag do the
//! same to the speed. All trigonometry is `libm`'s: the same steps give the same bits on every platform.

use crate::ranges::{self, OutOfRange};
use crate::signals::State;
use serde::{Deserialize, Serialize};

/// The distance between the axles, in m.
pub const WHEELBASE_M: f64 = 0.26;
/// The steering's mechanical stop, in rad.
const STEERING_STOP_RAD: f64 = 0.55;
/// What the vehicle weighs, in kg.
const MASS_KG: f64 = 3.2;
/// The battery's voltage when full and at rest, in V; two lithium cells.
const VOLTAGE_FULL_V: f64 = 8.4;
/// The battery's voltage when empty and at rest, in V.
const VOLTAGE_EMPTY_V: f64 = 6.4;
/// The battery's inner resistance, in Ω.
const RESISTANCE_OHM: f64 = 0.06;
/// What the electronics draw, in A.
const IDLE_A: f64 = 0.8;
/// The drive gives its full acceleration above this voltage, and less in proportion below it, in V.
const VOLTAGE_RATED_V: f64 = 7.4;

/// The properties of one vehicle. The default is the model car of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlantConfig {
    /// The servo's time constant, in s.
    pub steering_tau_s: f64,
    /// The drive's time constant, in s.
    pub drive_tau_s: f64,
    /// How far the servo sits askew, in rad; positive steers to the left.
    pub steering_offset_rad: f64,
    /// What rolling costs, in m/s².
    pub rolling_mps2: f64,
    /// What the air costs, in 1/m: times the square of the speed.
    pub drag_per_m: f64,
    /// How far the vehicle creeps downhill on a side slope, in rad of direction per rad of slope.
    pub slip_per_slope: f64,
    /// How much a side slope turns the vehicle downhill, in 1/m of curvature per rad of slope.
    pub turn_per_slope_per_m: f64,
    /// The battery's capacity, in A·h.
    pub battery_ah: f64,
    /// How full the battery is at the start, 0 to 1.
    pub battery_charge: f64,
}

impl Default for PlantConfig {
    fn default() -> Self {
        Self {
            steering_tau_s: 0.05,
            drive_tau_s: 0.08,
            steering_offset_rad: 0.07,
            rolling_mps2: 0.5,
            drag_per_m: 0.04,
            slip_per_slope: 0.25,
            turn_per_slope_per_m: 0.8,
            battery_ah: 5.0,
            battery_charge: 0.9,
        }
    }
}

impl PlantConfig {
    /// Checks that every field is a number that a model vehicle can have.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        ranges::check(&[
            ("steering_tau_s", self.steering_tau_s, 1e-3, 1.0),
            ("drive_tau_s", self.drive_tau_s, 1e-3, 1.0),
            ("steering_offset_rad", self.steering_offset_rad, -0.12, 0.12),
            ("rolling_mps2", self.rolling_mps2, 0.0, 2.0),
            ("drag_per_m", self.drag_per_m, 0.0, 0.2),
            ("slip_per_slope", self.slip_per_slope, 0.0, 2.0),
            ("turn_per_slope_per_m", self.turn_per_slope_per_m, 0.0, 5.0),
            ("battery_ah", self.battery_ah, 0.1, 100.0),
            ("battery_charge", self.battery_charge, 0.0, 1.0),
        ])
    }
}

/// The battery as a meter would show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Battery {
    /// How full it is, 0 to 1.
    pub charge: f64,
    /// Its voltage under load, in V.
    pub voltage_v: f64,
    /// What it gives, in A: positive.
    pub current_a: f64,
}

/// How the vehicle moves at a moment, as an ideal inertial sensor on its rear axle would feel it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// How fast it turns, in rad/s, to the left positive.
    pub yaw_rate_radps: f64,
    /// Acceleration forwards, in m/s².
    pub forward_mps2: f64,
    /// Acceleration to the left, in m/s²: what the turn takes.
    pub left_mps2: f64,
}

/// The vehicle.
///
/// # Invariants
/// Its speed is never negative: the brakes hold, they do not push.
#[derive(Clone, Debug)]
pub struct Plant {
    config: PlantConfig,
    state: State,
    /// The front wheels' angle, the servo's offset not included, in rad.
    steering_rad: f64,
    /// What the drive gives, in m/s².
    drive_mps2: f64,
    side_slope_rad: f64,
    battery: Battery,
    motion: Motion,
}

impl Plant {
    /// Returns the vehicle at `start`, wheels straight.
    #[must_use]
    pub fn new(config: PlantConfig, start: State) -> Self {
        let charge = config.battery_charge.clamp(0.0, 1.0);
        let battery = Battery { charge, voltage_v: open_circuit_v(charge), current_a: 0.0 };
        let state = State { speed_mps: start.speed_mps.max(0.0), ..start };
        let motion = Motion::default();
        Self { config, state, steering_rad: 0.0, drive_mps2: 0.0, side_slope_rad: 0.0, battery, motion }
    }

    /// Sets how much higher the ground is on the left, in rad.
    pub fn set_side_slope_rad(&mut self, side_slope_rad: f64) {
        self.side_slope_rad = side_slope_rad;
    }

    /// Lets `dt_s` pass with the actuators' setpoints in rad and m/s². What is no number leaves its actuator as it
    /// is.
    pub fn step(&mut self, dt_s: f64, steering_rad: f64, drive_mps2: f64) {
        let wanted = steering_rad.clamp(-STEERING_STOP_RAD, STEERING_STOP_RAD);
        self.steering_rad = towards(self.steering_rad, wanted, dt_s, self.config.steering_tau_s);
        self.drive_mps2 = towards(self.drive_mps2, drive_mps2, dt_s, self.config.drive_tau_s);
        let weak = (self.battery.voltage_v / VOLTAGE_RATED_V).clamp(0.0, 1.0);
        let drive = if self.drive_mps2 > 0.0 { self.drive_mps2 * weak } else { self.drive_mps2 };

        let before = self.state.speed_mps;
        let resistance = self.config.rolling_mps2 + self.config.drag_per_m * before * before;
        let after = (before + (drive - resistance) * dt_s).max(0.0);
        let yaw_before = self.state.yaw_rad;
        self.roll(0.5 * (before + after) * dt_s);
        self.state.speed_mps = after;
        if dt_s > 0.0 {
            let yaw_rate_radps = (self.state.yaw_rad - yaw_before) / dt_s;
            let forward_mps2 = (after - before) / dt_s;
            self.motion = Motion { yaw_rate_radps, forward_mps2, left_mps2: after * yaw_rate_radps };
        }
        self.discharge(dt_s, drive.max(0.0) * MASS_KG * after);
    }

    /// Rolls `way_m` on: the heading in the middle of the way stands for all of it.
    fn roll(&mut self, way_m: f64) {
        let downhill = -self.side_slope_rad;
        let curvature = libm::tan(self.steering_rad + self.config.steering_offset_rad) / WHEELBASE_M
            + self.config.turn_per_slope_per_m * downhill;
        let turn = curvature * way_m;
        let direction = self.state.yaw_rad + 0.5 * turn + self.config.slip_per_slope * downhill;
        self.state.x_m += way_m * libm::cos(direction);
        self.state.y_m += way_m * libm::sin(direction);
        self.state.yaw_rad += turn;
    }

    fn discharge(&mut self, dt_s: f64, power_w: f64) {
        let current_a = IDLE_A + power_w / self.battery.voltage_v.max(1.0);
        self.battery.charge =
            (self.battery.charge - current_a * dt_s / (self.config.battery_ah * 3_600.0)).max(0.0);
        self.battery.voltage_v = open_circuit_v(self.battery.charge) - current_a * RESISTANCE_OHM;
        self.battery.current_a = current_a;
    }

    /// Returns where the vehicle truly is, and how fast.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the front wheels' angle in rad, the servo's offset included.
    #[must_use]
    pub fn wheel_angle_rad(&self) -> f64 {
        self.steering_rad + self.config.steering_offset_rad
    }

    /// Returns what the drive gives, in m/s².
    #[must_use]
    pub const fn drive_mps2(&self) -> f64 {
        self.drive_mps2
    }

    /// Returns how it moved in the last step.
    #[must_use]
    pub const fn motion(&self) -> Motion {
        self.motion
    }

    /// Returns the battery.
    #[must_use]
    pub const fn battery(&self) -> Battery {
        self.battery
    }
}

/// Returns `value` after `dt_s` of a first-order lag towards `wanted`; implicit, so that no step is too long.
fn towards(value: f64, wanted: f64, dt_s: f64, tau_s: f64) -> f64 {
    let next = value + (wanted - value) * (dt_s / (dt_s + tau_s));
    if next.is_finite() { next } else { value }
}

fn open_circuit_v(charge: f64) -> f64 {
    VOLTAGE_EMPTY_V + (VOLTAGE_FULL_V - VOLTAGE_EMPTY_V) * charge
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_S: f64 = 0.001;

    fn level() -> PlantConfig {
        PlantConfig { steering_offset_rad: 0.0, ..PlantConfig::default() }
    }

    fn rolling(config: PlantConfig) -> Plant {
        Plant::new(config, State { speed_mps: 2.0, ..State::default() })
    }

    #[test]
    fn braking_ends_at_standstill_and_not_behind_it() {
        let mut plant = rolling(level());
        for _ in 0..3_000 {
            plant.step(STEP_S, 0.0, -3.0);
            assert!(plant.state().speed_mps >= 0.0);
        }
        let stopped = *plant.state();
        plant.step(STEP_S, 0.2, -3.0);
        assert_eq!(*plant.state(), stopped);
        assert!(stopped.speed_mps.abs() < f64::EPSILON && (0.5..1.2).contains(&stopped.x_m), "{stopped:?}");
    }

    #[test]
    fn a_held_wheel_drives_the_circle_of_the_bicycle() {
        let mut plant = rolling(PlantConfig { rolling_mps2: 0.0, drag_per_m: 0.0, ..level() });
        let mut left_most = f64::NEG_INFINITY;
        for i in 0..6_000 {
            plant.step(STEP_S, 0.25, 0.0);
            if i > 3_000 {
                left_most = left_most.max(plant.state().y_m);
            }
        }
        let diameter = 2.0 * WHEELBASE_M / libm::tan(0.25);
        assert!((left_most - diameter).abs() < 0.12, "{left_most} {diameter}");
    }

    #[test]
    fn an_askew_servo_and_a_slope_pull_the_vehicle_aside() {
        let mut askew = rolling(PlantConfig::default());
        let mut sloping = rolling(level());
        sloping.set_side_slope_rad(0.1);
        for _ in 0..500 {
            askew.step(STEP_S, 0.0, 0.5);
            sloping.step(STEP_S, 0.0, 0.5);
        }
        assert!(askew.state().y_m > 0.05 && sloping.state().y_m < -0.02, "{askew:?} {sloping:?}");
    }

    #[test]
    fn a_weak_battery_takes_acceleration_away() {
        let gain = |battery_charge| {
            let mut plant = rolling(PlantConfig { battery_charge, ..level() });
            for _ in 0..500 {
                plant.step(STEP_S, 0.0, 3.0);
            }
            (plant.state().speed_mps, plant.battery())
        };
        let ((full, full_battery), (empty, empty_battery)) = (gain(1.0), gain(0.1));
        assert!(full > empty + 0.05, "{full} {empty}");
        assert!(full_battery.voltage_v > empty_battery.voltage_v && full_battery.charge < 1.0);
    }

    #[test]
    fn a_setpoint_that_is_no_number_moves_nothing() {
        let mut plant = rolling(level());
        plant.step(STEP_S, f64::NAN, f64::NAN);
        assert!(plant.state().is_finite() && plant.wheel_angle_rad().abs() < f64::EPSILON);
    }
}
