//! A device's ports on this machine: the bus, the simulated sensors, the link.

use crate::stage::{Controller, DeviceClock, Ear};
use rtrb::Producer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Confinement, Received};
use twinhelm_hal::time::Instant;
use twinhelm_linux::bus::Client;
use twinhelm_linux::can::CanBus;
use twinhelm_linux::clock;
use twinhelm_linux::datagram::{BYTES_MAX, Readings};
use twinhelm_standby::{Effects, HeardSample, Input, Order, Ports, Refusal, Sample};
use twinhelm_vehicle::signals::State;
use twinhelm_zenoh::LinkPort;

/// The bytes of a reading: four numbers of eight.
pub(crate) const READING_BYTES: usize = 32;

/// The bus that a device is on.
pub(crate) enum DeviceBus {
    /// The one between the processes of this machine.
    Userland(Client),
    /// The kernel's.
    Can(Box<CanBus>),
}

impl Bus for DeviceBus {
    fn send(&mut self, frame: Frame) {
        match self {
            Self::Userland(bus) => bus.send(frame),
            Self::Can(bus) => bus.send(frame),
        }
    }

    fn receive(&mut self) -> Option<Received> {
        match self {
            Self::Userland(bus) => bus.receive(),
            Self::Can(bus) => bus.receive(),
        }
    }

    fn confinement(&self) -> Confinement {
        match self {
            Self::Userland(bus) => bus.confinement(),
            Self::Can(bus) => bus.confinement(),
        }
    }
}

/// Everything that a device process reaches. Nothing here allocates, locks or waits.
pub(crate) struct DevicePorts<M: Send> {
    pub(crate) clock: DeviceClock,
    pub(crate) bus: DeviceBus,
    /// What the run makes of the bus controller; `None` when it leaves it alone.
    pub(crate) controller: Option<Controller>,
    pub(crate) readings: Readings,
    /// The newest reading, and when it was taken: at 1 kHz there is not a new one in each cycle.
    pub(crate) reading: Option<(Instant, State)>,
    pub(crate) link: LinkPort<State, M>,
    /// What the run makes of the link; `None` when it leaves it alone.
    pub(crate) ear: Option<Ear<State, M>>,
    pub(crate) newest: Option<HeardSample<State, M>>,
    /// A reading older than this counts as silence.
    pub(crate) reading_age_max: Duration,
    /// The way to the recording; `None` when there is none.
    pub(crate) steps: Option<StepQueue>,
}

/// One step of the node: when by the machine's clock, when by the device's, what it was told, what it answered.
pub(crate) type StepNote = (Instant, Instant, Input, Effects);

/// The steps' way out of the control thread: it never waits.
pub(crate) struct StepQueue {
    pub(crate) queue: Producer<StepNote>,
    pub(crate) lost: Arc<AtomicU64>,
}

impl<M: Send> Bus for DevicePorts<M> {
    fn send(&mut self, frame: Frame) {
        self.bus.send(frame);
    }

    fn receive(&mut self) -> Option<Received> {
        let received = self.bus.receive()?;
        Some(Received { at: self.clock.local(received.at), ..received })
    }

    fn confinement(&self) -> Confinement {
        self.controller.as_ref().map_or_else(|| self.bus.confinement(), Controller::stands)
    }
}

impl<M: twinhelm_zenoh::wire::Carried> Ports<State, M> for DevicePorts<M> {
    fn now(&self) -> Instant {
        self.clock.local(clock::now())
    }

    fn readings(&mut self) -> Option<State> {
        let mut bytes = [0; BYTES_MAX];
        if let Some((at, READING_BYTES)) = self.readings.newest(&mut bytes) {
            self.reading = Some((at, decode_reading(&bytes)));
        }
        let (at, reading) = self.reading?;
        (clock::now().since(at) <= self.reading_age_max).then_some(reading)
    }

    fn peer(&mut self) -> Option<HeardSample<State, M>> {
        let arrived = self.link.peer();
        let heard = match &mut self.ear {
            Some(ear) => ear.hear(clock::now(), arrived),
            None => arrived,
        };
        let heard = heard.map(|sample| HeardSample { at: self.clock.local(sample.at), ..sample });
        self.newest = heard.or(self.newest.take());
        self.newest
    }

    fn publish(&mut self, sample: &Sample<State, M>) {
        self.link.publish(sample);
    }

    fn order(&mut self) -> Option<Order> {
        self.link.order()
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.link.refuse(refusal);
    }

    fn note(&mut self, now: Instant, input: &Input, effects: &Effects) {
        let Some(StepQueue { queue, lost }) = &mut self.steps else {
            return;
        };
        if queue.push((clock::now(), now, *input, effects.clone())).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns a reading as bytes.
pub(crate) fn encode_reading(state: &State) -> [u8; READING_BYTES] {
    let mut bytes = [0; READING_BYTES];
    let numbers = [state.x_m, state.y_m, state.yaw_rad, state.speed_mps];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn decode_reading(bytes: &[u8]) -> State {
    let number = |index: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
        f64::from_le_bytes(eight)
    };
    State { x_m: number(0), y_m: number(1), yaw_rad: number(2), speed_mps: number(3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_reads_back_as_it_was_written() {
        let state = State { x_m: 1.5, y_m: -2.25, yaw_rad: 3.0, speed_mps: 0.125 };
        assert_eq!(decode_reading(&encode_reading(&state)), state);
    }
}
