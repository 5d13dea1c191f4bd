//! The userland bus between processes: a station that is killed, a name that is taken, a reader that sleeps.
//!
//! The facts that hold for every bus of ours are in `hil-tests/src/bus_conformance.rs`.

#![allow(clippy::unwrap_used)] // All of this file is a test, its small functions too.

use std::process::{Child, Command, Stdio};
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::{Bus, Received};
use twinhelm_hal::time::Duration;
use twinhelm_linux::bus::{BindError, Client, ConnectError, Server};
use twinhelm_linux::clock::now;

const BITRATE: u32 = 500_000;
/// Long enough for any machine; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tells a copy of this test program that it is a station, on this bus.
const CHILD_BUS: &str = "TWINHELM_TEST_CHILD_BUS";
const CHILD_ID: u16 = 0x101;

fn name(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn station(number: u8) -> Station {
    Station::new(number).unwrap()
}

fn frame(id: u16, byte: u8) -> Frame {
    Frame { id, len: 8, data: [byte; 8] }
}

/// Drives the bus until `done` says so.
fn drive(server: &mut Server, what: &str, mut done: impl FnMut(&mut Server) -> bool) {
    let until = now() + PATIENCE;
    loop {
        server.poll(now(), |_, frame| Some(frame));
        while server.next_delivery(now()).is_some() {}
        if done(server) {
            return;
        }
        assert!(now() < until, "in vain: {what}");
        server.wait(until);
    }
}

fn attached(server: &mut Server, name: &str, station: Station) -> Client {
    let mut client = Client::connect(name, station).unwrap();
    drive(server, "attaching a station", |server| server.is_attached(station));
    client.wait_attached(PATIENCE).unwrap();
    client
}

fn heard(server: &mut Server, client: &mut Client) -> Received {
    let mut received = None;
    drive(server, "hearing a frame", |_| {
        received = received.or_else(|| client.receive());
        received.is_some()
    });
    received.unwrap()
}

#[test]
fn a_frame_comes_from_client_to_client_with_the_instant_of_its_last_bit() {
    let name = name("end-to-end");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let mut left = attached(&mut server, &name, station(0));
    let mut right = attached(&mut server, &name, station(1));
    let sent = now();
    left.send(frame(0x100, 7));
    let received = heard(&mut server, &mut right);
    assert_eq!(received.frame, frame(0x100, 7));
    assert!(received.at.since(sent) >= Duration::from_micros(270), "135 bits at 500 kbit/s");
    assert!(received.at <= now());
    assert_eq!(left.receive(), None);
}

#[test]
fn the_owners_stations_hear_and_are_heard() {
    let name = name("local");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    server.attach_local(station(7), 4);
    let mut client = attached(&mut server, &name, station(0));
    for byte in 0..4 {
        server.offer_local(now(), station(7), frame(0x110, byte));
    }
    for byte in 0..4 {
        assert_eq!(heard(&mut server, &mut client).frame, frame(0x110, byte));
    }
    client.send(frame(0x100, 9));
    let mut deliveries = Vec::new();
    let until = now() + PATIENCE;
    while deliveries.is_empty() && now() < until {
        server.wait(until);
        server.poll(now(), |_, frame| Some(frame));
        deliveries.extend(std::iter::from_fn(|| server.next_delivery(now())));
    }
    let delivery = deliveries.first().unwrap();
    assert_eq!((delivery.from, delivery.frame), (station(0), frame(0x100, 9)));
    assert!(delivery.is_heard_by(station(7)) && !delivery.is_heard_by(station(0)));
}

#[test]
fn a_tap_changes_and_swallows_what_a_client_offers() {
    let name = name("tap");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let mut left = attached(&mut server, &name, station(0));
    let mut right = attached(&mut server, &name, station(1));
    left.send(frame(0x100, 1));
    right.send(frame(0x101, 1));
    server.poll(now(), |from, offered| (from == station(0)).then_some(frame(offered.id, 2)));
    assert_eq!(heard(&mut server, &mut right).frame, frame(0x100, 2));
    drive(&mut server, "an idle bus", |server| server.next_event().is_none());
    assert_eq!(left.receive(), None);
}

#[test]
fn names_and_stations_that_are_taken_say_so() {
    let name = name("taken");
    let absent = Client::connect(&name, station(0)).unwrap_err();
    assert!(matches!(absent, ConnectError::NoServer { .. }), "{absent}");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let second = Server::bind(&name, BITRATE).unwrap_err();
    assert!(matches!(second, BindError::NameInUse { .. }), "{second}");
    let long = Server::bind(&"x".repeat(100), BITRATE).unwrap_err();
    assert!(matches!(long, BindError::NameTooLong { .. }), "{long}");

    let mut first = attached(&mut server, &name, station(0));
    let mut late = Client::connect(&name, station(0)).unwrap();
    drive(&mut server, "refusing a station", |server| server.counters().refused == 1);
    let taken = late.wait_attached(PATIENCE).unwrap_err();
    assert!(matches!(taken, ConnectError::Taken { .. }), "{taken}");
    assert!(first.is_connected() && !late.is_connected());

    drop(server);
    first.send(frame(0x100, 0));
    assert!(!first.is_connected());
    assert_eq!(first.receive(), None);
    Server::bind(&name, BITRATE).unwrap();
}

#[test]
fn a_station_that_does_not_read_loses_frames_and_disturbs_nobody() {
    let name = name("asleep");
    let mut server = Server::bind(&name, 1_000_000).unwrap();
    let mut left = attached(&mut server, &name, station(0));
    let mut right = attached(&mut server, &name, station(1));
    let mut asleep = attached(&mut server, &name, station(2));
    for byte in 0..=255 {
        left.send(frame(0x100, byte));
        assert_eq!(heard(&mut server, &mut right).frame, frame(0x100, byte));
    }
    let lost = server.counters().unread;
    let kept = std::iter::from_fn(|| asleep.receive()).count();
    assert!(kept >= 32, "a queue of {kept} frames is too short for a pause of a few periods");
    assert_eq!(u64::try_from(kept).unwrap() + lost, 256);
    assert!(asleep.is_connected());
}

#[test]
fn a_server_that_did_not_look_for_long_takes_the_newest_frame_only() {
    let name = name("coalesced");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let mut left = attached(&mut server, &name, station(0));
    let mut right = attached(&mut server, &name, station(1));
    for byte in 0..20 {
        left.send(frame(0x100, byte));
    }
    assert_eq!(heard(&mut server, &mut right).frame, frame(0x100, 19));
    drive(&mut server, "an idle bus", |server| server.next_event().is_none());
    assert_eq!(right.receive(), None);
    assert_eq!(server.counters().replaced, 19);
    while left.lost() == 0 {
        left.send(frame(0x100, 0));
    }
    assert!(left.is_connected());
}

#[test]
fn strangers_are_turned_away() {
    use rustix::net::{
        AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
    };
    let name = name("stranger");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let address = SocketAddrUnix::new_abstract_name(format!("twinhelm/bus/{name}").as_bytes()).unwrap();
    let stranger = || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &address).unwrap();
        socket
    };
    let talker = stranger();
    send(&talker, b"good morning", SendFlags::NOSIGNAL).unwrap();
    drive(&mut server, "turning a talker away", |server| server.counters().malformed == 1);
    // Connections that say nothing do not keep a station out.
    let _silent: Vec<_> = (0..10).map(|_| stranger()).collect();
    attached(&mut server, &name, station(0));
}

/// The station that the next test kills. Without its bus, as in an ordinary run, it is no test.
#[test]
fn child_station() {
    let Ok(name) = std::env::var(CHILD_BUS) else { return };
    let mut client = Client::connect(&name, station(1)).unwrap();
    client.wait_attached(PATIENCE).unwrap();
    while client.is_connected() {
        client.wait(now() + PATIENCE);
        while let Some(Received { frame: Frame { data, .. }, .. }) = client.receive() {
            client.send(Frame { id: CHILD_ID, len: 8, data });
        }
    }
}

fn start_child(name: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_station", "--test-threads=1"]).env(CHILD_BUS, name);
    child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_station_killed_by_sigkill_disturbs_nobody_and_its_successor_takes_its_place() {
    let name = name("killed");
    let mut server = Server::bind(&name, BITRATE).unwrap();
    let mut left = attached(&mut server, &name, station(0));
    let mut third = attached(&mut server, &name, station(2));
    for round in 0..2 {
        let mut child = start_child(&name);
        drive(&mut server, "the child's arrival", |server| server.is_attached(station(1)));
        left.send(frame(0x100, round));
        assert_eq!(heard(&mut server, &mut third).frame, frame(0x100, round));
        assert_eq!(heard(&mut server, &mut left).frame, frame(CHILD_ID, round));
        assert_eq!(heard(&mut server, &mut third).frame, frame(CHILD_ID, round));

        child.kill().unwrap();
        child.wait().unwrap();
        left.send(frame(0x100, 100 + round));
        assert_eq!(heard(&mut server, &mut third).frame, frame(0x100, 100 + round));
        assert!(!server.is_attached(station(1)));
    }
    assert_eq!((server.two_senders(), server.counters().unread), (None, 0));
}
