//! The node's canonical form: see [`twinhelm_hal::canon`].

use super::own::OwnWork;
use super::rules::NodeRules;
use super::{Asked, Judgement, Node, PeerView};
use crate::role::{Decision, FencedBy, Role, RoleName, Sending, Sent};
use crate::sample::{Header, Relayed};
use core::hash::{Hash, Hasher};
use core::time::Duration;
use twinhelm_hal::canon::Origin;

impl<R: NodeRules> Node<R> {
    /// Writes what decides about the node's future, between two turns. `from` is by the device's clock.
    pub fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        let Self {
            slot,
            config,
            // The vehicle's, which never changes.
            layout: _,
            may_claim,
            role,
            ears,
            probe,
            peer,
            stepped_at,
            asked,
            ready,
            judgement,
            own,
            // Told anew in each turn.
            confinement: _,
            unheard_since,
            twin_at,
            rules: _,
        } = self;
        let lease = config.gate_lease;
        (slot, may_claim, role_of(role, config.gate_lease * (u32::from(slot.number()) + 1), from)).hash(into);
        ears.canon(config, from, into);
        probe.canon(from, into);
        let peer = peer.as_ref().map(|PeerView { at, header }| {
            header.as_ref().map(|header| canon_of_header(header, from, into)).is_some().hash(into);
            from.moment(*at, lease)
        });
        (peer, from.moment(*stepped_at, lease), ready).hash(into);
        let asked = asked.as_ref().map(|Asked { cycle, send, grounds: _ }| (from.cycle(*cycle), send));
        let Judgement { reported, due } = judgement;
        (asked, reported.map(|cycle| from.cycle(cycle)), due).hash(into);
        self.canon_of_own(own, from, into);
        let heard_no_more = unheard_since.map(|at| from.moment(at, lease));
        (heard_no_more, twin_at.map(|at| from.moment(at, super::judge::TWIN_SILENCE))).hash(into);
    }

    /// Returns the number of the last probe, which all numbers of this device's probes are relative to.
    #[must_use]
    pub const fn probe_number(&self) -> u8 {
        self.probe.number()
    }

    fn canon_of_own(&self, own: &OwnWork, from: &Origin, into: &mut impl Hasher) {
        let OwnWork {
            sent,
            sent_now,
            checked,
            readings,
            // Measured anew in each turn.
            woke_late: _,
            late,
            refused,
            computed,
            divergence,
            diverged,
            state,
        } = own;
        let (lease, timeout) = (self.config.gate_lease, self.config.command_timeout);
        let sent = sent.map(|(cycle, at)| (from.cycle(cycle), from.moment(at, timeout)));
        let state = state.map(|(cycle, at)| (from.cycle(cycle), from.moment(at, lease)));
        let many = self.cycles_in_a_lease();
        let counts = (late.min(&many), refused.min(&many), diverged.min(&many));
        let readings = readings.map(|readings| readings as u8);
        let computed = computed.map(|cycle| from.cycle(cycle));
        (sent, sent_now, checked, readings, counts, computed, divergence, state).hash(into);
    }
}

/// Returns a role's name and its data; `listens` is how long it may listen. What was due longer ago than a gate lease is not caught up (V8).
fn role_of(role: &Role, listens: Duration, from: &Origin) -> impl Hash {
    let course =
        |Sending { term, cycle, at }: Sending| (from.term(term), from.cycle(cycle), from.moment(at, listens));
    let (data, standby) = match *role {
        Role::Joining { since } => (Some((0, 0, from.moment(since, listens))), None),
        Role::Claiming { course: to } | Role::Primary { course: to } => (Some(course(to)), None),
        Role::Standby { decision: Decision { cycle, at }, chosen, sent } => {
            let sent = sent.map(|Sent { cycle, relocked }| (from.cycle(cycle), relocked));
            let chosen = chosen.map(|term| from.term(term));
            (None, Some((from.cycle(cycle), from.moment(at, listens), chosen, sent)))
        }
        Role::Fenced { by: FencedBy::Gate | FencedBy::Order } => (None, None),
    };
    (role.name(), data, standby)
}

/// Writes what a device told of itself. Its cycle is in its own wide count, so its low bits are what counts.
fn canon_of_header(header: &Header, from: &Origin, into: &mut impl Hasher) {
    let Header { slot, cycle, term, role, ready, sent, checked, divergence, disputes, digest, relayed } = header;
    let role: &RoleName = role;
    (slot, from.told_cycle(*cycle), term.map(|term| from.term(term)), role, ready, sent).hash(into);
    (checked, divergence, disputes, digest).hash(into);
    for Relayed { open, term } in relayed.iter().flatten() {
        (open, term.map(|term| from.term(term))).hash(into);
    }
}

impl Header {
    /// Writes what it says.
    pub fn canon(&self, from: &Origin, into: &mut impl Hasher) {
        canon_of_header(self, from, into);
    }
}
