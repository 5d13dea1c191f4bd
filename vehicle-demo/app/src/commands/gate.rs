//! `gate`: opens what a board's file names, and runs the gate in front of it until it is told to end.

use super::{Exit, Problem, settings_named};
use crate::cli::GateArgs;
use crate::gate::{Doors, LocalGate, Standing, Wishes};
use crate::output;
use crate::role::WRITE_EVERY;
use crate::signals::{self, Told};
use rtrb::{Consumer, Producer, RingBuffer};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use twinhelm_hal::gate::Gate;
use twinhelm_hal::pins::{ActiveLevel, GuardedPins};
use twinhelm_hal::time::Instant;
use twinhelm_hal::units::{Metres, Volts};
use twinhelm_linux::boards::{self, Battery, BatteryError, BatteryMonitor, EncoderLines, I2cBus, InputLine};
use twinhelm_linux::boards::{LineAt, OutputLine, Plausible, ServoBoard, Wiring};
use twinhelm_linux::can::{CanBus, Interface, Wants, keep};
use twinhelm_linux::clock;
use twinhelm_linux::realtime::{self, Next, RealTimeThread};
use twinhelm_linux::scheduling::Priority;
use twinhelm_standby::Config;
use twinhelm_vehicle::board::{self, BoardConfig, Encoder, Line, ServoChip, Watchdog};
use twinhelm_vehicle::signals::LIMITS;

/// A gate sends a status and a counters frame in one turn.
const QUEUE: usize = 2;
/// So many changes may wait for the terminal.
const STANDINGS_MAX: usize = 256;
/// So often the battery is looked at, and so seldom told when nothing changes.
const BATTERY_EVERY: Duration = Duration::from_secs(1);
const BATTERY_TOLD_EVERY: u32 = 60;
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
    let pins = open_pins(&board, &config, args.gate)?;
    if args.rest {
        return match pins.failure() {
            None => Ok(Exit::Holds),
            Some(error) => Err(opening(error)),
        };
    }
    run(&board, &config, pins, args)
}

fn run(board: &BoardConfig, config: &Config, pins: Pins, args: &GateArgs) -> Result<Exit, Problem> {
    let wishes = Wishes::default();
    let (tell, told) = RingBuffer::new(STANDINGS_MAX);
    let thread = start(board, config, pins, args.gate, wishes.clone(), tell)?;
    if !thread.rights().are_complete() {
        output::tell(thread.rights());
    }
    let listening = signals::listen(move |told| match told {
        Told::End => wishes.end.store(true, Ordering::Relaxed),
        Told::Reset => wishes.reset.store(true, Ordering::Relaxed),
    });
    listening.map_err(|error| Problem::machine(format_args!("listening to signals: {error}")))?;
    start_battery(board, args.json)?;
    // Whoever started it may want to know; nobody may be there.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    show(told, &thread, args.json);
    thread.join();
    Ok(Exit::Holds)
}

/// Starts the loop.
fn start(
    board: &BoardConfig,
    config: &Config,
    pins: Pins,
    number: u8,
    wishes: Wishes,
    tell: Producer<(Instant, Standing)>,
) -> Result<RealTimeThread, Problem> {
    let interface = &board.can.interface;
    let bus = CanBus::open(interface, Wants::Gate(number), QUEUE, config.period, false);
    let bus = bus.map_err(|error| opening(&error))?;
    let found = Interface::find(interface).map_err(|error| opening(&error))?;
    keep(found, |error| output::tell(error)).map_err(|error| opening(&error))?;
    let estop = board.estop.as_ref().map(|line| InputLine::open(board.backend, &at(line))).transpose();
    let estop = estop.map_err(|error| opening(&error))?;
    let mut encoder = open_encoder(board)?;
    let speed_mm_s = move |now: Instant| {
        // An encoder that cannot be read says nothing of the speed, as one that is not there.
        let speed = encoder.as_mut().and_then(|encoder| encoder.poll().ok().map(|encoder| encoder.speed(now)));
        // A cast of a number beyond it saturates.
        speed.map_or(0, |speed| (speed.get() * 1e3) as i16)
    };
    let doors = Doors { bus, estop, speed_mm_s };
    let spans = (config.margin, board.setup.brake_for + END_SLACK);
    let mut gate = LocalGate::new(pins, doors, wishes, tell, spans);
    let mut watchdog = match &board.watchdog {
        Some(Watchdog { path, timeout_ms }) => {
            let timeout = Duration::from_millis((*timeout_ms).into());
            Some(boards::Watchdog::start(Path::new(path), timeout).map_err(|error| opening(&error))?)
        }
        None => None,
    };
    let turn = move |now| match gate.turn(now) {
        Next::At(until) => {
            if let Some(watchdog) = &mut watchdog {
                // One that takes no food bites, which is what it is there for.
                let _ = watchdog.feed();
            }
            gate.bus().wait(until);
            Next::At(clock::now())
        }
        Next::Stop => {
            if let Some(Err(error)) = watchdog.take().map(boards::Watchdog::stop) {
                output::tell(format_args!("{error}: it will restart this board"));
            }
            Next::Stop
        }
    };
    realtime::spawn("gate", Priority::VEHICLE, turn)
        .map_err(|error| Problem::machine(format_args!("starting the gate's thread: {error}")))
}

fn open_pins(board: &BoardConfig, config: &Config, number: u8) -> Result<Pins, Problem> {
    let enable = OutputLine::open(board.backend, &at(&board.output_enable)).map_err(|error| opening(&error))?;
    let i2c = I2cBus::open(board.backend, board.servos.i2c_bus).map_err(|error| opening(&error))?;
    let ServoChip { address, steering, drive, rate_hz, .. } = board.servos;
    let outputs = ServoBoard::new(i2c, Wiring { address, steering, drive, rate_hz }, enable);
    let outputs = outputs.map_err(|error| opening(&error))?;
    Ok(GuardedPins::new(Gate::new(number, config.gate_timing(), LIMITS), board.setup, outputs))
}

fn open_encoder(board: &BoardConfig) -> Result<Option<EncoderLines>, Problem> {
    let Some(Encoder { chip, a, b, metres_per_tick, silence_ms }) = &board.encoder else { return Ok(None) };
    let metres = Metres::new(*metres_per_tick).unwrap_or(Metres::ZERO);
    let silence = Duration::from_millis((*silence_ms).into());
    EncoderLines::open(Path::new(chip), *a, *b, metres, silence).map(Some).map_err(|error| opening(&error))
}

fn at(line: &Line) -> LineAt {
    let active = if line.active_low { ActiveLevel::Low } else { ActiveLevel::High };
    LineAt { chip: line.chip.clone().into(), offset: line.offset, active }
}

/// Looks at the battery from a thread of its own: a chip that holds the bus is no business of the gate's.
fn start_battery(board: &BoardConfig, json: bool) -> Result<(), Problem> {
    let Some(battery) = &board.battery else { return Ok(()) };
    let i2c = I2cBus::open(board.backend, battery.i2c_bus).map_err(|error| opening(&error))?;
    let volts = |volts| Volts::new(volts).unwrap_or(Volts::ZERO);
    let plausible =
        Plausible { voltage_min: volts(battery.voltage_min_v), voltage_max: volts(battery.voltage_max_v) };
    let mut monitor =
        BatteryMonitor::new(i2c, battery.address, battery.shunt_ohm, plausible).map_err(|error| opening(&error))?;
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
    thread::Builder::new().name("battery".to_owned()).spawn(watch).map(drop).map_err(|error| opening(&error))
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

/// Shows what changes until the loop has ended.
fn show(mut told: Consumer<(Instant, Standing)>, gate: &RealTimeThread, json: bool) {
    let began = clock::now();
    loop {
        let is_last = gate.is_finished();
        while let Ok((at, standing)) = told.pop() {
            let at_s = at.seconds_after(began);
            if json {
                output::print(serde_json::json!({ "at_s": at_s, "gate": standing }));
            } else {
                output::print(format_args!("{at_s:9.3} s  {standing}"));
            }
        }
        if is_last {
            return;
        }
        thread::sleep(WRITE_EVERY);
    }
}

/// Says why something did not open, with each of its causes.
fn opening(error: &dyn Error) -> Problem {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    Problem::machine(text)
}
