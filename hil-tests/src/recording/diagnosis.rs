//! How well each device is, as the field's diagnostics say it.

use super::ros::{DiagnosticArray, DiagnosticStatus, KeyValue, Level};
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_standby::{NotReady, RoleName};
use twinhelm_vehicle::report::device_name;

/// What was last heard of the devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Standings([Standing; SLOTS as usize]);

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    role: Option<RoleName>,
    ready: Option<Result<(), NotReady>>,
    term: Option<Term>,
    down: bool,
}

impl Standings {
    pub(super) fn on_role(&mut self, slot: Slot, role: RoleName) {
        let standing = &mut self.0[slot.index()];
        standing.role = Some(role);
        standing.down = false;
    }

    pub(super) fn on_ready(&mut self, slot: Slot, ready: Result<(), NotReady>) {
        let standing = &mut self.0[slot.index()];
        standing.ready = Some(ready);
        standing.down = false;
    }

    pub(super) fn on_down(&mut self, slot: Slot) {
        self.0[slot.index()].down = true;
    }

    pub(super) fn on_term(&mut self, slot: Slot, term: Option<Term>) {
        self.0[slot.index()].term = term;
    }

    /// Returns the message about all devices that were ever heard of.
    pub(super) fn message(&self, log_time_ns: u64) -> DiagnosticArray {
        let slots = (0..SLOTS).map(Slot::from_low_bits);
        let known = slots.zip(&self.0).filter(|(_, standing)| standing.role.is_some() || standing.down);
        DiagnosticArray::new(log_time_ns, known.map(|(slot, standing)| standing.status(slot)).collect())
    }
}

impl Standing {
    fn status(&self, slot: Slot) -> DiagnosticStatus {
        let (level, message) = self.judge();
        let value = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let ready = self.ready.map(|ready| ready.map_or_else(|why| why.to_string(), |()| "yes".to_owned()));
        DiagnosticStatus {
            level,
            name: format!("{}: takeover", device_name(slot)),
            message,
            hardware_id: device_name(slot),
            values: vec![
                KeyValue { key: "role", value: value(self.role.map(|role| role.to_string())) },
                KeyValue { key: "ready", value: value(ready) },
                KeyValue { key: "term", value: value(self.term.map(|term| term.to_string())) },
            ],
        }
    }

    fn judge(&self) -> (Level, String) {
        let Some(role) = self.role.filter(|_| !self.down) else {
            return (Level::Stale, "down".to_owned());
        };
        match (role, self.ready) {
            (RoleName::Primary, _) => (Level::Ok, "holds the wheel".to_owned()),
            (RoleName::Standby, Some(Ok(()))) => (Level::Ok, "standby, could take over".to_owned()),
            (RoleName::Standby | RoleName::Joining, Some(Err(why))) => (Level::Warn, format!("{role}: {why}")),
            (RoleName::Standby | RoleName::Joining | RoleName::Claiming, _) => (Level::Warn, role.to_string()),
            (RoleName::Fenced(_), _) => (Level::Error, role.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_down_is_stale_until_it_is_heard_of_again() {
        let mut standings = Standings::default();
        standings.on_role(Slot::RIGHT, RoleName::Standby);
        standings.on_ready(Slot::RIGHT, Err(NotReady::Link));
        assert_eq!(standings.0[1].judge().0, Level::Warn);
        standings.on_ready(Slot::RIGHT, Ok(()));
        assert_eq!(standings.0[1].judge(), (Level::Ok, "standby, could take over".to_owned()));
        standings.on_down(Slot::RIGHT);
        assert_eq!(standings.0[1].judge().0, Level::Stale);
        standings.on_role(Slot::RIGHT, RoleName::Joining);
        assert_eq!(standings.0[1].judge().0, Level::Warn);
    }
}
