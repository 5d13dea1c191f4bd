//! The runner's own session: it listens to what both devices publish, and passes orders on. It stands beside the
//! link between them: cutting that link does not blind it.

use super::cables::Plug;
use super::timeline::Timeline;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;
use tokio::sync::mpsc;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_linux::network::enter;
use twinhelm_standby::fleet::Told;
use twinhelm_standby::{AgentReport, Order, Refusal, Sample};
use twinhelm_vehicle::signals::State;
use twinhelm_zenoh::agents::AgentWatch;
use twinhelm_zenoh::wire::Carried;
use twinhelm_zenoh::{Observed, Observer, Settings};

/// Something that was seen.
#[derive(Debug)]
pub enum Observation<M> {
    /// A device published.
    Sample {
        /// When it arrived.
        at: Instant,
        /// What.
        sample: Sample<State, M>,
    },
    /// A device's agent tells how it stands.
    Agent {
        /// Whose.
        slot: Slot,
        /// How.
        report: Box<AgentReport>,
    },
    /// An entry of the fleet's timeline.
    Told {
        /// When it came.
        at: Instant,
        /// What.
        told: Told,
    },
    /// A device refused an order.
    Refused {
        /// Who.
        slot: Slot,
        /// Why.
        refusal: Refusal,
    },
}

/// The session, on a thread of its own: Zenoh does not run in the runner's single-threaded runtime.
pub struct Watch<M> {
    seen: mpsc::Receiver<Observation<M>>,
    orders: blocking::Sender<(Slot, Order)>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl<M: Carried> Watch<M> {
    /// Opens the session.
    ///
    /// # Errors
    /// In words, when it cannot be opened.
    pub(super) fn start(
        plug: Plug,
        to_agents: Option<Settings>,
        link_lease: Duration,
        keep_alive: u32,
    ) -> Result<Self, String> {
        let Plug { listen, connect, network, can: _ } = plug;
        let settings = Settings { vehicle: "demo".to_owned(), listen, connect, link_lease, keep_alive, keys: None };
        let (send, seen) = mpsc::channel(4096);
        let (orders, ordered) = blocking::channel::<(Slot, Order)>();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (opened, open) = blocking::channel();
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || {
                // Zenoh's threads are started from this one, and live where it lives.
                let entered = network.as_deref().map_or(Ok(()), enter);
                let entered = entered.map_err(|error| format!("entering the desk's network: {error}"));
                let observer =
                    entered.and_then(|()| Observer::<State, M>::open(&settings).map_err(|error| error.to_string()));
                let agents =
                    to_agents.map(|settings| AgentWatch::open(&settings).map_err(|error| error.to_string()));
                let opened_all = observer.and_then(|observer| {
                    let agents = agents.transpose()?;
                    let timeline = agents.as_ref().map(Timeline::open).transpose()?;
                    Ok((observer, timeline, agents))
                });
                let (observer, mut timeline, agents) = match opened_all {
                    Ok(all) => all,
                    Err(error) => {
                        // Whoever asked has gone: then nobody needs to know.
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                let _ = opened.send(Ok(()));
                let mut waiting = None;
                while !stopped.load(Ordering::Relaxed) {
                    waiting = waiting.or_else(|| ordered.try_recv().ok());
                    // Nobody there yet: the session is still connecting, and the order is tried again.
                    if waiting.is_some_and(|(slot, order)| observer.order(slot, order).is_ok()) {
                        waiting = None;
                    }
                    while let Some((slot, text)) = agents.as_ref().and_then(|agents| agents.next(Duration::ZERO)) {
                        let Ok(report) = serde_json::from_slice(&text) else { continue };
                        if send.blocking_send(Observation::Agent { slot, report }).is_err() {
                            return;
                        }
                    }
                    while let Some((at, told)) = timeline.as_mut().and_then(Timeline::next) {
                        if send.blocking_send(Observation::Told { at, told }).is_err() {
                            return;
                        }
                    }
                    let seen = match observer.next(Duration::from_millis(5)) {
                        Some(Observed::State { at, sample: Some(sample), .. }) => {
                            Observation::Sample { at, sample }
                        }
                        Some(Observed::Refused { slot, refusal, .. }) => Observation::Refused { slot, refusal },
                        Some(Observed::State { sample: None, .. }) | None => continue,
                    };
                    if send.blocking_send(seen).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| format!("starting the observer: {error}"))?;
        let watch = Self { seen, orders, stop, thread: Some(thread) };
        open.recv().unwrap_or_else(|_| Err("the observer's thread has ended".to_owned()))?;
        Ok(watch)
    }
}

impl<M> Watch<M> {
    /// Returns the next thing seen.
    pub async fn next(&mut self) -> Option<Observation<M>> {
        self.seen.recv().await
    }

    /// Passes an order on.
    pub fn order(&self, slot: Slot, order: Order) {
        // The thread ends only with the run.
        let _ = self.orders.send((slot, order));
    }
}

impl<M> Drop for Watch<M> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.close();
        if let Some(thread) = self.thread.take() {
            // Its panic was already printed; the run is over either way.
            let _ = thread.join();
        }
    }
}
