//! SocketCAN passes the suite of every bus of ours: a station has a pair of virtual interfaces, and the kernel's gateway
//! carries frames from each pair to the others. Cutting a cable takes the gateway's rules away.

use std::collections::VecDeque;
use twinhelm_hal::bus::{Cable, STATIONS, Station};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus as _, Received};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::bus_conformance::{self as suite, BusUnderTest, Medium};
use twinhelm_linux::can::{CanBus, Wants};
use twinhelm_linux::clock;
use twinhelm_linux::scheduling::lower_to_idle;
use twinhelm_rigs::guest::inside::call;

/// So many stations does the suite use.
const USED: usize = 5;
/// Long enough for any machine; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct KernelBus {
    fd: bool,
    stations: [Option<CanBus>; STATIONS],
    /// What came while the bus settled.
    heard: [VecDeque<Received>; STATIONS],
    /// What was sent since the bus settled.
    sent: [bool; STATIONS],
    cables: [Cable; USED],
}

impl KernelBus {
    /// Returns a bus whose gateway has a rule for each pair of stations already.
    fn new(fd: bool) -> Self {
        Self {
            fd,
            stations: std::array::from_fn(|_| None),
            heard: std::array::from_fn(|_| VecDeque::new()),
            sent: [false; STATIONS],
            cables: [Cable::WHOLE; USED],
        }
    }

    fn carries(&self, from: usize, to: usize) -> bool {
        from != to && self.cables[from].to_bus && self.cables[to].from_bus
    }
}

/// Adds or deletes the gateway's rule from one station to another.
fn rule(what: &str, from: usize, to: usize, fd: bool) {
    let fd = if fd { " -X" } else { "" };
    call(&format!("cangw {what} -s bus{from} -d bus{to}{fd}"));
}

impl Drop for KernelBus {
    /// Mends what was cut: the next bus has the same gateway.
    fn drop(&mut self) {
        for station in (0..).map_while(Station::new).take(USED) {
            self.set_cable(station, Cable::WHOLE);
        }
    }
}

impl BusUnderTest for KernelBus {
    fn medium(&self) -> Medium {
        // A virtual interface is as fast as the processor, and no frame waits in it.
        Medium { has_wire: false, mailbox: 1, waits_behind_a_cut: false, reports_two_senders: false }
    }

    fn bitrate(&self) -> u32 {
        1_000_000
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn lateness_max(&self) -> Option<Duration> {
        None
    }

    fn attach(&mut self, station: Station) {
        let index = station.index();
        let bus = CanBus::open(&format!("can{index}"), Wants::All, 1, PATIENCE, self.fd).unwrap();
        self.heard[index].clear();
        self.stations[index] = Some(bus);
    }

    fn send(&mut self, station: Station, frame: Frame) {
        self.stations[station.index()].as_mut().unwrap().send(frame);
        self.sent[station.index()] = true;
    }

    fn settle(&mut self) {
        for index in 0..STATIONS {
            if !std::mem::take(&mut self.sent[index]) {
                continue;
            }
            let Some(bus) = &mut self.stations[index] else { continue };
            let until = clock::now() + PATIENCE;
            while bus.is_sending() {
                bus.wait(until);
                self.heard[index].extend(std::iter::from_fn(|| bus.receive()));
                assert!(clock::now() < until, "what station {index} has sent does not reach the wire");
            }
        }
    }

    fn receive(&mut self, station: Station) -> Option<Received> {
        let index = station.index();
        self.heard[index].pop_front().or_else(|| self.stations[index].as_mut()?.receive())
    }

    fn set_cable(&mut self, station: Station, cable: Cable) {
        let before: Vec<_> = pairs().filter(|(from, to)| self.carries(*from, *to)).collect();
        self.cables[station.index()] = cable;
        for (from, to) in pairs() {
            let (was, is) = (before.contains(&(from, to)), self.carries(from, to));
            if was != is {
                rule(if is { "-A" } else { "-D" }, from, to, self.fd);
            }
        }
    }

    fn kill(&mut self, station: Station) {
        self.stations[station.index()] = None;
    }

    fn two_senders(&self) -> Option<(u16, Station, Station)> {
        None
    }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..USED).flat_map(|from| (0..USED).map(move |to| (from, to)))
}

#[test]
#[ignore = "runs in the guest"]
fn inside_socketcan_conforms() {
    // The guest has one processor: so the kernel carries whatever it has put off through the gateway before this thread looks.
    lower_to_idle().unwrap();
    for index in 0..USED {
        call(&format!("ip link add can{index} type vxcan peer name bus{index}"));
        for end in ["can", "bus"] {
            call(&format!("ip link set {end}{index} mtu 72 up"));
        }
    }
    for fd in [false, true] {
        for (from, to) in pairs().filter(|(from, to)| from != to) {
            rule("-A", from, to, fd);
        }
        suite::check_all(|| KernelBus::new(fd));
        call("cangw -F");
    }
}
