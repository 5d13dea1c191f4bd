//! Replay: the recorded inputs go to fresh nodes and gates, which must decide the same (invariant 8), and the recorded
//! events must give the same report.

mod difference;
mod figures;

pub use difference::{Difference, Place};

use super::reader::{Judged, Life, Recording};
use super::words;
use serde::Serialize;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::gate::rules::{AsDesigned as DesignedGate, GateRules};
use twinhelm_hal::gate::{Gate, Verdict};
use twinhelm_standby::node::rules::{AsDesigned as DesignedNode, NodeRules};
use twinhelm_standby::{Input, Node};
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::{GateAnswer, GateInput};
use twinhelm_vehicle::signals::LAYOUT;

/// So many steps before a difference are shown.
const CONTEXT: usize = 10;

/// What was replayed without a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Lives of devices.
    pub lives: usize,
    /// Steps of their nodes.
    pub steps: usize,
    /// Gates.
    pub gates: usize,
    /// Their judgements.
    pub judgements: usize,
    /// The report was there, and came out the same.
    pub report: bool,
    /// Lives that could not be replayed because their beginning is not in the recording, in words.
    pub without_beginning: Vec<String>,
    /// So many notes are known to be missing in the recording.
    pub lost: u64,
}

impl Replayed {
    /// Returns what the recording would have to hold and does not; without that, "no difference" says nothing.
    #[must_use]
    pub const fn missing(&self) -> Option<&'static str> {
        match (self.steps, self.judgements) {
            (0, 0) => Some("it holds neither a step of a device nor a judgement of a gate"),
            (0, _) => Some("it holds no step of a device"),
            (_, 0) => Some("it holds no judgement of a gate"),
            (_, _) => None,
        }
    }
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lives, steps, gates, judgements, report, without_beginning, lost } = self;
        write!(f, "{steps} steps in {lives} lives of devices and {judgements} judgements of {gates} gates: ")?;
        match self.missing() {
            None => writeln!(f, "the same decisions again")?,
            Some(missing) => writeln!(f, "nothing is proven by this recording, {missing}; record the run anew")?,
        }
        if *report {
            writeln!(f, "the report comes out the same")?;
        } else {
            writeln!(f, "there is no report in it to compare with")?;
        }
        for life in without_beginning {
            writeln!(f, "{life} is not replayed: its beginning is not in the recording")?;
        }
        if *lost > 0 {
            writeln!(f, "{lost} notes are missing in the recording")?;
        }
        Ok(())
    }
}

/// Replays `recording` with the nodes and gates as designed.
///
/// # Errors
/// The first [`Difference`], by time, with what came before it.
pub fn replay(recording: &Recording) -> Result<Replayed, Box<Difference>> {
    replay_variant::<DesignedNode, DesignedGate>(recording)
}

/// Replays `recording` with nodes and gates of the rules that are named.
///
/// # Errors
/// The first [`Difference`], by time, with what came before it.
pub fn replay_variant<N: NodeRules, G: GateRules>(recording: &Recording) -> Result<Replayed, Box<Difference>> {
    let mut replayed = Replayed { lost: recording.lost, ..Replayed::default() };
    let mut differences = Vec::new();
    for life in &recording.lives {
        match replay_life::<N>(recording, life) {
            Came::Same => {
                replayed.lives = replayed.lives.saturating_add(1);
                replayed.steps = replayed.steps.saturating_add(life.steps.len());
            }
            Came::Differently(difference) => differences.push(difference),
            Came::WithoutBeginning => replayed.without_beginning.push(name_of(life)),
        }
    }
    for (gate, judged) in (0..).zip(&recording.gates) {
        if let Some(difference) = replay_gate::<G>(recording, gate, judged) {
            differences.push(difference);
        } else if !judged.is_empty() {
            replayed.gates = replayed.gates.saturating_add(1);
            replayed.judgements = replayed.judgements.saturating_add(judged.len());
        }
    }
    if let Some(first) = differences.into_iter().min_by_key(|difference| difference.at) {
        return Err(first);
    }
    if let Some((end, report)) = &recording.report {
        figures::compare(recording, *end, report)?;
        replayed.report = true;
    }
    Ok(replayed)
}

/// What came of a life. A difference is large, and rare.
enum Came {
    Same,
    Differently(Box<Difference>),
    WithoutBeginning,
}

fn name_of(life: &Life) -> String {
    format!("life {} of {}", life.life, device_name(life.slot))
}

fn replay_life<N: NodeRules>(recording: &Recording, life: &Life) -> Came {
    let Some(first) = life.steps.first().filter(|step| step.input == Input::Woke) else {
        return Came::WithoutBeginning;
    };
    let mut node = Node::<N>::new(first.now, life.slot, recording.config, LAYOUT);
    let mut turns = 0;
    for (index, step) in life.steps.iter().enumerate() {
        turns = usize::from(step.input == Input::Woke).saturating_add(turns);
        let effects = node.step(step.now, step.input);
        if effects == step.effects {
            continue;
        }
        // A node that is not new answers otherwise at once, where notes are known to be missing.
        if turns == 1 && recording.lost > 0 {
            return Came::WithoutBeginning;
        }
        let before = life.steps[index.saturating_sub(CONTEXT)..index].iter();
        let widen = |wire: u16| node.align(Cycle::new(wire.into()));
        return Came::Differently(Box::new(Difference {
            place: Place::Device { name: device_name(life.slot).to_owned(), life: life.life },
            index,
            of: life.steps.len(),
            at: step.at,
            t_s: step.at.seconds_after(recording.zero),
            told: words::told(&step.input, &widen),
            recorded: words::answered(&step.effects, &widen),
            replayed: words::answered(&effects, &widen),
            context: before.map(|step| words::step(step, recording.zero, &widen)).collect(),
            lost: recording.lost,
        }));
    }
    Came::Same
}

fn replay_gate<G: GateRules>(recording: &Recording, number: u8, judged: &[Judged]) -> Option<Box<Difference>> {
    let fresh = || Gate::<G>::new(number, recording.config.gate_timing(), LAYOUT);
    let mut gate = fresh();
    for (index, one) in judged.iter().enumerate() {
        let answer = match &one.input {
            GateInput::Frame(frame) => {
                let verdict = gate.on_frame(one.at, frame);
                standing(&gate, Some(verdict))
            }
            GateInput::Tick => {
                gate.on_tick(one.at);
                standing(&gate, None)
            }
            GateInput::Restart => {
                gate = fresh();
                standing(&gate, None)
            }
            GateInput::Stop => {
                gate.stop();
                standing(&gate, None)
            }
        };
        if answer == one.answer {
            continue;
        }
        let widen = |wire: u16| Cycle::from_wire(wire, gate.last());
        let before = judged[index.saturating_sub(CONTEXT)..index].iter();
        return Some(Box::new(Difference {
            place: Place::Gate(number),
            index,
            of: judged.len(),
            at: one.at,
            t_s: one.at.seconds_after(recording.zero),
            told: words::gate_input(&one.input, &widen),
            recorded: words::gate_answer(&one.answer),
            replayed: words::gate_answer(&answer),
            context: before.map(|judged| words::judged(judged, recording.zero, &widen)).collect(),
            lost: recording.lost,
        }));
    }
    None
}

fn standing<G: GateRules>(gate: &Gate<G>, verdict: Option<Verdict>) -> GateAnswer {
    GateAnswer { verdict, open: gate.is_open(), term: gate.term() }
}
