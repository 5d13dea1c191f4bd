//! Whether the device takes part: room on the bus, orders to stay off it, and leaving the pair.

use super::{Fleet, HEARD_WITHIN, LISTENS_FOR, Part, fence_file};
use crate::agent::Agent;
use crate::config::Config;
use crate::output::tell;
use std::io::{self, ErrorKind};
use twinhelm_hal::time::Instant;
use twinhelm_linux::clock::now;
use twinhelm_linux::disk::write_whole;
use twinhelm_standby::fleet::{What, Word};
use twinhelm_standby::ladder::Task;
use twinhelm_standby::migration::{Fencing, Recruit};
use twinhelm_standby::{Readiness, RoleName};

/// Has the disk keep the order that holds the device off the bus, if it does not yet.
fn keep_fence(config: &Config, fleet: &mut Fleet) -> io::Result<()> {
    if let Some(order) = &fleet.unkept {
        write_whole(&fence_file(config), order.as_bytes())?;
        fleet.unkept = None;
    }
    Ok(())
}

impl Agent {
    /// M9: returns whether `task` would bring a third device onto the bus. Then this one is a spare.
    pub(in crate::agent) fn would_crowd_the_bus(&mut self, task: Task) -> bool {
        let begins = matches!(task, Task::Start | Task::Resume) && self.keeper.target() == Readiness::Shadow;
        let Some(fleet) = self.fleet.as_mut().filter(|_| begins) else { return false };
        if fleet.ear.others(now()) < 2 {
            return false;
        }
        self.make_way();
        true
    }

    /// Leaves when there are three: two may have begun at one moment.
    pub(super) fn leave_a_crowd(&mut self, at: Instant) {
        let runs = self.keeper.holds() == Readiness::Shadow;
        let slot = self.config.slot;
        let Some(fleet) = &mut self.fleet else { return };
        let heard = fleet.ear.others_heard(at);
        if fleet.crowd.leaves(at, runs.then_some(slot), &heard, fleet.ear.holder(at)) {
            self.make_way();
        }
    }

    /// Has the keeper hold no more than the image.
    pub(super) fn go_back_to_the_pool(&mut self) {
        self.keeper.want(self.config.readiness.min(Readiness::Pulled));
    }

    pub(super) fn make_way(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        (fleet.part, fleet.resumes, fleet.doing) = (Part::Spare, false, None);
        fleet.recruit = Recruit::default();
        fleet.note(What::StaysSpare);
        self.go_back_to_the_pool();
    }

    pub(super) fn obey_fence(&mut self, at: Instant, from: &str, why: String) {
        let drives = self.drives(at) == Some(true);
        let slot = self.config.slot;
        let Some(fleet) = &mut self.fleet else { return };
        let drives = drives || fleet.ear.holder(at) == Some(slot);
        // The gate says that it is no faulty device: whoever orders this does not know yet who has the wheel.
        if drives && fleet.part != Part::Fenced {
            fleet.say(from, &Word::Fenced(Fencing::Refused));
            fleet.decline(from, "fence", "it drives: `twinhelm drain` has it hand the wheel over, and leave");
            return;
        }
        if !fleet.tells.iter().any(|teller| teller == from) {
            fleet.tells.push(from.to_owned());
        }
        if fleet.part == Part::Fenced {
            return;
        }
        // First the disk: whatever happens next, the order stands.
        fleet.unkept = Some(format!("{from}: {why}\n"));
        let kept = keep_fence(&self.config, fleet);
        if let Err(error) = kept {
            tell(format_args!("keeping the order to stay off the bus: {error}; it is tried again"));
        }
        fleet.part = Part::Fenced;
        fleet.listens_until = None;
        fleet.note(What::Fenced { why });
        let effects = fleet.recruit.fence();
        self.carry_out_steps(effects);
        self.go_back_to_the_pool();
    }

    /// Tells those who ordered it that the device is off the bus, once it is.
    pub(super) fn answer_fences(&mut self) {
        let is_off = self.held.is_none();
        let Some(fleet) = &mut self.fleet else { return };
        if fleet.part != Part::Fenced {
            return;
        }
        let kept = keep_fence(&self.config, fleet);
        if is_off {
            let said = kept.map(|()| "it is off the bus".to_owned()).map_err(|error| {
                format!("it is off the bus until its agent ends, and no longer: the order cannot be kept: {error}")
            });
            for teller in std::mem::take(&mut fleet.tells) {
                fleet.say(&teller, &Word::Fenced(Fencing::Fenced));
                fleet.say(&teller, &Word::Answer(said.clone()));
            }
        }
    }

    pub(super) fn readmit(&mut self, from: &str, device: &str) {
        let Some(fleet) = &mut self.fleet else { return };
        fleet.orchestrator.readmit(device);
        fleet.asked.remove(device);
        if device != self.config.device {
            return;
        }
        // Whoever ordered it off has to forget that before it says that it is back.
        let word = Word::Readmit { device: device.to_owned() };
        let others: Vec<_> = fleet.offers.keys().filter(|other| *other != device).cloned().collect();
        others.iter().for_each(|other| fleet.say(other, &word));
        if fleet.part != Part::Fenced {
            fleet.decline(from, "readmit", "it is not fenced");
            return;
        }
        match std::fs::remove_file(fence_file(&self.config)) {
            // It was never kept.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                fleet.decline(from, "readmit", &format!("forgetting the order: {error}"));
                return;
            }
            Ok(()) => {}
        }
        fleet.unkept = None;
        fleet.part = if fleet.pool.spare { Part::Spare } else { Part::Member };
        fleet.listens_until = (fleet.part == Part::Member).then(|| now() + LISTENS_FOR);
        fleet.note(What::Readmitted);
        fleet.say(from, &Word::Answer(Ok("it may come back".to_owned())));
    }

    /// Returns whether the own device holds the wheel; `None` when it was not heard just now.
    pub(super) fn drives(&self, at: Instant) -> Option<bool> {
        let header = self.line.ear().headers()[self.config.slot.index()];
        header
            .filter(|(heard, _)| at.since(*heard) < HEARD_WITHIN)
            .map(|(_, header)| header.role == RoleName::Primary)
    }
}
