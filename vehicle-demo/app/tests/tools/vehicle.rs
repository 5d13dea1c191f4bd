//! The vehicle process alone, where whoever holds it is the only sender on its bus; and a controller beside it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_rigs::host::addresses::{Addresses, endpoint};
use twinhelm_rigs::host::spec::{Common, DeviceSpec, Fallible, Role, Says, VehicleLine, VehicleSpec, WatchdogSpec};
use twinhelm_standby::Config;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::Tuning;
use twinhelm_vehicle::plan::Plan as Mission;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Log;
use twinhelm_vehicle::sensors::SensorConfig;

/// The vehicle process, and what it has said.
pub struct Vehicle {
    process: Child,
    input: ChildStdin,
    said: mpsc::Receiver<Says>,
}

/// Starts a process of this program, and returns it with its input and what it says.
fn start() -> (Child, ChildStdin, mpsc::Receiver<Says>) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_vehicle-demo"))
        .arg("role")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let input = process.stdin.take().expect("its input");
    let output = BufReader::new(process.stdout.take().expect("its output"));
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let says = serde_json::from_str(&line).expect("a line of ours");
            if say.send(says).is_err() {
                return;
            }
        }
    });
    (process, input, said)
}

fn common(config: Config, bus: &str, records: bool) -> Common {
    Common {
        parameters: *config,
        bus: bus.to_owned(),
        readings: format!("{bus}-readings"),
        parent: Some(std::process::id()),
        records,
    }
}

fn write_line<T: serde::Serialize>(input: &mut ChildStdin, line: &T) {
    let mut line = serde_json::to_string(line).expect("it has a form");
    line.push('\n');
    input.write_all(line.as_bytes()).expect("the process reads");
}

impl Vehicle {
    /// Starts it with a bus called `bus`, and on the CAN interface `can`, if there is one.
    pub fn start(config: Config, bus: &str, can: Option<&str>) -> Self {
        let (process, input, said) = start();
        let (plant, sensors) = (PlantConfig::default(), SensorConfig::default());
        let mut vehicle = Self { process, input, said };
        let can = can.map(str::to_owned);
        let common = common(config, bus, false);
        vehicle.tell(&Role::Vehicle(VehicleSpec {
            course: Course::harbour(),
            common,
            plant,
            sensors,
            seed: 1,
            can,
            readings_to: None,
            devices: 2,
        }));
        assert!(matches!(vehicle.next(), Says::Ready { .. }));
        vehicle
    }

    /// Tells it a line.
    pub fn tell<T: serde::Serialize>(&mut self, line: &T) {
        write_line(&mut self.input, line);
    }

    fn next(&self) -> Says {
        self.said.recv_timeout(Duration::from_secs(40)).expect("the process speaks")
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Stops the vehicle, and returns what happened.
    pub fn finish(mut self) -> Log {
        self.tell(&VehicleLine::Stop);
        let mut log = Log::default();
        loop {
            let said = self.next();
            if let Says::Happened(at, event) = said {
                log.events.push((at, event));
                continue;
            }
            assert!(matches!(said, Says::Done), "{said:?}");
            break;
        }
        self.process.wait().expect("it ends");
        log.sort();
        log
    }
}

/// A controller alone, which says each of its steps.
pub struct Device {
    process: Child,
    input: ChildStdin,
    said: mpsc::Receiver<Says>,
}

/// Returns who a controller is: in `slot`, with the sensors of the vehicle on `bus`, on the CAN interface `can` or on that bus.
pub fn device(config: Config, bus: &str, slot: Slot, can: Option<&str>) -> DeviceSpec {
    DeviceSpec {
        is_member: false,
        common: common(config, bus, true),
        slot,
        mission: Some(Mission { version: 1, course: Course::harbour(), tuning: Tuning::default() }),
        listen: vec![endpoint(Addresses::of(std::process::id(), 0).left)],
        connect: Vec::new(),
        link_lease: config.link_lease,
        keep_alive: 4,
        keys: None,
        fallible: Fallible { law: true, ..Fallible::default() },
        network: None,
        can: can.map(str::to_owned),
        readings_at: None,
        watchdog: None,
    }
}

impl Device {
    /// Starts it on the CAN interface `can`, with the sensors of the vehicle on `bus`, and with the machine's watchdog.
    pub fn start(config: Config, bus: &str, slot: Slot, can: &str, watchdog: Duration) -> Self {
        let (process, input, said) = start();
        let watchdog = Some(WatchdogSpec { path: "/dev/watchdog".into(), timeout: watchdog });
        let mut started = Self { process, input, said };
        started.tell(&Role::Device(DeviceSpec { watchdog, ..device(config, bus, slot, Some(can)) }));
        started
    }

    /// Tells it a line.
    pub fn tell<T: serde::Serialize>(&mut self, line: &T) {
        write_line(&mut self.input, line);
    }

    /// Returns what it says next; `None` when it says nothing for so long.
    pub fn next(&self, patience: Duration) -> Option<Says> {
        self.said.recv_timeout(patience).ok()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let kill = Command::new("kill").arg(self.process.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
        self.process.wait().expect("it ends")
    }
}

/// Returns left's command for `cycle`.
pub fn command(term: Term, cycle: u64, signals: Signals) -> Frame {
    CommandFrame {
        slot: Slot::LEFT,
        term: term.to_wire(),
        cycle: Cycle::new(cycle).to_wire(),
        probe: false,
        estop: false,
        signals,
    }
    .encode()
}
