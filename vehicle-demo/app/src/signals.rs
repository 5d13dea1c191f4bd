//! What a service manager or a person tells a process by signals.

use std::io;
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// SIGTERM or SIGINT: it is to end.
    End,
    /// SIGUSR1.
    Reset,
}

/// Has a thread of its own call `tell` for each signal from now on.
///
/// # Errors
/// The kernel's.
pub(crate) fn listen(mut tell: impl FnMut(Told) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt, mut user) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::user_defined1())?)
    };
    let listen = move || {
        runtime.block_on(async {
            loop {
                tell(tokio::select! {
                    _ = terminate.recv() => Told::End,
                    _ = interrupt.recv() => Told::End,
                    _ = user.recv() => Told::Reset,
                });
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}
