//! Inputs, effects and frames in words, for the context of a difference and for `explain`.

use super::lines::Step;
use super::lines::candump;
use super::reader::Judged;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{COUNTERS_ID, CommandFrame, Frame, GATES, StatusFrame};
use twinhelm_hal::gate::{Drop, How, Verdict};
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::{Effect, Input, Order, Readings};
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::{GateAnswer, GateInput};
use twinhelm_vehicle::signals::LAYOUT;

/// Returns a command as the counts of its signals.
fn command_of(signals: &Signals) -> String {
    let counts: Vec<_> = LAYOUT.counts(signals).map(|counts| counts.to_string()).collect();
    format!("({})", counts.join(", "))
}

/// Returns a span in ms.
pub(super) fn ms(span: Duration) -> String {
    let micros = span.as_nanos().div_ceil(10_000).saturating_mul(10);
    format!("{} ms", micros as f64 / 1e3)
}

/// Returns a moment in seconds after `zero`.
pub(super) fn moment(at: Instant, zero: Instant) -> String {
    format!("{:.4} s", at.seconds_after(zero))
}

/// Gives a cycle's low bits on the wire the bits above them, from whatever was last known.
pub(super) type Widen<'a> = &'a dyn Fn(u16) -> Cycle;

/// Returns what a frame says.
pub(super) fn frame(frame: &Frame, widen: Widen<'_>) -> String {
    if let Ok(command) = CommandFrame::decode(frame) {
        let who = device_name(command.slot);
        return match command {
            // What stands in its place is the probe's number.
            CommandFrame { probe: true, cycle, .. } => format!("{who}'s probe {cycle}"),
            CommandFrame { estop: true, .. } => format!("{who}'s emergency stop"),
            CommandFrame { term, cycle, .. } => {
                format!("{who}'s command for cycle {} in term {term}", widen(cycle))
            }
        };
    }
    if let Ok(status) = StatusFrame::decode(frame) {
        let is = if status.open { "open" } else { "closed" };
        let term = if status.term_known { format!("term {}", status.term) } else { "no term".to_owned() };
        return format!("gate {}: {is}, {term}, last cycle {}", status.gate, widen(status.cycle));
    }
    let gate = frame.id.wrapping_sub(COUNTERS_ID);
    if gate < u16::from(GATES) {
        return format!("gate {gate}'s counters");
    }
    format!("frame {}", candump::show(frame))
}

/// Returns what a node was told.
pub(super) fn told(input: &Input, widen: Widen<'_>) -> String {
    match input {
        Input::Woke => "woke up".to_owned(),
        Input::Confined(Confinement::Active) => "the bus controller is in order".to_owned(),
        Input::Confined(Confinement::Passive) => "the bus controller is error-passive".to_owned(),
        Input::Confined(Confinement::Off) => "the bus controller is off the bus".to_owned(),
        Input::Heard(received) => format!("heard {}", frame(&received.frame, widen)),
        Input::Peer { header: None, .. } => "the peer's sample, of another version".to_owned(),
        Input::Peer { header: Some(header), .. } => {
            let ready = header.ready.map_or_else(|_| "not ready", |()| "ready");
            format!("the peer's sample: {}, {ready}, cycle {}", header.role, header.cycle)
        }
        Input::Ordered(Order::Switchover) => "ordered to hand over".to_owned(),
        Input::Decide => "to decide".to_owned(),
        Input::Computed { cycle, signals, readings, checked } => {
            let command = match (signals, readings) {
                (Some(signals), Readings::Own) => command_of(signals),
                (Some(signals), _) => format!("{} from the peer's readings", command_of(signals)),
                (None, Readings::Own | Readings::Peers) => "no command (not finite, or out of range)".to_owned(),
                (None, Readings::Missing) => "no command (no readings)".to_owned(),
            };
            let checked = if *checked { "" } else { ", and its check another one" };
            format!("the law gave {command} for cycle {cycle}{checked}")
        }
        Input::Adopted { cycle, .. } => format!("took over the driver's state of cycle {cycle}"),
    }
}

/// Returns what a node answered.
pub(super) fn answered(effects: &[Effect], widen: Widen<'_>) -> String {
    if effects.is_empty() {
        return "nothing".to_owned();
    }
    let effect = |effect: &Effect| match effect {
        Effect::Compute { cycle, standstill: false } => format!("compute cycle {cycle}"),
        Effect::Compute { cycle, standstill: true } => format!("compute a standstill for cycle {cycle}"),
        Effect::Send(sent) => format!("send {}", frame(sent, widen)),
        Effect::Publish => "publish".to_owned(),
        Effect::Refused(refusal) => format!("refuse: {refusal}"),
    };
    effects.iter().map(effect).collect::<Vec<_>>().join(", ")
}

/// Returns a step as a line.
pub(super) fn step(step: &Step, zero: Instant, widen: Widen<'_>) -> String {
    format!("{}  {} -> {}", moment(step.at, zero), told(&step.input, widen), answered(&step.effects, widen))
}

/// Returns what a gate was told.
pub(super) fn gate_input(input: &GateInput, widen: Widen<'_>) -> String {
    match input {
        GateInput::Frame(heard) => format!("heard {}", frame(heard, widen)),
        GateInput::Tick => "time passed".to_owned(),
        GateInput::Restart => "it came up anew".to_owned(),
        GateInput::Stop => "its e-stop was pressed".to_owned(),
    }
}

/// Returns what a gate answered, and how it stands.
pub(super) fn gate_answer(answer: &GateAnswer) -> String {
    let verdict = match answer.verdict {
        None => String::new(),
        Some(Verdict::Acted { how, cycle, term, .. }) => {
            format!("acted on cycle {cycle}, {}, holder's term {term}; ", self::how(how))
        }
        Some(Verdict::Dropped { why }) => format!("dropped, {}; ", drop(why)),
        Some(Verdict::Probe { slot }) => format!("{}'s probe, to be echoed; ", device_name(slot)),
        Some(Verdict::Followed { gate, term }) => format!("followed gate {gate} to term {term}; "),
        Some(Verdict::EStopped { slot }) => format!("stopped by {}; ", device_name(slot)),
        Some(Verdict::Ignored) => "ignored; ".to_owned(),
    };
    let is = if answer.open { "open" } else { "closed" };
    let term = answer.term.map_or_else(|| "no term".to_owned(), |term| format!("term {term}"));
    format!("{verdict}{is}, {term}")
}

/// Returns a judgement as a line.
pub(super) fn judged(judged: &Judged, zero: Instant, widen: Widen<'_>) -> String {
    format!("{}  {} -> {}", moment(judged.at, zero), gate_input(&judged.input, widen), gate_answer(&judged.answer))
}

const fn how(how: How) -> &'static str {
    match how {
        How::Holder => "the holder's",
        How::Cover => "a cover",
        How::Takeover => "a takeover",
        How::Opening => "an opening",
    }
}

/// Returns a reason to drop a frame.
pub(super) const fn drop(why: Drop) -> &'static str {
    match why {
        Drop::BadCrc => "its checksum does not fit",
        Drop::WrongLength => "it is not 8 bytes long",
        Drop::UnknownKind => "no kind of ours",
        Drop::WrongSlot => "the term is not its sender's",
        Drop::StaleTerm => "its term is superseded",
        Drop::OldCycle => "its cycle is not ahead",
        Drop::OutOfRange => "a signal is out of range",
        Drop::NotDue => "not due yet",
        Drop::ClosedToTerm => "the gate is closed to its term",
        Drop::FirstOfTwo => "the first of two",
        Drop::OtherCandidate => "another candidate is waited for",
        Drop::EStop => "an emergency stop is latched",
    }
}
