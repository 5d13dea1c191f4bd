//! The readiness ladder: how far a device has come on the way from an image somewhere to a mission that drives, and what its
//! agent has to do next.
//!
//! ```text
//!   Cold ──pull──► Pulled ──create──► Created ──start──► Shadow ◄──resume── Paused
//!                    ▲                                     │  └───pause──────►│
//!                    └────────────── remove ◄── it ended ──┴──────────────────┘
//! ```
//!
//! [`Keeper`] decides, and does nothing itself: news in, at most one [`Task`] out. Whoever carries a task out tells how it
//! went, and gets the next.

use crate::data::DataReport;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use twinhelm_hal::time::Instant;

/// How ready a device is. Each rung has what those below it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Nothing is here: after the fault the image is downloaded, then the rest (the poster's own sequence).
    Cold,
    /// The image is here, verified and unpacked.
    Pulled,
    /// A container waits for its first instruction.
    Created,
    /// The mission was started, came up, and is frozen.
    Paused,
    /// The mission runs: as a standby that computes every cycle, or as the primary.
    Shadow,
}

/// Text that is no rung.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no readiness: write cold, pulled, created, paused or shadow")]
pub struct BadReadiness(String);

impl Readiness {
    /// All rungs, the lowest first.
    pub const ALL: [Self; 5] = [Self::Cold, Self::Pulled, Self::Created, Self::Paused, Self::Shadow];

    /// Returns the rung in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Pulled => "pulled",
            Self::Created => "created",
            Self::Paused => "paused",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Readiness {
    type Err = BadReadiness;

    fn from_str(text: &str) -> Result<Self, BadReadiness> {
        Self::ALL.into_iter().find(|rung| rung.name() == text).ok_or_else(|| BadReadiness(text.to_owned()))
    }
}

/// What an agent can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Download the image, verify and unpack it.
    Pull,
    /// Make a container of it.
    Create,
    /// Let it begin.
    Start,
    /// Freeze it.
    Pause,
    /// Let it go on.
    Resume,
    /// Remove what is left of a container.
    Remove,
}

impl Task {
    /// Returns the task in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Create => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remove => "remove",
        }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing but time.
    Look,
    /// The task that was asked for is done.
    Done,
    /// It failed. What it changed, it has undone.
    Failed,
    /// The mission says that it is up.
    Up,
    /// The mission's process has ended, or its runtime is gone.
    Ended,
    /// Nobody drives: [`Watch`](crate::watch::Watch) asks for a start.
    Start,
}

/// How far the device is. Each state ends by the task that leads on, or by the mission's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is here.
    Cold,
    /// The image is.
    Pulled,
    /// A container waits.
    Created,
    /// It runs; it has said that it is up.
    Running { up: bool },
    /// It is frozen.
    Paused,
    /// It has ended, and is still to be removed.
    Ended,
}

/// The first pause before a failed or crashed mission is tried again; each further one is twice as long.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// The longest.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A mission that has run for so long has come up: its next crash is its first.
pub const STEADY_AFTER: Duration = Duration::from_secs(10);
/// A pull that nobody waits for goes at the lowest priority for so long, then at the ordinary one: on a machine whose cores are
/// busy the lowest priority can mean never, and an image in the store is what a takeover begins with. A pull of the demo's image
/// takes a tenth of this on an idle machine.
pub const UNHURRIED_FOR: Duration = Duration::from_secs(5);

/// Keeps a device on its rung.
#[derive(Clone, Debug)]
pub struct Keeper {
    wanted: Readiness,
    stage: Stage,
    /// The task in progress.
    busy: Option<Task>,
    /// When the pull in progress, if there is one, is to go on at the ordinary priority.
    hurries_at: Option<Instant>,
    /// Somebody has to drive: whatever rung was wanted, it is `Shadow` from now on.
    is_urged: bool,
    failures: u32,
    not_before: Option<Instant>,
    running_since: Option<Instant>,
    restarts: u64,
}

impl Keeper {
    /// Returns the keeper of a device that has nothing, and is to hold `wanted`.
    #[must_use]
    pub const fn new(wanted: Readiness) -> Self {
        Self {
            wanted,
            stage: Stage::Cold,
            busy: None,
            hurries_at: None,
            is_urged: false,
            failures: 0,
            not_before: None,
            running_since: None,
            restarts: 0,
        }
    }

    /// Has another rung be held from now on: a higher one is climbed to, a lower one is gone back to. What was pulled stays.
    pub const fn want(&mut self, rung: Readiness) {
        self.wanted = rung;
        (self.is_urged, self.not_before) = (false, None);
    }

    /// Takes in what has happened by `now`, and returns what is to be done next.
    pub fn step(&mut self, now: Instant, news: News) -> Option<Task> {
        match news {
            News::Look => {}
            News::Done => self.on_done(now),
            News::Failed => {
                let failed = self.busy.take();
                // What cannot be started or thawed is removed and made anew.
                if matches!(failed, Some(Task::Start | Task::Pause | Task::Resume)) {
                    self.stage = Stage::Ended;
                }
                self.hold_back(now);
            }
            News::Up => {
                if let Stage::Running { up } = &mut self.stage {
                    *up = true;
                }
            }
            News::Ended => self.on_ended(now),
            News::Start => {
                if !self.is_urged {
                    // Whatever failed before was not urgent.
                    (self.is_urged, self.not_before, self.failures) = (true, None, 0);
                }
            }
        }
        if self.busy.is_some() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.not_before = None;
        self.busy = self.next();
        self.hurries_at = (self.busy == Some(Task::Pull)).then(|| now + UNHURRIED_FOR);
        self.busy
    }

    fn next(&self) -> Option<Task> {
        let target = self.target();
        match self.stage {
            Stage::Created | Stage::Running { .. } | Stage::Paused if target < Readiness::Created => {
                Some(Task::Remove)
            }
            Stage::Ended => Some(Task::Remove),
            Stage::Cold => (target > Readiness::Cold).then_some(Task::Pull),
            Stage::Pulled => (target > Readiness::Pulled).then_some(Task::Create),
            Stage::Created => (target > Readiness::Created).then_some(Task::Start),
            Stage::Running { up } => (target == Readiness::Paused && up).then_some(Task::Pause),
            Stage::Paused => (target > Readiness::Paused).then_some(Task::Resume),
        }
    }

    fn on_done(&mut self, now: Instant) {
        let Some(done) = self.busy.take() else { return };
        // It has ended meanwhile; then it is removed, whatever was done with it.
        if self.stage == Stage::Ended && done != Task::Remove {
            return;
        }
        self.stage = match done {
            Task::Pull | Task::Remove => Stage::Pulled,
            Task::Create => Stage::Created,
            Task::Start => Stage::Running { up: false },
            Task::Resume => Stage::Running { up: true },
            Task::Pause => Stage::Paused,
        };
        match done {
            Task::Start | Task::Resume => self.running_since = Some(now),
            Task::Pull => self.failures = 0,
            Task::Create | Task::Pause | Task::Remove => {}
        }
    }

    fn on_ended(&mut self, now: Instant) {
        match self.stage {
            Stage::Created | Stage::Running { .. } | Stage::Paused => {}
            Stage::Cold | Stage::Pulled | Stage::Ended => return,
        }
        self.stage = Stage::Ended;
        self.restarts += 1;
        if self.running_since.take().is_some_and(|since| now.since(since) >= STEADY_AFTER) {
            self.failures = 0;
        }
        self.hold_back(now);
    }

    fn hold_back(&mut self, now: Instant) {
        let pause = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACK_OFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    /// Returns the rung that is to be held now.
    #[must_use]
    pub const fn target(&self) -> Readiness {
        if self.is_urged { Readiness::Shadow } else { self.wanted }
    }

    /// Returns the rung that is held.
    #[must_use]
    pub const fn holds(&self) -> Readiness {
        match self.stage {
            Stage::Cold => Readiness::Cold,
            Stage::Pulled | Stage::Ended => Readiness::Pulled,
            Stage::Created => Readiness::Created,
            Stage::Paused => Readiness::Paused,
            Stage::Running { .. } => Readiness::Shadow,
        }
    }

    /// Returns whether the wanted rung is held, or a higher one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let settles = matches!(self.stage, Stage::Running { up: false }) || self.stage == Stage::Ended;
        !settles && self.holds() >= self.target() && self.next().is_none()
    }

    /// Returns whether somebody has to drive.
    #[must_use]
    pub const fn is_urged(&self) -> bool {
        self.is_urged
    }

    /// Returns the task in progress.
    #[must_use]
    pub const fn busy(&self) -> Option<Task> {
        self.busy
    }

    /// Returns how often the mission has ended and was made anew.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns whether the pull in progress has taken its time at the lowest priority, or is waited for: it goes on at the
    /// ordinary one.
    #[must_use]
    pub fn hurries(&self, now: Instant) -> bool {
        self.busy == Some(Task::Pull) && (self.is_urged || self.hurries_at.is_some_and(|at| now >= at))
    }

    /// Returns when to look again, if nothing happens before.
    #[must_use]
    pub const fn next_wake(&self) -> Option<Instant> {
        self.not_before
    }
}

/// What an agent says of itself, over Zenoh and in `twinhelm status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// The device.
    pub device: String,
    /// Its slot.
    pub slot: u8,
    /// The digest of the mission's image.
    pub image: String,
    /// The rung that it is to hold.
    pub wanted: Readiness,
    /// The rung that it holds.
    pub holds: Readiness,
    /// It holds what it should.
    pub ready: bool,
    /// It drives or is about to: nobody else did.
    pub urged: bool,
    /// What it is doing.
    pub busy: Option<Task>,
    /// How much of the image is here, in bytes, while it is pulled: done, and all.
    pub pulled: Option<(u64, u64)>,
    /// How many bytes of images were fetched since the agent came up.
    pub fetched_bytes: u64,
    /// The mission's process, as the device counts; `None` when there is none.
    pub pid: Option<u32>,
    /// How often the mission has ended and was made anew.
    pub restarts: u64,
    /// What went wrong last, and has not been mended since.
    pub problem: Option<String>,
    /// What it is in its fleet: `member`, `spare`, `leaving` or `fenced`; `None` without a fleet.
    pub part: Option<String>,
    /// How its mission data stands; `None` where it keeps none.
    pub data: Option<DataReport>,
    /// What was done since the last start was asked for, oldest first.
    pub steps: Vec<Step>,
    /// The agent's resident memory in bytes.
    pub resident_bytes: u64,
    /// The version of libcrun that its runner is linked with.
    pub libcrun: String,
}

/// One thing that an agent did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// In a word.
    pub name: String,
    /// When it was done, by the device's monotonic clock.
    pub at: Instant,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// Carries every task out at once, until nothing is to be done; returns the tasks.
    fn settle(keeper: &mut Keeper, now: Instant, mut news: News) -> Vec<Task> {
        let mut tasks = Vec::new();
        while let Some(task) = keeper.step(now, news) {
            tasks.push(task);
            news = News::Done;
            assert!(tasks.len() < 20, "it goes round in circles: {tasks:?}");
        }
        tasks
    }

    #[test]
    fn each_rung_is_climbed_to_and_held() {
        use Task::{Create, Pause, Pull, Start};
        let all: [(Readiness, &[Task]); 5] = [
            (Readiness::Cold, &[]),
            (Readiness::Pulled, &[Pull]),
            (Readiness::Created, &[Pull, Create]),
            (Readiness::Paused, &[Pull, Create, Start]),
            (Readiness::Shadow, &[Pull, Create, Start]),
        ];
        for (wanted, tasks) in all {
            let mut keeper = Keeper::new(wanted);
            assert_eq!(settle(&mut keeper, at(0), News::Look), tasks, "{wanted}");
            let rest: &[Task] = if wanted == Readiness::Paused { &[Pause] } else { &[] };
            assert_eq!(settle(&mut keeper, at(0), News::Up), rest, "{wanted}");
            assert!(keeper.is_ready() && keeper.holds() == wanted, "{wanted}");
        }
    }

    #[test]
    fn from_each_rung_the_mission_is_started_when_nobody_drives() {
        use Task::{Create, Pull, Resume, Start};
        let all: [(Readiness, &[Task]); 5] = [
            (Readiness::Cold, &[Pull, Create, Start]),
            (Readiness::Pulled, &[Create, Start]),
            (Readiness::Created, &[Start]),
            (Readiness::Paused, &[Resume]),
            (Readiness::Shadow, &[]),
        ];
        for (wanted, tasks) in all {
            let mut keeper = Keeper::new(wanted);
            settle(&mut keeper, at(0), News::Look);
            settle(&mut keeper, at(0), News::Up);
            assert_eq!(settle(&mut keeper, at(1), News::Start), tasks, "{wanted}");
            assert_eq!((keeper.target(), keeper.holds()), (Readiness::Shadow, Readiness::Shadow), "{wanted}");
        }
    }

    #[test]
    fn a_mission_that_crashes_is_made_anew_after_longer_and_longer_pauses() {
        let mut keeper = Keeper::new(Readiness::Shadow);
        settle(&mut keeper, at(0), News::Look);
        let mut now = at(0);
        for pause in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            assert_eq!(keeper.step(now, News::Ended), None, "not at once");
            let again = now + Duration::from_millis(pause);
            assert_eq!(keeper.next_wake(), Some(again));
            now = again;
            assert_eq!(settle(&mut keeper, now, News::Look), [Task::Remove, Task::Create, Task::Start]);
        }
        assert_eq!(keeper.restarts(), 9);
        // It runs for long enough, and its next crash is its first.
        let crash = now + STEADY_AFTER;
        assert_eq!(keeper.step(crash, News::Ended), None);
        assert_eq!(keeper.next_wake(), Some(crash + BACK_OFF_MIN));
    }

    #[test]
    fn a_pull_that_fails_is_tried_again_and_one_that_is_urgent_at_once() {
        let mut keeper = Keeper::new(Readiness::Pulled);
        assert_eq!(keeper.step(at(0), News::Look), Some(Task::Pull));
        assert_eq!(keeper.step(at(5), News::Failed), None);
        assert_eq!(keeper.step(at(104), News::Look), None);
        assert_eq!(keeper.step(at(105), News::Look), Some(Task::Pull));
        assert_eq!(keeper.step(at(110), News::Failed), None);
        assert_eq!(keeper.step(at(111), News::Start), Some(Task::Pull), "nobody drives");
    }

    #[test]
    fn a_mission_that_ends_while_a_task_is_in_progress_is_removed_after_it() {
        let mut keeper = Keeper::new(Readiness::Paused);
        settle(&mut keeper, at(0), News::Look);
        assert_eq!(keeper.step(at(1), News::Up), Some(Task::Pause));
        assert_eq!(keeper.step(at(2), News::Ended), None);
        assert_eq!(keeper.step(at(3), News::Failed), None);
        let again = keeper.next_wake().expect("it is tried again");
        assert_eq!(keeper.step(again, News::Look), Some(Task::Remove));
    }

    #[test]
    fn a_spare_is_led_up_rung_by_rung_and_goes_back_at_once() {
        use Task::{Create, Pause, Pull, Remove, Resume, Start};
        let mut keeper = Keeper::new(Readiness::Cold);
        let mut climb = |rung, tasks: &[Task], rest: &[Task]| {
            keeper.want(rung);
            assert_eq!(settle(&mut keeper, at(0), News::Look), tasks, "{rung}");
            assert_eq!(settle(&mut keeper, at(0), News::Up), rest, "{rung}");
            assert!(keeper.is_ready(), "{rung}");
        };
        climb(Readiness::Pulled, &[Pull], &[]);
        climb(Readiness::Created, &[Create], &[]);
        climb(Readiness::Paused, &[Start], &[Pause]);
        climb(Readiness::Shadow, &[Resume], &[]);
        climb(Readiness::Pulled, &[Remove], &[]);
        // The image stays, and is used again.
        climb(Readiness::Cold, &[], &[]);
        climb(Readiness::Shadow, &[Create, Start], &[]);
    }

    #[test]
    fn a_pull_that_nobody_waits_for_hurries_after_a_while_and_one_that_is_waited_for_at_once() {
        let mut keeper = Keeper::new(Readiness::Shadow);
        assert!(!keeper.hurries(at(0)), "nothing is pulled");
        assert_eq!(keeper.step(at(0), News::Look), Some(Task::Pull));
        let late = at(0) + UNHURRIED_FOR;
        assert!(!keeper.hurries(at(4_999)) && keeper.hurries(late));
        // What follows it is not held down in the first place.
        assert_eq!(keeper.step(late, News::Done), Some(Task::Create));
        assert!(!keeper.hurries(late + UNHURRIED_FOR));

        let mut urged = Keeper::new(Readiness::Pulled);
        assert_eq!(urged.step(at(0), News::Look), Some(Task::Pull));
        assert_eq!(urged.step(at(1), News::Start), None);
        assert!(urged.hurries(at(1)), "nobody drives");
        // A second attempt has its own time.
        let mut again = Keeper::new(Readiness::Pulled);
        assert_eq!(again.step(at(0), News::Look), Some(Task::Pull));
        assert_eq!(again.step(late, News::Failed), None);
        let retry = again.next_wake().expect("it is tried again");
        assert_eq!(again.step(retry, News::Look), Some(Task::Pull));
        assert!(!again.hurries(retry) && again.hurries(retry + UNHURRIED_FOR));
    }

    #[test]
    fn one_task_at_a_time() {
        let mut keeper = Keeper::new(Readiness::Shadow);
        assert_eq!(keeper.step(at(0), News::Look), Some(Task::Pull));
        for news in [News::Look, News::Start, News::Up, News::Ended] {
            assert_eq!(keeper.step(at(1), news), None, "{news:?}");
        }
    }
}
