//! The ear on the bus of a device below `Shadow`.

use super::Happened;
use crate::config::Config;
use crate::output::Problem;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use twinhelm_hal::bus::Station;
use twinhelm_hal::ports::Bus as _;
use twinhelm_linux::bus::Client;
use twinhelm_linux::clock::now;
use twinhelm_linux::scheduling::{Priority, run_at};
use twinhelm_standby::Watch;
use twinhelm_standby::watch::WatchEffect;

/// How long the bus may take to seat it.
const SEAT_WITHIN: Duration = Duration::from_secs(5);

/// Starts the thread that listens, and tells when nobody drives.
pub(super) fn start(config: &Config, happen: Sender<Happened>) -> Result<(), Problem> {
    let station = Station::of_agent(config.slot);
    let mut bus = Client::connect(&config.bus, station).map_err(|error| Problem::machine(&error))?;
    bus.wait_attached(SEAT_WITHIN).map_err(|error| Problem::machine(&error))?;
    let mut watch = Watch::new(config.gate_lease);
    let patience = config.gate_lease / 4;
    let listen = move || {
        // Ahead of whatever else the device does; where that is not allowed, it is as late as the device is busy.
        let _ = run_at(Priority::CONTROL);
        loop {
            bus.wait(now() + patience);
            while let Some(received) = bus.receive() {
                watch.hear(&received);
            }
            let at = now();
            if let Some(WatchEffect::Start) = watch.step(at)
                && happen.send(Happened::NobodyDrives(at)).is_err()
            {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("watch".to_owned()).spawn(listen);
    started.map(drop).map_err(|error| Problem::machine(format_args!("starting the watch: {error}")))
}
