//! The storm: random schedules by seed, one class of fault at a time.
//!
//! A class says what goes wrong; the seed says when, to whom, for how long, with how many gates, with which
//! clocks, jitter and noise. A failing seed is printed with the command that replays it.

use crate::check::{Checks, Promise, Violation};
use crate::fault::{Fault, Kind};
use crate::rng::Rng;
use crate::run::{Standby, promise_of};
use crate::world::{ORIGIN, Setup, Variant, World};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_standby::{Config, ConfigError, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;
use twinhelm_vehicle::signals::{Command, State};

/// A class of faults.
pub struct Class {
    /// Its name, for the command line.
    pub name: &'static str,
    /// Writes the faults of one schedule; the first is the one that the pair must be ready for.
    faults: fn(&mut Dice) -> Vec<String>,
    /// Where it starts from.
    start: Start,
}

/// What a schedule starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// A pair with a ready standby.
    Pair,
    /// A single device.
    Solo,
    /// Devices and gates that are switched on within two gate leases of each other; what goes wrong may begin at once.
    Boot,
}

impl Start {
    /// Returns whether there are two devices.
    fn is_pair(self) -> bool {
        match self {
            Self::Pair | Self::Boot => true,
            Self::Solo => false,
        }
    }
}

/// What a schedule is drawn from.
pub struct Dice {
    rng: Rng,
}

impl Dice {
    /// Returns a moment while the pair is at work.
    fn at(&mut self) -> String {
        format!("{}us", 900_000 + self.rng.below(200_000))
    }

    /// Returns a duration: a few periods, or up to half a second.
    fn lasting(&mut self) -> String {
        let range = if self.rng.chance(0.5) { 60_000 } else { 500_000 };
        format!("{}us", 1_000 + self.rng.below(range))
    }

    fn device(&mut self) -> &'static str {
        ["left", "right", "holder"][(self.rng.below(3)) as usize]
    }

    fn sign(&mut self) -> &'static str {
        if self.rng.chance(0.5) { "+" } else { "-" }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    /// Returns `kind` at some moment, for some time, at some device.
    fn passing(&mut self, kind: &str) -> Vec<String> {
        vec![format!("{kind}@{}:{}:{}", self.at(), self.lasting(), self.device())]
    }

    /// Returns a passing fault of any sort, after the start and for a while, at some device; never a device that stays away.
    fn any_fault(&mut self, from_us: u64, within_us: u64) -> String {
        const KINDS: [&str; 14] = [
            "kill",
            "hang",
            "power",
            "bus-cut",
            "bus-cut=tx",
            "bus-cut=rx",
            "bus-errors=off",
            "link-cut",
            "late=13ms",
            "late=25ms",
            "nan",
            "frozen=output",
            "frozen=counter",
            "sensor=silent",
        ];
        let at = from_us + self.below(within_us);
        let lasts = 1_000 + self.below(150_000);
        let number = self.below(KINDS.len() as u64 + 1) as usize;
        match KINDS.get(number) {
            Some(kind) => format!("{kind}@{at}us:{lasts}us:{}", self.device()),
            None => format!("gate-restart=0@{at}us"),
        }
    }

    /// Returns `kind` at some moment, to the end, at some device.
    fn lasting_to_the_end(&mut self, kind: &str) -> Vec<String> {
        vec![format!("{kind}@{}:{}", self.at(), self.device())]
    }
}

macro_rules! classes {
    ($($name:literal, $start:ident, |$dice:ident| $faults:expr;)*) => {
        /// Every single fault of the fault model, and what else has to be survived.
        pub const CLASSES: &[Class] = &[
            $(Class { name: $name, start: Start::$start, faults: |$dice| $faults },)*
        ];
    };
}

classes! {
    "nothing", Pair, |_dice| Vec::new();
    "kill", Pair, |dice| dice.lasting_to_the_end("kill");
    "kill-restart", Pair, |dice| dice.passing("kill");
    "exit-restart", Pair, |dice| dice.passing("exit");
    "power", Pair, |dice| dice.passing("power");
    "hang", Pair, |dice| dice.passing("hang");
    "hang-for-ever", Pair, |dice| dice.lasting_to_the_end("hang");
    "late-once", Pair, |dice| {
        let late = 100 + dice.below(40_000);
        vec![format!("late={late}us@{}:10ms:{}", dice.at(), dice.device())]
    };
    "late-from-now-on", Pair, |dice| {
        let late = 100 + dice.below(40_000);
        dice.lasting_to_the_end(&format!("late={late}us"))
    };
    "nan", Pair, |dice| dice.passing("nan");
    "out-of-range", Pair, |dice| dice.passing("out-of-range");
    "frozen-output", Pair, |dice| dice.passing("frozen=output");
    "frozen-counter", Pair, |dice| dice.passing("frozen=counter");
    "bus-cut", Pair, |dice| dice.passing("bus-cut");
    "bus-cut-tx", Pair, |dice| dice.passing("bus-cut=tx");
    "bus-cut-rx", Pair, |dice| dice.passing("bus-cut=rx");
    "bus-passive", Pair, |dice| dice.passing("bus-errors=passive");
    "bus-off", Pair, |dice| dice.passing("bus-errors=off");
    "link-cut", Pair, |dice| dice.passing("link-cut");
    "link-cut-tx", Pair, |dice| dice.passing("link-cut=tx");
    "link-cut-rx", Pair, |dice| dice.passing("link-cut=rx");
    "link-slow", Pair, |dice| {
        let by = dice.below(200);
        dice.passing(&format!("link-slow={by}ms"))
    };
    "link-rough", Pair, |dice| dice.passing("link-rough=0.5");
    "clock-slip", Pair, |dice| {
        let by = dice.below(8_000);
        let sign = dice.sign();
        dice.lasting_to_the_end(&format!("clock-slip={sign}{by}us"))
    };
    "clock-drift", Pair, |dice| {
        let ppm = dice.below(500);
        dice.lasting_to_the_end(&format!("clock-drift={ppm}ppm"))
    };
    "sensor-silent", Pair, |dice| dice.passing("sensor=silent");
    "sensor-stuck", Pair, |dice| dice.passing("sensor=stuck");
    "sensor-noisy", Pair, |dice| dice.passing("sensor=noisy");
    "lose-command", Pair, |dice| dice.lasting_to_the_end("lose=command");
    "lose-command-at-gate", Pair, |dice| dice.lasting_to_the_end("lose=command-at-gate");
    "lose-command-at-peer", Pair, |dice| dice.lasting_to_the_end("lose=command-at-peer");
    "lose-status", Pair, |dice| dice.lasting_to_the_end("lose=status");
    "lose-all-statuses", Pair, |dice| dice.passing("lose=all-statuses");
    "held-frame", Pair, |dice| {
        let after = 1 + dice.below(1_000);
        dice.lasting_to_the_end(&format!("held-frame={after}ms"))
    };
    "switchover", Pair, |dice| vec![format!("switchover@{}", dice.at())];
    "switchover-hit", Pair, |dice| {
        let at = 900_000 + dice.below(100_000);
        let later = dice.below(40_000);
        let kind = ["kill", "lose=command", "bus-cut"][dice.below(3) as usize];
        vec![format!("switchover@{at}us"), format!("{kind}@{}us:{}", at + later, dice.device())]
    };
    "gate-restart", Pair, |dice| {
        let gate = dice.below(2);
        vec![format!("gate-restart={gate}@{}", dice.at())]
    };
    "boot", Boot, |_dice| Vec::new();
    "boot-fault", Boot, |dice| vec![dice.any_fault(0, 300_000)];
    "two-faults", Pair, |dice| vec![dice.any_fault(900_000, 200_000), dice.any_fault(900_000, 320_000)];
    "solo-hang", Solo, |dice| vec![format!("hang@{}:{}:left", dice.at(), dice.lasting())];
}

/// Returns the class with `name`.
#[must_use]
pub fn class(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}

/// What came of one schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
    /// The faults, as they are written.
    pub faults: Vec<String>,
    /// How many gates there were.
    pub gates: u8,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// What else was wrong, in words.
    pub wrong: Vec<String>,
}

impl Schedule {
    /// Returns whether everything held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.wrong.is_empty()
    }
}

impl core::fmt::Display for Schedule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "seed {}, {} gate(s), faults {:?}:", self.seed, self.gates, self.faults)?;
        for violation in &self.violations {
            let t_s = violation.at.seconds_after(ORIGIN);
            writeln!(f, "  invariant {} at {t_s:.4} s: {}", violation.invariant, violation.what)?;
        }
        self.wrong.iter().try_for_each(|wrong| writeln!(f, "  {wrong}"))
    }
}

/// How long a schedule runs.
const LENGTH: Duration = Duration::from_millis(2_500);
/// By then the pair must be ready for anything.
const READY_BY: Duration = Duration::from_millis(890);

/// The storm over one course with one law.
#[derive(Clone, Debug)]
pub struct Storm<L> {
    course: Arc<Course>,
    law: L,
}

impl<L: Controller<State = State, Command = Command> + Clone> Storm<L> {
    /// Returns a storm over `course` with `law`.
    pub const fn new(course: Arc<Course>, law: L) -> Self {
        Self { course, law }
    }

    /// Runs the schedule that `class` and `seed` name, with the code that the variant names.
    ///
    /// # Errors
    /// When the storm's own timing were not one that can keep the promise.
    pub fn run<V: Variant<Law = L>>(&self, class: &Class, seed: u64) -> Result<Schedule, ConfigError> {
        let mut rng = Rng::new(seed, 2);
        let mut parameters = Parameters::at_period(Duration::from_millis(10));
        parameters.gates = if class.name == "gate-restart" || rng.chance(0.5) { 2 } else { 1 };
        let config = Config::new(parameters)?;
        let jitter = rng.span(Duration::ZERO, config.jitter.mul_f64(0.9));
        let leases = 2 * config.gate_lease;
        let boots = class.start == Start::Boot;
        let second =
            if boots { rng.span(Duration::ZERO, leases) } else { Duration::from_micros(rng.below(13_000)) };
        let second = class.start.is_pair().then_some(second);
        let gates_from = if boots { rng.span(Duration::ZERO, leases) } else { Duration::ZERO };
        let boot = if rng.chance(0.5) || second.is_none() {
            [Some(Duration::ZERO), second]
        } else {
            [second, Some(Duration::ZERO)]
        };
        let faults = (class.faults)(&mut Dice { rng });
        let mut schedule = Schedule {
            seed,
            faults: faults.clone(),
            gates: config.gates,
            violations: Vec::new(),
            wrong: Vec::new(),
        };
        let mut parsed = Vec::new();
        for fault in &faults {
            match Fault::parse(fault) {
                Ok(fault) => parsed.push(fault),
                Err(error) => schedule.wrong.push(error.to_string()),
            }
        }
        let standby = if class.start == Start::Solo { Standby::None } else { Standby::Hot };
        let two = parsed.len() > 1 && !parsed.iter().any(|fault| fault.kind.is_request());
        // Two faults at once are outside the promise; what is safe stays so, and the pair becomes whole.
        let promise = if two {
            Promise { gap_max: None, no_false_takeover: false }
        } else {
            promise_of(&config, standby, &parsed)
        };
        let promised = promise.gap_max.is_some();
        let setup = Setup {
            config,
            seed,
            law: self.law.clone(),
            course: self.course.clone(),
            plant: PlantConfig::default(),
            sensors: SensorConfig::default(),
            boot,
            jitter,
            gates_from,
            keep_log: false,
        };
        let is_over = |fault: &Fault| fault.lasts.is_some() || matches!(fault.kind, Kind::RestartGate(_));
        let passes = parsed.iter().all(is_over);
        let mut world = World::<V>::new(setup, Checks::new(config, promise));
        for fault in parsed {
            world.inject(fault);
        }
        world.run_until(READY_BY);
        if class.start.is_pair() && !world.is_protected() {
            schedule.wrong.push(format!("the pair is not ready after {READY_BY:?}"));
        }
        let before = world.missed_deadlines();
        world.run_until(LENGTH);
        let missed = world.missed_deadlines() - before;
        if promised && missed > 0 {
            schedule.wrong.push(format!("{missed} deadlines missed"));
        }
        if class.start.is_pair() && passes && !world.is_protected() {
            schedule.wrong.push("the pair is not whole at the end, and nothing is wrong any more".to_owned());
        }
        if !world.is_commanded() {
            schedule.wrong.push("the vehicle is not commanded at the end".to_owned());
        }
        let (checks, _, two_senders) = world.finish();
        schedule.violations = checks.violations().to_vec();
        if let Some(id) = two_senders {
            schedule.wrong.push(format!("identifier {id:#x} has two senders"));
        }
        Ok(schedule)
    }
}
