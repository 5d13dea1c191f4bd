//! The field's own messages, as ROS 2 writes them: CDR, little endian, behind a header of four bytes.
//!
//! Only what the model has is filled in; the rest is zero, or no number, as the field does it.

use byteorder::LittleEndian;
use serde::Serialize;
use twinhelm_vehicle::plant::{Battery, Motion};
use twinhelm_vehicle::signals::{Command, State};

/// `nav_msgs/msg/Odometry` with everything that it is made of.
pub(super) const ODOMETRY: &str = include_str!("ros/Odometry.msg");
/// `ackermann_msgs/msg/AckermannDriveStamped` with everything that it is made of.
pub(super) const ACKERMANN_DRIVE_STAMPED: &str = include_str!("ros/AckermannDriveStamped.msg");
/// `sensor_msgs/msg/Imu` with everything that it is made of.
pub(super) const IMU: &str = include_str!("ros/Imu.msg");
/// `sensor_msgs/msg/BatteryState` with everything that it is made of.
pub(super) const BATTERY_STATE: &str = include_str!("ros/BatteryState.msg");
/// `diagnostic_msgs/msg/DiagnosticArray` with everything that it is made of.
pub(super) const DIAGNOSTIC_ARRAY: &str = include_str!("ros/DiagnosticArray.msg");

/// Says that CDR in little endian follows.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];
/// The frame that the course is drawn in, and the one that drives along it.
const FIXED_FRAME: &str = "odom";
const VEHICLE_FRAME: &str = "base_link";

/// Writes `message` into the empty `buffer`.
pub(super) fn write(buffer: &mut Vec<u8>, message: &impl Serialize) {
    buffer.extend_from_slice(&ENCAPSULATION);
    cdr_encoding::to_writer::<_, LittleEndian, _>(&mut *buffer, message)
        .expect("numbers, strings and lists of them have a form in CDR, and memory takes them");
}

/// `std_msgs/msg/Header`
#[derive(Serialize)]
pub(super) struct Header {
    sec: i32,
    nanosec: u32,
    frame_id: &'static str,
}

impl Header {
    fn new(log_time_ns: u64, frame_id: &'static str) -> Self {
        let sec = i32::try_from(log_time_ns / 1_000_000_000).unwrap_or(i32::MAX);
        Self { sec, nanosec: (log_time_ns % 1_000_000_000) as u32, frame_id }
    }
}

/// `geometry_msgs/msg/Point` and `Vector3`
#[derive(Default, Serialize)]
struct Vector3 {
    x: f64,
    y: f64,
    z: f64,
}

/// Row by row: serde knows no array of 36, and in CDR it is the same.
type Covariance = [[f64; 6]; 6];

/// Returns a heading as a quaternion: x, y, z, w.
fn heading(yaw_rad: f64) -> [f64; 4] {
    let half = yaw_rad / 2.0;
    [0.0, 0.0, libm::sin(half), libm::cos(half)]
}

/// `nav_msgs/msg/Odometry`
#[derive(Serialize)]
pub(super) struct Odometry {
    header: Header,
    child_frame_id: &'static str,
    position: Vector3,
    /// x, y, z, w
    orientation: [f64; 4],
    pose_covariance: Covariance,
    linear: Vector3,
    angular: Vector3,
    twist_covariance: Covariance,
}

impl Odometry {
    /// `yaw_rate_radps` where it is known: a device's readings have none.
    pub(super) fn new(log_time_ns: u64, state: &State, yaw_rate_radps: f64) -> Self {
        Self {
            header: Header::new(log_time_ns, FIXED_FRAME),
            child_frame_id: VEHICLE_FRAME,
            position: Vector3 { x: state.x_m, y: state.y_m, z: 0.0 },
            orientation: heading(state.yaw_rad),
            pose_covariance: Covariance::default(),
            linear: Vector3 { x: state.speed_mps, ..Vector3::default() },
            angular: Vector3 { z: yaw_rate_radps, ..Vector3::default() },
            twist_covariance: Covariance::default(),
        }
    }
}

/// Standard gravity in m/s²: an accelerometer at rest shows it upwards (REP 145).
const GRAVITY_MPS2: f64 = 9.806_65;

/// `sensor_msgs/msg/Imu`
#[derive(Serialize)]
pub(super) struct Imu {
    header: Header,
    /// x, y, z, w
    orientation: [f64; 4],
    orientation_covariance: [f64; 9],
    angular_velocity: Vector3,
    angular_velocity_covariance: [f64; 9],
    linear_acceleration: Vector3,
    linear_acceleration_covariance: [f64; 9],
}

impl Imu {
    pub(super) fn new(log_time_ns: u64, yaw_rad: f64, motion: &Motion) -> Self {
        let Motion { yaw_rate_radps, forward_mps2, left_mps2 } = *motion;
        Self {
            header: Header::new(log_time_ns, VEHICLE_FRAME),
            orientation: heading(yaw_rad),
            orientation_covariance: [0.0; 9],
            angular_velocity: Vector3 { z: yaw_rate_radps, ..Vector3::default() },
            angular_velocity_covariance: [0.0; 9],
            linear_acceleration: Vector3 { x: forward_mps2, y: left_mps2, z: GRAVITY_MPS2 },
            linear_acceleration_covariance: [0.0; 9],
        }
    }
}

/// `sensor_msgs/msg/BatteryState`; what is not measured is no number.
#[derive(Serialize)]
pub(super) struct BatteryState {
    header: Header,
    voltage: f32,
    temperature: f32,
    /// Negative while it gives.
    current: f32,
    charge: f32,
    capacity: f32,
    design_capacity: f32,
    /// 0 to 1, in spite of its name.
    percentage: f32,
    power_supply_status: u8,
    power_supply_health: u8,
    power_supply_technology: u8,
    present: bool,
    cell_voltage: Vec<f32>,
    cell_temperature: Vec<f32>,
    location: &'static str,
    serial_number: &'static str,
}

impl BatteryState {
    #[expect(clippy::cast_possible_truncation, reason = "the message carries f32")]
    pub(super) fn new(log_time_ns: u64, battery: &Battery) -> Self {
        Self {
            header: Header::new(log_time_ns, VEHICLE_FRAME),
            voltage: battery.voltage_v as f32,
            temperature: f32::NAN,
            current: -battery.current_a as f32,
            charge: f32::NAN,
            capacity: f32::NAN,
            design_capacity: f32::NAN,
            percentage: battery.charge as f32,
            // Discharging, of unknown health, two lithium cells.
            power_supply_status: 2,
            power_supply_health: 0,
            power_supply_technology: 2,
            present: true,
            cell_voltage: Vec::new(),
            cell_temperature: Vec::new(),
            location: "",
            serial_number: "",
        }
    }
}

/// `ackermann_msgs/msg/AckermannDriveStamped`
#[derive(Serialize)]
pub(super) struct Drive {
    header: Header,
    steering_angle: f32,
    steering_angle_velocity: f32,
    speed: f32,
    acceleration: f32,
    jerk: f32,
}

impl Drive {
    #[expect(clippy::cast_possible_truncation, reason = "the message carries f32, and 16 bits came over the bus")]
    pub(super) fn new(log_time_ns: u64, command: Command) -> Self {
        Self {
            header: Header::new(log_time_ns, VEHICLE_FRAME),
            steering_angle: command.steering_rad as f32,
            steering_angle_velocity: 0.0,
            speed: 0.0,
            acceleration: command.drive_mps2 as f32,
            jerk: 0.0,
        }
    }
}

/// `diagnostic_msgs/msg/DiagnosticArray`
#[derive(Serialize)]
pub(super) struct DiagnosticArray {
    header: Header,
    status: Vec<DiagnosticStatus>,
}

impl DiagnosticArray {
    pub(super) fn new(log_time_ns: u64, status: Vec<DiagnosticStatus>) -> Self {
        Self { header: Header::new(log_time_ns, ""), status }
    }
}

/// `diagnostic_msgs/msg/DiagnosticStatus`
#[derive(Serialize)]
pub(super) struct DiagnosticStatus {
    pub(super) level: Level,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) hardware_id: &'static str,
    pub(super) values: Vec<KeyValue>,
}

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub(super) enum Level {
    Ok,
    Warn,
    Error,
    Stale,
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => 0,
            Level::Warn => 1,
            Level::Error => 2,
            Level::Stale => 3,
        }
    }
}

/// `diagnostic_msgs/msg/KeyValue`
#[derive(Serialize)]
pub(super) struct KeyValue {
    pub(super) key: &'static str,
    pub(super) value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, message);
        bytes
    }

    #[test]
    fn a_drive_is_laid_out_as_ros_2_does_it() {
        let bytes = bytes(&Drive::new(3_000_000_007, Command { steering_rad: 0.25, drive_mps2: -1.5 }));
        let mut expected = vec![0, 1, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 10, 0, 0, 0];
        expected.extend(b"base_link\0");
        // The string's end is rounded up to 4.
        expected.extend([0, 0]);
        for number in [0.25_f32, 0.0, 0.0, -1.5, 0.0] {
            expected.extend(number.to_le_bytes());
        }
        assert_eq!(bytes, expected);
    }

    #[test]
    fn odometry_is_as_long_as_its_fields() {
        let bytes = bytes(&Odometry::new(0, &State::default(), 0.0));
        // Stamp, two strings; rounded up to 8 behind the header of 4; 7 + 36 + 6 + 36 numbers.
        let strings: usize = 8 + (4 + 5 + 3) + (4 + 10);
        assert_eq!(bytes.len(), 4 + strings.next_multiple_of(8) + (7 + 36 + 6 + 36) * 8);
    }
}
