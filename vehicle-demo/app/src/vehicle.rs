//! The vehicle process: plant, actuator node behind its gate, sensors, and the bus that all of them share.
//!
//! One real-time thread does it all, in the order of time; its notes go to another thread, which writes them out.

use crate::ports::encode_reading;
use crate::role::{Failure, WRITE_EVERY, say, say_ready, say_unrecorded};
use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};
use std::io::BufRead as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use twinhelm_hal::bus::{Cable, Delivery, Station};
use twinhelm_hal::frame::{Frame, StatusFrame, commanding_slot};
use twinhelm_hal::ports::Bus as _;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Instant;
use twinhelm_hil::tampering::{Losses, LostAt, Tampering};
use twinhelm_linux::bus::{self, Server};
use twinhelm_linux::can::{CanBus, Wants};
use twinhelm_linux::clock::now;
use twinhelm_linux::datagram::Publisher;
use twinhelm_linux::realtime::{self, Next};
use twinhelm_linux::scheduling::Priority;
use twinhelm_rigs::host::spec::{Says, VehicleLine, VehicleSpec};
use twinhelm_standby::Config;
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput, Observer, Stalled};
use twinhelm_vehicle::sensors::Sensors;
use twinhelm_vehicle::vehicle::{PLANT_STEP, Vehicle};

/// So much may wait for the thread that writes it: ten seconds of events at 1 kHz.
const NOTES_MAX: usize = 65_536;
/// So much of it is for events, by which a run is measured; what is for a recording alone leaves it free.
const EVENTS_RESERVED: usize = NOTES_MAX / 2;
/// So many of the runner's lines may wait.
const LINES_MAX: usize = 32;
/// So many frames may be held back at one time.
const HELD_MAX: usize = 4;
/// The loop's turn may come so late before it counts as a stall.
const STALL_MIN: Duration = Duration::from_millis(1);
/// The plant is moved, and its sensors read, so often in a period, if that is not more often than it steps.
const MOVES_A_PERIOD: u32 = 4;
/// A gate's own queue towards the bus.
const GATE_DEPTH: usize = 4;
/// A plant that was not moved for so long (a process that was stopped) does not catch up.
const CATCH_UP_MAX: Duration = Duration::from_millis(500);

/// Runs the vehicle until it is told to stop, or its input ends.
pub(crate) fn run(spec: &VehicleSpec) -> Result<(), Failure> {
    let config = Config::new(spec.common.parameters).map_err(|error| Failure::caused_by_input(&error))?;
    let course = Arc::new(spec.course.clone());
    let bus = Server::bind(&spec.common.bus, config.bitrate).map_err(|error| Failure::caused(&error))?;
    let mut bus = bus.holding(config.period).with_losses(Lossy::default());
    for gate in 0..config.gates {
        bus.attach_local(Station::of_gate(gate), GATE_DEPTH);
    }
    let can = spec.can.as_ref().map(|interface| {
        // What comes over CAN is offered to the arbiter here, as a local station's.
        for slot in [Slot::LEFT, Slot::RIGHT] {
            bus.attach_local(Station::of_device(slot), 1);
        }
        CanBus::open(interface, Wants::All, GATE_DEPTH, config.period, false)
    });
    let can = can.transpose().map_err(|error| Failure::caused(&error))?;
    let publisher = match spec.readings_to {
        Some(boards) => Publisher::to_boards(boards),
        None => Publisher::new(&spec.common.readings),
    };
    let publisher = publisher.map_err(|error| Failure::caused(&error))?;
    let (notes, written) = RingBuffer::new(NOTES_MAX);
    let (mut lines, told) = RingBuffer::new(LINES_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let unrecorded = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let sensors = |slot: Slot| Sensors::of_device(spec.sensors, spec.seed, slot);
    let mut road = Road {
        vehicle: Vehicle::new(config.gate_timing(), config.gates, spec.plant, course),
        bus,
        can,
        sensors: (0..spec.devices).filter_map(Slot::new).map(|slot| (slot, sensors(slot))).collect(),
        publisher,
        notes: Notes {
            queue: notes,
            lost: lost.clone(),
            unrecorded: unrecorded.clone(),
            records: spec.common.records,
        },
        told,
        stop: stop.clone(),
        tampering: Default::default(),
        held: ArrayVec::new(),
        move_every: PLANT_STEP.max(config.period / MOVES_A_PERIOD),
        moved_at: now(),
        turned_at: now(),
        said_two_senders: false,
    };
    let thread = realtime::spawn("vehicle", Priority::VEHICLE, move |now| road.turn(now));
    let thread = thread.map_err(|error| Failure::caused(&error))?;
    say_ready(thread.rights());
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = done.clone();
        std::thread::spawn(move || write(written, &done, &lost, &unrecorded))
    };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line.map_err(|_| ()).and_then(|line| serde_json::from_str(&line).map_err(|_| ())) else {
            break;
        };
        if matches!(line, VehicleLine::Stop) {
            break;
        }
        // A queue that is full belongs to a thread that does not run, and then the run ends by its silence.
        let _ = lines.push(line);
    }
    stop.store(true, Ordering::Relaxed);
    thread.join();
    done.store(true, Ordering::Release);
    // A writer that has panicked has said so; the run ends by its silence.
    let _ = writer.join();
    say(&Says::Done);
    Ok(())
}

/// Writes events out until the vehicle has stopped and none is left.
fn write(mut notes: Consumer<(Instant, Note)>, done: &AtomicBool, lost: &AtomicU64, unrecorded: &AtomicU64) {
    loop {
        let last = done.load(Ordering::Acquire);
        while let Ok((at, note)) = notes.pop() {
            match note {
                Note::Happened(event) => say(&Says::Happened(at, event)),
                Note::Judged(gate, input, answer) => say(&Says::Judged(at, gate, input, answer)),
            }
        }
        say_unrecorded(unrecorded);
        if last {
            break;
        }
        std::thread::sleep(WRITE_EVERY);
    }
    match lost.load(Ordering::Relaxed) {
        0 => {}
        count => say(&Says::Lost(count)),
    }
}

/// What leaves the real-time thread.
enum Note {
    /// Something happened.
    Happened(Event),
    /// A gate was told something, and answered.
    Judged(u8, GateInput, GateAnswer),
}

/// The notes' way out of the real-time thread: it never waits.
struct Notes {
    queue: Producer<(Instant, Note)>,
    lost: Arc<AtomicU64>,
    unrecorded: Arc<AtomicU64>,
    records: bool,
}

impl Notes {
    fn push(&mut self, at: Instant, note: Note) {
        if self.queue.push((at, note)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for Notes {
    fn on(&mut self, at: Instant, event: &Event) {
        // The vehicle's own events own no heap.
        self.push(at, Note::Happened(event.clone()));
    }

    fn judged(&mut self, at: Instant, gate: u8, input: &GateInput, answer: &GateAnswer) {
        if !self.records {
            return;
        }
        if self.queue.slots() > EVENTS_RESERVED {
            self.push(at, Note::Judged(gate, *input, *answer));
        } else {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The bus loses frames when the runner says so.
#[derive(Default)]
struct Lossy(Losses);

impl bus::Losses for Lossy {
    fn apply(&mut self, delivery: &mut Delivery) {
        let LostAt { at_device, at_gate_0 } = self.0.take(&delivery.frame);
        for (slot, lost) in [Slot::LEFT, Slot::RIGHT].into_iter().zip(at_device) {
            if lost {
                delivery.lose_at(Station::of_device(slot));
            }
        }
        if at_gate_0 {
            delivery.lose_at(Station::of_gate(0));
        }
    }
}

/// What the real-time thread owns.
struct Road {
    vehicle: Vehicle,
    bus: Server<Lossy>,
    /// The gates' interface on the devices' CAN bus. The arbiter gives its frames and those of others one order.
    can: Option<CanBus>,
    sensors: ArrayVec<(Slot, Sensors), { SLOTS as usize }>,
    publisher: Publisher,
    notes: Notes,
    told: Consumer<VehicleLine>,
    stop: Arc<AtomicBool>,
    tampering: [Tampering; SLOTS as usize],
    /// Frames that come once more, and when.
    held: ArrayVec<(Instant, Slot, Frame), HELD_MAX>,
    move_every: Duration,
    moved_at: Instant,
    /// When the last turn began: a stall in the middle of a turn is one too.
    turned_at: Instant,
    said_two_senders: bool,
}

impl Road {
    fn turn(&mut self, started: Instant) -> Next {
        if self.stop.load(Ordering::Relaxed) {
            return Next::Stop;
        }
        self.notice_stall(started);
        while let Ok(line) = self.told.pop() {
            self.obey(line);
        }
        // First the time that has passed, then what is there now: after a stall the notes stay in order.
        self.move_on();
        self.listen(started);
        self.deliver();
        self.tick_gates();
        let mut until = self.moved_at + self.move_every;
        for gate in 0..self.vehicle.gates() {
            until = until.min(self.vehicle.next_tick(now(), gate));
        }
        if let Some((due, ..)) = self.held.first() {
            until = until.min(*due);
        }
        self.turned_at = started;
        self.bus.wait_also(until, self.can.as_ref().and_then(CanBus::readable));
        Next::At(now())
    }

    /// Notes that this loop, which measures, stood still: the next move of the plant is never further away than this.
    fn notice_stall(&mut self, started: Instant) {
        let due = self.turned_at + self.move_every;
        if started.since(due) > STALL_MIN {
            self.notes.on(started, &Event::Stalled { what: Stalled::Observer, since: due });
        }
    }

    /// Does what the runner says.
    fn obey(&mut self, line: VehicleLine) {
        match line {
            VehicleLine::Cable { slot, to_bus, from_bus } => {
                // One connector has both of them.
                for station in [Station::of_device(slot), Station::of_agent(slot)] {
                    self.bus.set_cable(now(), station, Cable { to_bus, from_bus });
                }
            }
            VehicleLine::Repeat { slot, on } => self.tampering[slot.index()].repeats = on,
            VehicleLine::Hold { slot, after } => self.tampering[slot.index()].hold = Some(after),
            VehicleLine::Lose { slot, what, on } => self.bus.losses_mut().0.set(slot, what, on),
            VehicleLine::RestartGate { gate } => self.vehicle.restart_gate(now(), gate, &mut self.notes),
            VehicleLine::Estop => self.vehicle.press_estop(now(), &mut self.notes),
            VehicleLine::Sensor { slot, fault } => {
                if let Some((_, sensors)) = self.sensors.get_mut(slot.index()) {
                    sensors.set_fault(fault);
                }
            }
            VehicleLine::Stop => {}
        }
    }

    fn listen(&mut self, started: Instant) {
        while let Some((_, slot, frame)) = self.held.first().copied().filter(|(due, ..)| *due <= started) {
            self.held.remove(0);
            self.bus.offer_local(started, Station::of_device(slot), frame);
        }
        let Self { bus, can, vehicle, notes, tampering, held, .. } = self;
        let mut tap = |slot: Slot, frame| {
            vehicle.on_offered(started, &frame, None, notes);
            let (frame, hold) = tampering[slot.index()].pass(frame);
            if let Some(after) = hold.filter(|_| !held.is_full()) {
                held.push((started + after, slot, frame));
            }
            frame
        };
        bus.poll(started, |station, frame| {
            let slot = Slot::new(station.index().to_le_bytes()[0])?;
            Some(tap(slot, frame))
        });
        while let Some(received) = can.as_mut().and_then(CanBus::receive) {
            // What else is on the bus is no command: the gates' own status, which comes back after a stall, or a stranger's.
            if let Some(slot) = commanding_slot(received.frame.id) {
                bus.offer_local(started, Station::of_device(slot), tap(slot, received.frame));
            }
        }
        if let Some(two) = self.bus.two_senders().filter(|_| !self.said_two_senders) {
            self.said_two_senders = true;
            say(&Says::TwoSenders { id: two.id });
        }
    }

    fn deliver(&mut self) {
        while let Some(delivery) = self.bus.next_delivery(now()) {
            let told = StatusFrame::decode(&delivery.frame).ok().filter(|status| status.open);
            for (slot, _) in &self.sensors {
                let slot = *slot;
                if let Some(status) = told.filter(|_| delivery.is_heard_by(Station::of_device(slot))) {
                    self.notes.on(delivery.at, &Event::Told { slot, term: status.term });
                }
            }
            if let Some(can) = self.can.as_mut().filter(|_| commanding_slot(delivery.frame.id).is_none()) {
                can.send(delivery.frame);
            }
            for gate in 0..self.vehicle.gates() {
                if delivery.is_heard_by(Station::of_gate(gate)) {
                    self.vehicle.on_frame(now(), gate, &delivery.frame, &mut self.notes);
                    self.answer(gate);
                }
            }
        }
    }

    fn tick_gates(&mut self) {
        for gate in 0..self.vehicle.gates() {
            self.vehicle.on_tick(now(), gate, &mut self.notes);
            self.answer(gate);
        }
    }

    fn answer(&mut self, gate: u8) {
        while let Some(frame) = self.vehicle.due_frame(now(), gate) {
            self.bus.offer_local(now(), Station::of_gate(gate), frame);
        }
    }

    /// Moves the vehicle up to now, and lets the devices see it.
    fn move_on(&mut self) {
        let now = now();
        if now.since(self.moved_at) > CATCH_UP_MAX {
            self.moved_at = now;
        }
        let mut moved = false;
        while self.moved_at + PLANT_STEP <= now {
            self.moved_at += PLANT_STEP;
            self.vehicle.step(self.moved_at, &mut self.notes);
            moved = true;
        }
        if !moved {
            return;
        }
        let truth = *self.vehicle.truth();
        for (slot, sensors) in &mut self.sensors {
            if let Some(reading) = sensors.read(&truth) {
                // A device that is gone or asleep misses it.
                let _ = self.publisher.publish(now, *slot, &encode_reading(&reading));
            }
        }
    }
}
