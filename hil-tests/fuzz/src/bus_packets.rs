//! Packets to the server of the userland bus, and to its client; and the readings' mailbox. The sockets are real: whoever reaches
//! the bus's name can send anything.

use crate::input::Input;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, send,
    sendto, socket_with,
};
use std::os::fd::OwnedFd;
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::Frame;
use twinhelm_hal::ports::Bus as _;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_linux::bus::{Client, Server};
use twinhelm_linux::datagram::{BYTES_MAX, Readings};

/// The bus's bitrate.
const BITRATE: u32 = 500_000;
/// So many clients an input can have.
const CLIENTS: usize = 3;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 3 {
        0 => to_server(input),
        1 => to_client(input),
        _ => to_mailbox(input),
    }
}

/// A name that no other process has.
fn name(what: &str) -> String {
    format!("fuzz-{what}-{}", std::process::id())
}

fn packets() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a socket")
}

fn of_bus(name: &str) -> SocketAddrUnix {
    SocketAddrUnix::new_abstract_name(format!("twinhelm/bus/{name}").as_bytes()).expect("a short name")
}

/// Who the client at a station is, as the bus's own client says it.
fn hello(station: u8) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[..8].copy_from_slice(b"twinhel\x01");
    packet[8] = station;
    packet
}

fn to_server(mut input: Input<'_>) {
    let name = name("server");
    let mut server = Server::bind(&name, BITRATE).expect("the name is free");
    server.attach_local(Station::new(7).expect("a station"), 4);
    let mut clients: Vec<OwnedFd> = Vec::new();
    let mut at = Instant::from_nanos(1_000_000_000);
    while !input.is_empty() {
        at += input.span();
        match input.u8() % 8 {
            0 | 1 if clients.len() < CLIENTS => {
                let client = packets();
                connect(&client, &of_bus(&name)).expect("a server listens");
                // Whoever says who it is may do as it likes then.
                let _ = send(&client, &hello(input.u8() % 10), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                clients.push(client);
            }
            2 => drop(clients.pop()),
            3 => server.offer_local(at, Station::new(7).expect("a station"), frame(&mut input)),
            4 | 5 => {
                if let Some(client) = clients.last() {
                    // A frame as a client would write it, with any numbers.
                    let mut packet = [0; 16];
                    packet[..2].copy_from_slice(&input.bytes::<2>());
                    packet[2] = input.u8() % 12;
                    packet[8..].copy_from_slice(&input.bytes::<8>());
                    let _ = send(client, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                }
            }
            _ => {
                let length = usize::from(input.u8() % 40);
                if let Some(client) = clients.first() {
                    let _ = send(client, input.slice(length), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                }
            }
        }
        server.poll(at, |_, frame| {
            assert!(frame.id < 0x800 && frame.len <= 8, "no CAN frame is like that");
            Some(frame)
        });
        while let Some(delivery) = server.next_delivery(at) {
            assert!(delivery.frame.len <= 8 && delivery.at <= at, "nothing is heard before its time");
        }
    }
    let _ = server.counters();
}

fn frame(input: &mut Input<'_>) -> Frame {
    Frame { id: input.u16() & 0x7FF, len: input.u8() % 9, data: input.bytes() }
}

fn to_client(mut input: Input<'_>) {
    let name = name("client");
    let server = packets();
    bind(&server, &of_bus(&name)).expect("the name is free");
    listen(&server, 1).expect("a listener");
    let Ok(mut client) = Client::connect(&name, Station::new(0).expect("a station")) else { return };
    let peer = accept_with(&server, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).expect("the client");
    while !input.is_empty() {
        if input.u8() % 2 == 0 {
            let mut packet = [0; 24];
            packet[..11].copy_from_slice(&input.bytes::<11>());
            packet[16..].copy_from_slice(&input.bytes::<8>());
            let _ = send(&peer, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        } else {
            let length = usize::from(input.u8() % 40);
            let _ = send(&peer, input.slice(length), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        while let Some(received) = client.receive() {
            assert!(received.frame.id < 0x800 && received.frame.len <= 8, "no CAN frame is like that");
        }
        client.send(Frame { id: 0x100, len: 8, data: [0; 8] });
    }
    let _ = client.wait_attached(Duration::ZERO);
}

fn to_mailbox(mut input: Input<'_>) {
    let name = name("readings");
    let mut mailbox = Readings::connect(&name, Slot::LEFT).expect("the name is free");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let sender = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a socket");
    let address = format!("twinhelm/readings/{name}/0");
    let address = SocketAddrUnix::new_abstract_name(address.as_bytes()).expect("a short name");
    while !input.is_empty() {
        let length = usize::from(input.u8());
        let bytes = input.slice(length);
        let sent = sendto(&sender, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &address);
        assert!(sent.is_ok(), "the mailbox is there: {sent:?}");
        let mut read = [0; BYTES_MAX];
        if let Some((_, length)) = mailbox.newest(&mut read) {
            assert!(length <= BYTES_MAX, "it fits");
        }
    }
}
