//! A gate's story: who holds the wheel, each command that was not the holder's, each frame that it did not act on.

use super::super::reader::Judged;
use super::super::words;
use super::{Story, since};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::gate::{Drop, How, Verdict};
use twinhelm_hal::time::Instant;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::GateInput;

/// Tells of one gate.
pub(super) fn tell(story: &mut Story<'_>, number: u8, judged: &[Judged]) {
    let who = format!("gate {number}");
    let mut ages = Ages::default();
    let mut open = false;
    for one in judged {
        if story.part.every_step {
            let told = words::gate_input(&one.input, &|wire| ages.widen(wire));
            let line = format!("{told} -> {}", words::gate_answer(&one.answer));
            story.add(one.at, &who, line);
        } else if let Some(what) = matters(story, one, &ages) {
            story.add(one.at, &who, what);
        }
        if open && !one.answer.open {
            let why = match (&one.input, &one.answer.verdict) {
                (GateInput::Restart, _) => "it came up anew".to_owned(),
                (GateInput::Stop, _) => "its e-stop was pressed (G8)".to_owned(),
                (_, Some(Verdict::EStopped { slot })) => format!("emergency stop by {}", device_name(*slot)),
                (GateInput::Frame(_) | GateInput::Tick, _) => format!(
                    "nothing was acted on for {}, the command timeout is {} (G4)",
                    ages.acted.map_or_else(|| "ever".to_owned(), |at| since(one.at, at)),
                    words::ms(story.recording.config.command_timeout)
                ),
            };
            story.add(one.at, &who, format!("closes, safe state: {why}"));
        }
        open = one.answer.open;
        ages.take_in(one);
    }
}

/// When the gate last acted, on which cycle, and when on the holder's command.
#[derive(Default)]
struct Ages {
    acted: Option<Instant>,
    last: Cycle,
    holder: Option<Instant>,
}

impl Ages {
    fn take_in(&mut self, one: &Judged) {
        match one.answer.verdict {
            Some(Verdict::Acted { how, cycle, .. }) => {
                self.acted = Some(one.at);
                self.last = cycle;
                if how != How::Cover {
                    self.holder = Some(one.at);
                }
            }
            // The new holder gets a lease of its own.
            Some(Verdict::Followed { .. }) => self.holder = Some(one.at),
            Some(Verdict::Dropped { .. } | Verdict::Probe { .. } | Verdict::EStopped { .. } | Verdict::Ignored)
            | None => {}
        }
    }

    /// Returns a cycle of which the low bits are known, as the gate counts.
    fn widen(&self, wire: u16) -> Cycle {
        Cycle::from_wire(wire, self.last)
    }

    fn of_holder(&self, now: Instant) -> String {
        self.holder.map_or_else(|| "never".to_owned(), |at| format!("{} ago", since(now, at)))
    }
}

/// Returns a line for what is not the everyday.
fn matters(story: &Story<'_>, one: &Judged, ages: &Ages) -> Option<String> {
    let config = &story.recording.config;
    let told = words::gate_input(&one.input, &|wire| ages.widen(wire));
    match one.answer.verdict? {
        Verdict::Acted { how: How::Holder, .. } | Verdict::Probe { .. } | Verdict::Ignored => None,
        Verdict::Acted { how: How::Cover, slot, cycle, .. } => Some(format!(
            "acts on {}'s command for cycle {cycle}, a cover: the last command was acted on {} ago, the holder's {}, \
             and its lease is {} (G3)",
            device_name(slot),
            ages.acted.map_or_else(|| "never".to_owned(), |at| since(one.at, at)),
            ages.of_holder(one.at),
            words::ms(config.gate_lease),
        )),
        Verdict::Acted { how: How::Takeover, slot, term, cycle, .. } => Some(format!(
            "acts on {0}'s command for cycle {cycle}, a takeover: the holder's last was acted on {1}, its lease of {2} \
             has run out; {0} holds the wheel, term {term} (G3)",
            device_name(slot),
            ages.of_holder(one.at),
            words::ms(config.gate_lease),
        )),
        Verdict::Acted { how: How::Opening, slot, term, cycle, .. } => Some(format!(
            "opens at cycle {cycle}: the second of two frames in a row; {} holds the wheel, term {term} (G5)",
            device_name(slot)
        )),
        Verdict::Dropped { why: Drop::NotDue } => {
            let age = ages.acted.map_or_else(|| "never".to_owned(), |at| format!("{} ago", since(one.at, at)));
            Some(format!("{told}, dropped: not due yet, the last command was acted on {age} (G3)"))
        }
        Verdict::Dropped { why } => Some(format!("{told}, dropped: {}", words::drop(why))),
        Verdict::Followed { gate, term } => Some(format!("follows gate {gate} to term {term} (G7)")),
        Verdict::EStopped { slot } => Some(format!("emergency stop by {} (G8)", device_name(slot))),
    }
}
