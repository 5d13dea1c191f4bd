//! Faults on real processes: signals, cables, lines to the vehicle and to what a device is wrapped in.

use super::boards::Boards;
use super::cables::NO_CABLES;
use super::operator::fault_of;
use super::run::Run;
use super::spec::{ClockFault, DeviceLine, Fallible, VehicleLine};
use super::{Cabling, HostError, HostPlan, machine};
use rustix::process::Signal;
use std::sync::Arc;
use twinhelm_control::Controller;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::fault::{Cut, Fault, Kind, Target};
use twinhelm_hil::law_faults::LawFault;
use twinhelm_linux::clock::now;
use twinhelm_standby::Order;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::signals::{Command, State};

/// Returns what has to be wrapped in a device that is to fail in these ways.
pub(super) fn fallible<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Fallible {
    let mut fallible = Fallible::default();
    for kind in kinds {
        match kind {
            Kind::Late(_) | Kind::Nan | Kind::OutOfRange | Kind::FrozenOutput => fallible.law = true,
            Kind::LinkSlow(_) | Kind::LinkRough(_) => fallible.link = true,
            Kind::ClockSlip { .. } | Kind::ClockDrift(_) => fallible.clock = true,
            Kind::BusErrors(_) => fallible.controller = true,
            Kind::Kill
            | Kind::Exit
            | Kind::Hang
            | Kind::Power
            | Kind::LinkCut(_)
            | Kind::BusCut(_)
            | Kind::FrozenCounter
            | Kind::Switchover
            | Kind::Sensor(_)
            | Kind::Lose(_)
            | Kind::HeldFrame(_)
            | Kind::RestartGate(_)
            | Kind::Estop => {}
        }
    }
    fallible
}

/// A fault that is on.
#[derive(Clone, Debug)]
pub(super) struct Active {
    /// Which of the plan's; `None` when an operator asked for it.
    pub index: Option<usize>,
    /// As it is called in reports.
    pub label: String,
    /// What.
    pub kind: Kind,
    /// Whom it has hit.
    pub slot: Slot,
}

/// A fault that begins or ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    pub index: usize,
    pub begins: bool,
}

/// Refuses what the rig of `host` cannot do.
pub(super) fn check_plan<L>(host: &HostPlan<L>, is_recorded: bool) -> Result<(), HostError> {
    for fault in &host.plan.faults {
        if let Some(why) = what_stands_against(host, &fault.kind) {
            return Err(HostError::BadInput(format!("`{}`: {why}", fault.label)));
        }
    }
    if let Some(why) = host.announced.iter().find_map(|kind| what_stands_against(host, kind)) {
        return Err(HostError::BadInput(format!("this fault {why}")));
    }
    if host.boards.is_some() && is_recorded {
        let message = "boards have clocks of their own, which no recording can compare: leave out --record";
        return Err(HostError::BadInput(message.to_owned()));
    }
    Ok(())
}

/// Returns why the rig of `host` does not have the fault, and what to do; `None` when it does.
fn what_stands_against<L>(host: &HostPlan<L>, kind: &Kind) -> Option<&'static str> {
    // The userland bus knows each frame on its way to each station.
    let needs_userland_bus = matches!(kind, Kind::Lose(_) | Kind::HeldFrame(_) | Kind::FrozenCounter);
    let needs_cables = matches!(kind, Kind::LinkCut(_) | Kind::BusCut(_) | Kind::BusErrors(Confinement::Off));
    let has_switches =
        |boards: &Arc<Boards>| [Slot::LEFT, Slot::RIGHT].iter().all(|slot| boards.of(*slot).has_power_switch());
    match host.cabling {
        Cabling::Loopback | Cabling::Namespaces => None,
        Cabling::Guest | Cabling::Boards if needs_userland_bus => {
            Some("needs the userland bus: use --rig host or --rig netns")
        }
        Cabling::Guest => None,
        Cabling::Boards if needs_cables => Some(NO_CABLES),
        Cabling::Boards => (matches!(kind, Kind::Power) && !host.boards.as_ref().is_some_and(has_switches))
            .then_some("needs power_off and power_on of both boards, in the file that --boards names"),
    }
}

/// When which fault begins and ends.
pub(super) struct Agenda {
    due: Vec<(Instant, Action)>,
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
        Self { due }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.due.last().map(|(at, _)| *at)
    }

    pub fn take_due(&mut self, now: Instant) -> Option<Action> {
        self.due.pop_if(|(at, _)| *at <= now).map(|(_, action)| action)
    }
}

impl<L> Run<'_, L>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    /// Begins or ends one of the plan's faults.
    pub(super) async fn act(&mut self, action: Action) -> Result<(), HostError> {
        let host = self.host;
        let Action { index, begins } = action;
        if begins {
            return self.begin(Some(index), &host.plan.faults[index]).await;
        }
        match self.active.iter().position(|active| active.index == Some(index)) {
            Some(place) => self.end(place).await,
            // The operator has mended it before.
            None => Ok(()),
        }
    }

    /// Begins a fault, or passes a request on.
    async fn begin(&mut self, index: Option<usize>, fault: &Fault) -> Result<(), HostError> {
        let slot = fault.target.slot(self.collector.holder());
        let request = fault.kind.is_request();
        let at = now();
        let label = fault.label.clone();
        let verb = if request { "is asked of" } else { "hits" };
        self.operator.line(Some(at.seconds_after(self.zero)), &format!("{label} {verb} {}", device_name(slot)));
        self.on_event(at, &Event::Fault { label: label.clone(), slot: Some(slot), request });
        self.inject(&fault.kind, slot, true).await?;
        if fault.kind.is_momentary() {
            self.on_event(now(), &Event::FaultEnded { label, slot: Some(slot) });
        } else if !request {
            self.active.push(Active { index, label, kind: fault.kind, slot });
        }
        Ok(())
    }

    /// Ends the fault at `place` among those that are on.
    async fn end(&mut self, place: usize) -> Result<(), HostError> {
        let Active { label, kind, slot, .. } = self.active.remove(place);
        self.inject(&kind, slot, false).await?;
        let at = now();
        self.operator.line(Some(at.seconds_after(self.zero)), &format!("{label} is over"));
        self.on_event(at, &Event::FaultEnded { label, slot: Some(slot) });
        Ok(())
    }

    /// Ends every fault that is on.
    pub(super) async fn repair(&mut self) -> Result<(), HostError> {
        if self.active.is_empty() {
            self.operator.line(Some(now().seconds_after(self.zero)), "nothing is to be repaired");
        }
        while !self.active.is_empty() {
            self.end(0).await?;
        }
        Ok(())
    }

    /// Begins what an operator asks for, if this rig has it.
    pub(super) async fn begin_asked(&mut self, name: &str, kind: Kind, target: Target) -> Result<(), HostError> {
        let passed = now().since(self.zero);
        if let Some(why) = what_stands_against(self.host, &kind) {
            self.operator.line(Some(passed.as_secs_f64()), &format!("no {name}: it {why}"));
            return Ok(());
        }
        self.begin(None, &fault_of(name, kind, target, passed)).await
    }

    /// Gives boards their power back, whatever a fault had left.
    pub(super) async fn give_power_back(&mut self) -> Result<(), HostError> {
        let dark = self.active.iter().filter(|active| matches!(active.kind, Kind::Power));
        for slot in dark.map(|active| active.slot).collect::<Vec<_>>() {
            if self.host.boards.is_some() {
                self.meanwhile(self.cables.set_power(slot, true)).await??;
            }
        }
        Ok(())
    }

    /// Begins (`on`) or ends a fault at `slot`.
    pub(super) async fn inject(&mut self, kind: &Kind, slot: Slot, on: bool) -> Result<(), HostError> {
        let period = self.host.plan.config.period;
        match kind {
            Kind::Kill | Kind::Exit => {
                if on {
                    self.end_device(slot, matches!(kind, Kind::Exit)).await?;
                } else if self.devices[slot.index()].is_none() {
                    self.start_device(slot).await?;
                }
            }
            Kind::Power => {
                // At once it computes nothing any more. Then the cables: what dies on a live cable says good-bye.
                // A board without power closes its connection itself, and that is no news.
                let board = self.devices[slot.index()].take_if(|_| on && self.host.boards.is_some());
                if on && let Some(device) = &self.devices[slot.index()] {
                    device.signal(Signal::STOP).await?;
                }
                let done = self.cables.set_power(slot, !on);
                self.meanwhile(done).await??;
                if let Some(mut device) = board {
                    device.has_lost_its_board();
                    self.on_down(slot);
                    self.meanwhile(tokio::spawn(device.kill())).await??;
                } else if on {
                    self.end_device(slot, false).await?;
                } else if self.devices[slot.index()].is_none() {
                    self.start_device(slot).await?;
                }
            }
            Kind::Hang => {
                let signal = if on { Signal::STOP } else { Signal::CONT };
                if let Some(device) = &self.devices[slot.index()] {
                    device.signal(signal).await?;
                }
                self.stopped[slot.index()] = on;
                if on {
                    self.on_down(slot);
                }
            }
            Kind::LinkCut(cut) => self.cables.set_link(slot, *cut, on)?,
            Kind::BusCut(cut) => self.cut_bus(slot, *cut, on).await?,
            Kind::BusErrors(confinement) => {
                if *confinement == Confinement::Off {
                    self.cut_bus(slot, Cut::Both, on).await?;
                }
                let stands = if on { *confinement } else { Confinement::Active };
                self.tell_device(slot, &DeviceLine::Confined(stands)).await;
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
            Kind::LinkSlow(by) => {
                self.trouble.delay = if on { *by } else { Duration::ZERO };
                self.tell_trouble().await;
            }
            Kind::LinkRough(part) => {
                self.trouble.rough = if on { *part } else { 0.0 };
                self.tell_trouble().await;
            }
            Kind::ClockSlip { by, forwards } => {
                if on {
                    let slip = ClockFault::Slip { by: *by, forwards: *forwards };
                    self.tell_device(slot, &DeviceLine::Clock(slip)).await;
                }
            }
            Kind::ClockDrift(ppm) => {
                let drift = ClockFault::Drift(if on { *ppm } else { 0.0 });
                self.tell_device(slot, &DeviceLine::Clock(drift)).await;
            }
            Kind::Lose(what) => self.tell_vehicle(&VehicleLine::Lose { slot, what: *what, on }).await?,
            Kind::HeldFrame(after) => {
                if on {
                    self.tell_vehicle(&VehicleLine::Hold { slot, after: *after }).await?;
                }
            }
            Kind::Estop => {
                if on {
                    self.tell_vehicle(&VehicleLine::Estop).await?;
                }
            }
            Kind::RestartGate(gate) => {
                if on {
                    self.tell_vehicle(&VehicleLine::RestartGate { gate: *gate }).await?;
                }
            }
        }
        Ok(())
    }

    async fn end_device(&mut self, slot: Slot, by_itself: bool) -> Result<(), HostError> {
        let Some(device) = self.devices[slot.index()].take() else {
            return Ok(());
        };
        self.stopped[slot.index()] = false;
        self.on_down(slot);
        let gone = if by_itself { tokio::spawn(device.end()) } else { tokio::spawn(device.kill()) };
        self.meanwhile(gone).await?
    }

    /// Cuts (`on`) or heals a device's cable to the bus: the kernel's, where it has one, and the arbiter's, which keeps the
    /// books of who hears what.
    async fn cut_bus(&mut self, slot: Slot, cut: Cut, on: bool) -> Result<(), HostError> {
        self.cables.set_can(slot, cut, on)?;
        let to_bus = !(on && cut != Cut::Rx);
        let from_bus = !(on && cut != Cut::Tx);
        self.tell_vehicle(&VehicleLine::Cable { slot, to_bus, from_bus }).await
    }

    async fn tell_vehicle(&mut self, line: &VehicleLine) -> Result<(), HostError> {
        self.vehicle.tell(line).await.map_err(|error| machine("speaking to the vehicle process", &error))
    }

    async fn tell_law(&mut self, slot: Slot, on: bool, fault: LawFault) {
        self.tell_device(slot, &DeviceLine::Law(on.then_some(fault))).await;
    }

    async fn tell_device(&mut self, slot: Slot, line: &DeviceLine) {
        if let Some(device) = &mut self.devices[slot.index()] {
            // A device that is gone has nothing to fail.
            let _ = device.tell(line).await;
        }
    }

    /// The link is one: both devices hear what has become of it.
    async fn tell_trouble(&mut self) {
        let line = DeviceLine::Link(self.trouble);
        for slot in (0..SLOTS).filter_map(Slot::new) {
            self.tell_device(slot, &line).await;
        }
    }
}
