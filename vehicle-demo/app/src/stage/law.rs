//! A law that fails when the runner says so.

use super::changes;
use rtrb::{Consumer, Producer};
use std::time::Duration;
use twinhelm_hil::law_faults::{LawFault, Stage};
use twinhelm_linux::clock::{now, sleep_until};

/// What the control thread holds.
pub(crate) struct HostStage {
    changes: Consumer<Option<LawFault>>,
    fault: Option<LawFault>,
}

/// Returns both ends.
pub(crate) fn law_faults() -> (Producer<Option<LawFault>>, HostStage) {
    let (producer, changes) = changes();
    (producer, HostStage { changes, fault: None })
}

impl Stage for HostStage {
    fn fault(&mut self) -> Option<LawFault> {
        while let Ok(fault) = self.changes.pop() {
            self.fault = fault;
        }
        self.fault
    }

    fn take(&mut self, extra: Duration) {
        sleep_until(now() + extra);
    }
}
