//! One cycle of a device: read → update → step → write.

#[cfg(test)]
mod tests;

use crate::input::{Effect, Effects, Input, Order, Refusal};
use crate::node::Node;
use crate::node::rules::NodeRules;
use crate::pilot::Pilot;
use crate::sample::{HeardSample, Published, Sample};
use twinhelm_control::Controller;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::ports::{Bus, Confinement};
use twinhelm_hal::time::Instant;

/// Everything that a device reaches: its bus, its sensors, its peer, its clock. No call blocks.
pub trait Ports<S, M>: Bus {
    /// Returns the time. Asked once more after the law has computed, because a law takes time.
    fn now(&self) -> Instant;

    /// Returns the own sensors' newest reading, `None` when they are silent.
    fn readings(&mut self) -> Option<S>;

    /// Returns the peer's newest sample: the same again, until a newer one came.
    fn peer(&mut self) -> Option<HeardSample<S, M>>;

    /// Tells the peer.
    fn publish(&mut self, sample: &Sample<S, M>);

    /// Returns the next order, if any.
    fn order(&mut self) -> Option<Order>;

    /// Tells whoever asked that the order was refused.
    fn refuse(&mut self, refusal: Refusal);

    /// Takes note of an input and its effects, so that a run can be replayed. Nothing by default.
    fn note(&mut self, now: Instant, input: &Input, effects: &Effects) {
        let _ = (now, input, effects);
    }
}

/// Runs one turn of a device at `now` and returns when the next one is due.
///
/// The device process and the simulator call this, and nothing else drives a node.
pub fn turn<P, L, C, R>(now: Instant, ports: &mut P, pilot: &mut Pilot<L, C>, node: &mut Node<R>) -> Instant
where
    P: Ports<L::State, L::Memory>,
    L: Controller,
    C: Controller<State = L::State, Command = L::Command, Memory = L::Memory>,
    R: NodeRules,
{
    tell(now, ports, node, Input::Woke);
    // Before what was heard: the errors came first.
    match ports.confinement() {
        Confinement::Active => {}
        confinement @ (Confinement::Passive | Confinement::Off) => {
            tell(now, ports, node, Input::Confined(confinement));
        }
    }
    while let Some(received) = ports.receive() {
        tell(now, ports, node, Input::Heard(received));
    }
    let peer = ports.peer();
    if let Some(HeardSample { at, sample }) = &peer {
        tell(now, ports, node, Input::Peer { at: *at, header: sample.as_ref().map(|sample| sample.header) });
    }
    while let Some(order) = ports.order() {
        for effect in tell(now, ports, node, Input::Ordered(order)) {
            if let Effect::Refused(refusal) = effect {
                ports.refuse(refusal);
            }
        }
    }
    let mut driver = peer.and_then(|peer| Driver::from(&peer, node));
    for effect in tell(now, ports, node, Input::Decide) {
        match effect {
            Effect::Compute { cycle, standstill } => {
                // State of a cycle before this one is taken over before the step; state of this very cycle after
                // it, so that the divergence is taken between laws that have not just been made equal.
                if driver.as_ref().is_some_and(|driver| driver.cycle < cycle) {
                    adopt(now, ports, pilot, node, driver.take());
                }
                compute(ports, pilot, node, cycle, standstill, &peer);
                adopt(now, ports, pilot, node, driver.take());
            }
            Effect::Send(frame) => ports.send(frame),
            Effect::Publish => ports.publish(&Sample { header: node.header(), published: None }),
            Effect::Refused(refusal) => ports.refuse(refusal),
        }
    }
    node.next_wake(now)
}

/// The state of the device that drove, and when it arrived.
struct Driver<S, M> {
    cycle: Cycle,
    at: Instant,
    published: Published<S, M>,
}

impl<S: Copy, M: Copy> Driver<S, M> {
    fn from<R: NodeRules>(heard: &HeardSample<S, M>, node: &Node<R>) -> Option<Self> {
        let sample = heard.sample.as_ref()?;
        let published = sample.published?;
        let cycle = node.align(sample.header.cycle);
        (sample.header.sent && node.adopts(cycle)).then_some(Self { cycle, at: heard.at, published })
    }
}

fn compute<P, L, C, R>(
    ports: &mut P,
    pilot: &mut Pilot<L, C>,
    node: &mut Node<R>,
    cycle: Cycle,
    standstill: bool,
    peer: &Option<HeardSample<L::State, L::Memory>>,
) where
    P: Ports<L::State, L::Memory>,
    L: Controller,
    C: Controller<State = L::State, Command = L::Command, Memory = L::Memory>,
    R: NodeRules,
{
    let sample = peer.as_ref().and_then(|peer| peer.sample.as_ref());
    let stand_in = sample
        .filter(|sample| node.is_current(node.align(sample.header.cycle)))
        .and_then(|sample| sample.published.as_ref())
        .filter(|published| published.own_readings)
        .map(|published| published.readings);
    let own = ports.readings();
    let computed = pilot.compute(own, stand_in, standstill);
    let input = Input::Computed {
        cycle,
        signals: computed.published.and_then(|published| published.signals),
        readings: computed.readings,
        checked: computed.checked,
    };
    let now = ports.now();
    for effect in tell(now, ports, node, input) {
        match effect {
            Effect::Send(frame) => ports.send(frame),
            Effect::Publish => {
                ports.publish(&Sample { header: node.header(), published: computed.published });
            }
            Effect::Refused(refusal) => ports.refuse(refusal),
            Effect::Compute { .. } => unreachable!("a computed command asks for no other"),
        }
    }
}

fn adopt<P, L, C, R>(
    now: Instant,
    ports: &mut P,
    pilot: &mut Pilot<L, C>,
    node: &mut Node<R>,
    driver: Option<Driver<L::State, L::Memory>>,
) where
    P: Ports<L::State, L::Memory>,
    L: Controller,
    C: Controller<State = L::State, Command = L::Command, Memory = L::Memory>,
    R: NodeRules,
{
    let Some(driver) = driver else {
        return;
    };
    // Asked again: this device may have sent for the very cycle meanwhile, and then the state is its own.
    if node.adopts(driver.cycle) && pilot.adopt(&driver.published) {
        tell(now, ports, node, Input::Adopted { cycle: driver.cycle, at: driver.at });
    }
}

fn tell<P, S, M, R>(now: Instant, ports: &mut P, node: &mut Node<R>, input: Input) -> Effects
where
    P: Ports<S, M>,
    R: NodeRules,
{
    let effects = node.step(now, input);
    ports.note(now, &input, &effects);
    effects
}
