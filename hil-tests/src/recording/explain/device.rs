//! A device's story: its roles, its readiness, and each command of a standby, with what it rests on.

use super::super::lines::Step;
use super::super::reader::Life;
use super::super::words;
use super::Story;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::CommandFrame;
use twinhelm_standby::node::rules::AsDesigned;
use twinhelm_standby::node::{Finding, Grounds};
use twinhelm_standby::{Effect, Effects, FencedBy, Input, Node, NotReady, Role, RoleName};
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::signals::LAYOUT;

/// Tells of one life of a device.
pub(super) fn tell(story: &mut Story<'_>, life: &Life) {
    let Some(first) = life.steps.first() else {
        return;
    };
    let who = device_name(life.slot);
    let config = story.recording.config;
    let mut node = Node::<AsDesigned>::new(first.now, life.slot, config, LAYOUT);
    // Without its beginning, nobody knows what was on its mind: then there are only its frames.
    let mut known = first.input == Input::Woke;
    story.add(
        first.at,
        who,
        if known { "comes up: joining" } else { "its beginning is not in the recording" }.to_owned(),
    );
    let mut grounds = None;
    for step in &life.steps {
        let before = (*node.role(), node.takeover_ready());
        let effects = if known { node.step(step.now, step.input) } else { Effects::new() };
        if story.part.every_step {
            let widen = |wire: u16| node.align(Cycle::new(wire.into()));
            let (told, answered) = (words::told(&step.input, &widen), words::answered(&step.effects, &widen));
            story.add(step.at, who, format!("{told} -> {answered}"));
        }
        if known && effects != step.effects {
            known = false;
            let what = "decided otherwise than a replay does: from here on its reasons are not known";
            story.add(step.at, who, what.to_owned());
        }
        if !known {
            continue;
        }
        if step.input == Input::Decide {
            grounds = node.grounds();
        }
        tell_sent(story, who, step, &node, grounds);
        tell_refusal(story, who, step);
        tell_role(story, who, step, &before.0, &node);
        tell_ready(story, who, step, before.1, &node);
    }
}

fn tell_sent(story: &mut Story<'_>, who: &str, step: &Step, node: &Node, grounds: Option<Grounds>) {
    let Some(grounds) = grounds.filter(|_| matches!(node.role(), Role::Standby { .. })) else {
        return;
    };
    let command = step.effects.iter().find_map(|effect| match effect {
        Effect::Send(frame) => CommandFrame::decode(frame).ok().filter(|command| !command.probe),
        Effect::Compute { .. } | Effect::Publish | Effect::Refused(_) => None,
    });
    if let Some(command) = command {
        let why = because(&grounds);
        story.add(step.at, who, format!("sends for cycle {} in term {}: {why}", grounds.cycle, command.term));
    } else if matches!(step.input, Input::Computed { .. }) && silent_for_a_reason(&grounds) {
        let why = match grounds.finding::<AsDesigned>() {
            // Decided to send: then it is what was computed that cannot be sent.
            Finding::NotReported | Finding::NotHeard => {
                words::told(&step.input, &|wire| node.align(Cycle::new(wire.into())))
            }
            Finding::NotReady(_) | Finding::Blind | Finding::Reported | Finding::Heard => because(&grounds),
        };
        story.add(step.at, who, format!("does not send for cycle {}: {why}", grounds.cycle));
    }
}

/// A standby that keeps silent although a gate waits is worth a line; one that has nothing to cover is not.
fn silent_for_a_reason(grounds: &Grounds) -> bool {
    match grounds.finding::<AsDesigned>() {
        // It would be said in each cycle of a start; the change of readiness is told.
        Finding::NotReady(NotReady::NotJudged) => false,
        Finding::NotReady(_) | Finding::Blind => {
            grounds.reported.iter().flatten().any(|last| *last < grounds.cycle)
        }
        // Decided to send, and the law gave nothing that can be sent.
        Finding::NotReported | Finding::NotHeard => true,
        Finding::Reported | Finding::Heard => false,
    }
}

/// Returns the facts behind a decision in words.
fn because(grounds: &Grounds) -> String {
    let reported: Vec<_> =
        (0..).zip(&grounds.reported).filter_map(|(gate, last)| last.map(|last| (gate, last))).collect();
    let gates =
        reported.iter().map(|(gate, last): &(u8, _)| format!("gate {gate} has reported up to cycle {last}"));
    let gates = gates.collect::<Vec<_>>().join(", ");
    let holder = grounds.holder.map_or_else(
        || "nothing was heard of the holder".to_owned(),
        |cycle| format!("the holder was heard up to cycle {cycle}"),
    );
    match grounds.finding::<AsDesigned>() {
        Finding::NotReported => format!("{gates}; {holder}"),
        Finding::NotHeard => format!("no gate is open, and {holder}"),
        Finding::Reported => gates,
        Finding::Heard => format!("no gate is open, but {holder}"),
        Finding::NotReady(why) => format!("it is not ready ({why}), although {gates}"),
        Finding::Blind => {
            "it has heard nothing on the bus for the blind limit: it is the one that is cut off".to_owned()
        }
    }
}

fn tell_refusal(story: &mut Story<'_>, who: &str, step: &Step) {
    for effect in &step.effects {
        if let Effect::Refused(refusal) = effect {
            story.add(step.at, who, format!("refuses to hand over: {refusal}"));
        }
    }
}

fn tell_role(story: &mut Story<'_>, who: &str, step: &Step, before: &Role, node: &Node) {
    let now = node.role();
    if before.name() == now.name() {
        // A claimer and a primary whose term a closed gate knows choose another one.
        if let (Role::Claiming { course: old }, Role::Claiming { course: new }) = (before, now)
            && old.term != new.term
        {
            story.add(step.at, who, format!("claims in term {}: a closed gate knows term {}", new.term, old.term));
        }
        return;
    }
    let widen = |wire: u16| node.align(Cycle::new(wire.into()));
    let why = why(before.name(), now, &step.input, &widen);
    story.add(step.at, who, format!("{} -> {}: {why}", before.name(), now.name()));
}

/// Returns which rule changed the role, with the numbers that it names in docs/protocol.md.
fn why(before: RoleName, now: &Role, input: &Input, widen: words::Widen<'_>) -> String {
    let told = words::told(input, widen);
    match (before, now) {
        (_, Role::Primary { course }) => format!("{told}; it is the term {} that it chose (V4)", course.term),
        (_, Role::Fenced { by: FencedBy::Gate }) => format!("{told}; a term above its own (V5)"),
        (_, Role::Fenced { by: FencedBy::Order }) => "ordered".to_owned(),
        (_, Role::Standby { decision, .. }) => match input {
            Input::Ordered(_) => format!("asked to hand over; it decides next about cycle {} (V9)", decision.cycle),
            Input::Confined(_) => format!("{told}; the peer drives on (V12)"),
            Input::Woke
            | Input::Heard(_)
            | Input::Peer { .. }
            | Input::Decide
            | Input::Computed { .. }
            | Input::Adopted { .. } => {
                format!("{told}; it has listened for a gate lease, and a gate is open (V1)")
            }
        },
        (RoleName::Primary, Role::Claiming { course }) => {
            format!("{told}; the gate closed on its term, so it sends in term {} (V6)", course.term)
        }
        (_, Role::Claiming { course }) => {
            format!("every gate that it hears has been closed for its time; it sends in term {} (V1)", course.term)
        }
        (RoleName::Fenced(_), Role::Joining { .. }) => "it was superseded, and joins again (V5)".to_owned(),
        (RoleName::Claiming, Role::Joining { .. }) if matches!(input, Input::Heard(_)) => {
            format!("{told}; another device holds the wheel (V6)")
        }
        (RoleName::Standby, Role::Joining { .. }) if *input == Input::Decide => {
            "it is not ready, and every gate that it hears is closed: nobody is left to wait for (V10)".to_owned()
        }
        (_, Role::Joining { .. }) => "it slept longer than a gate lease, and begins anew (V8)".to_owned(),
    }
}

fn tell_ready(story: &mut Story<'_>, who: &str, step: &Step, before: Result<(), NotReady>, node: &Node) {
    let now = node.takeover_ready();
    if now == before {
        return;
    }
    match now {
        Ok(()) => story.add(step.at, who, "ready to take over".to_owned()),
        Err(NotReady::Role | NotReady::NotJudged) => {}
        Err(why) => story.add(step.at, who, format!("not ready to take over: {why}")),
    }
}
