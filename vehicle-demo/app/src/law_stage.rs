//! The host's side of a law's faults: the runner says what is wrong, real time passes.
//!
//! Only a law that the scenario makes fail is wrapped, and the device program does not know.

use rtrb::{Consumer, Producer, RingBuffer};
use std::time::Duration;
use twinhelm_hil::law_faults::{LawFault, Stage};
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_rigs::host::spec::LawLine;

/// So many changes may wait for the control thread's next cycle.
const CHANGES_MAX: usize = 16;

/// What the control thread holds.
pub(crate) struct HostStage {
    changes: Consumer<Option<LawFault>>,
    fault: Option<LawFault>,
}

/// What the thread that reads the runner's lines holds.
pub(crate) struct StageInput(Producer<Option<LawFault>>);

/// Returns both ends.
pub(crate) fn stage() -> (StageInput, HostStage) {
    let (producer, changes) = RingBuffer::new(CHANGES_MAX);
    (StageInput(producer), HostStage { changes, fault: None })
}

impl StageInput {
    /// Takes in a line of the runner's.
    pub(crate) fn on_line(&mut self, line: &str) {
        let Ok(LawLine { fault }) = serde_json::from_str(line) else {
            eprintln!("a line that is not ours: {line}");
            return;
        };
        if self.0.push(fault).is_err() {
            eprintln!("the law takes no changes: its device does not run");
        }
    }
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
