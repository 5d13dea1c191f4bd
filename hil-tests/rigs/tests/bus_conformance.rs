//! The userland bus passes the suite of every bus of ours: a server on its thread, clients over real sockets.
//!
//! The server looks only while the bus settles, so that what was sent before waits together; nothing here sleeps to
//! let somebody else go first. A station's death is its socket's, as the kernel closes it after a SIGKILL; a real
//! SIGKILL is in `hal/linux/tests/bus.rs`.

#![allow(clippy::unwrap_used)] // All of this file is a test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use twinhelm_hal::bus::{Cable, STATIONS, Station};
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Received};
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_hil::bus_conformance::{self as suite, BusUnderTest};
use twinhelm_linux::bus::{Client, Server, TwoSenders};
use twinhelm_linux::clock;

const BITRATE: u32 = 1_000_000;
/// Long enough for any machine; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server's thread is asked to do.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Settle,
    SetCable(Station, Cable),
}

/// The server's thread, as far as the test sees it. It ends when nobody can ask any more.
struct ServerThread {
    asks: Option<SyncSender<Ask>>,
    answers: Receiver<Option<TwoSenders>>,
    thread: Option<JoinHandle<()>>,
}

impl ServerThread {
    fn start(mut server: Server) -> Self {
        let (asks, asked) = sync_channel(0);
        let (answer, answers) = sync_channel(1);
        let thread = thread::spawn(move || {
            while let Ok(ask) = asked.recv() {
                match ask {
                    Ask::Settle => settle(&mut server),
                    Ask::SetCable(station, cable) => server.set_cable(clock::now(), station, cable),
                }
                if answer.send(server.two_senders()).is_err() {
                    return;
                }
            }
        });
        Self { asks: Some(asks), answers, thread: Some(thread) }
    }

    /// Has `ask` done, and returns the two senders that the server knows then.
    fn done(&self, ask: Ask) -> Option<TwoSenders> {
        self.asks.as_ref().unwrap().send(ask).unwrap();
        match self.answers.recv_timeout(PATIENCE) {
            Ok(two_senders) => two_senders,
            Err(RecvTimeoutError::Timeout) => panic!("the server does not finish {ask:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the server died of {ask:?}"),
        }
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        self.asks = None;
        let outcome = self.thread.take().unwrap().join();
        assert!(outcome.is_ok() || thread::panicking(), "the server's thread panicked");
    }
}

/// Takes what the clients have sent and lets the bus run until the wire is idle.
fn settle(server: &mut Server) {
    server.poll(clock::now(), |_, frame| Some(frame));
    loop {
        while server.next_delivery(clock::now()).is_some() {}
        let Some(event) = server.next_event() else { return };
        // Nobody sends meanwhile, so the wait ends with the frame's last bit.
        server.wait(event);
    }
}

struct UserlandBus {
    server: ServerThread,
    name: String,
    clients: [Option<Client>; STATIONS],
    two_senders: Option<TwoSenders>,
}

impl UserlandBus {
    fn new() -> Self {
        static BUSES: AtomicU32 = AtomicU32::new(0);
        let name = format!("conformance-{}-{}", std::process::id(), BUSES.fetch_add(1, Ordering::Relaxed));
        let server = ServerThread::start(Server::bind(&name, BITRATE).unwrap());
        Self { server, name, clients: std::array::from_fn(|_| None), two_senders: None }
    }

    fn client(&mut self, station: Station) -> &mut Client {
        self.clients[station.index()].as_mut().unwrap()
    }
}

impl BusUnderTest for UserlandBus {
    fn bitrate(&self) -> u32 {
        BITRATE
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn lateness_max(&self) -> Option<Duration> {
        None
    }

    fn attach(&mut self, station: Station) {
        let mut client = Client::connect(&self.name, station).unwrap();
        self.settle();
        client.wait_attached(PATIENCE).unwrap();
        self.clients[station.index()] = Some(client);
    }

    fn send(&mut self, station: Station, frame: Frame) {
        self.client(station).send(frame);
    }

    fn settle(&mut self) {
        self.two_senders = self.server.done(Ask::Settle);
    }

    fn receive(&mut self, station: Station) -> Option<Received> {
        self.client(station).receive()
    }

    fn set_cable(&mut self, station: Station, cable: Cable) {
        self.two_senders = self.server.done(Ask::SetCable(station, cable));
    }

    fn kill(&mut self, station: Station) {
        self.clients[station.index()] = None;
    }

    fn two_senders(&self) -> Option<(u16, Station, Station)> {
        self.two_senders.map(|found| (found.id, found.first, found.second))
    }
}

#[test]
fn the_userland_bus_conforms() {
    suite::check_all(UserlandBus::new);
}
