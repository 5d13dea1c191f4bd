//! What the runner tells the processes that it starts, and what they answer: one line of JSON each.

use serde::{Deserialize, Serialize};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::law_faults::LawFault;
use twinhelm_standby::Parameters;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::Tuning;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::sensors::{SensorConfig, SensorFault};

/// The first line that a process role reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// A controller.
    Device(DeviceSpec),
    /// The vehicle, its actuator node and the bus.
    Vehicle(VehicleSpec),
}

/// What every process of a run has in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Common {
    /// The timing.
    pub parameters: Parameters,
    /// The course.
    pub course: Course,
    /// The name of the bus.
    pub bus: String,
    /// The name under which the vehicle publishes sensor readings.
    pub readings: String,
    /// The runner's process id: when it dies, the role dies.
    pub parent: u32,
}

/// What a controller process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// What every process has.
    pub common: Common,
    /// Which device.
    pub slot: Slot,
    /// The demo law's gains.
    pub tuning: Tuning,
    /// Where its session listens.
    pub listen: Vec<String>,
    /// Where its session connects.
    pub connect: Vec<String>,
    /// The link's lease.
    pub link_lease: Duration,
    /// Signs of life in one link lease.
    pub keep_alive: u32,
    /// Its law is to be wrapped, because the scenario has faults of a law.
    pub law_can_fail: bool,
}

/// What the vehicle process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VehicleSpec {
    /// What every process has.
    pub common: Common,
    /// The vehicle.
    pub plant: PlantConfig,
    /// The devices' sensors.
    pub sensors: SensorConfig,
    /// The seed of noise and biases.
    pub seed: u64,
}

/// What the runner tells a controller's law wrapper.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LawLine {
    /// What is wrong with the law from now on.
    pub fault: Option<LawFault>,
}

/// What the runner tells the vehicle.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum VehicleLine {
    /// A device's cable to the bus.
    Cable {
        /// Whose.
        slot: Slot,
        /// What it sends reaches the bus.
        to_bus: bool,
        /// What is on the bus reaches it.
        from_bus: bool,
    },
    /// The bus repeats a device's last frame.
    Repeat {
        /// Whose.
        slot: Slot,
        /// Begins or ends.
        on: bool,
    },
    /// A device's sensors.
    Sensor {
        /// Whose.
        slot: Slot,
        /// What is wrong with them.
        fault: Option<SensorFault>,
    },
    /// The run is over.
    Stop,
}

/// What a process role says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Says {
    /// It runs, and is ready for what comes next; what the machine did not allow it, if anything.
    Ready {
        /// In words.
        missing: Option<String>,
    },
    /// The vehicle: something happened.
    Happened(Instant, Event),
    /// The vehicle: an identifier had two senders.
    TwoSenders {
        /// The identifier.
        id: u16,
    },
    /// The vehicle: so many events did not fit into its queue.
    Lost(u64),
    /// The vehicle: it has stopped, and everything is written.
    Done,
    /// It cannot go on.
    Failed {
        /// Why, and what to do.
        why: String,
        /// It is something that the user wrote, not the machine.
        bad_input: bool,
    },
}
