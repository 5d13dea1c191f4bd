//! What became of each migration, from the entries that its orchestrator made in the timeline.

use twinhelm_hal::time::Instant;
use twinhelm_standby::fleet::{Told, What};
use twinhelm_standby::migration::{End, Event};
use twinhelm_vehicle::report::Migration;

/// Collects them.
#[derive(Debug, Default)]
pub(super) struct Migrations {
    all: Vec<Migration>,
    /// When the last device was lost, or the last entry of the migration in progress came.
    since: Option<Instant>,
    is_open: bool,
    /// Who works on it, and how many bytes that device had fetched before.
    working: Option<(String, u64)>,
    /// Who resumes the mission because nobody is left, until it drives.
    resumes: Option<String>,
}

const IN_PROGRESS: &str = "in progress at the end of the run";

impl Migrations {
    /// Takes note that a device was lost.
    pub fn on_down(&mut self, at: Instant) {
        if !self.is_open {
            self.since = Some(at);
        }
    }

    /// Takes note that a device drives. Whoever resumes the mission because nobody is left has done so then.
    pub fn on_drives(&mut self, at: Instant, device: &str, fetched: impl Fn(&str) -> u64) {
        if self.resumes.as_deref() == Some(device) {
            self.resumes = None;
            self.took("resume", self.ms_until(at));
            if let Some(migration) = self.all.last_mut() {
                migration.to = Some(device.to_owned());
            }
            self.ends("it drives".to_owned(), fetched);
            self.since = Some(at);
        }
    }

    fn ms_until(&self, at: Instant) -> f64 {
        self.since.map_or(0.0, |since| at.since(since).as_secs_f64() * 1e3)
    }

    fn ends(&mut self, end: String, fetched: impl Fn(&str) -> u64) {
        if let Some(migration) = self.all.last_mut() {
            let fetched_before = self.working.take();
            migration.bytes = fetched_before.map_or(0, |(device, before)| fetched(&device).saturating_sub(before));
            migration.end = end;
        }
        self.is_open = false;
    }

    /// Takes in an entry; `fetched` says how many bytes a device has fetched.
    pub fn on_told(&mut self, at: Instant, told: &Told, fetched: impl Fn(&str) -> u64) {
        let ms = self.ms_until(at);
        let event = match &told.what {
            What::Migration(event) => event,
            What::LastResort => {
                let steps = [("detect".to_owned(), ms)].into();
                self.all.push(Migration { steps, end: IN_PROGRESS.to_owned(), ..Migration::default() });
                (self.is_open, self.since) = (true, Some(at));
                self.resumes = Some(told.device.clone());
                self.working = Some((told.device.clone(), fetched(&told.device)));
                return;
            }
            What::Up
            | What::Fenced { .. }
            | What::Readmitted
            | What::Switchover
            | What::Drained
            | What::StaysSpare
            | What::Refused { .. }
            | What::Drives { .. }
            | What::MissionEnded { .. }
            | What::Done { .. }
            | What::NotDone { .. }
            | What::Fetched { .. } => return,
        };
        match event {
            Event::Alone { lost } => {
                let steps = [("detect".to_owned(), ms)].into();
                self.all.push(Migration {
                    from: lost.clone(),
                    steps,
                    end: IN_PROGRESS.to_owned(),
                    ..Migration::default()
                });
                self.is_open = true;
            }
            Event::Chosen { device, .. } => self.working = Some((device.clone(), fetched(device))),
            Event::Did { step, .. } => self.took(step.name(), ms),
            Event::GivenUp { .. } => {}
            Event::Ended(end) => {
                if let End::Whole { device, .. } = end {
                    self.took("fence", ms);
                    if let Some(migration) = self.all.last_mut() {
                        migration.to = Some(device.clone());
                    }
                }
                self.ends(end.to_string(), fetched);
            }
        }
        self.since = Some(at);
    }

    /// Returns what was collected.
    pub fn finish(self) -> Vec<Migration> {
        self.all
    }

    fn took(&mut self, step: &str, ms: f64) {
        if let Some(migration) = self.all.last_mut() {
            // One that was tried on two devices took both times.
            *migration.steps.entry(step.to_owned()).or_default() += ms;
        }
    }
}
