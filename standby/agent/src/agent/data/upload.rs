//! Uploads what is on the disk, again and again, and waits longer while that does not work.

use super::Shared;
use crate::output::tell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;
use twinhelm_linux::effort::Effort;
use twinhelm_mission::data::Uploader;

/// A pass that takes longer is given up, and the next one goes on.
const PASS_WITHIN: Duration = Duration::from_secs(60);
/// The last one, when the agent ends.
const LAST_WITHIN: Duration = Duration::from_secs(3);
/// While it does not work it is tried at least so often.
const RETRY_WITHIN: Duration = Duration::from_secs(30);

/// Somebody who wants the agent to end is heard so often meanwhile.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

pub(super) fn run(mut uploader: Uploader, shared: &Shared, every: Duration, effort: &Effort, stop: &Receiver<()>) {
    effort.enter();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("nothing is uploaded: {error}"));
            shared.state().storage_problem = Some(error.to_string());
            return;
        }
    };
    let mut wait = every;
    let mut ends = false;
    loop {
        ends = ends || stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        if let Some(plan) = shared.state().plan.clone() {
            uploader.set_plan(plan);
        }
        let within = if ends { LAST_WITHIN } else { PASS_WITHIN };
        let passed = runtime.block_on(async {
            tokio::select! {
                passed = tokio::time::timeout(within, uploader.pass()) => Some(passed),
                // What it is at takes too long for somebody who waits for the agent to end.
                () = asked_to_end(stop), if !ends => None,
            }
        });
        let Some(passed) = passed else {
            ends = true;
            continue;
        };
        let problem = match passed {
            Ok(Ok(pass)) => {
                wait = if pass.has_more { Duration::ZERO } else { every };
                for piece in pass.damaged {
                    tell(format_args!(
                        "piece {} of the mission data was damaged on the disk: it is left out",
                        piece.seq
                    ));
                    shared.state().dropped.add(&piece);
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("object storage took longer than {} s", within.as_secs())),
        };
        let mut state = shared.state();
        if problem.is_some() {
            wait = (2 * wait).clamp(every, RETRY_WITHIN.max(every));
        } else {
            state.manifest = uploader.manifest().cloned();
        }
        let before = std::mem::replace(&mut state.storage_problem, problem.clone());
        drop(state);
        shared.count_waiting();
        if let Some(problem) = problem.filter(|problem| before.as_ref() != Some(problem)) {
            tell(format_args!("mission data is not uploaded: {problem}"));
        }
        if ends {
            return;
        }
    }
}

/// Waits until somebody wants the agent to end.
async fn asked_to_end(stop: &Receiver<()>) {
    while stop.try_recv() == Err(TryRecvError::Empty) {
        tokio::time::sleep(LISTEN_EVERY).await;
    }
}
