//! What the runner tells the processes that it starts, and what they answer: one line of JSON each.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::fault::Lost;
use twinhelm_hil::law_faults::LawFault;
use twinhelm_standby::{Effect, Input, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::plan::Plan as Mission;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput};
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
    /// The name of the bus.
    pub bus: String,
    /// The name under which the vehicle publishes sensor readings.
    pub readings: String,
    /// The runner's process id: when it dies, the role dies. `None` in a container, which its own runner removes.
    pub parent: Option<u32>,
    /// The run is recorded: the process says what its node or its gates were told and answered.
    pub records: bool,
}

/// What a controller process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// What every process has.
    pub common: Common,
    /// Which device.
    pub slot: Slot,
    /// What the mission is to do; `None` where the device's agent hands that over.
    pub mission: Option<Mission>,
    /// Where its session listens.
    pub listen: Vec<String>,
    /// Where its session connects.
    pub connect: Vec<String>,
    /// The link's lease.
    pub link_lease: Duration,
    /// Signs of life in one link lease.
    pub keep_alive: u32,
    /// The folder with the device's keys; `None` where everybody who reaches it is believed.
    #[serde(default)]
    pub keys: Option<PathBuf>,
    /// What is to be wrapped, because the run makes it fail.
    pub fallible: Fallible,
    /// The network namespace that it lives in, `None` for the runner's own.
    pub network: Option<PathBuf>,
    /// The CAN interface there, `None` for the userland bus.
    pub can: Option<String>,
    /// Where sensor readings come in over the network, `None` where the vehicle is on this machine.
    pub readings_at: Option<SocketAddr>,
    /// It is started as a member of the pair, whatever its slot: it may claim.
    #[serde(default)]
    pub is_member: bool,
    /// The board's watchdog, which the control loop feeds, `None` where there is none.
    pub watchdog: Option<WatchdogSpec>,
}

/// A board's watchdog.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WatchdogSpec {
    /// Its device file.
    pub path: PathBuf,
    /// So long without food it bites: whole seconds.
    pub timeout: Duration,
}

/// What the vehicle process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VehicleSpec {
    /// What every process has.
    pub common: Common,
    /// The course.
    pub course: Course,
    /// The vehicle.
    pub plant: PlantConfig,
    /// The devices' sensors.
    pub sensors: SensorConfig,
    /// The seed of noise and biases.
    pub seed: u64,
    /// The gates' CAN interface, `None` where they and the devices are on the userland bus.
    pub can: Option<String>,
    /// Where left and right take sensor readings, `None` where they are on this machine.
    pub readings_to: Option<[SocketAddr; 2]>,
    /// How many devices there may be, the pair and its spares.
    pub devices: u8,
}

/// What the runner tells a controller process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeviceLine {
    /// What is wrong with its law from now on.
    Law(Option<LawFault>),
    /// What is wrong with its ear to the link from now on.
    Link(LinkTrouble),
    /// What happens to its clock.
    Clock(ClockFault),
    /// How its bus controller stands from now on.
    Confined(Confinement),
}

/// What is wrong with a device's ear to the link. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkTrouble {
    /// Samples come so much later.
    pub delay: Duration,
    /// This part of the samples is lost, and this part comes once more, behind newer ones.
    pub rough: f64,
}

/// What happens to a device's clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClockFault {
    /// It jumps.
    Slip {
        /// By so much.
        by: Duration,
        /// Forwards, or backwards.
        forwards: bool,
    },
    /// From now on it is fast by so many parts per million.
    Drift(f64),
}

/// Which parts of a device a run may make fail: only these are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallible {
    /// Its law.
    pub law: bool,
    /// Its ear to the link.
    pub link: bool,
    /// Its clock.
    pub clock: bool,
    /// Its bus controller.
    pub controller: bool,
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
    /// Frames are lost on the bus.
    Lose {
        /// Whose, or at whom.
        slot: Slot,
        /// Which.
        what: Lost,
        /// Begins or ends.
        on: bool,
    },
    /// A device's next command comes once more.
    Hold {
        /// Whose.
        slot: Slot,
        /// So much later.
        after: Duration,
    },
    /// A gate comes up anew.
    RestartGate {
        /// Which.
        gate: u8,
    },
    /// The e-stop button is pressed.
    Estop,
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

/// One step of a device's node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// When, by the machine's clock.
    pub at: Instant,
    /// When, by the device's clock: the same, unless the run makes clocks fail.
    pub now: Instant,
    /// What the node was told.
    pub input: Input,
    /// What it answered, in order.
    pub effects: Vec<Effect>,
}

/// What a process role says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Says {
    /// It runs, and is ready for what comes next; what the machine did not allow it, if anything.
    Ready {
        /// In words.
        missing: Option<String>,
        /// Its process id, as its own machine counts.
        pid: u32,
    },
    /// The vehicle: something happened.
    Happened(Instant, Event),
    /// The vehicle: a gate was told something, and answered.
    Judged(Instant, u8, GateInput, GateAnswer),
    /// A device: what its node was told, and what it answered.
    Steps(Vec<Step>),
    /// The vehicle: an identifier had two senders.
    TwoSenders {
        /// The identifier.
        id: u16,
    },
    /// The vehicle: so many events did not fit into its queue.
    Lost(u64),
    /// So many notes for the recording did not fit into the queue.
    Unrecorded(u64),
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
