//! A real-time loop that feeds its board's watchdog, and nothing else does: one that hangs lets it bite.

use crate::output;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use twinhelm_hal::time::Instant;
use twinhelm_linux::boards::{Watchdog, WatchdogError};
use twinhelm_linux::realtime::{self, Next, RealTimeThread};
use twinhelm_linux::scheduling::Priority;

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Another one at this instant; the watchdog is fed.
    At(Instant),
    /// None: the loop ends in order, and the watchdog is stopped.
    Done,
    /// None, and all is not in order: the watchdog bites, and restarts the board.
    Broken,
}

/// Why there is no loop. Nothing bites then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLoop {
    #[error(transparent)]
    Watchdog(#[from] WatchdogError),
    #[error("starting the thread {name}: {source}")]
    Thread { name: &'static str, source: io::Error },
}

/// Starts the loop `name` of `turn`, which feeds the watchdog at a path with a timeout, if there is one. The watchdog is armed
/// here, so this is what is called last.
pub(crate) fn spawn(
    name: &'static str,
    priority: Priority,
    watchdog: Option<(&Path, Duration)>,
    mut turn: impl FnMut(Instant) -> Turned + Send + 'static,
) -> Result<RealTimeThread, NoLoop> {
    let armed = watchdog.map(|(path, timeout)| Watchdog::start(path, timeout)).transpose()?;
    // The loop takes it in its first turn: one that has none does not let it bite.
    let armed = Arc::new(Mutex::new(armed));
    let (mut to_take, mut fed) = (Some(Arc::clone(&armed)), None);
    let turn = move |now| {
        if let Some(armed) = to_take.take() {
            fed = take(&armed);
        }
        match turn(now) {
            Turned::At(next) => {
                // One that takes no food bites, which is what it is there for.
                let _fed = fed.as_mut().map(Watchdog::feed);
                Next::At(next)
            }
            Turned::Done => {
                stop(fed.take());
                Next::Stop
            }
            Turned::Broken => Next::Stop,
        }
    };
    realtime::spawn(name, priority, turn).map_err(|source| {
        stop(take(&armed));
        NoLoop::Thread { name, source }
    })
}

fn take(armed: &Mutex<Option<Watchdog>>) -> Option<Watchdog> {
    armed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn stop(watchdog: Option<Watchdog>) {
    if let Some(Err(error)) = watchdog.map(Watchdog::stop) {
        output::tell(format_args!("{error}: it will restart this board"));
    }
}
