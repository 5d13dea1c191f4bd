//! The writer: from what happens to the bytes of an MCAP file.
//!
//! What is written lies in memory until [`Recorder::take`] hands it over in whole chunks. A file that was appended to
//! with what `take` returned can be read at any time, also after its writer was killed.

use super::diagnosis::Standings;
use super::lines::Step;
use super::lines::{BeginsLine, EventLine, JudgedLine, LostLine, RunLine, Steps, TurnLine};
use super::ros::{self, BatteryState, Drive, Imu, Odometry};
use super::topic::{OfDevice, OfGate, Topic};
use super::{RunHeader, SCHEMA};
use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use mcap::{WriteOptions, Writer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::signals::{Command as _, Signals};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{Effect, Input, Sample};
use twinhelm_vehicle::report::Report;
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput};
use twinhelm_vehicle::signals::{Command, State};

/// A chunk is closed when it has grown to this, whether or not anybody takes it.
const CHUNK_BYTES: u64 = 512 * 1024;
/// A device's odometry is written so often: the message is four fifths zeros, and the samples have each reading.
const ODOMETRY_EVERY: Duration = Duration::from_millis(20);
/// A battery changes slowly.
const BATTERY_EVERY: Duration = Duration::from_secs(1);
/// What writes here can fail in no other way.
const IN_MEMORY: &str = "memory takes what is written, and a topic is added before its messages";

/// Writes a recording.
pub struct Recorder {
    writer: Writer<NoSeek<Tail>>,
    tail: Tail,
    epoch_ns: u64,
    /// Waits for the first note, which says when the recording begins.
    head: Option<RunLine>,
    channels: BTreeMap<Topic, Channel>,
    turns: [Turn; SLOTS as usize],
    odometry_at: [Option<Instant>; SLOTS as usize],
    battery_at: Option<Instant>,
    standings: Standings,
    /// The message that is being written; kept so that its memory is.
    message: Vec<u8>,
}

struct Channel {
    id: u16,
    sequence: u32,
}

/// The steps of a device's turn, until the next one begins.
#[derive(Default)]
struct Turn {
    life: u32,
    steps: Vec<Step>,
}

/// What the writer has finished and nobody has taken yet.
#[derive(Clone, Default)]
struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn take(&self) -> Vec<u8> {
        // Bytes are whole whoever panicked.
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recorder {
    /// Begins a recording. Its first message is the run, with the time of the first note.
    ///
    /// # Panics
    /// Never: it writes to memory.
    #[must_use]
    pub fn new(run: &RunHeader) -> Self {
        let tail = Tail::default();
        // Of the chunks that were taken nothing is written again, so nothing has to seek.
        let writer = WriteOptions::new()
            .compression(None)
            .chunk_size(Some(CHUNK_BYTES))
            .disable_seeking(true)
            .library(concat!("twinhelm ", env!("CARGO_PKG_VERSION")))
            .create(NoSeek::new(tail.clone()))
            .expect(IN_MEMORY);
        Self {
            writer,
            tail,
            epoch_ns: run.epoch_ns,
            head: Some(RunLine {
                schema: SCHEMA,
                twinhelm: env!("CARGO_PKG_VERSION").to_owned(),
                run: run.clone(),
            }),
            channels: BTreeMap::new(),
            turns: Default::default(),
            odometry_at: [None; SLOTS as usize],
            battery_at: None,
            standings: Standings::default(),
            message: Vec::new(),
        }
    }

    /// Takes note that the run's time zero is `zero`: with the first event in virtual time, when the pair is ready on
    /// a real machine.
    pub fn begins(&mut self, zero: Instant) {
        self.json(Topic::Begins, zero, zero, &BeginsLine { zero_ns: zero.as_nanos() });
    }

    /// Takes note of `event`.
    pub fn event(&mut self, at: Instant, event: &Event) {
        self.json(Topic::of(event), at, at, &EventLine { event, words: words_of(event) });
        let log_time = self.log_time(at);
        match event {
            Event::Truth { x_m, y_m, yaw_rad, speed_mps, motion, battery, .. } => {
                let state = State { x_m: *x_m, y_m: *y_m, yaw_rad: *yaw_rad, speed_mps: *speed_mps };
                self.cdr(Topic::Odom, at, &Odometry::new(log_time, &state, motion.yaw_rate_radps));
                self.cdr(Topic::Imu, at, &Imu::new(log_time, *yaw_rad, motion));
                if self.battery_at.is_none_or(|last| at.since(last) >= BATTERY_EVERY) {
                    self.battery_at = Some(at);
                    self.cdr(Topic::Battery, at, &BatteryState::new(log_time, battery));
                }
            }
            Event::Acted { gate: 0, signals, .. } => self.drive(Topic::Drive, at, *signals),
            Event::Offered { slot, probe: false, signals, .. } => {
                self.drive(Topic::Device(*slot, OfDevice::Drive), at, *signals);
            }
            Event::Role { slot, role } => {
                self.standings.on_role(*slot, *role);
                self.diagnose(at);
            }
            Event::Ready { slot, ready } => {
                self.standings.on_ready(*slot, *ready);
                self.diagnose(at);
            }
            Event::Down { slot } => {
                self.standings.on_down(*slot);
                self.diagnose(at);
            }
            Event::Acted { .. }
            | Event::Dropped { .. }
            | Event::Closed { .. }
            | Event::Restarted { .. }
            | Event::EStopped { .. }
            | Event::Followed { .. }
            | Event::Offered { .. }
            | Event::Told { .. }
            | Event::Fault { .. }
            | Event::FaultEnded { .. }
            | Event::Wrong { .. }
            | Event::Stalled { .. }
            | Event::Phase { .. } => {}
        }
    }

    /// Takes note of what `gate` was told and what it answered.
    pub fn judged(&mut self, at: Instant, gate: u8, input: &GateInput, answer: &GateAnswer) {
        self.json(Topic::Gate(gate, OfGate::Input), at, at, &JudgedLine::new(input, answer));
    }

    /// Takes note of one step of the node in `slot`; `now` is by the device's clock, and `life` counts its starts.
    pub fn step(&mut self, at: Instant, slot: Slot, life: u32, now: Instant, input: &Input, effects: &[Effect]) {
        let turn = &self.turns[slot.index()];
        if *input == Input::Woke || turn.life != life {
            self.end_turn(slot);
        }
        let turn = &mut self.turns[slot.index()];
        turn.life = life;
        let effects = effects.iter().copied().collect();
        turn.steps.push(Step { at, now, input: *input, effects });
    }

    /// Takes note of what a device published.
    pub fn sample<M: Serialize>(&mut self, at: Instant, sample: &Sample<State, M>) {
        let slot = sample.header.slot;
        self.standings.on_term(slot, sample.header.term);
        let topic = Topic::Device(slot, OfDevice::Sample);
        if !self.try_json(topic, at, at, sample) {
            // A memory that has no form in JSON: everything else is worth keeping.
            let bare: Sample<State, ()> = Sample { header: sample.header, published: None };
            self.json(topic, at, at, &bare);
        }
        let last = &mut self.odometry_at[slot.index()];
        if let Some(published) = &sample.published
            && last.is_none_or(|last| at.since(last) >= ODOMETRY_EVERY)
        {
            *last = Some(at);
            let odometry = Odometry::new(self.log_time(at), &published.readings, 0.0);
            self.cdr(Topic::Device(slot, OfDevice::Odom), at, &odometry);
        }
    }

    /// Takes note that `count` notes more found no place on their way here: what is missing may be what a replay needs.
    pub fn lost(&mut self, at: Instant, count: u64) {
        self.json(Topic::Lost, at, at, &LostLine { count });
    }

    /// Takes note of the run's report; `at` is when the run ended.
    pub fn report(&mut self, at: Instant, report: &Report) {
        self.json(Topic::Report, at, at, report);
    }

    /// Closes the current chunk and returns the bytes that are complete: to be appended to the file.
    ///
    /// # Panics
    /// Never: it writes to memory.
    pub fn take(&mut self) -> Vec<u8> {
        self.end_turns();
        self.writer.flush().expect(IN_MEMORY);
        self.tail.take()
    }

    /// Ends the file and returns its last bytes.
    ///
    /// # Panics
    /// Never: it writes to memory.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end_turns();
        self.write_head(Instant::ZERO);
        self.writer.finish().expect(IN_MEMORY);
        self.tail.take()
    }

    /// Returns the shortest end of a file that was cut where a `take` ended: for a writer whose disk is full.
    #[must_use]
    pub const fn ending() -> [u8; ENDING.len()] {
        ENDING
    }

    fn end_turns(&mut self) {
        for slot in (0..SLOTS).map(Slot::from_low_bits) {
            self.end_turn(slot);
        }
    }

    fn end_turn(&mut self, slot: Slot) {
        let turn = &mut self.turns[slot.index()];
        let life = turn.life;
        let mut steps = std::mem::take(&mut turn.steps);
        if let Some(first) = steps.first() {
            let (at, now) = (first.at, first.now);
            let line = TurnLine { life, steps: Steps(&steps) };
            self.json(Topic::Device(slot, OfDevice::Step), at, now, &line);
        }
        // Its memory is used again.
        steps.clear();
        self.turns[slot.index()].steps = steps;
    }

    fn diagnose(&mut self, at: Instant) {
        let message = self.standings.message(self.log_time(at));
        self.cdr(Topic::Diagnostics, at, &message);
    }

    fn drive(&mut self, topic: Topic, at: Instant, signals: Signals) {
        let drive = Drive::new(self.log_time(at), Command::decode(&signals));
        self.cdr(topic, at, &drive);
    }

    const fn log_time(&self, at: Instant) -> u64 {
        at.as_nanos().saturating_add(self.epoch_ns)
    }

    fn json(&mut self, topic: Topic, at: Instant, now: Instant, line: &impl Serialize) {
        let written = self.try_json(topic, at, now, line);
        debug_assert!(written, "the types of this crate have a form in JSON: {topic:?}");
    }

    /// Returns `false` when the line has no form in JSON; then nothing is written.
    fn try_json(&mut self, topic: Topic, at: Instant, now: Instant, line: &impl Serialize) -> bool {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        let written = serde_json::to_writer(&mut message, line).is_ok();
        if written {
            self.write(topic, at, now, &message);
        }
        self.message = message;
        written
    }

    fn cdr(&mut self, topic: Topic, at: Instant, line: &impl Serialize) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        ros::write(&mut message, line);
        self.write(topic, at, at, &message);
        self.message = message;
    }

    fn write(&mut self, topic: Topic, at: Instant, now: Instant, message: &[u8]) {
        self.write_head(at);
        self.append(topic, self.log_time(at), self.log_time(now), message);
    }

    fn write_head(&mut self, at: Instant) {
        if let Some(head) = self.head.take() {
            let message = serde_json::to_vec(&head).expect("a run's header has a form in JSON");
            let log_time = self.log_time(at);
            self.append(Topic::Run, log_time, log_time, &message);
        }
    }

    fn append(&mut self, topic: Topic, log_time: u64, publish_time: u64, message: &[u8]) {
        let Self { writer, channels, .. } = self;
        let channel = channels.entry(topic).or_insert_with(|| Channel { id: add(writer, topic), sequence: 0 });
        let header = MessageHeader { channel_id: channel.id, sequence: channel.sequence, log_time, publish_time };
        channel.sequence = channel.sequence.wrapping_add(1);
        writer.write_to_known_channel(&header, message).expect(IN_MEMORY);
    }
}

fn add(writer: &mut Writer<NoSeek<Tail>>, topic: Topic) -> u16 {
    let form = topic.form();
    let schema = writer.add_schema(form.name, form.encoding, form.schema.as_bytes()).expect(IN_MEMORY);
    writer.add_channel(schema, &topic.name(), form.messages, &BTreeMap::new()).expect(IN_MEMORY)
}

/// Returns what people read of an event whose fields do not say it.
fn words_of(event: &Event) -> Option<String> {
    match event {
        Event::Role { role, .. } => Some(role.to_string()),
        Event::Ready { ready, .. } => Some(ready.map_or_else(|why| why.to_string(), |()| "ready".to_owned())),
        Event::Down { .. } => Some("down".to_owned()),
        Event::Dropped { why, .. } => Some(why.name().to_owned()),
        Event::Acted { .. }
        | Event::Closed { .. }
        | Event::Restarted { .. }
        | Event::EStopped { .. }
        | Event::Followed { .. }
        | Event::Offered { .. }
        | Event::Told { .. }
        | Event::Fault { .. }
        | Event::FaultEnded { .. }
        | Event::Truth { .. }
        | Event::Wrong { .. }
        | Event::Stalled { .. }
        | Event::Phase { .. } => None,
    }
}

/// The data's end without a checksum, a footer without a summary, the magic bytes.
const ENDING: [u8; 50] = [
    0x0F, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // DataEnd
    0x02, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // Footer
    0x89, b'M', b'C', b'A', b'P', b'0', b'\r', b'\n',
];
