//! Faults in the World: what begins, what ends, and what happens to frames meanwhile.

use super::{Happening, ORIGIN, Variant, World, cable, other};
use crate::fault::{Cut, Fault, Kind};
use crate::law_faults::LawFault;
use twinhelm_hal::bus::Station;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::term::Slot;
use twinhelm_standby::Order;
use twinhelm_vehicle::report::log::Event;

/// A fault of this run, and whom it hit.
pub(super) struct Active {
    fault: Fault,
    hit: Option<Slot>,
}

impl<V: Variant> World<V> {
    /// Schedules `fault`.
    pub fn inject(&mut self, fault: Fault) {
        let at = ORIGIN + fault.at;
        self.faults.push(Active { fault, hit: None });
        let index = self.faults.len() - 1;
        self.at(at, Happening::FaultStarts(index));
    }

    pub(super) fn start_fault(&mut self, index: usize) {
        let holder = self.holder();
        let active = &mut self.faults[index];
        let slot = active.fault.target.slot(holder);
        active.hit = Some(slot);
        let fault = active.fault.clone();
        let request = fault.kind.is_request();
        self.tell(&Event::Fault { label: fault.label.clone(), slot: Some(slot), request });
        let ends = fault.lasts.map(|lasts| self.now + lasts);
        if let Some(ends) = ends {
            self.at(ends, Happening::FaultEnds(index));
        }
        self.apply(&fault, slot, true);
        if fault.kind.is_momentary() {
            self.tell(&Event::FaultEnded { label: fault.label, slot: Some(slot) });
        }
    }

    pub(super) fn end_fault(&mut self, index: usize) {
        let Active { fault, hit } = &self.faults[index];
        let (fault, slot) = (fault.clone(), hit.unwrap_or(Slot::LEFT));
        self.apply(&fault, slot, false);
        if !fault.kind.is_momentary() {
            self.tell(&Event::FaultEnded { label: fault.label, slot: Some(slot) });
        }
    }

    /// Begins (`on`) or ends a fault at `slot`.
    fn apply(&mut self, fault: &Fault, slot: Slot, on: bool) {
        let index = slot.index();
        let now = self.now;
        match fault.kind {
            Kind::Kill | Kind::Exit => {
                if on {
                    self.go_down(slot);
                } else {
                    self.start(slot);
                }
            }
            Kind::Power => {
                if on {
                    self.cut_bus(slot, Cut::Both, true);
                    self.cut_link(slot, Cut::Both, true);
                    self.go_down(slot);
                } else {
                    self.cut_bus(slot, Cut::Both, false);
                    self.cut_link(slot, Cut::Both, false);
                    self.start(slot);
                }
            }
            Kind::Hang => {
                if on {
                    let in_hand = self.rng.chance(0.5);
                    self.devices[index].hang(in_hand);
                    // Ready or not, a process that is stopped takes nothing over.
                    self.tell(&Event::Down { slot });
                } else {
                    let (in_hand, alarm) = self.devices[index].resume();
                    if let Some(outcome) = in_hand {
                        // Written now, computed then: the rest of the turn goes on where it was stopped.
                        self.carry_out(slot, outcome);
                    }
                    if let Some(ready) = self.devices[index].readiness() {
                        self.tell(&Event::Ready { slot, ready });
                    }
                    self.at(now, Happening::Wake(slot, alarm));
                }
            }
            Kind::LinkCut(cut) => self.cut_link(slot, cut, on),
            Kind::BusCut(cut) => self.cut_bus(slot, cut, on),
            Kind::BusErrors(confinement) => {
                self.devices[index].set_confinement(if on { confinement } else { Confinement::Active });
                if confinement == Confinement::Off {
                    self.cut_bus(slot, Cut::Both, on);
                }
            }
            Kind::Late(late) => {
                let span = late.span(self.setup.config.period);
                self.devices[index].set_law_fault(on.then_some(LawFault::Late(span)));
            }
            Kind::Nan => self.devices[index].set_law_fault(on.then_some(LawFault::Nan)),
            Kind::OutOfRange => self.devices[index].set_law_fault(on.then_some(LawFault::OutOfRange)),
            Kind::FrozenOutput => self.devices[index].set_law_fault(on.then_some(LawFault::Stuck)),
            Kind::FrozenCounter => self.tampering[index].repeats = on,
            Kind::Switchover => self.order(slot, Order::Switchover),
            Kind::LinkSlow(by) => {
                for link in &mut self.links {
                    link.delay = if on { link.delay + by } else { link.delay.saturating_sub(by) };
                }
            }
            Kind::LinkRough(part) => {
                for link in &mut self.links {
                    link.loss = if on { part } else { 0.0 };
                    link.duplicates = if on { part } else { 0.0 };
                    link.reorders = on;
                }
            }
            Kind::ClockSlip { by, forwards } => {
                if on {
                    self.devices[index].clock_mut().slip(now, by, forwards);
                    let (at, alarm) = self.devices[index].reset_alarm();
                    self.at(at, Happening::Wake(slot, alarm));
                }
            }
            Kind::ClockDrift(ppm) => {
                self.devices[index].clock_mut().set_drift(now, if on { ppm } else { 0.0 });
                let (at, alarm) = self.devices[index].reset_alarm();
                self.at(at, Happening::Wake(slot, alarm));
            }
            Kind::Sensor(sensor) => self.devices[index].set_sensor_fault(on.then_some(sensor)),
            Kind::Lose(what) => self.losses.set(slot, what, on),
            Kind::HeldFrame(after) => {
                if on {
                    self.tampering[index].hold = Some(after);
                }
            }
            Kind::Estop => {
                if on {
                    self.vehicle.press_estop(self.now, &mut self.notes);
                }
            }
            Kind::RestartGate(gate) => {
                if on {
                    self.vehicle.restart_gate(self.now, gate, &mut self.notes);
                }
            }
        }
    }

    fn go_down(&mut self, slot: Slot) {
        self.devices[slot.index()].kill();
        self.bus.detach(Station::of_device(slot));
        self.tell(&Event::Down { slot });
    }

    fn cut_bus(&mut self, slot: Slot, cut: Cut, on: bool) {
        let (tx, rx) = (on && cut != Cut::Rx, on && cut != Cut::Tx);
        self.bus.set_cable(self.now, Station::of_device(slot), cable(!tx, !rx));
        self.schedule_bus();
    }

    fn cut_link(&mut self, slot: Slot, cut: Cut, on: bool) {
        let directions = [(slot, cut != Cut::Rx), (other(slot), cut != Cut::Tx)];
        for (from, is_cut) in directions {
            if !is_cut {
                continue;
            }
            if on {
                self.links[from.index()].cut();
                continue;
            }
            let mut arrivals = Vec::new();
            self.links[from.index()].heal(self.now, |at, sample| arrivals.push((at, sample)));
            for (at, sample) in arrivals {
                self.at(at, Happening::Link(other(from), sample));
            }
        }
    }
}
