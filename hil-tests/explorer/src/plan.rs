//! What is searched: areas, each with a timing, a number of gates, a start, a list of troubles and a grid.

use crate::found::{Figures, Found, Jitter, Start};
use crate::pair::{Corner, Wakes};
use crate::search::Search;
use crate::trouble::{Detail, singles};
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::term::SLOTS;
use twinhelm_hal::time::{Duration, nanos};
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{Config, ConfigError, Parameters};
use twinhelm_vehicle::config::Settings;

/// Where searches start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// A pair whose holder may die.
    Whole,
    /// A pair whose standby has just been switched on.
    NotReady,
    /// A whole pair with a spare as the third device on the bus.
    Spare,
    /// A whole pair just before the wire's counters wrap, at term 252 and cycle 4,090.
    Wrap,
    /// Devices and gates that are switched on within two gate leases of each other, with nothing wrong.
    Boot,
    /// A whole pair that meets two troubles, the second within 12 periods of the first.
    Pairs,
}

impl From {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Whole, Self::NotReady, Self::Spare, Self::Wrap, Self::Boot, Self::Pairs];

    /// Returns the word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::NotReady => "not-ready",
            Self::Spare => "spare",
            Self::Wrap => "wrap",
            Self::Boot => "boot",
            Self::Pairs => "pairs",
        }
    }
}

/// A timing that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rate {
    /// 25 times a second, as `vehicle-demo/vehicle-25hz.toml` has it.
    #[value(name = "25hz")]
    Hz25,
    /// 100 times a second, the demo's.
    #[value(name = "100hz")]
    Hz100,
    /// 1,000 times a second, as `vehicle-demo/vehicle-1khz.toml` has it.
    #[value(name = "1khz")]
    Hz1000,
}

impl Rate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hz25, Self::Hz100, Self::Hz1000];

    /// Returns the word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hz25 => "25hz",
            Self::Hz100 => "100hz",
            Self::Hz1000 => "1khz",
        }
    }

    /// Returns what the vehicle's built-in profile says.
    fn parameters(self) -> Parameters {
        let settings = Settings::profile(self.name()).expect("each rate is a built-in profile");
        *settings.config(None).expect("a test reads each of them")
    }
}

/// A part of what can be searched.
#[derive(Clone, Debug)]
pub struct Area {
    /// Where it starts from.
    pub from: From,
    /// The timing.
    pub rate: Rate,
    /// How many gates there are.
    pub gates: u8,
    /// When devices wake.
    pub jitter: Jitter,
    /// How finely moments and troubles are drawn.
    pub detail: Detail,
}

/// What a search of an area came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its figures.
    pub figures: Figures,
    /// What is broken.
    pub found: Vec<Found>,
}

/// Where there are very many, a pair that is whole for so many periods in a row is left alone.
const CONTENT_AFTER: usize = 4;
/// At 1 kHz after so many: a probe comes every 20.
const CONTENT_AFTER_AT_1_KHZ: usize = 24;

/// Three of the ways in which two devices wake.
const FEW: [Corner; 3] = {
    use Wakes::{InTurn, Late, OnTime};
    [Corner([OnTime; 4]), Corner([Late, OnTime, Late, OnTime]), Corner([InTurn; 4])]
};

/// Returns how two devices wake: either on time or late, or both now so and now so. A spare wakes as the left one.
fn corners() -> impl Iterator<Item = Corner> {
    use Wakes::{InTurn, Late, OnTime};
    let two = [[OnTime, OnTime], [Late, OnTime], [OnTime, Late], [Late, Late], [InTurn, InTurn]];
    two.into_iter().map(|[left, right]| Corner([left, right, left, right]))
}

/// Returns how many wakes may depart from the corner at most, each of them any one. One more multiplies a search by seven; from a
/// standby that is not ready eight times as many schedules begin.
const fn departures(from: From) -> u8 {
    match from {
        From::Whole => 2,
        From::NotReady => 1,
        From::Spare | From::Wrap | From::Boot | From::Pairs => 0,
    }
}

/// Returns the areas that are searched at a level of detail.
#[must_use]
pub fn areas(detail: Detail) -> Vec<Area> {
    let mut all = Vec::new();
    for from in From::ALL {
        for rate in Rate::ALL {
            let is_everywhere =
                matches!(from, From::Whole | From::Boot) || detail == Detail::Full && from != From::Pairs;
            if rate != Rate::Hz100 && !is_everywhere || from == From::Pairs && detail != Detail::Full {
                continue;
            }
            // The fast bus has time for one gate's statuses.
            let gates = if rate == Rate::Hz1000 { 1 } else { 2 };
            for gates in 1..=gates {
                let is_common = matches!(from, From::Whole | From::Boot) && rate == Rate::Hz100 && gates == 1;
                let all_corners = from != From::Pairs && (detail == Detail::Full || is_common);
                let is_taken = |corner: &Corner| {
                    all_corners || FEW.contains(corner) && (from == From::NotReady || *corner != FEW[1])
                };
                let fixed: Vec<_> = corners().filter(is_taken).collect();
                let most = if detail == Detail::Full && rate == Rate::Hz100 { departures(from) } else { 0 };
                let jitters = (0..=most)
                    .flat_map(|departures| fixed.iter().map(move |corner| Jitter { corner: *corner, departures }));
                all.extend(jitters.map(|jitter| Area { from, rate, gates, jitter, detail }));
            }
        }
    }
    all
}

impl Area {
    /// Returns the timing.
    ///
    /// # Errors
    /// When it could not keep the promise.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::new(Parameters { gates: self.gates, ..self.rate.parameters() })
    }

    /// Returns the area in a few words.
    #[must_use]
    pub fn name(&self) -> String {
        let jitter = match self.jitter.corner {
            Corner([Wakes::InTurn, ..]) => "each late in every other turn".to_owned(),
            Corner(wakes) => {
                let late = ["left", "right"].into_iter().zip(wakes).filter(|(_, wakes)| *wakes == Wakes::Late);
                let late: Vec<_> = late.map(|(name, _)| name).collect();
                if late.is_empty() { "all on time".to_owned() } else { format!("{} late", late.join(" and ")) }
            }
        };
        let departing = match self.jitter.departures {
            0 => String::new(),
            departures => format!(", but for {departures} wake(s), any"),
        };
        format!("{} {} {} gate(s), {jitter}{departing}", self.from.name(), self.rate.name(), self.gates)
    }

    /// Goes through it with the code that the rules name.
    ///
    /// # Errors
    /// When its timing could not keep the promise.
    pub fn explore<G: GateRules, N: NodeRules>(&self) -> Result<Outcome, ConfigError> {
        let config = self.config()?;
        let mut search = Search::<G, N>::new(config, self.jitter);
        if self.rate == Rate::Hz1000 {
            // What was proven is forgotten after a second, whatever the period: no state comes back before.
            search = search.content_after(CONTENT_AFTER_AT_1_KHZ);
        } else if self.from == From::Pairs
            || self.jitter.departures > 0
            || self.detail == Detail::Quick && matches!(self.from, From::Boot | From::NotReady)
        {
            // There are many of these, and what a whole pair comes to is gone through elsewhere.
            search = search.content_after(CONTENT_AFTER);
        }
        let period = config.period;
        let every = match (self.detail, self.from) {
            (_, From::Pairs) => period / 2,
            (Detail::Full, _) if self.jitter.departures > 0 => period / 10,
            (Detail::Coarse | Detail::Quick, _) | (Detail::Full, From::NotReady) => period / 10,
            (Detail::Full, _) => period / 40,
        };
        let troubles = singles(&config, usize::from(self.gates), self.detail);
        let start = self.start(&config);
        match self.from {
            From::Whole | From::Spare | From::Wrap => search.through(&start, &troubles, every, period),
            From::NotReady => search.through(&start, &troubles, every, 8 * period),
            From::Boot => self.boots(&config).for_each(|start| search.boot(&start)),
            From::Pairs => {
                let few = singles(&config, usize::from(self.gates), Detail::Coarse);
                search.through_two(&start, &few, every, 12 * period);
            }
        }
        Ok(Outcome { figures: search.figures(), found: search.found().to_vec() })
    }

    /// Returns what trouble starts from.
    #[must_use]
    pub fn start(&self, config: &Config) -> Start {
        let part = |thousandths: u32| config.period * thousandths / 1_000;
        let gates = (0..u32::from(self.gates)).map(|gate| part(170 + 410 * gate)).collect();
        let spare = matches!(self.from, From::Spare).then(|| part(700));
        let whole = 60 * config.period;
        let (right, ready_after) = match self.from {
            From::NotReady => (whole + part(330), whole + part(330)),
            From::Whole | From::Spare | From::Wrap | From::Boot | From::Pairs => (part(530), whole),
        };
        Start {
            boots: [Some(Duration::ZERO), Some(right), spare],
            gates,
            ready_after,
            wraps: self.from == From::Wrap,
        }
    }

    /// Returns each way to switch the pair on within two gate leases: either device first, and the gates at several moments.
    fn boots(&self, config: &Config) -> impl Iterator<Item = Start> {
        let leases = 2 * config.gate_lease;
        let (grain, phases) = match self.detail {
            Detail::Coarse | Detail::Quick => (config.period / 200, 3),
            Detail::Full => (config.period / 200, 24),
        };
        let steps = u32::try_from(nanos(leases) / nanos(grain).max(1)).unwrap_or(u32::MAX);
        let gates = self.gates;
        let second = (0..=steps).flat_map(|step| [[0, step], [step, 0]]);
        second.flat_map(move |[left, right]| {
            (0..phases).map(move |phase| {
                let gates_at = leases * phase / phases + grain / 3;
                Start {
                    boots: [Some(grain * left), Some(grain * right), None],
                    gates: (0..gates).map(|gate| gates_at + grain * 37 * u32::from(gate)).collect(),
                    ready_after: grain * left.max(right),
                    wraps: false,
                }
            })
        })
    }
}

const _: () = assert!(SLOTS >= 3, "a spare is the third device");
