//! The device program: a controller with its own control loop and its own session. It drives, or stands by.

use crate::fed::{self, Turned};
use crate::handed::{self, MISSION_STATE};
use crate::ports::{DeviceBus, DevicePorts, StepNote, StepQueue};
use crate::role::{Failure, WRITE_EVERY, say, say_ready, say_unrecorded};
use crate::signals::{self, Told};
use crate::stage::Surroundings;
use rtrb::{Consumer, RingBuffer};
use std::io::BufRead as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::bus::Station;
use twinhelm_linux::bus::Client;
use twinhelm_linux::can::{CanBus, Interface, Wants, keep};
use twinhelm_linux::datagram::Readings;
use twinhelm_linux::network;
use twinhelm_linux::scheduling::Priority;
use twinhelm_rigs::host::spec::{DeviceSpec, Says, Step, WatchdogSpec};
use twinhelm_standby::node::rules::AsDesigned;
use twinhelm_standby::{Config, Node, Pilot, turn};
use twinhelm_vehicle::signals::{Command, LAYOUT, State};
use twinhelm_vehicle::vehicle::PLANT_STEP;
use twinhelm_zenoh::{Link, Settings};

/// How long the bus may take to seat this device.
const SEAT_WITHIN: Duration = Duration::from_secs(5);
/// So many steps may wait for the thread that writes them: seconds of them, at 1 kHz too.
const STEPS_MAX: usize = 16_384;
/// So many steps go out in one line.
const STEPS_IN_A_LINE: usize = 256;

/// Runs a device until a signal ends it; with `ends_with_input` also until its input ends: the runner is gone, or wants it to.
/// (Whom a service manager starts has no input from the beginning.)
///
/// `law` drives, `check` is a second instance that repeats each of its steps.
pub(crate) fn run<L, C>(
    spec: &DeviceSpec,
    law: L,
    check: C,
    surroundings: Surroundings<L::Memory>,
    ends_with_input: bool,
) -> Result<(), Failure>
where
    L: Controller<State = State, Command = Command> + Send + 'static,
    C: Controller<State = State, Command = Command, Memory = L::Memory> + Send + 'static,
{
    let config = Config::new(spec.common.parameters).map_err(|error| Failure::caused_by_input(&error))?;
    let seat = if spec.can.is_none() { Some(take_seat(spec)?) } else { None };
    let readings = match spec.readings_at {
        Some(at) => Readings::listen(at, spec.slot),
        None => Readings::connect(&spec.common.readings, spec.slot),
    };
    let readings = readings.map_err(|error| Failure::caused(&error))?;
    // Behind the bus and the sensors, whose sockets stay connected; before the session, whose threads live there.
    if let Some(path) = &spec.network {
        let failure = |error| format!("entering the network namespace {}: {error}", path.display());
        network::enter(path).map_err(|error| Failure::machine(&failure(error)))?;
    }
    let bus = match (seat, &spec.can) {
        (Some(seat), _) => DeviceBus::Userland(seat),
        (None, can) => DeviceBus::Can(Box::new(open_can(can.as_deref().unwrap_or_default(), &config)?)),
    };
    if let Some(name) = &spec.can {
        let interface = Interface::find(name).map_err(|error| Failure::caused(&error))?;
        keep(interface, |error| eprintln!("{error}")).map_err(|error| Failure::caused(&error))?;
    }
    let settings = Settings {
        vehicle: "demo".to_owned(),
        listen: spec.listen.clone(),
        connect: spec.connect.clone(),
        link_lease: spec.link_lease,
        keep_alive: spec.keep_alive,
        keys: spec.keys.clone(),
    };
    let (_link, link) =
        Link::open::<State, L::Memory>(spec.slot, &settings).map_err(|error| Failure::caused_by_input(&error))?;
    let reading_age_max = config.period.max(2 * PLANT_STEP);
    let Surroundings { clock, ear, controller, mut input } = surroundings;
    let steps = spec.common.records.then(write_steps);
    let mut ports = DevicePorts {
        clock,
        bus,
        controller,
        readings,
        reading: None,
        link,
        ear,
        newest: None,
        reading_age_max,
        steps,
    };
    let mut pilot = Pilot::new(law, check, config.period);
    // It comes up in its first turn: so its steps, as they are recorded, are all that there is to know of it.
    let mut node = None;
    let (slot, is_member) = (spec.slot, spec.is_member);
    let (tell, told) = mpsc::channel();
    listen(&tell, ends_with_input).map_err(|error| Failure::machine(&format!("listening to signals: {error}")))?;
    let ends = Arc::new(AtomicBool::new(false));
    let is_to_end = ends.clone();
    let mut handed = match std::env::var_os(MISSION_STATE) {
        Some(path) => {
            let failure = |error| format!("opening {}: {error}", path.display());
            Some(handed::listen(Path::new(&path)).map_err(|error| Failure::machine(&failure(error)))?)
        }
        None => None,
    };
    let watchdog = spec.watchdog.as_ref().map(|WatchdogSpec { path, timeout }| (path.as_path(), *timeout));
    let control = fed::spawn("control", Priority::CONTROL, watchdog, move |now| {
        if is_to_end.load(Ordering::Relaxed) {
            return Turned::Done;
        }
        while let Some(published) = handed.as_mut().and_then(|handed| handed.pop().ok()) {
            // What does not reproduce here is not adopted, as with a state that comes over the link.
            let _ = pilot.adopt(&published);
        }
        ports.clock.change(now);
        if let Some(controller) = &mut ports.controller {
            controller.change();
        }
        let local = ports.clock.local(now);
        let node = node.get_or_insert_with(|| {
            let node = Node::<AsDesigned>::new(local, slot, config, LAYOUT);
            if is_member { node.as_member() } else { node }
        });
        // A law that hangs does not come back from here.
        let next = turn(local, &mut ports, &mut pilot, node);
        Turned::At(ports.clock.at(next))
    });
    let control = control.map_err(|error| Failure::caused(&error))?;
    say_ready(control.rights());
    // Whoever keeps this process, an agent or systemd, may want to know; nobody may be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    while let Ok(Some(line)) = told.recv() {
        input.on_line(&line);
    }
    // The vehicle's watchdog is stopped by the loop that feeds it: a law that hangs now still lets it bite.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    ends.store(true, Ordering::Relaxed);
    control.join();
    Ok(())
}

/// Hands the lines of the input to `tell`; `None` when a signal says that this process is to end, or its input has, if that is to
/// mean the same.
fn listen(tell: &mpsc::Sender<Option<String>>, ends_with_input: bool) -> std::io::Result<()> {
    let of_signals = tell.clone();
    signals::listen(move |told| match told {
        Told::End => drop(of_signals.send(None)),
        Told::Reset => {}
    })?;
    let of_input = tell.clone();
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            drop(of_input.send(Some(line)));
        }
        if ends_with_input {
            drop(of_input.send(None));
        }
    })?;
    Ok(())
}

fn take_seat(spec: &DeviceSpec) -> Result<Client, Failure> {
    let station = Station::of_device(spec.slot);
    let mut seat = Client::connect(&spec.common.bus, station).map_err(|error| Failure::caused(&error))?;
    seat.wait_attached(SEAT_WITHIN).map_err(|error| Failure::caused(&error))?;
    Ok(seat)
}

/// Opens a CAN interface. A command is worth sending for a period: then the next one is due.
fn open_can(interface: &str, config: &Config) -> Result<CanBus, Failure> {
    CanBus::open(interface, Wants::Device, 1, config.period, false).map_err(|error| Failure::caused(&error))
}

/// Starts the thread that tells the runner what the node was told and answered, and returns the way there.
fn write_steps() -> StepQueue {
    let (queue, mut steps) = RingBuffer::new(STEPS_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = lost.clone();
    // It ends with the process.
    thread::spawn(move || {
        loop {
            while let Some(line) = next_line(&mut steps) {
                say(&line);
            }
            say_unrecorded(&counted);
            thread::sleep(WRITE_EVERY);
        }
    });
    StepQueue { queue, lost }
}

fn next_line(steps: &mut Consumer<StepNote>) -> Option<Says> {
    let mut line = Vec::new();
    while line.len() < STEPS_IN_A_LINE
        && let Ok((at, now, input, effects)) = steps.pop()
    {
        line.push(Step { at, now, input, effects: effects.into_iter().collect() });
    }
    (!line.is_empty()).then_some(Says::Steps(line))
}
