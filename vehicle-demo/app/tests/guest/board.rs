//! A board of the kernel's simulated parts: `gate` in front of its pins, and a watchdog that a device's control loop feeds.

use crate::tools::vehicle::{Device, Vehicle, command};
use embedded_hal::i2c::I2c as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use twinhelm_hal::frame::{Frame, StatusFrame};
use twinhelm_hal::ports::{Backend, Bus as _};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hil::law_faults::LawFault;
use twinhelm_linux::boards::{I2cBus, Watchdog};
use twinhelm_linux::can::{CanBus, Wants};
use twinhelm_linux::clock::now;
use twinhelm_rigs::guest::WINDOW;
use twinhelm_rigs::guest::inside::{call, is_high, make_chip, pull};
use twinhelm_rigs::host::spec::{DeviceLine, Says};
use twinhelm_standby::{Config, Parameters};

/// As the profile for guests has it.
const PERIOD: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(20);
/// The lines of the board.
const ENABLE: u32 = 0;
const ESTOP: u32 = 1;
const WHEEL: [u32; 2] = [2, 3];

const BOARD: &str = r#"
[can]
interface = "can0"
[servos]
i2c_bus = 0
address = 0x41
[servos.steering]
channel = 0
[servos.drive]
channel = 1
[safe_state]
brake_for_ms = 200
[output_enable]
chip = "/dev/gpiochip0"
offset = 0
active_low = true
[estop]
chip = "/dev/gpiochip0"
offset = 1
active_low = false
[encoder]
chip = "/dev/gpiochip0"
a = 2
b = 3
metres_per_tick = 0.001
silence_ms = 2000
[watchdog]
timeout_ms = 60000
"#;

fn make_bus() {
    call("ip link add can0 type vcan");
    call("ip link set can0 up");
}

/// Returns a channel's pulse in counts of 20 ms / 4,096; `None` while it gives none.
fn pulse(channel: u8) -> Option<u16> {
    let mut registers = [0; 4];
    let mut bus = I2cBus::open(Backend::Linux, 0).unwrap();
    bus.write_read(0x41, &[0x06 + 4 * channel], &mut registers).unwrap();
    // The fifth bit of the last one: off, whatever else is said.
    (registers[3] & 0x10 == 0).then(|| u16::from_le_bytes([registers[2], registers[3]]))
}

/// Whoever drives: a command each period, and what the gate says of it.
struct Driver {
    bus: CanBus,
    term: Term,
    cycle: u64,
}

impl Driver {
    /// Sends commands until a status of the gate `is_so`, or with `drives` false only listens.
    fn until(&mut self, what: &str, drives: bool, is_so: impl Fn(&StatusFrame) -> bool) {
        self.until_with(what, drives, is_so, || ());
    }

    /// The same, and does something each period.
    fn until_with(
        &mut self,
        what: &str,
        drives: bool,
        is_so: impl Fn(&StatusFrame) -> bool,
        mut each_period: impl FnMut(),
    ) {
        let give_up = now() + PATIENCE;
        loop {
            assert!(now() < give_up, "{what}");
            each_period();
            if drives {
                self.cycle += 1;
                self.bus.send(command(self.term, self.cycle, Signals::of_16_bits([5_000, 1_000])));
            }
            let next = now() + PERIOD;
            while now() < next {
                self.bus.wait(next);
                let heard: Vec<Frame> =
                    std::iter::from_fn(|| self.bus.receive()).map(|heard| heard.frame).collect();
                if heard.iter().filter_map(|frame| StatusFrame::decode(frame).ok()).any(|status| is_so(&status)) {
                    return;
                }
            }
        }
    }
}

/// The process in front of the pins, and what it says.
struct Gate {
    process: Child,
    said: mpsc::Receiver<String>,
}

impl Gate {
    fn start() -> Self {
        let mut process = gate(&[]).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        Self { process, said }
    }

    /// Waits until it says so.
    fn says(&self, what: &str) {
        while !self
            .said
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("it does not say {what:?}"))
            .contains(what)
        {}
    }

    fn signal(&self, name: &str) {
        call(&format!("kill {name} {}", self.process.id()));
    }
}

fn gate(more: &[&str]) -> Command {
    let mut gate = Command::new(env!("CARGO_BIN_EXE_vehicle-demo"));
    gate.args(["gate", &format!("{WINDOW}/board.toml"), "--profile", "25hz"]).args(more);
    gate
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_gate_drives_a_boards_pins_and_the_button_stops_it() {
    make_chip();
    make_bus();
    std::fs::write(format!("{WINDOW}/board.toml"), BOARD).unwrap();
    let bus = CanBus::open("can0", Wants::All, 1, PERIOD, false).unwrap();
    let mut driver = Driver { bus, term: Term::new(4), cycle: 0 };
    let mut running = Gate::start();
    running.says("closed: nobody drives");
    assert_eq!((pulse(0), pulse(1), is_high(ENABLE)), (None, None, true), "it comes up at rest");

    driver.until("the gate opens", true, |status| status.open);
    running.says("open: slot 0 drives");
    // Full lock to the left is 2,000 µs of 20,000, of 4,096 counts.
    assert_eq!((pulse(0), is_high(ENABLE)), (Some(410), false));
    let drive = pulse(1).unwrap();
    assert!((308..410).contains(&drive), "{drive}");

    // The wheel turns, an edge a period, and the status says so.
    let mut edges = [false, true].into_iter().cycle().flat_map(|high| WHEEL.map(|line| (line, high)));
    driver.until_with(
        "a speed is told",
        true,
        |status| status.speed_mm_s > 0,
        || {
            edges.next().map(|(line, high)| pull(line, high)).unwrap();
        },
    );

    let busy = gate(&[]).output().unwrap();
    let why = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert_eq!(busy.status.code(), Some(3), "{why}");
    assert!(why.contains("line 0 of /dev/gpiochip0 is in use by \"twinhelm\""), "{why}");
    assert!(pulse(1).is_some() && !is_high(ENABLE), "who comes too late disturbs nobody");

    pull(ESTOP, true);
    running.says("stopped: the e-stop is pressed");
    driver.until("it is told", true, |status| status.estop && !status.open);
    pull(ESTOP, false);
    running.says("latched");
    let give_up = now() + PATIENCE;
    while pulse(1).is_some() || !is_high(ENABLE) {
        assert!(now() < give_up, "it brakes, and then it is released");
    }
    running.signal("-USR1");
    running.says("closed: nobody drives");
    driver.term = Term::new(8);
    driver.until("a higher term opens it again", true, |status| status.open);

    // A crash leaves the chip as it was, and whoever keeps the process has its pins rest.
    running.signal("-KILL");
    running.process.wait().unwrap();
    assert!(pulse(1).is_some());
    assert!(gate(&["--rest"]).status().unwrap().success());
    assert_eq!((pulse(0), pulse(1)), (None, None));

    let mut running = Gate::start();
    running.says("closed: nobody drives");
    driver.term = Term::new(12);
    driver.until("it drives again", true, |status| status.open);
    running.signal("-TERM");
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
    assert_eq!((pulse(0), pulse(1)), (None, None));
    // It was stopped, or it would be in use, and bite.
    Watchdog::start(Path::new("/dev/watchdog"), Duration::from_secs(60)).unwrap().stop().unwrap();
}

/// Says so, and has it on the disk before anything bites.
fn tell(what: &str) {
    println!("{what}");
    call("sync");
}

/// Waits until the control loop has turned for `span`, by what the device says of its steps.
fn turns_for(device: &Device, span: Duration) {
    let mut began = None;
    loop {
        if let Says::Steps(steps) = device.next(PATIENCE).expect("the device turns")
            && let Some(step) = steps.last()
            && step.at.since(*began.get_or_insert(step.at)) > span
        {
            return;
        }
    }
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_hung_law_lets_the_watchdog_bite_and_a_clean_stop_does_not() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    make_bus();
    let mut parameters = Parameters::at_period(PERIOD);
    parameters.ftti = Duration::from_millis(400);
    let config = Config::new(parameters).unwrap();
    let vehicle = Vehicle::start(config, "board", Some("can0"));
    let start = || Device::start(config, "board", Slot::LEFT, "can0", TIMEOUT);

    let device = start();
    turns_for(&device, 2 * TIMEOUT);
    tell("it is fed for longer than it waits");
    assert!(device.stop().success());
    Watchdog::start(Path::new("/dev/watchdog"), TIMEOUT).unwrap().stop().unwrap();
    tell("it was stopped with the device");

    let mut device = start();
    turns_for(&device, TIMEOUT);
    tell("the law hangs");
    device.tell(&DeviceLine::Law(Some(LawFault::Late(Duration::from_secs(3_600)))));
    while device.next(5 * TIMEOUT).is_some() {}
    tell("nothing has bitten");
    drop(vehicle);
}
