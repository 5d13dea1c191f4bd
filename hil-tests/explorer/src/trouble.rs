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
use twinhelm_standby::config::frame_time;
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

    /// Returns whether it is over before a lease has run out, so that with `devices` on the bus it costs nobody the wheel.
    pub(crate) fn keeps_holder(&self, config: &Config, devices: usize) -> bool {
        match self.kind {
            TroubleKind::Known { kind: Kind::Lose(_), .. } => self.is_momentary(),
            TroubleKind::Known { kind: Kind::ClockSlip { by, forwards }, .. } => {
                by + config.period < config.gate_lease && (forwards || is_reported_in_time(config, devices))
            }
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

/// Returns whether the report of a cover is back before the standby decides again, with `devices` on the bus: each that covers does so
/// at the same moment, and its command goes before the report. `Config::new` asks this of a pair. Where it is not so, a holder whose
/// clock slipped back sends for a cycle that is covered already, loses the next one as well, and its lease runs out.
fn is_reported_in_time(config: &Config, devices: usize) -> bool {
    let covers = u32::try_from(devices.saturating_sub(1)).unwrap_or(u32::MAX);
    let frames = covers.saturating_add(config.gates.into());
    frame_time(config.bitrate).saturating_mul(frames).saturating_add(config.jitter) < config.margin
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::Jitter;
    use crate::pair::{Corner, Wakes};
    use crate::plan::{Area, From, Rate, areas};
    use crate::search::Search;
    use twinhelm_hal::gate::rules::AsDesigned as DesignedGate;
    use twinhelm_standby::node::rules::AsDesigned as DesignedNode;

    /// Returns what is broken when `troubles` meet what starts from `from`, each at each fortieth of `within` periods.
    fn broken(from: From, rate: Rate, corner: Corner, troubles: &[Trouble], within: u32) -> Vec<String> {
        let area = Area { from, rate, gates: 1, jitter: Jitter { corner, departures: 0 }, detail: Detail::Full };
        let config = area.config().expect("the timing keeps the promise");
        let mut search = Search::<DesignedGate, DesignedNode>::new(config, area.jitter).content_after(24);
        search.through(&area.start(&config), troubles, config.period / 40, within * config.period);
        search.found().iter().map(ToString::to_string).collect()
    }

    /// A device that is cut off towards the bus claims, counts on, and gives way when the other has opened the gate. Its last claim waited
    /// behind the cut for five periods, until the gate had counted as far, and was acted on.
    #[test]
    fn the_last_claim_of_a_device_that_was_cut_off_is_not_acted_on_late() {
        let corner = Corner([Wakes::OnTime, Wakes::Late, Wakes::OnTime, Wakes::Late]);
        for lasts in [8, 11, 14] {
            let cut = Trouble::known("bus-cut=tx", Slot::LEFT, Some(Duration::from_millis(lasts)), false);
            assert_eq!(broken(From::NotReady, Rate::Hz1000, corner, &[cut], 8), [""; 0]);
        }
    }

    #[test]
    fn a_cover_is_reported_in_time_but_with_a_spare_at_1_khz() {
        for area in areas(Detail::Full) {
            let config = area.config().expect("the timing keeps the promise");
            let devices = if area.from == From::Spare { 3 } else { 2 };
            let is_late = area.from == From::Spare && area.rate == Rate::Hz1000;
            assert_eq!(is_reported_in_time(&config, devices), !is_late, "{}", area.name());
        }
    }

    /// The holder of a pair goes on. With a spare on the bus it may lose the wheel, and nothing else may break.
    #[test]
    fn a_slip_shorter_than_a_lease_breaks_nothing_at_1_khz() {
        let corner = Corner([Wakes::Late; 4]);
        for by in [800, 1_040, 1_100, 1_960] {
            let slip = Trouble::known(&format!("clock-slip=-{by}us"), Slot::LEFT, None, false);
            for from in [From::Whole, From::Spare] {
                assert_eq!(broken(from, Rate::Hz1000, corner, core::slice::from_ref(&slip), 1), [""; 0]);
            }
        }
    }
}
