//! Links that are closed without waiting.
//!
//! Zenoh has the kernel hold whoever closes a TCP link until the peer has taken everything, 10 s at most. A peer without
//! power takes nothing, and there are two threads that close links and receive: when two peers go dark at once, nothing is
//! heard of a third for those 10 s. That is a constant of Zenoh's; so it is taken back, link by link (decision 0009).

use std::io::ErrorKind;
use std::sync::Once;
use std::thread;
use twinhelm_hal::time::Duration;
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::linger::linger_no_more;

/// How often new links are looked for. One that is lost sooner after it was made is closed as Zenoh has it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sees to it that none of this process's links is waited for, now and later. It needs `/proc`, and a thread.
pub(crate) fn wait_for_no_link() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Without the thread, and without `/proc`, links are closed as Zenoh has it, which is no reason not to drive.
        let _ = thread::Builder::new().name("link-closing".to_owned()).spawn(|| {
            // Without descriptors to spare it finds none today, and some tomorrow.
            while linger_no_more().err().is_none_or(|error| error.kind() != ErrorKind::NotFound) {
                sleep_until(now() + LOOK_EVERY);
            }
        });
    });
}
