//! Faults on real processes: signals, cables, the relay, lines to the law's wrapper.

use super::spec::{LawLine, VehicleLine};
use super::{HostError, Run, machine};
use rustix::process::Signal;
use twinhelm_control::Controller;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_hil::fault::{Cut, Fault, Kind, Target};
use twinhelm_hil::law_faults::LawFault;
use twinhelm_linux::clock::now;
use twinhelm_standby::Order;
use twinhelm_vehicle::signals::{Command, State};

/// Returns whether the fault is one of a control law, so that the law has to be wrapped.
pub const fn is_of_a_law(kind: &Kind) -> bool {
    matches!(kind, Kind::Late(_) | Kind::Nan | Kind::OutOfRange | Kind::FrozenOutput)
}

/// A fault that begins or ends.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    pub index: usize,
    pub begins: bool,
}

/// When which fault begins and ends, and whom it hit.
pub struct Agenda {
    due: Vec<(Instant, Action)>,
    targets: Vec<(Target, Option<Slot>)>,
}

impl Agenda {
    pub fn new(zero: Instant, faults: &[Fault]) -> Self {
        let mut due = Vec::new();
        for (index, fault) in faults.iter().enumerate() {
            due.push((zero + fault.at, Action { index, begins: true }));
            if let Some(lasts) = fault.lasts {
                due.push((zero + fault.at + lasts, Action { index, begins: false }));
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.reverse();
        Self { due, targets: faults.iter().map(|fault| (fault.target, None)).collect() }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.due.last().map(|(at, _)| *at)
    }

    pub fn take_due(&mut self, now: Instant) -> Option<Action> {
        self.due.pop_if(|(at, _)| *at <= now).map(|(_, action)| action)
    }

    /// Returns whom the fault hits: once it has hit somebody, it ends there too.
    pub fn target(&mut self, index: usize, holder: Option<Slot>) -> Slot {
        let (target, hit) = &mut self.targets[index];
        *hit.get_or_insert(target.slot(holder))
    }
}

impl<L> Run<'_, L>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    /// Begins (`on`) or ends a fault at `slot`.
    pub(super) async fn inject(&mut self, kind: &Kind, slot: Slot, on: bool) -> Result<(), HostError> {
        let period = self.host.plan.config.period;
        match kind {
            Kind::Kill | Kind::Exit => {
                if on {
                    self.end_device(slot, matches!(kind, Kind::Exit)).await;
                } else {
                    self.start_device(slot).await?;
                }
            }
            Kind::Hang => {
                let signal = if on { Signal::STOP } else { Signal::CONT };
                if let Some(device) = &self.devices[slot.index()] {
                    device.signal(signal);
                }
                self.stopped[slot.index()] = on;
                if on {
                    self.collector.on_down(now(), slot);
                }
            }
            Kind::LinkCut(_) => {
                if let Some(relay) = &self.relay {
                    relay.set_cut(on);
                }
            }
            Kind::BusCut(cut) => {
                let to_bus = !(on && *cut != Cut::Rx);
                let from_bus = !(on && *cut != Cut::Tx);
                self.tell_vehicle(&VehicleLine::Cable { slot, to_bus, from_bus }).await?;
            }
            Kind::FrozenCounter => self.tell_vehicle(&VehicleLine::Repeat { slot, on }).await?,
            Kind::Sensor(fault) => {
                let fault = on.then_some(*fault);
                self.tell_vehicle(&VehicleLine::Sensor { slot, fault }).await?;
            }
            Kind::Late(late) => self.tell_law(slot, on, LawFault::Late(late.span(period))).await,
            Kind::Nan => self.tell_law(slot, on, LawFault::Nan).await,
            Kind::OutOfRange => self.tell_law(slot, on, LawFault::OutOfRange).await,
            Kind::FrozenOutput => self.tell_law(slot, on, LawFault::Stuck).await,
            Kind::Switchover => self.watch.order(slot, Order::Switchover),
            // Refused before the run began.
            Kind::Power
            | Kind::LinkSlow(_)
            | Kind::LinkRough(_)
            | Kind::ClockSlip { .. }
            | Kind::ClockDrift(_)
            | Kind::Lose(_)
            | Kind::HeldFrame(_)
            | Kind::RestartGate(_) => {}
        }
        Ok(())
    }

    async fn end_device(&mut self, slot: Slot, by_itself: bool) {
        if let Some(device) = self.devices[slot.index()].take() {
            self.stopped[slot.index()] = false;
            self.collector.on_down(now(), slot);
            if by_itself {
                device.end().await;
            } else {
                device.kill().await;
            }
        }
    }

    async fn tell_vehicle(&mut self, line: &VehicleLine) -> Result<(), HostError> {
        self.vehicle.tell(line).await.map_err(|error| machine("speaking to the vehicle process", &error))
    }

    async fn tell_law(&mut self, slot: Slot, on: bool, fault: LawFault) {
        if let Some(device) = &mut self.devices[slot.index()] {
            // A device that is gone has no law to fail.
            let _ = device.tell(&LawLine { fault: on.then_some(fault) }).await;
        }
    }
}
