//! What a run may make fail in a device: its law, its ear to the link, its clock, its bus controller. The runner says what is wrong, real
//! time passes, and the device program does not know.
//!
//! Only what the run makes fail is wrapped; an ordinary run has none of this on its control thread.

mod clock;
mod controller;
mod law;
mod link;

pub(crate) use clock::DeviceClock;
pub(crate) use controller::Controller;
pub(crate) use law::law_faults;
pub(crate) use link::Ear;

use rtrb::{Consumer, Producer, RingBuffer};
use twinhelm_hal::ports::Confinement;
use twinhelm_hil::law_faults::LawFault;
use twinhelm_rigs::host::spec::{ClockFault, DeviceLine, DeviceSpec, LinkTrouble};
use twinhelm_vehicle::signals::State;

/// So many changes may wait for the control thread's next cycle.
const CHANGES_MAX: usize = 16;

/// Returns both ends of a queue of changes.
fn changes<T>() -> (Producer<T>, Consumer<T>) {
    RingBuffer::new(CHANGES_MAX)
}

/// What a device lives in: its clock, its ear to the link, and the runner's voice.
pub(crate) struct Surroundings<M> {
    /// The clock by which it lives.
    pub(crate) clock: DeviceClock,
    /// What the run makes of the link; `None` when it leaves it alone.
    pub(crate) ear: Option<Ear<State, M>>,
    /// What the run makes of the bus controller; `None` when it leaves it alone.
    pub(crate) controller: Option<Controller>,
    /// What takes the runner's lines.
    pub(crate) input: StageInput,
}

impl<M: Copy> Surroundings<M> {
    /// Returns what the device of `spec` lives in; a law that can fail is wrapped by whoever has it.
    pub(crate) fn of(spec: &DeviceSpec, law: Option<Producer<Option<LawFault>>>) -> Self {
        let mut input = StageInput { law, ..StageInput::default() };
        let mut clock = DeviceClock::Machine;
        if spec.fallible.clock {
            let (faults, off) = clock::clock_faults();
            (input.clock, clock) = (Some(faults), off);
        }
        let ear = spec.fallible.link.then(|| {
            let (troubles, ear) = link::link_troubles(spec.slot.number().into());
            input.link = Some(troubles);
            ear
        });
        let controller = spec.fallible.controller.then(|| {
            let (stands, controller) = changes();
            input.controller = Some(stands);
            Controller::new(controller)
        });
        Self { clock, ear, controller, input }
    }
}

/// What the thread that reads the runner's lines holds; an end that is missing belongs to a part that cannot fail.
#[derive(Default)]
pub(crate) struct StageInput {
    pub(crate) law: Option<Producer<Option<LawFault>>>,
    pub(crate) link: Option<Producer<LinkTrouble>>,
    pub(crate) clock: Option<Producer<ClockFault>>,
    pub(crate) controller: Option<Producer<Confinement>>,
}

impl StageInput {
    /// Takes in a line of the runner's.
    pub(crate) fn on_line(&mut self, line: &str) {
        let taken = match serde_json::from_str(line) {
            Ok(DeviceLine::Law(fault)) => pass(self.law.as_mut(), fault),
            Ok(DeviceLine::Link(trouble)) => pass(self.link.as_mut(), trouble),
            Ok(DeviceLine::Clock(fault)) => pass(self.clock.as_mut(), fault),
            Ok(DeviceLine::Confined(stands)) => pass(self.controller.as_mut(), stands),
            Err(_) => {
                eprintln!("a line that is not ours: {line}");
                return;
            }
        };
        if !taken {
            eprintln!("nobody takes this change: its device does not run, or cannot fail so: {line}");
        }
    }
}

fn pass<T>(to: Option<&mut Producer<T>>, change: T) -> bool {
    to.is_some_and(|queue| queue.push(change).is_ok())
}
