//! The topics of a recording: their names, and how their messages are written.

use super::ros;
use twinhelm_hal::frame::GATES;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::Event;

/// One topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Run,
    Begins,
    Report,
    Lost,
    Fault,
    Stall,
    Phase,
    Truth,
    Odom,
    Drive,
    Imu,
    Battery,
    Diagnostics,
    Gate(u8, OfGate),
    Device(Slot, OfDevice),
}

/// What there is of each gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OfGate {
    Decision,
    Input,
}

/// What there is of each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OfDevice {
    Step,
    Sample,
    Role,
    Ready,
    Down,
    Sent,
    Told,
    Wrong,
    Odom,
    Drive,
}

/// How the messages of a topic are written.
pub(super) struct Form {
    /// The schema's name.
    pub name: &'static str,
    /// The schema's encoding.
    pub encoding: &'static str,
    /// The schema.
    pub schema: &'static str,
    /// The messages' encoding.
    pub messages: &'static str,
}

const WHOLE_RIG: [Topic; 13] = [
    Topic::Run,
    Topic::Begins,
    Topic::Report,
    Topic::Lost,
    Topic::Fault,
    Topic::Stall,
    Topic::Phase,
    Topic::Truth,
    Topic::Odom,
    Topic::Drive,
    Topic::Imu,
    Topic::Battery,
    Topic::Diagnostics,
];

const OF_DEVICE: [OfDevice; 10] = [
    OfDevice::Step,
    OfDevice::Sample,
    OfDevice::Role,
    OfDevice::Ready,
    OfDevice::Down,
    OfDevice::Sent,
    OfDevice::Told,
    OfDevice::Wrong,
    OfDevice::Odom,
    OfDevice::Drive,
];

impl Topic {
    /// Returns where `event` is written.
    pub(super) const fn of(event: &Event) -> Self {
        match event {
            Event::Acted { gate, .. }
            | Event::Dropped { gate, .. }
            | Event::Closed { gate }
            | Event::Restarted { gate }
            | Event::EStopped { gate }
            | Event::Followed { gate, .. } => Self::Gate(*gate, OfGate::Decision),
            Event::Offered { slot, .. } => Self::Device(*slot, OfDevice::Sent),
            Event::Told { slot, .. } => Self::Device(*slot, OfDevice::Told),
            Event::Role { slot, .. } => Self::Device(*slot, OfDevice::Role),
            Event::Ready { slot, .. } => Self::Device(*slot, OfDevice::Ready),
            Event::Down { slot } => Self::Device(*slot, OfDevice::Down),
            Event::Wrong { slot, .. } => Self::Device(*slot, OfDevice::Wrong),
            Event::Fault { .. } | Event::FaultEnded { .. } => Self::Fault,
            Event::Truth { .. } => Self::Truth,
            Event::Stalled { .. } => Self::Stall,
            Event::Phase { .. } => Self::Phase,
        }
    }

    /// Returns the topic with this name, if it is one of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let gates =
            (0..GATES).flat_map(|gate| [Self::Gate(gate, OfGate::Decision), Self::Gate(gate, OfGate::Input)]);
        let slots = (0..SLOTS).map(Slot::from_low_bits);
        let devices = slots.flat_map(|slot| OF_DEVICE.map(|what| Self::Device(slot, what)));
        WHOLE_RIG.into_iter().chain(gates).chain(devices).find(|topic| topic.name() == name)
    }

    /// Returns the topic's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Run => "/run".to_owned(),
            Self::Begins => "/run/begins".to_owned(),
            Self::Report => "/report".to_owned(),
            Self::Lost => "/lost".to_owned(),
            Self::Fault => "/fault".to_owned(),
            Self::Stall => "/stall".to_owned(),
            Self::Phase => "/phase".to_owned(),
            Self::Truth => "/truth".to_owned(),
            Self::Odom => "/odom".to_owned(),
            Self::Drive => "/drive".to_owned(),
            Self::Imu => "/imu".to_owned(),
            Self::Battery => "/battery".to_owned(),
            Self::Diagnostics => "/diagnostics".to_owned(),
            Self::Gate(gate, OfGate::Decision) => format!("/gate/{gate}/decision"),
            Self::Gate(gate, OfGate::Input) => format!("/gate/{gate}/input"),
            Self::Device(slot, what) => format!("/device/{}/{}", device_name(slot), what.name()),
        }
    }

    /// Returns whether the messages are one [`Event`] each.
    pub(super) const fn is_event(self) -> bool {
        match self {
            Self::Fault | Self::Stall | Self::Phase | Self::Truth | Self::Gate(_, OfGate::Decision) => true,
            Self::Run
            | Self::Begins
            | Self::Report
            | Self::Lost
            | Self::Odom
            | Self::Drive
            | Self::Imu
            | Self::Battery
            | Self::Diagnostics
            | Self::Gate(_, OfGate::Input) => false,
            Self::Device(_, what) => what.is_event(),
        }
    }

    /// Returns how the messages are written.
    pub(super) const fn form(self) -> Form {
        match self {
            Self::Odom | Self::Device(_, OfDevice::Odom) => ros2("nav_msgs/msg/Odometry", ros::ODOMETRY),
            Self::Drive | Self::Device(_, OfDevice::Drive) => {
                ros2("ackermann_msgs/msg/AckermannDriveStamped", ros::ACKERMANN_DRIVE_STAMPED)
            }
            Self::Imu => ros2("sensor_msgs/msg/Imu", ros::IMU),
            Self::Battery => ros2("sensor_msgs/msg/BatteryState", ros::BATTERY_STATE),
            Self::Diagnostics => ros2("diagnostic_msgs/msg/DiagnosticArray", ros::DIAGNOSTIC_ARRAY),
            Self::Run => json("twinhelm.Run", include_str!("schemas/run.json")),
            Self::Begins => json("twinhelm.Begins", include_str!("schemas/begins.json")),
            Self::Report => json("twinhelm.Report", include_str!("schemas/report.json")),
            Self::Lost => json("twinhelm.Lost", include_str!("schemas/lost.json")),
            Self::Gate(_, OfGate::Input) => json("twinhelm.Judged", include_str!("schemas/judged.json")),
            Self::Device(_, OfDevice::Step) => json("twinhelm.Turn", include_str!("schemas/turn.json")),
            Self::Device(_, OfDevice::Sample) => json("twinhelm.Sample", include_str!("schemas/sample.json")),
            Self::Fault
            | Self::Stall
            | Self::Phase
            | Self::Truth
            | Self::Gate(_, OfGate::Decision)
            | Self::Device(
                _,
                OfDevice::Role
                | OfDevice::Ready
                | OfDevice::Down
                | OfDevice::Sent
                | OfDevice::Told
                | OfDevice::Wrong,
            ) => json("twinhelm.Event", include_str!("schemas/event.json")),
        }
    }
}

impl OfDevice {
    const fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Sample => "sample",
            Self::Role => "role",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Sent => "sent",
            Self::Told => "told",
            Self::Wrong => "wrong",
            Self::Odom => "odom",
            Self::Drive => "drive",
        }
    }

    const fn is_event(self) -> bool {
        match self {
            Self::Role | Self::Ready | Self::Down | Self::Sent | Self::Told | Self::Wrong => true,
            Self::Step | Self::Sample | Self::Odom | Self::Drive => false,
        }
    }
}

const fn json(name: &'static str, schema: &'static str) -> Form {
    Form { name, encoding: "jsonschema", schema, messages: "json" }
}

const fn ros2(name: &'static str, schema: &'static str) -> Form {
    Form { name, encoding: "ros2msg", schema, messages: "cdr" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_found_by_its_name() {
        for topic in WHOLE_RIG {
            assert_eq!(Topic::parse(&topic.name()), Some(topic));
        }
        for what in OF_DEVICE {
            let topic = Topic::Device(Slot::RIGHT, what);
            assert_eq!(Topic::parse(&topic.name()), Some(topic));
        }
        let topic = Topic::Gate(3, OfGate::Input);
        assert_eq!(Topic::parse(&topic.name()), Some(topic));
        assert_eq!(Topic::parse("/camera"), None);
    }

    #[test]
    fn the_schemas_of_json_topics_are_json() {
        let slot = Slot::LEFT;
        let topics = WHOLE_RIG.into_iter().chain(OF_DEVICE.map(|what| Topic::Device(slot, what)));
        for form in topics.chain([Topic::Gate(0, OfGate::Input)]).map(Topic::form) {
            if form.encoding == "jsonschema" {
                let schema: serde_json::Value = serde_json::from_str(form.schema).expect("JSON");
                assert_eq!(schema["title"], form.name);
            }
        }
    }
}
