//! The node: one device's side of the pair protocol, rules V1 to V13 of docs/protocol.md.
//!
//! [`Node::step`] is one call in, one ordered, short list of effects out. The heartbeat is the control output:
//! there is no other. The node never asks who is alive; it looks at whether each gate has reported this
//! cycle, and if not, it sends.

#[cfg(feature = "canon")]
mod canon;
mod ears;
mod grounds;
mod judge;
mod own;
mod probe;
pub mod rules;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::input::{Effect, Effects, Input, Order, Refusal};
use crate::readiness::NotReady;
use crate::role::{Decision, FencedBy, Role, Sending, Sent};
use crate::sample::{CYCLES_MAX, Header, Relayed};
use core::time::Duration;
use ears::{Ears, GateView, Heard};
pub use grounds::{Finding, Grounds};
use own::OwnWork;
use probe::Probe;
use rules::{AsDesigned, NodeRules};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::ports::{Confinement, Received};
use twinhelm_hal::signals::{Layout, Signals};
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::{Instant, nanos};

/// One device's side of the pair protocol.
///
/// # Invariants
/// It sends commands only in a term that it chose in this life (its role carries it). It persists nothing.
#[derive(Clone, Debug)]
pub struct Node<R = AsDesigned> {
    slot: Slot,
    config: Config,
    /// How a frame carries the vehicle's signals.
    layout: &'static Layout,
    may_claim: bool,
    role: Role,
    ears: Ears,
    probe: Probe,
    peer: Option<PeerView>,
    stepped_at: Instant,
    /// The cycle that the law was asked for, and whether its command is to be sent.
    asked: Option<Asked>,
    ready: Result<(), NotReady>,
    judgement: Judgement,
    own: OwnWork,
    /// How the own bus controller stands in this turn.
    confinement: Confinement,
    /// A primary: since when all live gates are open in another's lower term.
    unheard_since: Option<Instant>,
    /// When something on the own identifier was heard last.
    twin_at: Option<Instant>,
    rules: core::marker::PhantomData<R>,
}

#[derive(Clone, Copy, Debug)]
struct PeerView {
    at: Instant,
    /// `None` when the peer speaks another version.
    header: Option<Header>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    cycle: Cycle,
    send: bool,
    /// Of a standby.
    grounds: Option<Grounds>,
}

/// What readiness was last judged on (V10).
#[derive(Clone, Copy, Debug, Default)]
struct Judgement {
    /// The newest cycle that an open gate reported.
    reported: Option<Cycle>,
    /// It is to be judged at the next decision.
    due: bool,
}

impl<R: NodeRules> Node<R> {
    /// Returns a node of the pair that has just come up: it listens. `layout` is of the vehicle's signals.
    #[must_use]
    pub fn new(now: Instant, slot: Slot, config: Config, layout: &'static Layout) -> Self {
        Self {
            slot,
            config,
            layout,
            may_claim: slot <= Slot::RIGHT,
            role: Role::Joining { since: now },
            ears: Ears::new(slot),
            probe: Probe::new(slot),
            peer: None,
            stepped_at: now,
            asked: None,
            ready: Err(NotReady::Role),
            judgement: Judgement::default(),
            own: OwnWork::default(),
            confinement: Confinement::Active,
            unheard_since: None,
            twin_at: None,
            rules: core::marker::PhantomData,
        }
    }

    /// Takes in one thing that happened and returns what is to be done, in order.
    #[must_use]
    pub fn step(&mut self, now: Instant, input: Input) -> Effects {
        match input {
            Input::Woke => self.on_woke(now),
            Input::Confined(confinement) => self.on_confined(now, confinement),
            Input::Heard(received) => self.on_heard(&received),
            Input::Peer { at, header } => self.on_peer(at, header),
            Input::Ordered(Order::Switchover) => return self.on_switchover(now),
            Input::Decide => return self.on_decide(now),
            Input::Computed { cycle, signals, readings, checked } => {
                self.own.readings = Some(readings);
                self.own.checked = checked || !R::CHECKS_ITSELF;
                return self.on_computed(now, cycle, signals);
            }
            Input::Adopted { cycle, at } => {
                if self.is_current(cycle) {
                    self.own.state = Some((cycle, at));
                    // What was missing is here: a slow holder's state is as old as its cycles are long when it is judged.
                    self.judgement.due |= self.ready == Err(NotReady::Link);
                }
            }
        }
        Effects::new()
    }

    /// Returns when the device has to wake up next.
    #[must_use]
    pub fn next_wake(&self, now: Instant) -> Instant {
        let at = match self.role {
            Role::Joining { .. } | Role::Fenced { .. } => now + self.config.period,
            Role::Standby { decision, .. } => decision.at,
            Role::Claiming { course } | Role::Primary { course } => course.at,
        };
        at.max(now + Duration::from_micros(1))
    }

    /// Returns the role.
    #[must_use]
    pub const fn role(&self) -> &Role {
        &self.role
    }

    /// Returns the device's slot.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns whether the device could take over now, and if not, why.
    ///
    /// # Errors
    /// The reason, in a word that people can act on.
    pub fn takeover_ready(&self) -> Result<(), NotReady> {
        match self.role {
            Role::Standby { .. } | Role::Joining { .. } => self.ready,
            Role::Claiming { .. } | Role::Primary { .. } | Role::Fenced { .. } => Err(NotReady::Role),
        }
    }

    /// Returns what a standby's decision rests on, between the step that decides and the one that tells what the law
    /// computed.
    #[must_use]
    pub fn grounds(&self) -> Option<Grounds> {
        self.asked.and_then(|asked| asked.grounds)
    }

    /// Returns whether any gate was heard within the gate lease: never-heard-from is a finding, not a silent wait.
    #[must_use]
    pub fn hears_a_gate(&self, now: Instant) -> bool {
        self.ears.live(now, self.config.gate_lease).next().is_some()
    }

    /// Returns `cycle`, told by the peer, in this device's wide count.
    #[must_use]
    pub fn align(&self, cycle: Cycle) -> Cycle {
        self.ears.align(cycle)
    }

    /// Returns whether `cycle` is new enough for its sample to be used.
    #[must_use]
    pub fn is_current(&self, cycle: Cycle) -> bool {
        self.ears.latest().is_some_and(|latest| latest.ahead_of(cycle).unsigned_abs() <= CYCLES_MAX)
    }

    /// Returns whether the state of the device that drove in `cycle` is to be taken over: it is new, and not this
    /// device's own.
    #[must_use]
    pub fn adopts(&self, cycle: Cycle) -> bool {
        let follows = matches!(self.role, Role::Standby { .. });
        let new = self.own.state.is_none_or(|(held, _)| held < cycle);
        R::ADOPTS_STATE && follows && self.is_current(cycle) && new
    }

    /// Returns what the protocol tells the peer.
    #[must_use]
    pub fn header(&self) -> Header {
        let relayed = |gate: &GateView| Relayed { open: gate.open, term: gate.term };
        Header {
            slot: self.slot,
            cycle: self.own.computed.unwrap_or_default(),
            term: self.role.chosen(),
            role: self.role.name(),
            ready: self.takeover_ready(),
            sent: self.own.sent_now,
            checked: self.own.checked,
            divergence: self.own.divergence,
            disputes: self.disputes(),
            digest: self.config.digest,
            relayed: core::array::from_fn(|gate| self.ears.gates()[gate].as_ref().map(relayed)),
        }
    }

    // ---- world → node -------------------------------------------------------------------------------------

    fn on_woke(&mut self, now: Instant) {
        self.own.sent_now = false;
        self.own.woke_late = now.since(self.next_wake(self.stepped_at));
        self.asked = None;
        self.confinement = Confinement::Active;
        if matches!(self.role, Role::Fenced { by: FencedBy::Gate }) {
            self.join(now);
        }
        self.rejoin_if_overslept(now);
        self.stepped_at = now;
    }

    /// V8: a device that slept longer than a gate lease knows nothing about now.
    fn rejoin_if_overslept(&mut self, now: Instant) {
        let overslept = now.since(self.stepped_at) > self.config.gate_lease;
        if overslept && !matches!(self.role, Role::Fenced { by: FencedBy::Order }) {
            // As if it had just come up: terms and cycles may have gone on beyond what the wire's bits can tell.
            *self = Self::new(now, self.slot, self.config, self.layout);
        }
    }

    fn on_heard(&mut self, received: &Received) {
        match self.ears.hear(received, &self.config) {
            Some(Heard::Command { at, cycle, is_holders }) => self.on_command(at, cycle, is_holders),
            Some(Heard::Status { gate, view, echo }) => {
                self.probe.on_echo(gate, echo);
                // A command acted on in the own term proves the way to the gate as well as an echo does.
                let acted = view.open && view.term == self.role.chosen() && self.own.has_sent(view.last);
                if acted && view.term.is_some() {
                    self.probe.on_acted(gate, view.at);
                }
                if view.open && self.own.has_sent(view.last) {
                    self.own.refused = 0;
                }
                self.on_status(&view);
            }
            Some(Heard::Twin { at }) => self.on_twin(at),
            None => {}
        }
    }

    /// V12: a device that its controller has taken off the bus drives nothing; one that is error-passive may not be heard.
    fn on_confined(&mut self, now: Instant, confinement: Confinement) {
        self.confinement = confinement;
        match confinement {
            Confinement::Active => {}
            // The peer's newest sample is told later in this turn: whether it is ready is asked when it is decided.
            Confinement::Passive => self.ready = Err(NotReady::BusErrors),
            Confinement::Off => self.leave(now),
        }
    }

    /// V13: two devices with one slot are one too many, and neither can tell which.
    fn on_twin(&mut self, at: Instant) {
        self.twin_at = Some(at);
        self.leave(at);
    }

    /// Joins anew, whatever it was; a device that was ordered out stays out.
    fn leave(&mut self, now: Instant) {
        if !matches!(self.role, Role::Fenced { by: FencedBy::Order }) {
            self.join(now);
        }
    }

    /// V1, V2: another device's command. It makes no claimer give way: of two, the gates say which (V6).
    fn on_command(&mut self, at: Instant, cycle: Cycle, is_holders: bool) {
        let margin = self.config.margin;
        match &mut self.role {
            Role::Joining { since } => {
                let has_listened = at >= *since + self.config.gate_lease;
                let open = self.ears.live(at, self.config.gate_lease).any(|gate| gate.open);
                let may_drive = self.keeps_silent(at).is_none();
                if is_holders && has_listened && open && may_drive {
                    let decision = Decision { cycle, at: at + margin };
                    self.role = Role::Standby { decision, chosen: None, sent: None };
                    self.ready = Err(NotReady::NotJudged);
                    self.judgement.due = false;
                }
            }
            Role::Standby { decision, sent, .. } if is_holders => {
                if cycle >= decision.cycle {
                    *decision = Decision { cycle, at: at + margin };
                } else if let Some(sent) = sent
                    && sent.cycle == cycle
                    && !sent.relocked
                    && R::RELOCKS
                {
                    decision.at += margin;
                    sent.relocked = true;
                }
            }
            Role::Standby { .. } | Role::Claiming { .. } | Role::Primary { .. } | Role::Fenced { .. } => {}
        }
    }

    /// V4, V5, V6, V7, V10: a gate's status, heard on the bus.
    fn on_status(&mut self, gate: &GateView) {
        if gate.open && self.judgement.reported.is_none_or(|reported| gate.last > reported) {
            self.judgement.reported = Some(gate.last);
            let heard = self.ears.holder().is_some_and(|holder| holder.cycle == gate.last);
            self.judgement.due |= heard && !self.own.has_sent(gate.last);
        }
        if gate.open {
            self.fence_if_superseded(gate.term);
        }
        if self.is_stopped(gate.at) {
            // V14: nothing opens a gate before its reset. Who went on claiming would drive the terms up meanwhile.
            if !matches!(self.role, Role::Joining { .. } | Role::Fenced { .. }) {
                self.join(gate.at);
            }
            return;
        }
        let own_next = self.ears.own_next_term::<R>();
        match &mut self.role {
            Role::Standby { decision, chosen, .. } => {
                if gate.open && chosen.is_some() && *chosen == gate.term {
                    let term = chosen.take().unwrap_or(own_next);
                    let course = Sending { term, cycle: decision.cycle, at: decision.at };
                    self.role = Role::Primary { course };
                }
            }
            Role::Claiming { course } | Role::Primary { course } => {
                let mut course = *course;
                if gate.open && gate.term == Some(course.term) {
                    self.role = Role::Primary { course };
                } else if !(gate.open || R::WAITS_FOR_RESET && gate.stopped)
                    && gate.term.is_some_and(|term| term >= course.term)
                {
                    // The gate closed on our term: only a higher one opens it again.
                    course.term = own_next;
                    self.role = Role::Claiming { course };
                }
            }
            Role::Joining { .. } | Role::Fenced { .. } => {}
        }
        if let Role::Claiming { course } | Role::Primary { course } = &mut self.role
            && R::LIFTS_CYCLE
            && gate.term.is_some()
        {
            course.cycle = course.cycle.max(gate.last.next());
        }
    }

    /// V5: an open gate names `term`. What is below it is over.
    fn fence_if_superseded(&mut self, term: Option<Term>) {
        match &mut self.role {
            Role::Claiming { course } | Role::Primary { course } => {
                if term > Some(course.term) && R::STOPS_WHEN_SUPERSEDED {
                    self.role = Role::Fenced { by: FencedBy::Gate };
                }
            }
            Role::Standby { chosen, .. } => {
                if chosen.is_some() && term > *chosen {
                    *chosen = None;
                }
            }
            Role::Joining { .. } | Role::Fenced { .. } => {}
        }
    }

    fn on_peer(&mut self, at: Instant, header: Option<Header>) {
        let header = header.map(|header| Header { cycle: self.ears.align(header.cycle), ..header });
        self.peer = Some(PeerView { at, header });
        // A deaf device's bus has stopped at some cycle; its own work tells how far the others are.
        let reached = self.ears.latest().max(self.own.computed);
        let is_new = |header: &Header| {
            reached.is_some_and(|reached| reached.ahead_of(header.cycle).unsigned_abs() <= CYCLES_MAX)
        };
        let Some(header) = header.filter(is_new) else {
            return;
        };
        // A relayed status can stop a device, never start one (V5).
        for gate in header.relayed.into_iter().flatten() {
            if let Some(term) = gate.term {
                let by = self.ears.rebase(term);
                self.lift_terms(by);
            }
            if gate.open {
                self.fence_if_superseded(gate.term);
            }
        }
    }

    /// V9: the peer covers, the lease runs out, the peer holds the wheel.
    fn on_switchover(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::new();
        let Role::Primary { course } = self.role else {
            effects.push(Effect::Refused(Refusal::NotPrimary));
            return effects;
        };
        if let Err(why) = self.peer_ready(now) {
            effects.push(Effect::Refused(Refusal::PeerNotReady(why)));
            return effects;
        }
        self.step_aside(course);
        // Nobody's state is fresher than the one of the device that drove until now.
        self.ready = Ok(());
        effects
    }

    /// V9: from now on the peer covers.
    fn step_aside(&mut self, course: Sending) {
        let decision = Decision { cycle: course.cycle, at: course.at + 2 * self.config.margin };
        self.role = Role::Standby { decision, chosen: None, sent: None };
        self.judgement.due = false;
    }

    // ---- node → world -------------------------------------------------------------------------------------

    fn on_decide(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::new();
        self.judge_if_due(now);
        if let Role::Primary { course } = self.role
            && self.confinement == Confinement::Passive
            && self.peer_ready(now).is_ok()
        {
            // V12: as if it had been asked, but what it sends may not arrive, so it does not count as ready.
            self.step_aside(course);
        }
        self.give_way(now);
        match self.role {
            Role::Joining { since } => {
                // After a reset the slots come one after the other again, as at boot.
                let since = if self.is_stopped(now) { now } else { since };
                self.role = Role::Joining { since };
                if let Some(course) = self.claim(now, since) {
                    if self.has_own_readings() {
                        self.role = Role::Claiming { course };
                        self.ask(now, &mut effects);
                    } else {
                        // It sends nothing, and sees whether its sensors are back.
                        self.ready = Err(NotReady::Sensors);
                        self.asked = Some(Asked { cycle: course.cycle, send: false, grounds: None });
                        effects.push(Effect::Compute { cycle: course.cycle, standstill: false });
                    }
                } else {
                    self.ready = Err(self.why_it_joins(now, since));
                    effects.push(Effect::Publish);
                }
            }
            Role::Standby { decision, .. } => {
                if self.ready.is_err() && self.all_gates_closed(now) {
                    self.join(now);
                    effects.push(Effect::Publish);
                } else if now >= decision.at {
                    self.ask(now, &mut effects);
                }
            }
            Role::Claiming { course } | Role::Primary { course } => {
                if now >= course.at {
                    self.ask(now, &mut effects);
                }
            }
            Role::Fenced { by } => {
                // Superseded in this very turn: it sends nothing more. Ordered out, it may stay for long, and probes.
                if by == FencedBy::Order {
                    self.probe_if_due(now, &mut effects);
                }
                effects.push(Effect::Publish);
            }
        }
        effects
    }

    /// Asks the law for the cycle that is due, and sets the next one. Starts that were missed are skipped.
    fn ask(&mut self, now: Instant, effects: &mut Effects) {
        let period = self.config.period;
        let latest = self.ears.latest();
        let asked = match &mut self.role {
            Role::Standby { decision, .. } => {
                let mut cycle = skip_missed(now, decision.cycle, &mut decision.at, period);
                decision.cycle = latest.map_or(cycle, |latest| cycle.max(latest)).next();
                if let Some(gates) =
                    R::COUNTS_BY_THE_GATES.then(|| self.ears.count(now, &self.config, self.own.sent)).flatten()
                    && cycle > gates.reach
                {
                    // Further ahead than any gate would act on: it counts by the gate again, and decides when that is due.
                    (cycle, *decision) = (gates.due, gates.next);
                }
                let grounds = self.grounds_for(now, cycle);
                let send = grounds.finding::<R>().sends();
                Asked { cycle, send, grounds: Some(grounds) }
            }
            Role::Claiming { course } | Role::Primary { course } => {
                let cycle = skip_missed(now, course.cycle, &mut course.at, period);
                course.cycle = cycle.next();
                Asked { cycle, send: true, grounds: None }
            }
            Role::Joining { .. } | Role::Fenced { .. } => return,
        };
        self.asked = Some(asked);
        effects.push(Effect::Compute { cycle: asked.cycle, standstill: self.is_to_stand_still(now) });
    }

    fn on_computed(&mut self, now: Instant, cycle: Cycle, signals: Option<Signals>) -> Effects {
        let mut effects = Effects::new();
        let computing = now.since(self.stepped_at);
        self.rejoin_if_overslept(now);
        self.stepped_at = now;
        let Some(asked) = self.asked.take().filter(|asked| asked.cycle == cycle) else {
            return effects;
        };
        self.own.on_computed(cycle, computing, self.config.jitter);
        self.compare_with_holder(cycle, signals);
        if matches!(self.role, Role::Claiming { .. }) && !self.has_own_readings() {
            self.join(now);
        }
        let signals = signals.filter(|_| asked.send && self.own.checked);
        let own_next = self.ears.own_next_term::<R>();
        let sending = match &mut self.role {
            Role::Standby { chosen, sent, .. } => signals.map(|signals| {
                *chosen = Some(own_next);
                *sent = Some(Sent { cycle, relocked: false });
                (own_next, signals)
            }),
            Role::Claiming { course } | Role::Primary { course } => signals.map(|signals| (course.term, signals)),
            Role::Joining { .. } | Role::Fenced { .. } => None,
        };
        let covers = matches!(self.role, Role::Standby { .. });
        self.own.refused = if covers && sending.is_some() { self.own.refused.saturating_add(1) } else { 0 };
        if let Some((term, signals)) = sending {
            self.own.sent = Some((cycle, now));
            self.own.sent_now = true;
            self.own.state = Some((cycle, now));
            effects.push(Effect::Send(command(self.slot, term, cycle, signals)));
        } else if matches!(self.role, Role::Standby { .. }) {
            self.probe_if_due(now, &mut effects);
        }
        effects.push(Effect::Publish);
        effects
    }

    fn probe_if_due(&mut self, now: Instant, effects: &mut Effects) {
        if let Some(probe) = self.probe.due(now, self.config.period) {
            effects.push(Effect::Send(probe));
        }
    }

    fn join(&mut self, now: Instant) {
        self.role = Role::Joining { since: now };
        self.probe.forget();
        self.ready = Err(NotReady::Role);
        self.asked = None;
        self.own.divergence = None;
        self.own.diverged = 0;
        self.unheard_since = None;
    }
}

/// Returns the cycle that is due at `now` when `cycle` was due at `at`, and moves `at` to the next start.
fn skip_missed(now: Instant, cycle: Cycle, at: &mut Instant, period: Duration) -> Cycle {
    let missed = nanos(now.since(*at)) / nanos(period).max(1);
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    *at += period.saturating_mul(missed.saturating_add(1));
    cycle.plus(missed.into())
}

fn command(slot: Slot, term: Term, cycle: Cycle, signals: Signals) -> Frame {
    CommandFrame { slot, term: term.to_wire(), cycle: cycle.to_wire(), probe: false, estop: false, signals }
        .encode()
}
