//! The vehicle process alone: whoever holds it is the only sender on its bus.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_rigs::host::spec::{Common, Role, Says, VehicleLine, VehicleSpec};
use twinhelm_standby::Config;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::report::log::Log;
use twinhelm_vehicle::sensors::SensorConfig;

/// The vehicle process, and what it has said.
pub struct Vehicle {
    process: Child,
    input: ChildStdin,
    said: mpsc::Receiver<Says>,
}

impl Vehicle {
    /// Starts it with a bus called `bus`, and on the CAN interface `can`, if there is one.
    pub fn start(config: Config, bus: &str, can: Option<&str>) -> Self {
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
        let common = Common {
            parameters: *config,
            course: Course::harbour(),
            bus: bus.to_owned(),
            readings: format!("{bus}-readings"),
            parent: Some(std::process::id()),
            records: false,
        };
        let (plant, sensors) = (PlantConfig::default(), SensorConfig::default());
        let mut vehicle = Self { process, input, said };
        vehicle.tell(&Role::Vehicle(VehicleSpec { common, plant, sensors, seed: 1, can: can.map(str::to_owned) }));
        assert!(matches!(vehicle.next(), Says::Ready { .. }));
        vehicle
    }

    /// Tells it a line.
    pub fn tell<T: serde::Serialize>(&mut self, line: &T) {
        let mut line = serde_json::to_string(line).expect("it has a form");
        line.push('\n');
        self.input.write_all(line.as_bytes()).expect("the process reads");
    }

    fn next(&self) -> Says {
        self.said.recv_timeout(Duration::from_secs(10)).expect("the process speaks")
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
