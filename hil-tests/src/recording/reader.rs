//! The reader: from a file's bytes to what happened, each in its type.
//!
//! A file may end anywhere, because its writer may have been killed: everything in whole chunks is read.

mod error;
mod records;

pub use error::RecordingError;

use super::RunHeader;
use super::lines::{BeginsLine, EventRead, JudgedLine, LostLine, RunLine, Step, TurnRead};
use super::topic::{OfDevice, OfGate, Topic};
use records::{Message, Outline};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use twinhelm_hal::frame::GATES;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::Config;
use twinhelm_vehicle::report::Report;
use twinhelm_vehicle::report::log::{GateAnswer, GateInput, Log};

/// A file beyond this is not read: all of it lies in memory.
pub const BYTES_MAX: u64 = 2 << 30;

/// A recording, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The file's name, for messages.
    pub name: String,
    /// The version of the program that wrote it.
    pub twinhelm: String,
    /// The run.
    pub run: RunHeader,
    /// The timing of the run, checked.
    pub config: Config,
    /// The run's time zero: when it began, or, where that is not in the file, the first event.
    pub zero: Instant,
    /// What happened, in order of time.
    pub log: Log,
    /// What the devices' nodes were told and answered, by slot and life.
    pub lives: Vec<Life>,
    /// What each gate was told and answered, in order.
    pub gates: [Vec<Judged>; GATES as usize],
    /// The figures, with the end of the run, if the recording came so far.
    pub report: Option<(Instant, Report)>,
    /// So many notes are known to be missing.
    pub lost: u64,
    /// How the file ends.
    pub ended: Ended,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an end that its writer gave it.
    Whole,
    /// Somewhere: its writer was killed, or the file was cut later.
    Cut,
}

/// One life of a device: from a start of its process to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whose.
    pub slot: Slot,
    /// Counts the starts.
    pub life: u32,
    /// What the node was told and answered.
    pub steps: Vec<Step>,
}

/// One judgement of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// When.
    pub at: Instant,
    /// What the gate was told.
    pub input: GateInput,
    /// What it answered.
    pub answer: GateAnswer,
}

impl Recording {
    /// Reads the recording in `bytes`; `name` is what messages call it.
    ///
    /// # Errors
    /// [`RecordingError`] says what it is instead, or where it is broken, and what to do.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, RecordingError> {
        Self::check_length(name, bytes.len() as u64)?;
        let mut reading = Reading { name, head: None, zero: None, found: Found::default(), lives: BTreeMap::new() };
        let outline = records::read(name, bytes, |message| reading.take_in(message))?;
        reading.finish(outline)
    }

    /// What the file of a recording begins with: any other is none.
    pub const BEGINS_WITH: &[u8] = mcap::MAGIC;

    /// Checks that a file of `bytes` bytes can be read: all of it lies in memory.
    ///
    /// # Errors
    /// [`RecordingError::TooLarge`], before anything is read.
    pub fn check_length(name: &str, bytes: u64) -> Result<(), RecordingError> {
        if bytes > BYTES_MAX {
            return Err(RecordingError::TooLarge { name: name.to_owned(), gib: bytes >> 30 });
        }
        Ok(())
    }
}

/// A recording that is being read.
struct Reading<'a> {
    name: &'a str,
    head: Option<(RunLine, Config)>,
    zero: Option<Instant>,
    found: Found,
    lives: BTreeMap<(Slot, u32), Vec<Step>>,
}

#[derive(Default)]
struct Found {
    log: Log,
    gates: [Vec<Judged>; GATES as usize],
    report: Option<(Instant, Report)>,
    lost: u64,
}

impl Reading<'_> {
    fn take_in(&mut self, message: &Message<'_>) -> Result<(), RecordingError> {
        let topic = message.topic;
        let Some((head, _)) = &self.head else {
            // Whose messages these are is not known; without a head the file is refused in the end.
            if topic == Topic::Run {
                self.head = Some(self.head(message.data)?);
            }
            return Ok(());
        };
        let epoch_ns = head.run.epoch_ns;
        let at = Instant::from_nanos(message.log_time.saturating_sub(epoch_ns));
        let found = &mut self.found;
        match topic {
            Topic::Begins => {
                let BeginsLine { zero_ns } = parse(self.name, topic, message)?;
                self.zero = Some(Instant::from_nanos(zero_ns));
            }
            Topic::Report => found.report = Some((at, parse(self.name, topic, message)?)),
            Topic::Lost => {
                let LostLine { count } = parse(self.name, topic, message)?;
                found.lost = found.lost.saturating_add(count);
            }
            Topic::Gate(gate, OfGate::Input) => {
                let line: JudgedLine = parse(self.name, topic, message)?;
                let judged = Judged { at, input: line.input(), answer: line.answer };
                found.gates[usize::from(gate)].push(judged);
            }
            Topic::Device(slot, OfDevice::Step) => {
                let line: TurnRead = parse(self.name, topic, message)?;
                let now = Instant::from_nanos(message.publish_time.saturating_sub(epoch_ns));
                let steps = self.lives.entry((slot, line.life)).or_default();
                steps.extend(line.steps(at, now));
            }
            event if event.is_event() => {
                let line: EventRead = parse(self.name, topic, message)?;
                // A gate or a slot that does not exist has no topic.
                if Topic::of(&line.event) != topic {
                    return Err(RecordingError::Message {
                        name: self.name.to_owned(),
                        topic: topic.name(),
                        cause: "it tells of something else".to_owned(),
                    });
                }
                found.log.events.push((at, line.event));
            }
            // Samples are for other readers: what of them mattered is among the inputs of nodes. The field's messages say
            // again what events say; and one head is enough.
            Topic::Run
            | Topic::Odom
            | Topic::Drive
            | Topic::Imu
            | Topic::Battery
            | Topic::Diagnostics
            | Topic::Fault
            | Topic::Stall
            | Topic::Phase
            | Topic::Truth
            | Topic::Gate(_, OfGate::Decision)
            | Topic::Device(..) => {}
        }
        Ok(())
    }

    fn head(&self, data: &[u8]) -> Result<(RunLine, Config), RecordingError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
            twinhelm: String,
        }
        let name = self.name.to_owned();
        let broken = |cause: &serde_json::Error| RecordingError::Message {
            name: self.name.to_owned(),
            topic: Topic::Run.name(),
            cause: cause.to_string(),
        };
        let Version { schema, twinhelm } = serde_json::from_slice(data).map_err(|cause| broken(&cause))?;
        if !(super::SCHEMA_MIN..=super::SCHEMA).contains(&schema) {
            return Err(RecordingError::Schema { name, found: schema, reads: super::SCHEMA, twinhelm });
        }
        let line: RunLine = serde_json::from_slice(data).map_err(|cause| broken(&cause))?;
        let config = Config::new(line.run.parameters).map_err(|source| RecordingError::Config { name, source })?;
        Ok((line, config))
    }

    fn finish(self, outline: Outline) -> Result<Recording, RecordingError> {
        let Some((head, config)) = self.head else {
            return Err(outline.without_run(self.name));
        };
        let Found { mut log, gates, report, lost } = self.found;
        log.sort();
        let first = log.events.first().map_or(Instant::ZERO, |(at, _)| *at);
        let lives = self.lives.into_iter().map(|((slot, life), steps)| Life { slot, life, steps });
        Ok(Recording {
            name: self.name.to_owned(),
            twinhelm: head.twinhelm,
            run: head.run,
            config,
            zero: self.zero.unwrap_or(first),
            log,
            lives: lives.collect(),
            gates,
            report,
            lost,
            ended: if outline.whole { Ended::Whole } else { Ended::Cut },
        })
    }
}

fn parse<T: DeserializeOwned>(name: &str, topic: Topic, message: &Message<'_>) -> Result<T, RecordingError> {
    serde_json::from_slice(message.data).map_err(|cause| RecordingError::Message {
        name: name.to_owned(),
        topic: topic.name(),
        cause: cause.to_string(),
    })
}
