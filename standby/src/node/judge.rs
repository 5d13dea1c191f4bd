//! What a node judges: whether it may claim, whether it is ready, whether the two devices agree.

use super::Node;
use super::ears::GateView;
use super::grounds::Grounds;
use super::rules::NodeRules;
use crate::config::{OnDispute, PROBE_PROOF};
use crate::input::Readings;
use crate::readiness::{Evidence, NotReady};
use crate::role::{Role, RoleName, Sending};
use crate::sample::Header;
use core::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::signals::{Divergence, Signals};
use twinhelm_hal::term::Term;
use twinhelm_hal::time::{Instant, nanos};

/// A device that hears its own identifier sends nothing until it has not for so long: five probes of a standby.
pub(super) const TWIN_SILENCE: Duration = Duration::from_secs(1);

impl<R: NodeRules> Node<R> {
    /// Makes a member of a spare: it claims as the others do (V1). Whoever starts it says so, because the bus has room for it.
    #[must_use]
    pub const fn as_member(mut self) -> Self {
        self.may_claim = true;
        self
    }

    /// V1: returns the claim that a joining device makes, if it does.
    pub(super) fn claim(&self, now: Instant, since: Instant) -> Option<Sending> {
        let leases = u32::from(self.slot.number()) + 1;
        let waited = now >= since + self.config.gate_lease * leases;
        if !(self.may_claim && waited && self.all_gates_closed(now)) || self.keeps_silent(now).is_some() {
            return None;
        }
        if !self.ears.hears(now, self.config.blind_limit) {
            return None;
        }
        let cycle = self.ears.latest().map_or(Cycle::default(), Cycle::next);
        Some(Sending { term: self.ears.own_next_term::<R>(), cycle, at: now })
    }

    /// Says what a joining device waits for, once it has listened.
    pub(super) fn why_it_joins(&self, now: Instant, since: Instant) -> NotReady {
        if let Some(why) = self.keeps_silent(now) {
            return why;
        }
        let has_listened = now >= since + self.config.gate_lease;
        if has_listened && !self.hears_a_gate(now) {
            return NotReady::NoGate;
        }
        if has_listened && !self.all_gates_closed(now) { NotReady::NoHolder } else { NotReady::Role }
    }

    /// V12, V13, V14: returns why a joining device may not send, whatever else it hears.
    pub(super) fn keeps_silent(&self, now: Instant) -> Option<NotReady> {
        if self.twin_at.is_some_and(|at| now.since(at) <= TWIN_SILENCE) {
            return Some(NotReady::TwoSenders);
        }
        if self.confinement == Confinement::Off {
            return Some(NotReady::BusErrors);
        }
        self.is_stopped(now).then_some(NotReady::EStop)
    }

    /// V14: returns whether no live gate acts on commands, and the e-stop of one at least is the reason.
    pub(super) fn is_stopped(&self, now: Instant) -> bool {
        let mut live = self.ears.live(now, self.config.gate_lease);
        R::WAITS_FOR_RESET && live.any(|gate| gate.stopped) && self.all_gates_closed(now)
    }

    pub(super) fn all_gates_closed(&self, now: Instant) -> bool {
        let mut live = self.ears.live(now, self.config.gate_lease).peekable();
        live.peek().is_some() && live.all(|gate| !gate.open)
    }

    /// V6, V14: returns whether each live gate is open in another device's term below `claimed`, or stopped.
    pub(super) fn all_gates_opened_below(&self, now: Instant, claimed: Term) -> bool {
        let others = |term: Term| term < claimed && term.slot() != claimed.slot();
        let is_done = |gate: &GateView| gate.stopped || gate.open && gate.term.is_some_and(others);
        let mut live = self.ears.live(now, self.config.gate_lease).peekable();
        live.peek().is_some() && !self.all_gates_closed(now) && live.all(is_done)
    }

    /// V6: a claimer, and a primary that no gate has listened to for a lease, joins anew when the gates are open in another's
    /// lower term: nothing is left to claim there. Asked when all that was heard is known, so that of two claimers the one gives
    /// way that the gates do not name.
    pub(super) fn give_way(&mut self, now: Instant) {
        let opened_below = match self.role {
            Role::Claiming { course } | Role::Primary { course } => self.all_gates_opened_below(now, course.term),
            Role::Joining { .. } | Role::Standby { .. } | Role::Fenced { .. } => false,
        };
        if !opened_below {
            self.unheard_since = None;
            return;
        }
        let since = *self.unheard_since.get_or_insert(now);
        // Not at once: a gate that follows another (G7) may be about to name it.
        let waits = matches!(self.role, Role::Primary { .. }) && now.since(since) < self.config.gate_lease;
        if !waits {
            self.join(now);
        }
    }

    /// V6: whoever has only the peer's readings leaves it to the peer to claim.
    pub(super) fn has_own_readings(&self) -> bool {
        !R::CLAIMS_WITH_OWN_READINGS || self.own.readings.is_none_or(|readings| readings == Readings::Own)
    }

    /// Moves the own terms into the wide count of a peer that has lived longer.
    pub(super) fn lift_terms(&mut self, by: u32) {
        // A sum beyond what a term may be is no reign of anybody's.
        let lift = |term: Term| Term::new(term.number().saturating_add(by));
        match &mut self.role {
            Role::Claiming { course } | Role::Primary { course } => course.term = lift(course.term),
            Role::Standby { chosen, .. } => *chosen = chosen.map(lift),
            Role::Joining { .. } | Role::Fenced { .. } => {}
        }
    }

    /// V2, V3: returns what decides whether the standby sends for `cycle`.
    pub(super) fn grounds_for(&self, now: Instant, cycle: Cycle) -> Grounds {
        let lease = self.config.gate_lease;
        let reported = |gate: &GateView| (gate.open && now.since(gate.at) <= lease).then_some(gate.last);
        Grounds {
            cycle,
            ready: self.ready,
            hears: self.ears.hears(now, self.config.blind_limit),
            holder: self.ears.holder().map(|holder| holder.cycle),
            reported: self.ears.gates().map(|gate| gate.as_ref().and_then(reported)),
        }
    }

    /// V10: judges readiness on a cycle of the holder; between two of them the last judgement stands.
    pub(super) fn judge_if_due(&mut self, now: Instant) {
        if !core::mem::take(&mut self.judgement.due) {
            self.lapse(now);
            return;
        }
        let lease = self.config.gate_lease;
        let peer = self.peer.filter(|peer| now.since(peer.at) <= lease);
        let same = |header: &Header| header.digest == self.config.digest;
        let within = |divergence: Divergence| self.config.divergence_max.allow(divergence);
        let evidence = Evidence {
            version_matches: peer.is_none_or(|peer| peer.header.as_ref().is_some_and(same)),
            state_is_fresh: self.own.state.is_some_and(|(_, at)| now.since(at) <= lease) || !R::ADOPTS_STATE,
            self_check_passes: self.own.checked,
            has_readings: self.own.readings != Some(Readings::Missing),
            is_in_time: self.own.late < self.cycles_in_a_lease(),
            is_acted_on: self.own.refused < self.cycles_in_a_lease(),
            controller_active: self.confinement == Confinement::Active,
            output_path_proven: self.probe.is_proven(now, self.ears.live_numbers(now, lease)),
            agrees: self.own.divergence.is_none_or(within),
        };
        self.ready = evidence.judge();
    }

    /// V10: ends a judgement that the holder's silence has outlasted. With the gates closed, nobody's silence is left to bridge: a
    /// standby that itself has no command to give is no help. One that has heard nothing for the command timeout cannot know
    /// whether anybody drives, and one that has heard no gate for a second has no proof of its way to it.
    fn lapse(&mut self, now: Instant) {
        if self.ready.is_err() || !matches!(self.role, Role::Standby { .. }) {
            return;
        }
        let is_deaf = !R::SENDS_WHEN_BLIND && !self.ears.hears(now, self.config.command_timeout);
        if is_deaf || self.ears.live(now, PROBE_PROOF).next().is_none() {
            self.ready = Err(NotReady::NoGate);
        } else if self.all_gates_closed(now) {
            self.ready = match (self.own.readings, self.own.checked) {
                (Some(Readings::Missing), _) => Err(NotReady::Sensors),
                (_, false) => Err(NotReady::SelfCheck),
                (_, true) => Ok(()),
            };
        }
    }

    /// Returns whether the peer says that it could take over, not longer than a gate lease ago.
    pub(super) fn peer_ready(&self, now: Instant) -> Result<(), NotReady> {
        let peer = self.peer.filter(|peer| now.since(peer.at) <= self.config.gate_lease).ok_or(NotReady::Link)?;
        let header = peer.header.ok_or(NotReady::Version)?;
        if header.role != RoleName::Standby {
            return Err(NotReady::Role);
        }
        if !self.is_current(header.cycle) {
            return Err(NotReady::Link);
        }
        header.ready
    }

    pub(super) fn compare_with_holder(&mut self, cycle: Cycle, signals: Option<Signals>) {
        let holder = self.ears.holder().filter(|holder| holder.cycle == cycle);
        let follows = matches!(self.role, Role::Standby { .. });
        let (Some(holder), Some(own), true) = (holder, signals, follows) else {
            self.own.divergence = self.own.divergence.filter(|_| follows);
            return;
        };
        let bounds = &self.config.divergence_max;
        let divergence = self.layout.divergence(&own, &holder.signals, bounds);
        self.own.divergence = Some(divergence);
        let agrees = bounds.allow(divergence);
        self.own.diverged = if agrees { 0 } else { self.own.diverged.saturating_add(1) };
    }

    pub(super) fn disputes(&self) -> bool {
        self.own.diverged >= self.cycles_in_a_lease()
    }

    /// What is so for so many cycles in a row is no accident.
    pub(super) fn cycles_in_a_lease(&self) -> u32 {
        let cycles = nanos(self.config.gate_lease) / nanos(self.config.period).max(1);
        u32::try_from(cycles).unwrap_or(u32::MAX)
    }

    /// A dispute that both self-checks stand by, and a configuration that asks to stop.
    pub(super) fn is_to_stand_still(&self, now: Instant) -> bool {
        let peer = self.peer.filter(|peer| now.since(peer.at) <= self.config.gate_lease);
        let disputed = peer.and_then(|peer| peer.header).is_some_and(|header| header.disputes && header.checked);
        self.config.on_dispute == OnDispute::Stop && disputed && self.own.checked
    }
}
