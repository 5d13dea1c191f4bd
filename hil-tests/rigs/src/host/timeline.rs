//! The fleet's timeline as the runner hears it: as it is told, and asked for again, because what is told while a machine stands
//! still can be lost.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use twinhelm_hal::time::Instant;
use twinhelm_linux::clock::now;
use twinhelm_standby::access::SESSION_MARK;
use twinhelm_standby::fleet::Told;
use twinhelm_zenoh::agents::AgentWatch;
use twinhelm_zenoh::fleet::Heard;

/// How often all agents are asked for their last entries.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// What does not come by then comes the next time.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The timeline of the agents that a run has.
pub(super) struct Timeline {
    told: Receiver<(Instant, Vec<u8>)>,
    known: HashSet<(String, u64)>,
    /// What asks ends when this is gone.
    over: Option<Sender<()>>,
    asks: Option<JoinHandle<()>>,
}

impl Timeline {
    /// Begins to listen on the session of `agents`.
    ///
    /// # Errors
    /// In words, when Zenoh does not take a key, or there is no thread.
    pub fn open(agents: &AgentWatch) -> Result<Self, String> {
        let (tell, told) = channel();
        let (over, is_over) = channel::<()>();
        // Nobody listens any more when the run has ended.
        let hear = {
            let tell = tell.clone();
            move |heard| {
                if let Heard::Event { bytes, .. } = heard {
                    drop(tell.send((now(), bytes)));
                }
            }
        };
        let name = format!("desk{SESSION_MARK}{}", std::process::id());
        let line = agents.fleet(&name, hear).map_err(|error| error.to_string())?;
        let ask = move || {
            while is_over.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
                for (_, bytes) in line.events(ANSWER_WITHIN).unwrap_or_default() {
                    drop(tell.send((now(), bytes)));
                }
            }
        };
        let asks = std::thread::Builder::new().name("timeline".to_owned()).spawn(ask);
        let asks = asks.map_err(|error| format!("starting what asks for the timeline: {error}"))?;
        Ok(Self { told, known: HashSet::new(), over: Some(over), asks: Some(asks) })
    }

    /// Returns the next entry that was not returned before, and when it came, if there is one now.
    pub fn next(&mut self) -> Option<(Instant, Told)> {
        while let Ok((at, bytes)) = self.told.try_recv() {
            let Ok(told) = serde_json::from_slice::<Told>(&bytes) else { continue };
            if self.known.insert((told.device.clone(), told.seq)) {
                return Some((at, told));
            }
        }
        None
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(asks) = self.asks.take() {
            // Its panic was already printed; the run is over either way.
            let _ = asks.join();
        }
    }
}
