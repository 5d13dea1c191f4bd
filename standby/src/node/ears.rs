//! What a device has heard on the bus: gates, terms, the holder's commands.
//!
//! Own frames and relayed statuses do not count as heard. Terms and cycles come as low bits and are restored
//! against what was heard before.

#[cfg(feature = "canon")]
mod canon;

use super::rules::NodeRules;
use crate::config::Config;
use crate::role::Decision;
use core::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, GATES, StatusFrame};
use twinhelm_hal::ports::Received;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Instant, nanos};

/// A gate's last status.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateView {
    pub(super) at: Instant,
    pub(super) open: bool,
    pub(super) term: Option<Term>,
    pub(super) last: Cycle,
    /// When it was first heard that it is open, and that this is its last cycle.
    pub(super) last_at: Instant,
    /// Its e-stop is latched.
    pub(super) stopped: bool,
}

/// The last command of the device that holds the wheel.
#[derive(Clone, Copy, Debug)]
pub(super) struct HolderCommand {
    pub(super) at: Instant,
    pub(super) cycle: Cycle,
    pub(super) signals: Signals,
}

/// What a frame told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    /// Another device's command.
    Command { at: Instant, cycle: Cycle, is_holders: bool },
    /// A command or a probe on this device's own identifier, which it did not send.
    Twin { at: Instant },
    /// A gate's status, and the number of a probe of ours that it echoes.
    Status { gate: usize, view: GateView, echo: Option<u8> },
}

/// How far a gate lets a standby count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// The furthest cycle that it would act on now: as many periods, and the margin, as have passed since its report (G3).
    pub(super) reach: Cycle,
    /// The cycle whose decision point is now, or was last.
    pub(super) due: Cycle,
    /// The decision point after that.
    pub(super) next: Decision,
}

/// Returns how many whole periods are in `span`.
fn whole(span: Duration, period: Duration) -> u64 {
    nanos(span) / nanos(period).max(1)
}

#[derive(Clone, Debug)]
pub(super) struct Ears {
    slot: Slot,
    gates: [Option<GateView>; GATES as usize],
    /// The highest term heard in a status or in another device's command.
    highest: Option<Term>,
    /// The latest cycle heard from the holder or reported by a gate.
    latest: Option<Cycle>,
    holder: Option<HolderCommand>,
    heard_at: Option<Instant>,
}

impl Ears {
    pub(super) const fn new(slot: Slot) -> Self {
        Self { slot, gates: [None; GATES as usize], highest: None, latest: None, holder: None, heard_at: None }
    }

    /// Takes in a frame; `None` when it tells nothing.
    pub(super) fn hear(&mut self, received: &Received, config: &Config) -> Option<Heard> {
        if let Ok(command) = CommandFrame::decode(&received.frame) {
            return self.hear_command(received.at, &command, config);
        }
        let status = StatusFrame::decode(&received.frame).ok()?;
        Some(self.hear_status(received.at, &status))
    }

    fn hear_command(&mut self, at: Instant, command: &CommandFrame, config: &Config) -> Option<Heard> {
        let lease = config.gate_lease;
        if command.slot == self.slot {
            return Some(Heard::Twin { at });
        }
        self.heard_at = Some(at);
        if command.probe {
            return None;
        }
        let term = Term::from_wire(command.term, self.highest)?;
        self.highest = self.highest.max(Some(term));
        let cycle = self.restore(command.cycle);
        let reported = self.live(at, lease).filter(|gate| gate.open).filter_map(|gate| gate.term).max();
        let is_holders =
            reported.is_none_or(|reported| term >= reported) && self.may_be_acted_on(at, cycle, config);
        if is_holders {
            self.latest = self.latest.max(Some(cycle));
            self.holder = Some(HolderCommand { at, cycle, signals: command.signals });
        }
        Some(Heard::Command { at, cycle, is_holders })
    }

    /// Returns whether a live open gate would act on `cycle` in its own term (G2), if there is one. A command that was held for half
    /// the counter's range looks as far ahead as it is behind.
    fn may_be_acted_on(&self, at: Instant, cycle: Cycle, config: &Config) -> bool {
        let reach = |gate: &GateView| {
            let since = at.since(gate.last_at).saturating_add(config.gate_lease);
            gate.last.plus(whole(since, config.period))
        };
        let reach = self.live(at, config.gate_lease).filter(|gate| gate.open).map(reach).max();
        reach.is_none_or(|reach| cycle <= reach)
    }

    fn hear_status(&mut self, at: Instant, status: &StatusFrame) -> Heard {
        self.heard_at = Some(at);
        let term = if status.term_known { Term::from_wire(status.term, self.highest) } else { None };
        self.highest = self.highest.max(term);
        let last = self.restore(status.cycle);
        if term.is_some() {
            self.latest = self.latest.max(Some(last));
        }
        let gate = usize::from(status.gate);
        let same = self.gates[gate].filter(|before| before.open == status.open && before.last == last);
        let last_at = same.map_or(at, |before| before.last_at);
        let view = GateView { at, open: status.open, term, last, last_at, stopped: status.estop };
        self.gates[gate] = Some(view);
        let echo = status.echo.filter(|echo| echo.slot == self.slot).map(|echo| echo.number);
        Heard::Status { gate, view, echo }
    }

    /// Counts cycles by the open gate that is furthest behind; `None` when no live gate is open. `sent` is the last command of this
    /// device, and when it was handed to the bus.
    pub(super) fn count(&self, now: Instant, config: &Config, sent: Option<(Cycle, Instant)>) -> Option<Count> {
        let (period, margin) = (config.period, config.margin);
        // A report may wait for the bus longer than a command: whoever heard or sent the command knows better when it was there.
        let heard = self.holder.map(|holder| (holder.cycle, holder.at));
        let count = |gate: &GateView| {
            let known =
                [heard, sent].into_iter().flatten().filter(|(cycle, _)| *cycle == gate.last).map(|(_, at)| at);
            let acted_at = known.chain([gate.last_at]).min().unwrap_or(gate.last_at);
            let reach = gate.last.plus(whole(now.since(acted_at).saturating_add(margin), period));
            // What the holder has sent for is due.
            let reach = heard.map_or(reach, |(cycle, _)| reach.max(cycle));
            let due = now.since(acted_at).checked_sub(margin).map_or(0, |since| whole(since, period));
            let next = acted_at + period.saturating_mul(u32::try_from(due + 1).unwrap_or(u32::MAX)) + margin;
            let cycle = gate.last.plus(due);
            Count { reach, due: cycle, next: Decision { cycle: cycle.next(), at: next } }
        };
        self.live(now, config.gate_lease).filter(|gate| gate.open).map(count).min_by_key(|count| count.reach)
    }

    fn restore(&self, wire: u16) -> Cycle {
        Cycle::from_wire(wire, self.latest.unwrap_or_default())
    }

    /// Returns `cycle`, told by somebody with another wide count, in the own wide count.
    pub(super) fn align(&self, cycle: Cycle) -> Cycle {
        self.restore(cycle.to_wire())
    }

    /// Returns the gates whose status was heard within the lease.
    pub(super) fn live(&self, now: Instant, lease: Duration) -> impl Iterator<Item = &GateView> {
        self.gates.iter().flatten().filter(move |gate| now.since(gate.at) <= lease)
    }

    /// Returns the numbers of the gates whose status was heard within the lease.
    pub(super) fn live_numbers(&self, now: Instant, lease: Duration) -> impl Iterator<Item = usize> {
        let live = move |gate: &Option<GateView>| gate.is_some_and(|gate| now.since(gate.at) <= lease);
        self.gates.iter().enumerate().filter(move |(_, gate)| live(gate)).map(|(number, _)| number)
    }

    /// Returns each gate's last status, live or not.
    pub(super) const fn gates(&self) -> &[Option<GateView>; GATES as usize] {
        &self.gates
    }

    /// Returns whether something was heard on the bus within `limit`.
    pub(super) fn hears(&self, now: Instant, limit: Duration) -> bool {
        self.heard_at.is_some_and(|at| now.since(at) <= limit)
    }

    pub(super) const fn latest(&self) -> Option<Cycle> {
        self.latest
    }

    pub(super) const fn holder(&self) -> Option<HolderCommand> {
        self.holder
    }

    /// Returns the smallest term of the own slot above everything heard.
    pub(super) fn own_next_term<R: NodeRules>(&self) -> Term {
        R::own_next_term(self.slot, self.highest)
    }

    /// Takes over the wide count of a peer that has lived longer: its term has the same low bits as the highest
    /// heard here, but more reigns behind it. Returns by how much the own terms move.
    pub(super) fn rebase(&mut self, told: Term) -> u32 {
        let Some(highest) = self.highest else {
            return 0;
        };
        if told <= highest || told.to_wire() != highest.to_wire() {
            return 0;
        }
        let by = told.number().saturating_sub(highest.number());
        self.highest = Some(told);
        for gate in self.gates.iter_mut().flatten() {
            gate.term = gate.term.map(|term| Term::new(term.number().saturating_add(by)));
        }
        by
    }
}
