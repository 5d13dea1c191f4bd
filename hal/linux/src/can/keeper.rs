//! Starts a controller anew that has left the bus, from a thread of its own: netlink waits for the kernel.

use super::interface::{Interface, InterfaceError, Restarter};
use crate::clock::now;
use std::io;
use std::thread;
use twinhelm_hal::time::Duration;

/// How often the controller is asked how it stands. The control loop learns it sooner, by the controller's error frames.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Keeps `interface` on its bus as long as this program runs. What the kernel refuses is told to `tell`, and tried again after a
/// longer pause; without the right to administer the network there is nothing to try, and the thread ends.
///
/// # Errors
/// The kernel's, when no thread can be started.
pub fn keep(interface: Interface, mut tell: impl FnMut(&InterfaceError) + Send + 'static) -> io::Result<()> {
    let keeper = thread::Builder::new().name("can-keeper".to_owned());
    keeper.spawn(move || {
        let mut restarter = Restarter::default();
        loop {
            // An interface that is gone, or down because somebody wanted it so, has no controller that could be started.
            let done = match interface.is_bus_off() {
                Ok(is_off) if restarter.is_due(now(), is_off) => interface.restart(),
                Ok(_) | Err(_) => Ok(()),
            };
            if let Err(error) = done {
                tell(&error);
                if matches!(error, InterfaceError::Rights(_)) {
                    return;
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    })?;
    Ok(())
}
