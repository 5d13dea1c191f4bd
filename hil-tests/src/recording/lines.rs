//! The JSON messages that `replay` lives on: short, and the same values again when read.
//!
//! A frame is written as `candump` shows it, `100#0011223344556677`; times are counted from the message's own.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Confinement, Received};
use twinhelm_hal::signals::Signals;
use twinhelm_hal::time::Instant;
use twinhelm_standby::{Effect, Effects, Header, Input, Order, Readings, Refusal};
use twinhelm_vehicle::report::log::{Event, GateAnswer, GateInput};

/// `/run`
#[derive(Serialize, Deserialize)]
pub(super) struct RunLine {
    pub(super) schema: u32,
    pub(super) twinhelm: String,
    pub(super) run: super::RunHeader,
}

/// `/run/begins`
#[derive(Serialize, Deserialize)]
pub(super) struct BeginsLine {
    pub(super) zero_ns: u64,
}

/// `/lost`
#[derive(Serialize, Deserialize)]
pub(super) struct LostLine {
    pub(super) count: u64,
}

/// Every topic of events.
#[derive(Serialize)]
pub(super) struct EventLine<'a> {
    pub(super) event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<String>,
}

/// Every topic of events, read.
#[derive(Deserialize)]
pub(super) struct EventRead {
    pub(super) event: Event,
}

/// `/gate/N/input`
#[derive(Serialize, Deserialize)]
pub(super) struct JudgedLine {
    #[serde(rename = "in")]
    input: JudgedInput,
    #[serde(rename = "out")]
    pub(super) answer: GateAnswer,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JudgedInput {
    Frame(#[serde(with = "candump")] Frame),
    Tick,
    Restart,
    Stop,
}

impl JudgedLine {
    pub(super) fn new(input: &GateInput, answer: &GateAnswer) -> Self {
        let input = match input {
            GateInput::Frame(frame) => JudgedInput::Frame(*frame),
            GateInput::Tick => JudgedInput::Tick,
            GateInput::Restart => JudgedInput::Restart,
            GateInput::Stop => JudgedInput::Stop,
        };
        Self { input, answer: *answer }
    }

    pub(super) fn input(&self) -> GateInput {
        match self.input {
            JudgedInput::Frame(frame) => GateInput::Frame(frame),
            JudgedInput::Tick => GateInput::Tick,
            JudgedInput::Restart => GateInput::Restart,
            JudgedInput::Stop => GateInput::Stop,
        }
    }
}

/// `/device/NAME/step`
#[derive(Serialize)]
pub(super) struct TurnLine<'a> {
    pub(super) life: u32,
    pub(super) steps: Steps<'a>,
}

/// One step of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, by the rig's clock.
    pub at: Instant,
    /// When, by the device's.
    pub now: Instant,
    /// What it was told.
    pub input: Input,
    /// What it answered.
    pub effects: Effects,
}

/// The steps of a turn; their times are counted from the first one's.
pub(super) struct Steps<'a>(pub(super) &'a [Step]);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(first) = self.0.first() else {
            return serializer.collect_seq(std::iter::empty::<()>());
        };
        let line = |step: &Step| {
            let told = Told::new(step.now, &step.input);
            (after(step.at, first.at), after(step.now, first.now), told, Answers(step.effects.clone()))
        };
        serializer.collect_seq(self.0.iter().map(line))
    }
}

/// `/device/NAME/step`, read.
#[derive(Deserialize)]
pub(super) struct TurnRead {
    pub(super) life: u32,
    steps: Vec<(i64, i64, Told, Answers)>,
}

impl TurnRead {
    /// Returns the steps of a turn that began at `at`, by the device's clock at `now`.
    pub(super) fn steps(self, at: Instant, now: Instant) -> impl Iterator<Item = Step> {
        self.steps.into_iter().map(move |(at_after, now_after, told, answers)| {
            let now = plus(now, now_after);
            Step { at: plus(at, at_after), now, input: told.input(now), effects: answers.0 }
        })
    }
}

/// An input; the time of what came earlier is told as its age in ns.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Woke,
    Confined(Confinement),
    Heard(#[serde(with = "candump")] Frame, i64),
    Peer(Option<Header>, i64),
    Ordered(Order),
    Decide,
    Computed {
        cycle: Cycle,
        signals: Option<Signals>,
        has_readings: bool,
        /// Left out in recordings of before it was known.
        #[serde(default, skip_serializing_if = "is_false")]
        peers_readings: bool,
        checked: bool,
    },
    Adopted(Cycle, i64),
}

impl Told {
    fn new(now: Instant, input: &Input) -> Self {
        match *input {
            Input::Woke => Self::Woke,
            Input::Confined(confinement) => Self::Confined(confinement),
            Input::Heard(Received { at, frame }) => Self::Heard(frame, after(now, at)),
            Input::Peer { at, header } => Self::Peer(header, after(now, at)),
            Input::Ordered(order) => Self::Ordered(order),
            Input::Decide => Self::Decide,
            Input::Computed { cycle, signals, readings, checked } => Self::Computed {
                cycle,
                signals,
                has_readings: readings != Readings::Missing,
                peers_readings: readings == Readings::Peers,
                checked,
            },
            Input::Adopted { cycle, at } => Self::Adopted(cycle, after(now, at)),
        }
    }

    fn input(self, now: Instant) -> Input {
        let ago = |age: i64| plus(now, age.wrapping_neg());
        match self {
            Self::Woke => Input::Woke,
            Self::Confined(confinement) => Input::Confined(confinement),
            Self::Heard(frame, age) => Input::Heard(Received { at: ago(age), frame }),
            Self::Peer(header, age) => Input::Peer { at: ago(age), header },
            Self::Ordered(order) => Input::Ordered(order),
            Self::Decide => Input::Decide,
            Self::Computed { cycle, signals, has_readings, peers_readings, checked } => {
                let readings = match (has_readings, peers_readings) {
                    (false, _) => Readings::Missing,
                    (true, true) => Readings::Peers,
                    (true, false) => Readings::Own,
                };
                Input::Computed { cycle, signals, readings, checked }
            }
            Self::Adopted(cycle, age) => Input::Adopted { cycle, at: ago(age) },
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

struct Answers(Effects);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Compute(Cycle, bool),
    Send(#[serde(with = "candump")] Frame),
    Publish,
    Refused(Refusal),
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = |effect: &Effect| match *effect {
            Effect::Compute { cycle, standstill } => Answer::Compute(cycle, standstill),
            Effect::Send(frame) => Answer::Send(frame),
            Effect::Publish => Answer::Publish,
            Effect::Refused(refusal) => Answer::Refused(refusal),
        };
        serializer.collect_seq(self.0.iter().map(answer))
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut effects = Effects::new();
        for answer in Vec::<Answer>::deserialize(deserializer)? {
            let effect = match answer {
                Answer::Compute(cycle, standstill) => Effect::Compute { cycle, standstill },
                Answer::Send(frame) => Effect::Send(frame),
                Answer::Publish => Effect::Publish,
                Answer::Refused(refusal) => Effect::Refused(refusal),
            };
            effects.try_push(effect).map_err(|_| D::Error::custom("more effects than one input can have"))?;
        }
        Ok(Self(effects))
    }
}

/// Returns the ns from `earlier` to `later`, negative when it is the other way round. Any two instants come back.
const fn after(later: Instant, earlier: Instant) -> i64 {
    later.as_nanos().wrapping_sub(earlier.as_nanos()).cast_signed()
}

const fn plus(at: Instant, after: i64) -> Instant {
    Instant::from_nanos(at.as_nanos().wrapping_add_signed(after))
}

/// A frame as text.
pub(super) mod candump {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use twinhelm_hal::frame::Frame;

    /// `fff#` and 8 bytes at most; an identifier has 16 bits here.
    const LENGTH_MAX: usize = 4 + 1 + 16;

    /// Returns the frame's text, at the front of the bytes, and its length.
    fn text(frame: &Frame) -> ([u8; LENGTH_MAX], usize) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut text = [0; LENGTH_MAX];
        let mut length = 0_usize;
        let mut push = |byte: u8| {
            text[length] = byte;
            length = length.saturating_add(1);
        };
        let digit = |value: u8| DIGITS[usize::from(value % 16)];
        let [high, low] = frame.id.to_be_bytes();
        for value in [high >> 4, high, low >> 4, low].into_iter().skip(usize::from(high < 16)) {
            push(digit(value));
        }
        push(b'#');
        for byte in frame.data.iter().take(frame.len.into()) {
            push(digit(byte >> 4));
            push(digit(*byte));
        }
        (text, length)
    }

    /// Reads a frame's text.
    pub(in super::super) fn parse(text: &str) -> Option<Frame> {
        let (id, bytes) = text.split_once('#')?;
        let id = u16::from_str_radix(id, 16).ok()?;
        let digits = bytes.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() > 16 {
            return None;
        }
        let mut data = [0; 8];
        for (byte, pair) in data.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Frame { id, len: u8::try_from(digits.len() / 2).ok()?, data })
    }

    /// Shows a frame to people.
    pub(in super::super) fn show(frame: &Frame) -> String {
        let (text, length) = text(frame);
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    pub(super) fn serialize<S: Serializer>(frame: &Frame, serializer: S) -> Result<S::Ok, S::Error> {
        let (text, length) = text(frame);
        serializer.serialize_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Frame, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no frame; `100#0011223344556677` is one")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhelm_hal::frame::CommandFrame;
    use twinhelm_hal::signals::Divergence;
    use twinhelm_hal::term::{Slot, Term};
    use twinhelm_standby::{NotReady, Relayed, RoleName};

    fn frame() -> Frame {
        let signals = Signals::of_16_bits([-1234, 3999]);
        CommandFrame { slot: Slot::RIGHT, term: 5, cycle: 501, probe: false, estop: false, signals }.encode()
    }

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let mut short = Frame { id: 0x7FF, len: 3, data: [1, 0xA0, 0xFF, 0, 0, 0, 0, 0] };
        assert_eq!(candump::show(&short), "7FF#01A0FF");
        for id in [0, 0x100, 0x7FF, 0xFFFF] {
            short.id = id;
            assert_eq!(candump::parse(&candump::show(&short)), Some(short));
        }
        assert_eq!(candump::parse(&candump::show(&frame())), Some(frame()));
        for text in ["", "100", "100#0", "xyz#00", "100#001122334455667788", "100#zz", "100#é0"] {
            assert_eq!(candump::parse(text), None, "{text}");
        }
    }

    fn header() -> Header {
        Header {
            slot: Slot::RIGHT,
            cycle: Cycle::new(70_001),
            term: Some(Term::new(5)),
            role: RoleName::Standby,
            ready: Err(NotReady::OutputPath),
            sent: true,
            checked: false,
            divergence: Some(Divergence { signal: 1, counts: 4 }),
            disputes: true,
            digest: u64::MAX,
            relayed: [None, Some(Relayed { open: true, term: None }), None, None],
        }
    }

    #[test]
    fn every_step_reads_back_as_it_was_written() {
        let (at, now) = (Instant::from_nanos(7_000_000_000), Instant::from_nanos(u64::MAX - 5_000));
        let inputs = [
            Input::Woke,
            Input::Heard(Received { at: now.before(std::time::Duration::from_millis(3)), frame: frame() }),
            // Heard by a clock that was set back since.
            Input::Heard(Received { at: Instant::from_nanos(u64::MAX), frame: frame() }),
            Input::Peer { at: Instant::ZERO, header: None },
            Input::Peer { at: now, header: Some(header()) },
            Input::Ordered(Order::Switchover),
            Input::Decide,
            Input::Computed {
                cycle: Cycle::new(u64::MAX),
                signals: Some(Signals::of_16_bits([i16::MIN, i16::MAX])),
                readings: Readings::Own,
                checked: false,
            },
            Input::Computed { cycle: Cycle::new(1), signals: None, readings: Readings::Peers, checked: true },
            Input::Computed { cycle: Cycle::new(0), signals: None, readings: Readings::Missing, checked: true },
            Input::Adopted { cycle: Cycle::new(9), at: now },
        ];
        let effects: Effects = [
            Effect::Compute { cycle: Cycle::new(8), standstill: true },
            Effect::Send(frame()),
            Effect::Publish,
            Effect::Refused(Refusal::PeerNotReady(NotReady::Dispute)),
        ]
        .into_iter()
        .collect();
        let steps: Vec<Step> = inputs
            .into_iter()
            .enumerate()
            .map(|(index, input)| Step {
                at: Instant::from_nanos(at.as_nanos() + index as u64),
                now: Instant::from_nanos(now.as_nanos() - 3 * index as u64),
                input,
                effects: if index % 2 == 0 { effects.clone() } else { Effects::new() },
            })
            .collect();
        let text = serde_json::to_string(&TurnLine { life: 3, steps: Steps(&steps) }).unwrap();
        let read: TurnRead = serde_json::from_str(&text).unwrap();
        assert_eq!(read.life, 3);
        assert_eq!(read.steps(at, now).collect::<Vec<_>>(), steps, "{text}");
    }

    #[test]
    fn more_effects_than_there_can_be_are_refused() {
        let text = r#"{"life":0,"steps":[[0,0,"decide",["publish","publish","publish","publish","publish"]]]}"#;
        assert!(serde_json::from_str::<TurnRead>(text).is_err());
    }
}
