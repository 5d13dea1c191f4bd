//! The ear on the bus of a device below `Shadow`.

use super::Happened;
use crate::config::Config;
use crate::output::Problem;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use twinhelm_hal::bus::Station;
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::listener::Listener;
use twinhelm_linux::scheduling::{Priority, run_at};
use twinhelm_linux::terminal::chain;
use twinhelm_standby::Watch;
use twinhelm_standby::watch::WatchEffect;

/// How often a bus that is gone is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Starts the thread that listens, and tells when nobody drives.
pub(super) fn start(config: &Config, happen: Sender<Happened>) -> Result<(), Problem> {
    let (place, station, gate_lease) = (config.bus.clone(), Station::of_agent(config.slot), config.gate_lease);
    let first = Listener::open(&place, station).map_err(|error| Problem::machine(chain(&error)))?;
    let listen = move || {
        // Ahead of whatever else the device does; where that is not allowed, it is as late as the device is busy.
        let _ = run_at(Priority::CONTROL);
        let mut bus = first;
        // It ends when the agent does.
        while watch(&mut bus, gate_lease, &happen) && happen.send(Happened::Deaf(true)).is_ok() {
            bus = loop {
                sleep_until(now() + LOOK_EVERY);
                if let Ok(bus) = Listener::open(&place, station) {
                    break bus;
                }
            };
            drop(happen.send(Happened::Deaf(false)));
        }
    };
    let started = thread::Builder::new().name("watch".to_owned()).spawn(listen);
    started.map(drop).map_err(|error| Problem::machine(format_args!("starting the watch: {error}")))
}

/// Listens until the bus is gone, and returns `true`; `false` when nobody wants to hear of it any more.
fn watch(bus: &mut Listener, gate_lease: Duration, happen: &Sender<Happened>) -> bool {
    let mut watch = Watch::new(gate_lease);
    while bus.is_connected() {
        bus.wait(now() + gate_lease / 4);
        while let Some(received) = bus.receive() {
            watch.hear(&received);
        }
        let at = now();
        if let Some(WatchEffect::Start) = watch.step(at)
            && happen.send(Happened::NobodyDrives(at)).is_err()
        {
            return false;
        }
    }
    true
}
