//! What a run has to do with the devices' agents: what they say of themselves, and the spares that wait.

use super::contained::{start_cloud, to_agents};
use super::run::{Next, Run};
use super::{HostError, machine};
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_linux::clock::now;
use twinhelm_standby::fleet::Told;
use twinhelm_standby::{AgentReport, Readiness};
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::signals::{Command, State};
use twinhelm_zenoh::Settings;

/// How often it is looked whether the spares are ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Returns how many bytes of images a device has fetched, as its agent says.
pub(super) fn fetched(agents: &[Option<AgentReport>], device: &str) -> u64 {
    let of = agents.iter().flatten().find(|report| report.device == device);
    of.map_or(0, |report| report.fetched_bytes)
}

/// Returns what a device's agent is at, in words, for when it is waited for.
fn is_at(report: Option<&AgentReport>, device: &str) -> String {
    let Some(report) = report else { return format!("nothing was heard of {device}'s agent") };
    let mut said = format!("{device}'s agent holds {}, and is to hold {}", report.holds, report.wanted);
    if let Some(task) = report.busy {
        said += &format!("; task in progress: {}", task.name());
    }
    if let Some((done, all)) = report.pulled {
        said += &format!(", {done} of {all} bytes of the image are here");
    }
    if let Some(problem) = &report.problem {
        said += &format!("; it says: {problem}");
    }
    said
}

/// A mission that has ended so often before anybody drove does not start. One end may be an accident.
const ENDED_AT_MOST: u64 = 2;

/// Returns which mission does not start, and what its agent says of that.
fn failing(agents: &[Option<AgentReport>]) -> Option<String> {
    let failing = agents.iter().flatten().find(|report| !report.ready && report.restarts > ENDED_AT_MOST)?;
    let problem = failing.problem.as_deref().unwrap_or("its agent does not say why");
    Some(format!(
        "{}'s mission was started {} times and does not stay: {problem}",
        failing.device, failing.restarts
    ))
}

impl<L> Run<'_, L>
where
    L: Controller<State = State, Command = Command> + Clone,
{
    /// Returns why the pair will not be ready, however long it is waited for.
    pub(super) fn why_never_ready(&mut self) -> Option<String> {
        let died = self.died.pop().map(|died| format!("{died}, before the pair was ready; what it said is above"));
        died.or_else(|| failing(&self.agents))
    }

    /// Returns what the pair is waiting for, in words; nothing when nobody knows.
    pub(super) fn why_not_ready(&self) -> String {
        let of_agents = self.host.containers.iter().flat_map(|_| [Slot::LEFT, Slot::RIGHT]).filter_map(|slot| {
            let report = self.agents[slot.index()].as_ref();
            let waits = !report.is_some_and(|report| report.ready);
            waits.then(|| is_at(report, device_name(slot)))
        });
        let reasons: Vec<String> =
            self.collector.why_not().map(|why| why.to_string()).into_iter().chain(of_agents).collect();
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
    }

    /// Returns whether the standby could take over, or its agent holds the rung below that is wanted.
    pub(super) fn is_as_ready_as_wanted(&self) -> bool {
        let lower = self.host.containers.as_ref().map(|containers| containers.readiness);
        match lower.filter(|rung| *rung < Readiness::Shadow) {
            None => self.collector.is_protected(),
            Some(rung) => {
                let report = self.agents[Slot::RIGHT.index()].as_ref();
                report.is_some_and(|report| report.ready && report.holds == rung)
            }
        }
    }

    /// Starts the cloud application, where there is to be one.
    pub(super) fn start_cloud(&mut self) -> Result<(), HostError> {
        if let (Some(containers), Some(folder)) = (&self.host.containers, &self.folder)
            && containers.cloud
        {
            let started = start_cloud(&self.host.program, folder.path(), &self.addresses, containers);
            self.cloud = Some(started.map_err(|error| machine("starting the cloud application", &error))?);
            self.operator.line(None, &format!("the page: http://{}/", self.addresses.page));
        }
        if let (Some(containers), Some(folder)) = (&self.host.containers, &self.folder)
            && containers.spares > 0
        {
            let Settings { connect, keys, .. } =
                to_agents(containers, folder.path(), &self.addresses, Duration::ZERO, 0);
            let keys = keys.map(|keys| format!(" --keys {}", keys.display())).unwrap_or_default();
            let asks = format!("the fleet: twinhelm pool --connect {}{keys}", connect.join(" --connect "));
            self.operator.line(None, &asks);
        }
        Ok(())
    }

    /// Starts the spares that come later, when it is time.
    pub(super) async fn switch_spares_on(&mut self) -> Result<(), HostError> {
        let at = self.host.containers.as_ref().and_then(|containers| containers.spares_at);
        if at.is_some_and(|at| now() >= self.zero + at) && !self.spares_are_on {
            self.operator.line(Some(now().seconds_after(self.zero)), "the spares are switched on");
            self.start_spares().await?;
        }
        Ok(())
    }

    async fn start_spares(&mut self) -> Result<Vec<Slot>, HostError> {
        self.spares_are_on = true;
        let spares: Vec<Slot> = (2..2 + self.host.spares()).filter_map(Slot::new).collect();
        for slot in &spares {
            self.start_device(*slot).await?;
        }
        Ok(spares)
    }

    /// Starts the spares, and waits until each holds its rung.
    pub(super) async fn wait_for_spares(&mut self, until: Instant) -> Result<(), HostError> {
        if self.host.containers.as_ref().is_some_and(|containers| containers.spares_at.is_some()) {
            return Ok(());
        }
        let spares = self.start_spares().await?;
        let waits = |run: &Self| {
            spares.iter().any(|slot| !run.agents[slot.index()].as_ref().is_some_and(|report| report.ready))
        };
        while waits(self) {
            match self.next(until.min(now() + LOOK_EVERY)).await {
                Next::Said(said) => self.on_said(said)?,
                Next::Seen(seen) => self.on_seen(seen),
                Next::Time if now() < until => {}
                Next::Time => {
                    let late = spares.iter().map(|slot| (slot, self.agents[slot.index()].as_ref()));
                    let late = late.filter(|(_, report)| !report.is_some_and(|report| report.ready));
                    let late: Vec<String> = late.map(|(slot, report)| is_at(report, device_name(*slot))).collect();
                    return Err(HostError::Machine(format!(
                        "the spares were not ready in time: {}",
                        late.join("; ")
                    )));
                }
            }
        }
        Ok(())
    }

    /// Takes in an entry of the timeline.
    pub(super) fn on_told(&mut self, at: Instant, told: &Told) {
        self.migrations.on_told(at, told, |device| fetched(&self.agents, device));
        if self.is_driving {
            self.operator.line(Some(at.seconds_after(self.zero)), &format!("{}: {}", told.device, told.what));
        }
    }

    /// Takes in what an agent says of itself.
    pub(super) fn on_agent(&mut self, slot: Slot, report: AgentReport) {
        let index = slot.index();
        let Some(Some(process)) = self.devices.get_mut(index) else { return };
        process.has_mission(report.pid);
        let before = self.agents[index].as_ref();
        let is_new = |then: Option<&String>| report.problem.as_ref() != then && report.problem.is_some();
        let t_s = self.is_driving.then(|| now().seconds_after(self.zero));
        if is_new(before.and_then(|before| before.problem.as_ref())) {
            let problem = report.problem.clone().unwrap_or_default();
            self.operator.line(t_s, &format!("{}'s agent: {problem}", device_name(slot)));
        }
        if before.is_none_or(|before| before.holds != report.holds) {
            self.operator.line(t_s, &format!("{}'s agent holds {}", device_name(slot), report.holds));
        }
        if report.urged {
            // It counts anew from the moment at which it noticed that nobody drives.
            for step in report.steps.iter().skip(self.steps_noted[index]) {
                self.operator.line(Some(step.at.seconds_after(self.zero)), &step.name);
            }
            let steps = report.steps[self.steps_noted[index].min(report.steps.len())..].to_vec();
            self.steps_noted[index] = report.steps.len();
            for step in steps {
                self.on_event(step.at, &Event::Phase { name: step.name });
            }
        }
        self.acknowledged.on_report(slot, &report);
        self.agents[index] = Some(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_that_is_waited_for_says_what_it_is_at() {
        assert_eq!(is_at(None, "right"), "nothing was heard of right's agent");
        let report = json!({
            "device": "right", "slot": 1, "image": "", "wanted": "shadow", "holds": "cold", "ready": false, "urged": false,
            "busy": "pull", "pulled": [1000, 4000], "fetched_bytes": 0, "pid": null, "restarts": 0,
            "problem": "the registry is away", "part": null, "data": null, "steps": [], "resident_bytes": 0, "libcrun": "1.8"
        });
        let report: AgentReport = serde_json::from_value(report).unwrap();
        assert_eq!(
            is_at(Some(&report), "right"),
            "right's agent holds cold, and is to hold shadow; task in progress: pull, 1000 of 4000 bytes of the image are \
             here; it says: the registry is away"
        );
    }

    fn report(restarts: u64, ready: bool) -> AgentReport {
        AgentReport {
            device: "left".to_owned(),
            slot: 0,
            image: String::new(),
            wanted: Readiness::Shadow,
            holds: Readiness::Pulled,
            ready,
            urged: false,
            busy: None,
            pulled: None,
            fetched_bytes: 0,
            pid: None,
            restarts,
            problem: Some("the mission's process is gone: it ended with status 2".to_owned()),
            part: None,
            data: None,
            steps: Vec::new(),
            resident_bytes: 0,
            libcrun: String::new(),
        }
    }

    #[test]
    fn a_mission_that_does_not_stay_ends_the_wait_with_its_cause() {
        assert_eq!(failing(&[None, Some(report(2, false)), Some(report(9, true))]), None);
        let why = failing(&[None, Some(report(3, false))]).expect("it does not start");
        assert!(why.contains("left's mission was started 3 times") && why.contains("status 2"), "{why}");
    }
}
