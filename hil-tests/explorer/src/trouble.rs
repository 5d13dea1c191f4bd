//! What goes wrong: the fault model of the simulator, and what only a search of this kind can reach.

use crate::law::Trick;
use crate::pair::{Notes, Pair};
use twinhelm_hal::bus::Station;
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::ports::Confinement;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Duration;
use twinhelm_hil::fault::{Cut, Fault, Kind};
use twinhelm_standby::Config;
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::sensors::SensorFault;

/// What goes wrong, or is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// In the words of the command line, without its time; in plain words where that has none.
    pub label: String,
    kind: TroubleKind,
    slot: Option<Slot>,
    /// For how long; `None` is for ever, or a moment.
    pub lasts: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TroubleKind {
    /// A fault of the simulator's. A process that is stopped in the middle of a turn is another one than at once.
    Known { kind: Kind, in_hand: bool },
    /// The cable of one gate is cut.
    GateCable(u8),
    /// The e-stop button is pressed, and reset.
    Stop,
}

impl Trouble {
    /// Reads one of the simulator's faults: `KIND[=AMOUNT]`.
    ///
    /// # Panics
    /// When there is no such fault: they are written in this crate.
    fn known(kind: &str, slot: Slot, lasts: Option<Duration>, in_hand: bool) -> Self {
        let text = format!("{kind}@0s");
        let Fault { kind: parsed, .. } = Fault::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let label = if in_hand { format!("{kind}, in the middle of a turn") } else { kind.to_owned() };
        Self { label, kind: TroubleKind::Known { kind: parsed, in_hand }, slot: Some(slot), lasts }
    }

    /// Returns whether it has an end, so that the pair has to be whole after it.
    pub(crate) fn is_over(&self) -> bool {
        self.lasts.is_some() || self.is_momentary()
    }

    /// Returns whom it hits.
    #[must_use]
    pub const fn slot(&self) -> Option<Slot> {
        self.slot
    }

    fn is_momentary(&self) -> bool {
        match self.kind {
            TroubleKind::Known { kind, .. } => kind.is_momentary() || kind.is_request(),
            TroubleKind::GateCable(_) | TroubleKind::Stop => false,
        }
    }

    /// Returns the bound on the gap that a whole pair keeps through it; `None` where the design promises none.
    pub(crate) fn gap_max(&self, config: &Config) -> Option<Duration> {
        match self.kind {
            TroubleKind::Known { kind, .. } if kind.is_within_promise() => {
                let slips = matches!(kind, Kind::ClockSlip { .. });
                Some(config.handover_gap_max() + if slips { config.margin } else { Duration::ZERO })
            }
            TroubleKind::Known { .. } | TroubleKind::GateCable(_) | TroubleKind::Stop => None,
        }
    }

    /// Returns whether it is over before a lease has run out, so that it costs nobody the wheel.
    pub(crate) fn keeps_holder(&self, config: &Config) -> bool {
        match self.kind {
            TroubleKind::Known { kind: Kind::Lose(_), .. } => self.is_momentary(),
            TroubleKind::Known { kind: Kind::ClockSlip { by, .. }, .. } => by + config.period < config.gate_lease,
            TroubleKind::Known { .. } | TroubleKind::GateCable(_) | TroubleKind::Stop => false,
        }
    }

    /// Returns it as a scenario file or the command line writes it, at `at`; `None` where they have no word for it.
    #[must_use]
    pub fn as_fault(&self, at: Duration) -> Option<String> {
        let TroubleKind::Known { in_hand: _, kind } = self.kind else {
            return None;
        };
        let kind_text = self.label.split(',').next().unwrap_or(&self.label);
        let mut text = format!("{kind_text}@{}us", at.as_micros());
        if let Some(lasts) = self.lasts {
            text.push_str(&format!(":{}us", lasts.as_micros()));
        }
        let has_target = !matches!(kind, Kind::RestartGate(_) | Kind::Estop);
        match self.slot.filter(|_| has_target) {
            Some(slot) if slot == Slot::LEFT => text.push_str(":left"),
            Some(slot) if slot == Slot::RIGHT => text.push_str(":right"),
            Some(_) => return None,
            None => {}
        }
        Some(text)
    }

    /// Begins (`on`) or ends it.
    pub(crate) fn apply<G: GateRules, N: NodeRules>(
        &self,
        pair: &mut Pair<G, N>,
        on: bool,
        mut notes: Option<&mut Notes>,
    ) {
        let label = self.label.clone();
        let request = matches!(self.kind, TroubleKind::Known { kind, .. } if kind.is_request());
        if on {
            pair.tell(&Event::Fault { label: label.clone(), slot: self.slot, request }, notes.as_deref_mut());
        }
        match (self.kind, self.slot) {
            (TroubleKind::Known { kind, in_hand }, Some(slot)) => {
                hit(pair, slot, kind, in_hand, on, notes.as_deref_mut());
            }
            (TroubleKind::GateCable(number), _) => pair.set_cable(Station::of_gate(number), !on, !on),
            (TroubleKind::Stop, _) => pair.press_stop(on, notes.as_deref_mut()),
            (TroubleKind::Known { .. }, None) => {}
        }
        if !on || self.is_momentary() {
            pair.tell(&Event::FaultEnded { label, slot: self.slot }, notes);
        }
    }
}

fn hit<G: GateRules, N: NodeRules>(
    pair: &mut Pair<G, N>,
    slot: Slot,
    kind: Kind,
    in_hand: bool,
    on: bool,
    mut notes: Option<&mut Notes>,
) {
    let station = Station::of_device(slot);
    let now = pair.now;
    match kind {
        Kind::Kill | Kind::Exit if on => pair.kill(slot, notes),
        Kind::Kill | Kind::Exit => pair.start(slot),
        Kind::Power => {
            pair.set_cable(station, !on, !on);
            if on {
                pair.kill(slot, notes);
            } else {
                pair.start(slot);
            }
        }
        Kind::Hang => {
            if on {
                pair.device(slot).hang(in_hand);
                pair.tell(&Event::Down { slot }, notes);
            } else {
                pair.device(slot).resume(now);
                let ready = pair.device(slot).readiness();
                pair.tell(&Event::Ready { slot, ready }, notes.as_deref_mut());
            }
        }
        Kind::LinkCut(cut) => {
            let device = pair.device(slot);
            device.tells_link = !(on && cut != Cut::Rx);
            device.hears_link = !(on && cut != Cut::Tx);
        }
        Kind::BusCut(cut) => pair.set_cable(station, !(on && cut != Cut::Rx), !(on && cut != Cut::Tx)),
        Kind::BusErrors(confinement) => {
            pair.device(slot).confinement = if on { confinement } else { Confinement::Active };
            if confinement == Confinement::Off {
                pair.set_cable(station, !on, !on);
            }
        }
        Kind::Late(late) => {
            let span = late.span(pair.config.period);
            pair.device(slot).late = if on { span } else { Duration::ZERO };
        }
        Kind::Nan | Kind::OutOfRange => pair.device(slot).trick = on.then_some(Trick::Nan),
        Kind::FrozenOutput => pair.device(slot).trick = on.then_some(Trick::Wrong),
        Kind::Switchover => pair.device(slot).asked_to_switch |= on,
        Kind::ClockSlip { by, forwards } if on => pair.device(slot).slip(now, by, forwards),
        Kind::Sensor(SensorFault::Silent | SensorFault::Stuck) => pair.device(slot).senses = !on,
        Kind::Lose(lost) => pair.loses = on.then_some((slot, lost)),
        Kind::HeldFrame(after) if on => pair.holds = Some((slot, after)),
        Kind::RestartGate(number) if on => pair.restart_gate(number, notes),
        Kind::Estop if on => pair.press_stop(true, notes),
        // These have no meaning without a plant, or without chance; the storm has them.
        Kind::FrozenCounter
        | Kind::LinkSlow(_)
        | Kind::LinkRough(_)
        | Kind::ClockDrift(_)
        | Kind::Sensor(_)
        | Kind::ClockSlip { .. }
        | Kind::HeldFrame(_)
        | Kind::RestartGate(_)
        | Kind::Estop => {}
    }
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.label)?;
        if let Some(slot) = self.slot {
            write!(f, ", {}", device_name(slot))?;
        }
        self.lasts.map_or(Ok(()), |lasts| write!(f, ", for {lasts:?}"))
    }
}

/// How finely the list of troubles is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// For ordered pairs: one or two of each.
    Coarse,
    /// For every change: a few durations and amounts of each.
    Quick,
    /// Before a release: more of them.
    Full,
}

/// Returns every trouble of the fault model that one gate or two can meet, at either device, in periods of `config`.
#[must_use]
pub fn singles(config: &Config, gates: usize, detail: Detail) -> Vec<Trouble> {
    let period = config.period;
    let tenths = |tenths: u32| period * tenths / 10;
    let lengths: &[u32] = match detail {
        Detail::Coarse => &[16, 43],
        Detail::Quick => &[4, 16, 31, 43, 110],
        Detail::Full => &[1, 4, 9, 13, 16, 23, 31, 43, 52, 67, 110, 230],
    };
    let lates: &[u32] = match detail {
        Detail::Coarse => &[15],
        Detail::Quick => &[1, 9, 15, 25, 40],
        Detail::Full => &[1, 3, 6, 9, 11, 13, 15, 18, 21, 25, 29, 31, 35, 40, 50, 70],
    };
    let slips: &[u32] = match detail {
        Detail::Coarse => &[15],
        Detail::Quick => &[1, 5, 15],
        Detail::Full => &[1, 2, 3, 5, 8, 11, 15, 22, 29],
    };
    let in_us = |span: Duration| format!("{}us", span.as_micros());
    let mut all = Vec::new();
    for slot in [Slot::LEFT, Slot::RIGHT] {
        let ever = || lengths.iter().map(|length| Some(tenths(*length))).chain([None]);
        let lasting = [
            "kill",
            "power",
            "hang",
            "link-cut",
            "link-cut=tx",
            "link-cut=rx",
            "bus-cut",
            "bus-cut=tx",
            "bus-cut=rx",
            "bus-errors=passive",
            "bus-errors=off",
            "nan",
            "frozen=output",
            "sensor=silent",
        ];
        let lates = lates.iter().map(|late| format!("late={}", in_us(tenths(*late))));
        for kind in lasting.map(str::to_owned).into_iter().chain(lates) {
            all.extend(ever().map(|lasts| Trouble::known(&kind, slot, lasts, false)));
        }
        all.extend(ever().map(|lasts| Trouble::known("hang", slot, lasts, true)));
        for kind in ["lose=command", "lose=command-at-gate", "lose=command-at-peer", "lose=status", "switchover"] {
            all.push(Trouble::known(kind, slot, None, false));
        }
        all.extend(ever().flatten().map(|lasts| Trouble::known("lose=all-statuses", slot, Some(lasts), false)));
        for slip in slips.iter().map(|slip| in_us(tenths(*slip))) {
            all.extend(
                ["+", "-"].map(|sign| Trouble::known(&format!("clock-slip={sign}{slip}"), slot, None, false)),
            );
        }
        let held = lengths.iter().map(|length| format!("held-frame={}", in_us(tenths(*length))));
        // So long that its cycle looks as far ahead as it is behind.
        let half_a_range = format!("held-frame={}", in_us(period * 2_100));
        let half_a_range = (detail != Detail::Coarse).then_some(half_a_range);
        all.extend(held.chain(half_a_range).map(|kind| Trouble::known(&kind, slot, None, false)));
    }
    for number in 0..gates {
        all.push(Trouble::known(&format!("gate-restart={number}"), Slot::LEFT, None, false));
    }
    let of_gates = |label: String, kind, lasts| Trouble { label, kind, slot: None, lasts: Some(lasts) };
    for length in lengths.iter().map(|length| tenths(*length)) {
        all.push(of_gates("e-stop, pressed and reset".to_owned(), TroubleKind::Stop, length));
        // Cut off while the wheel changes hands, a gate names the old holder until its timeout, whatever the rules.
        if gates > 1 && detail != Detail::Coarse {
            all.push(of_gates("the cable of gate 1 is cut".to_owned(), TroubleKind::GateCable(1), length));
        }
    }
    all
}
