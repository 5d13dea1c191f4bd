//! The SocketCAN door against the kernel, and against the tools that everybody uses.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use twinhelm_hal::bus::Station;
use twinhelm_hal::frame::{COMMAND_ID, COUNTERS_ID, Frame, STATUS_ID};
use twinhelm_hal::ports::{Bus as _, Confinement, Received};
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Duration;
use twinhelm_linux::can::{CanBus, Interface, OpenError, Setup, Wants};
use twinhelm_linux::clock;
use twinhelm_linux::listener::{BusPlace, ListenError, Listener};
use twinhelm_rigs::guest::inside::call;

const PATIENCE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_millis(10);

/// No frame grows too old here: how a queue forgets is tried in virtual time (`can::outbox`), and a guest may stand still for
/// longer than a period.
fn open(interface: &str, wants: Wants) -> Result<CanBus, OpenError> {
    CanBus::open(interface, wants, 1, PATIENCE, false)
}

fn frame(id: u16, byte: u8) -> Frame {
    Frame { id, len: 8, data: [byte; 8] }
}

/// Returns the next frame, waited for.
fn next(bus: &mut CanBus) -> Received {
    let until = clock::now() + PATIENCE;
    loop {
        if let Some(received) = bus.receive() {
            return received;
        }
        assert!(clock::now() < until, "no frame comes");
        bus.wait(until);
    }
}

/// Sends `frame`, and waits until it and what waited before it are on the wire: the kernel may take its time to say so.
/// Returns what was heard meanwhile.
fn send(bus: &mut CanBus, frame: Frame) -> Vec<Frame> {
    bus.send(frame);
    let until = clock::now() + PATIENCE;
    let mut heard = Vec::new();
    while bus.is_sending() {
        assert!(clock::now() < until, "{frame:?} does not reach the wire");
        bus.wait(until);
        heard.extend(std::iter::from_fn(|| bus.receive()).map(|received| received.frame));
    }
    heard
}

fn set_up_vcan0() {
    call("ip link add vcan0 type vcan");
    call("ip link set vcan0 up");
}

/// Lets the bus take in what is there, and returns how its controller stands.
fn stands(bus: &mut CanBus) -> Confinement {
    while bus.receive().is_some() {}
    bus.confinement()
}

#[test]
#[ignore = "runs in the guest"]
fn inside_an_interface_that_is_absent_down_or_gone_is_told_and_found_again() {
    let error = open("can9", Wants::Device).unwrap_err().to_string();
    assert!(error.contains("no CAN interface \"can9\"") && error.contains("ip link add can9 type vcan"), "{error}");
    assert!(Interface::find("can9").unwrap_err().to_string().contains("no interface \"can9\""));

    call("ip link add can9 type vcan");
    let mut device = open("can9", Wants::Device).unwrap();
    assert_eq!(stands(&mut device), Confinement::Off, "it is down");
    let interface = Interface::find("can9").unwrap();
    assert_eq!(interface.confinement().unwrap(), Confinement::Off);
    let refused = interface.bring_up(Setup { bitrate: Some(500_000), data_bitrate: None }).unwrap_err().to_string();
    assert!(refused.contains("setting the bitrate of can9"), "a vcan has none: {refused}");
    interface.bring_up(Setup { bitrate: None, data_bitrate: None }).unwrap();
    assert_eq!(interface.confinement().unwrap(), Confinement::Active);
    let mut other = open("can9", Wants::All).unwrap();
    send(&mut other, frame(STATUS_ID, 1));
    assert_eq!(next(&mut device).frame, frame(STATUS_ID, 1));
    assert_eq!(device.confinement(), Confinement::Active, "whoever hears is on the bus");

    call("ip link set can9 down");
    assert_eq!(stands(&mut device), Confinement::Off, "it went down while driving");
    device.send(frame(COMMAND_ID, 2));
    assert_eq!(device.counters().refused, 1);
    call("ip link set can9 up");
    while other.receive().is_some() {}
    other.send(frame(STATUS_ID, 3));
    assert_eq!(next(&mut device).frame, frame(STATUS_ID, 3));

    call("ip link del can9");
    assert_eq!(stands(&mut device), Confinement::Off, "it is gone, as an adapter that was unplugged");
    call("ip link add can9 type vcan");
    call("ip link set can9 up");
    let mut other = open("can9", Wants::All).unwrap();
    // It looks now and then.
    let until = clock::now() + PATIENCE;
    while device.confinement() == Confinement::Off {
        assert!(clock::now() < until, "it is not found again");
        other.send(frame(STATUS_ID, 4));
        while other.receive().is_some() {}
        let _heard = device.receive();
    }
    device.send(frame(COMMAND_ID, 5));
    while next(&mut other).frame != frame(COMMAND_ID, 5) {}
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_full_queue_costs_the_frame_and_nothing_else() {
    set_up_vcan0();
    // Room for one frame, which takes its time: as behind a station that wins each arbitration.
    call("tc qdisc add dev vcan0 root netem delay 300ms limit 1");
    let mut other = open("vcan0", Wants::All).unwrap();
    let mut device = open("vcan0", Wants::Device).unwrap();
    other.send(frame(STATUS_ID, 1));
    device.send(frame(COMMAND_ID, 2));
    assert_eq!((device.counters().refused, device.confinement()), (1, Confinement::Active));
    assert!(!device.is_sending(), "what the kernel did not take is not sent later");
    assert_eq!(next(&mut device).frame, frame(STATUS_ID, 1));
    // When there is room again its frames go out as before.
    let until = clock::now() + PATIENCE;
    loop {
        assert!(clock::now() < until, "the queue stays full");
        device.send(frame(COMMAND_ID, 3));
        if std::iter::from_fn(|| other.receive()).any(|heard| heard.frame == frame(COMMAND_ID, 3)) {
            return;
        }
        let _heard = device.receive();
    }
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_device_wakes_only_for_what_it_wants() {
    set_up_vcan0();
    let mut others = open("vcan0", Wants::All).unwrap();
    let mut device = open("vcan0", Wants::Device).unwrap();
    let mut gate = CanBus::open("vcan0", Wants::Gate(1), 4, PATIENCE, false).unwrap();
    let commands = COMMAND_ID..COMMAND_ID + 4;
    let statuses = STATUS_ID..STATUS_ID + 4;
    for id in (0..0x7FF).filter(|id| *id != COUNTERS_ID + 1) {
        send(&mut others, frame(id, 0));
    }
    call("cansend vcan0 00000100#11"); // Extended.
    call("cansend vcan0 100#R"); // Remote.
    for bus in [&mut device, &mut gate] {
        let ids: Vec<u16> = std::iter::from_fn(|| bus.receive()).map(|received| received.frame.id).collect();
        assert_eq!(ids, commands.clone().chain(statuses.clone()).collect::<Vec<_>>());
    }
    gate.send(frame(COUNTERS_ID + 1, 1));
    let heard = send(&mut gate, frame(STATUS_ID + 1, 2));
    assert_eq!(heard, [], "its own counters come back, so its next frame goes out; it does not hear them");
    assert_eq!(next(&mut others).frame, frame(COUNTERS_ID + 1, 1));
    assert_eq!(next(&mut others).frame, frame(STATUS_ID + 1, 2));
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_listener_hears_the_bus_and_knows_when_it_does_not() {
    let place = BusPlace::Can("vcan0".to_owned());
    let ear = || Listener::open(&place, Station::of_ear(Slot::RIGHT));
    assert!(matches!(ear(), Err(ListenError::Can(OpenError::NoInterface { .. }))), "there is none yet");
    call("ip link add vcan0 type vcan");
    let down = ear().expect_err("it is down");
    assert_eq!(down.to_string(), "the CAN interface vcan0 is down: ip link set vcan0 up type can bitrate 500000");
    call("ip link set vcan0 up");
    let mut listener = ear().unwrap();
    let mut others = open("vcan0", Wants::All).unwrap();
    send(&mut others, frame(COMMAND_ID, 7));
    send(&mut others, frame(0x7F0, 7));
    let until = clock::now() + PATIENCE;
    let heard = loop {
        if let Some(received) = listener.receive() {
            break received.frame;
        }
        assert!(clock::now() < until, "no frame comes");
        listener.wait(until);
    };
    assert_eq!((heard, listener.receive()), (frame(COMMAND_ID, 7), None), "and not what is not ours");
    assert!(listener.is_connected());
    call("ip link set vcan0 down");
    assert_eq!(listener.receive(), None);
    assert!(!listener.is_connected(), "whoever is off the bus hears nobody drive, which means nothing");
}

#[test]
#[ignore = "runs in the guest"]
fn inside_the_controllers_errors_become_its_confinement() {
    set_up_vcan0();
    let mut device = open("vcan0", Wants::Device).unwrap();
    // Error frames as a driver makes them (linux/can/error.h): class in the identifier, details in the bytes.
    for (count, (told, stands_so)) in (1..).zip([
        ("20000004#0020000000000000", Confinement::Passive), // error-passive, sending
        ("20000004#0008000000000000", Confinement::Active),  // down to the warning level
        ("20000004#0010000000000000", Confinement::Passive), // error-passive, receiving
        ("20000004#0040000000000000", Confinement::Active),  // error-active again
        ("20000020#0000000000000000", Confinement::Active),  // nobody acknowledged: no change of state
        ("20000040#0000000000000000", Confinement::Off),     // bus-off
        ("20000100#0000000000000000", Confinement::Active),  // restarted
        ("20000040#0000000000000000", Confinement::Off),     // bus-off once more
    ]) {
        call(&format!("cansend vcan0 {told}"));
        let until = clock::now() + PATIENCE;
        while device.counters().errors < count {
            assert!(clock::now() < until, "{told} does not come");
            device.wait(until);
            assert_eq!(device.receive(), None, "an error frame is for the station alone");
        }
        assert_eq!(device.confinement(), stands_so, "{told}");
    }
    assert_eq!(device.counters().errors, 8);
    call("cansend vcan0 110#1122334455667788");
    assert_eq!(next(&mut device).frame.id, STATUS_ID);
    assert_eq!(device.confinement(), Confinement::Active, "whoever hears a frame is on the bus");
}

#[test]
#[ignore = "runs in the guest"]
fn inside_the_kernel_says_when_a_frame_came() {
    set_up_vcan0();
    let mut sender = open("vcan0", Wants::All).unwrap();
    let mut device = open("vcan0", Wants::Device).unwrap();
    let before = clock::now();
    sender.send(frame(STATUS_ID, 1));
    let after = clock::now();
    // The device looks later; the stamp does not change by that.
    while clock::now() < after + Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    let heard = next(&mut device);
    // Two clocks are read one after the other to compare them; that is what the tolerance is for.
    let slack = Duration::from_millis(5);
    assert!(heard.at + slack >= before && heard.at <= after + slack, "{before:?} {:?} {after:?}", heard.at);
}

#[test]
#[ignore = "runs in the guest"]
fn inside_candump_and_cansend_see_and_inject() {
    set_up_vcan0();
    let mut device = open("vcan0", Wants::Device).unwrap();
    // It ends with what it was started for: a marker that another tool sends.
    let mut dump =
        Command::new("candump").args(["-L", "vcan0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(dump.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap().split(' ').nth(2).unwrap().to_owned();
    // candump has no word for "ready": it is asked until it answers.
    let ready = std::thread::spawn({
        let mut asks = open("vcan0", Wants::Device).unwrap();
        move || {
            let until = clock::now() + PATIENCE;
            while clock::now() < until && !std::thread::panicking() {
                asks.send(frame(0x7FE, 0));
                asks.wait(clock::now() + PERIOD);
                while let Some(heard) = asks.receive() {
                    if heard.frame.id == STATUS_ID {
                        return;
                    }
                }
            }
        }
    });
    assert_eq!(line(), "7FE#0000000000000000");
    call("cansend vcan0 110#AA");
    ready.join().unwrap();
    assert_eq!(next(&mut device).frame, Frame { id: STATUS_ID, len: 1, data: [0xAA, 0, 0, 0, 0, 0, 0, 0] });
    device.send(Frame { id: COMMAND_ID, len: 3, data: [1, 2, 3, 0, 0, 0, 0, 0] });
    while line() != "100#010203" {}
    dump.kill().unwrap();
    dump.wait().unwrap();
}
