//! `gate`: opens what a board's file names, and runs the gate in front of it until it is told to end.

use super::{Exit, Problem, settings_named};
use crate::cli::GateArgs;
use crate::fed::{self, Turned};
use crate::gate::{Doors, Latch, LocalGate, Speed, Standing, Wishes};
use crate::output;
use crate::role::WRITE_EVERY;
use crate::signals::{self, Told};
use rtrb::{Consumer, RingBuffer};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use twinhelm_hal::gate::Gate;
use twinhelm_hal::pins::{ActiveLevel, GuardedPins};
use twinhelm_hal::time::Instant;
use twinhelm_hal::units::{Metres, Volts};
use twinhelm_linux::boards::{Battery, BatteryError, BatteryMonitor, EncoderLines, I2cBus, InputLine};
use twinhelm_linux::boards::{LineAt, OutputLine, Plausible, ServoBoard, Wiring};
use twinhelm_linux::can::{CanBus, Interface, Wants, keep};
use twinhelm_linux::clock;
use twinhelm_linux::realtime::{Next, RealTimeThread};
use twinhelm_linux::scheduling::Priority;
use twinhelm_standby::Config;
use twinhelm_vehicle::board::{self, BoardConfig, Encoder, Line, ServoChip, Watchdog};
use twinhelm_vehicle::signals::LAYOUT;

/// A gate sends a status and a counters frame in one turn.
const QUEUE: usize = 2;
/// So many changes may wait for the terminal.
const STANDINGS_MAX: usize = 256;
/// So often the battery is looked at, and so seldom told when nothing changes.
const BATTERY_EVERY: Duration = Duration::from_secs(1);
const BATTERY_TOLD_EVERY: u32 = 60;
/// Where systemd says that a unit's files are which are gone after it was stopped, and not when it is started again.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// What ending takes beyond the braking.
const END_SLACK: Duration = Duration::from_millis(100);

type Pins = GuardedPins<ServoBoard<I2cBus, OutputLine>>;

/// `gate`
pub(crate) fn gate(args: &GateArgs) -> Result<Exit, Problem> {
    let Some(path) = &args.board else {
        output::print(board::EXAMPLE.trim_end());
        return Ok(Exit::Holds);
    };
    let settings = settings_named(args.config.as_deref(), args.profile.as_deref())?;
    let config = settings.config(None).map_err(Problem::bad_input)?;
    let board = BoardConfig::parse(&path.display().to_string(), &output::read(path)?, &config);
    let board = board.map_err(Problem::bad_input)?;
    if args.check {
        output::print(format_args!("{}: ok", path.display()));
        return Ok(Exit::Holds);
    }
    // Coming up they are at rest, with their line released.
    let latch = std::env::var_os(RUNTIME_DIRECTORY).map(|folder| Latch::at(Path::new(&folder).join("estop")));
    let mut gate = Gate::new(board.gate, config.gate_timing(), LAYOUT);
    if latch.as_ref().is_some_and(Latch::is_set) {
        gate.stop();
    }
    let pins = open_pins(&board, gate)?;
    if args.rest {
        return match pins.failure() {
            None => Ok(Exit::Holds),
            Some(error) => Err(Problem::caused(error)),
        };
    }
    run(&board, &config, (pins, latch), args.json)
}

fn run(
    board: &BoardConfig,
    config: &Config,
    (pins, latch): (Pins, Option<Latch>),
    json: bool,
) -> Result<Exit, Problem> {
    let wishes = Wishes::default();
    let Wishes { end, reset } = wishes.clone();
    let listening = signals::listen(move |told| match told {
        Told::End => end.store(true, Ordering::Relaxed),
        Told::Reset => reset.store(true, Ordering::Relaxed),
    });
    listening.map_err(|error| Problem::machine(format_args!("listening to signals: {error}")))?;
    // A gate is a gate without it.
    if let Err(problem) = start_battery(board, json) {
        output::tell(format_args!("without a battery monitor: {problem}"));
    }
    let doors = open_doors(board, config, latch)?;
    let (tell, told) = RingBuffer::new(STANDINGS_MAX);
    let spans = (config.margin, board.setup.safe.lasts_at_most().unwrap_or_default() + END_SLACK);
    let mut gate = LocalGate::new(pins, doors, wishes, tell, spans);
    let turn = move |now| match gate.turn(now) {
        Next::At(until) => {
            gate.bus().wait(until);
            Turned::At(clock::now())
        }
        Next::Stop if gate.is_at_rest() => Turned::Done,
        Next::Stop => Turned::Broken,
    };
    let watchdog = board.watchdog.as_ref().map(|Watchdog { path, timeout_ms }| {
        (Path::new(path.as_str()), Duration::from_millis((*timeout_ms).into()))
    });
    let thread = fed::spawn("gate", Priority::VEHICLE, watchdog, turn).map_err(|error| Problem::caused(&error))?;
    if !thread.rights().are_complete() {
        output::tell(thread.rights());
    }
    // Whoever started it may want to know; nobody may be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let last = show(told, &thread, json);
    thread.join();
    match last {
        Some(Standing { rests: false, failure, .. }) => {
            let why = failure.unwrap_or_else(|| "nothing said why".to_owned());
            Err(Problem::machine(format_args!(
                "the pins were not brought to rest: {why}; take the actuators' power"
            )))
        }
        Some(_) | None => Ok(Exit::Holds),
    }
}

/// Opens what the loop hears and says, and reads.
fn open_doors(
    board: &BoardConfig,
    config: &Config,
    latch: Option<Latch>,
) -> Result<Doors<CanBus, InputLine, impl FnMut(Instant) -> Speed + Send + use<>>, Problem> {
    let interface = &board.can.interface;
    let bus = CanBus::open(interface, Wants::Gate(board.gate), QUEUE, config.period, false);
    let bus = bus.map_err(|error| Problem::caused(&error))?;
    let found = Interface::find(interface).map_err(|error| Problem::caused(&error))?;
    keep(found, |error| output::tell(error)).map_err(|error| Problem::caused(&error))?;
    let estop = board.estop.as_ref().map(|line| InputLine::open(board.backend, &at(line))).transpose();
    let estop = estop.map_err(|error| Problem::caused(&error))?;
    let mut encoder = open_encoder(board)?;
    let speed = move |now: Instant| match &mut encoder {
        None => Speed::NoEncoder,
        // A cast of a number beyond it saturates.
        Some(encoder) => match encoder.poll() {
            Ok(encoder) => Speed::Of((encoder.speed(now).get() * 1e3) as i16),
            Err(_) => Speed::Unreadable,
        },
    };
    Ok(Doors { bus, estop, speed, latch })
}

fn open_pins(board: &BoardConfig, gate: Gate) -> Result<Pins, Problem> {
    let enable =
        OutputLine::open(board.backend, &at(&board.output_enable)).map_err(|error| Problem::caused(&error))?;
    let i2c = I2cBus::open(board.backend, board.servos.i2c_bus).map_err(|error| Problem::caused(&error))?;
    let ServoChip { address, steering, drive, rate_hz, .. } = board.servos;
    let outputs = ServoBoard::new(i2c, Wiring { address, steering, drive, rate_hz }, enable);
    let outputs = outputs.map_err(|error| Problem::caused(&error))?;
    Ok(GuardedPins::new(gate, board.setup, outputs))
}

fn open_encoder(board: &BoardConfig) -> Result<Option<EncoderLines>, Problem> {
    let Some(Encoder { chip, a, b, metres_per_tick, silence_ms }) = &board.encoder else { return Ok(None) };
    let metres = Metres::new(*metres_per_tick).unwrap_or(Metres::ZERO);
    let silence = Duration::from_millis((*silence_ms).into());
    EncoderLines::open(Path::new(chip), *a, *b, metres, silence).map(Some).map_err(|error| Problem::caused(&error))
}

fn at(line: &Line) -> LineAt {
    let active = if line.active_low { ActiveLevel::Low } else { ActiveLevel::High };
    LineAt { chip: line.chip.clone().into(), offset: line.offset, active }
}

/// Looks at the battery from a thread of its own. On one adapter with the servo chip its transfers (four of 5 bytes a second) go
/// before the gate's, or behind them: docs/hardware.md.
fn start_battery(board: &BoardConfig, json: bool) -> Result<(), Problem> {
    let Some(battery) = &board.battery else { return Ok(()) };
    let i2c = I2cBus::open(board.backend, battery.i2c_bus).map_err(|error| Problem::caused(&error))?;
    let volts = |volts| Volts::new(volts).unwrap_or(Volts::ZERO);
    let plausible =
        Plausible { voltage_min: volts(battery.voltage_min_v), voltage_max: volts(battery.voltage_max_v) };
    let mut monitor = BatteryMonitor::new(i2c, battery.address, battery.shunt_ohm, plausible)
        .map_err(|error| Problem::caused(&error))?;
    let watch = move || {
        let (mut last, mut looks) = (None, 0);
        loop {
            thread::sleep(BATTERY_EVERY);
            let read = monitor.read();
            let problem = read.as_ref().err().copied();
            if last != Some(problem) || looks == BATTERY_TOLD_EVERY {
                (last, looks) = (Some(problem), 0);
                show_battery(&read, json);
            }
            looks += 1;
        }
    };
    thread::Builder::new()
        .name("battery".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| Problem::caused(&error))
}

fn show_battery(read: &Result<Battery, BatteryError>, json: bool) {
    match (read, json) {
        (Ok(Battery { voltage, current }), true) => output::print(
            serde_json::json!({ "battery": { "voltage_v": voltage.get(), "current_a": current.get() } }),
        ),
        (Err(error), true) => output::print(serde_json::json!({ "battery": { "problem": error.to_string() } })),
        (Ok(Battery { voltage, current }), false) => output::print(format_args!("battery: {voltage}, {current}")),
        (Err(error), false) => output::tell(format_args!("battery: {error}")),
    }
}

/// Shows what changes until the loop has ended, and returns what was so then.
fn show(mut told: Consumer<(Instant, Standing)>, gate: &RealTimeThread, json: bool) -> Option<Standing> {
    let began = clock::now();
    let mut last = None;
    loop {
        let is_last = gate.is_finished();
        while let Ok((at, standing)) = told.pop() {
            let at_s = at.seconds_after(began);
            if json {
                output::print(serde_json::json!({ "at_s": at_s, "gate": standing }));
            } else {
                output::print(format_args!("{at_s:9.3} s  {standing}"));
            }
            last = Some(standing);
        }
        if is_last {
            return last;
        }
        thread::sleep(WRITE_EVERY);
    }
}
