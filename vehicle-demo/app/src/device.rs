//! The device program: a controller with its own control loop and its own session. It drives, or stands by.

use crate::ports::DevicePorts;
use crate::role::{Failure, say_ready};
use std::io::BufRead as _;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::bus::Station;
use twinhelm_linux::bus::Client;
use twinhelm_linux::clock::now;
use twinhelm_linux::datagram::Readings;
use twinhelm_linux::realtime::{self, Next};
use twinhelm_linux::scheduling::Priority;
use twinhelm_rigs::host::spec::DeviceSpec;
use twinhelm_standby::node::rules::AsDesigned;
use twinhelm_standby::{Config, Node, Pilot, turn};
use twinhelm_vehicle::signals::{Command, State};
use twinhelm_zenoh::{Link, Settings};

/// How long the bus may take to seat this device.
const SEAT_WITHIN: Duration = Duration::from_secs(5);

/// Runs a device until its input ends: the runner is gone, or wants it to.
///
/// `law` drives, `check` is a second instance that repeats each of its steps. `on_line` takes what the runner says.
pub(crate) fn run<L, C>(spec: &DeviceSpec, law: L, check: C, mut on_line: impl FnMut(&str)) -> Result<(), Failure>
where
    L: Controller<State = State, Command = Command> + Send + 'static,
    C: Controller<State = State, Command = Command, Memory = L::Memory> + Send + 'static,
{
    let config = Config::new(spec.common.parameters).map_err(|error| Failure::bad_input(&error))?;
    let station = Station::of_device(spec.slot);
    let mut bus = Client::connect(&spec.common.bus, station).map_err(|error| Failure::machine(&error))?;
    bus.wait_attached(SEAT_WITHIN).map_err(|error| Failure::machine(&error))?;
    let readings = Readings::connect(&spec.common.readings, spec.slot).map_err(|error| Failure::machine(&error))?;
    let settings = Settings {
        vehicle: "demo".to_owned(),
        listen: spec.listen.clone(),
        connect: spec.connect.clone(),
        link_lease: spec.link_lease,
        keep_alive: spec.keep_alive,
    };
    let (_link, link) =
        Link::open::<State, L::Memory>(spec.slot, &settings).map_err(|error| Failure::bad_input(&error))?;
    let reading_age_max = config.gate_lease;
    let mut ports = DevicePorts { bus, readings, link, newest: None, reading_age_max };
    let mut pilot = Pilot::new(law, check, config.period);
    let mut node = Node::<AsDesigned>::new(now(), spec.slot, config);
    let control = realtime::spawn("control", Priority::CONTROL, move |now| {
        Next::At(turn(now, &mut ports, &mut pilot, &mut node))
    });
    let control = control.map_err(|error| Failure::machine(&error))?;
    say_ready(control.rights());
    for line in std::io::stdin().lock().lines() {
        match line {
            Ok(line) => on_line(&line),
            Err(_) => break,
        }
    }
    Ok(())
}
