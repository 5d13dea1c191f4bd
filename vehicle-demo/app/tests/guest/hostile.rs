//! What `canplayer` replays drives the vehicle; what is not the holder's next command moves nothing, however much comes.

use crate::tools::vehicle::{Vehicle, command};
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{COMMAND_ID, COUNTERS_ID, CommandFrame, Frame, STATUS_ID};
use twinhelm_hal::ports::Bus as _;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{SLOTS, Slot, Term};
use twinhelm_hil::rng::Rng;
use twinhelm_linux::can::{CanBus, Wants};
use twinhelm_linux::clock::now;
use twinhelm_rigs::guest::inside::call;
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::report::log::Event;
use twinhelm_vehicle::signals::LAYOUT;

/// A guest wakes a thread late; the gate waits for five of them.
const PERIOD: Duration = Duration::from_millis(40);
const COMMANDS: u64 = 60;
/// What an attacker would like: full lock to the right, full speed.
const ATTACK: Signals = Signals::of_16_bits([-5_000, 4_000]);

fn config() -> Config {
    let mut parameters = Parameters::at_period(PERIOD);
    parameters.ftti = Duration::from_millis(400);
    Config::new(parameters).unwrap()
}

/// Writes a log as `candump -L` does: `COMMANDS` commands from `first` on, one each period, counting up in the steering.
fn log(path: &str, term: Term, first: u64) {
    let mut lines = String::new();
    for count in 0..COMMANDS {
        let signals = Signals::of_16_bits([i16::try_from(count).unwrap(), 100]);
        let frame = command(term, first + count, signals);
        let at = PERIOD * u32::try_from(count).unwrap();
        let data: String = frame.data.iter().fold(String::new(), |mut data, byte| {
            write!(data, "{byte:02X}").unwrap();
            data
        });
        writeln!(lines, "({}.{:06}) vcan0 {:03X}#{data}", at.as_secs(), at.subsec_micros(), frame.id).unwrap();
    }
    std::fs::write(path, lines).unwrap();
}

/// Returns a frame of each sort that no gate may act on: the holder is in `term`, behind `cycle`.
fn hostile(rng: &mut Rng, term: Term, cycle: u64) -> Vec<Frame> {
    let valid = command(term, cycle + 1, ATTACK);
    let mut wrong_crc = valid;
    wrong_crc.data[0] ^= 1 + rng.below(255).to_le_bytes()[0];
    let mut short = valid;
    short.len = 7;
    let mut on_another_identifier = valid;
    on_another_identifier.id = COMMAND_ID + 1;
    let mut far = valid;
    far.id = COMMAND_ID + u16::from(SLOTS);
    let mut frames = vec![wrong_crc, short, on_another_identifier, far];
    frames.push(command(term, cycle + 1, Signals::of_16_bits([i16::MAX, i16::MIN])));
    frames.extend([STATUS_ID, COUNTERS_ID].map(|id| Frame { id, ..wrong_crc }));
    // Left's term in right's frame, and right.
    let wrong_slot = CommandFrame { slot: Slot::RIGHT, ..CommandFrame::decode(&valid).unwrap() };
    frames.push(wrong_slot.encode());
    let random = std::iter::repeat_with(|| Frame {
        id: u16::try_from(rng.below(0x800)).unwrap(),
        len: 8,
        data: std::array::from_fn(|_| rng.below(256).to_le_bytes()[0]),
    });
    // One in 256 has the right check sum by chance: it has no key, and docs/protocol.md says so.
    frames.extend(random.filter(|frame| CommandFrame::decode(frame).is_err()).take(8));
    frames
}

/// Sends `frame`, waiting for the kernel where it must.
fn send(bus: &mut CanBus, frame: Frame) {
    bus.send(frame);
    let until = now() + Duration::from_secs(10);
    while bus.is_sending() {
        assert!(now() < until, "{frame:?} does not reach the wire");
        bus.wait(until);
        while bus.receive().is_some() {}
    }
}

#[test]
#[ignore = "runs in the guest"]
fn inside_a_replayed_log_drives_the_vehicle_and_hostile_traffic_does_not() {
    call("ip link add vcan0 type vcan");
    call("ip link set vcan0 up");
    let vehicle = Vehicle::start(config(), "twinhelm-hostile", Some("vcan0"));
    let mut attacker = CanBus::open("vcan0", Wants::All, 1, Duration::from_secs(10), false).unwrap();
    let mut rng = Rng::new(7, 0);
    let term = Term::next_of(Slot::LEFT, Some(Term::next_of(Slot::LEFT, None)));
    let older = Term::next_of(Slot::LEFT, None);
    let path = "/run/drive.log";
    log(path, term, 1_000);

    // Before anybody drives.
    for _ in 0..20 {
        for frame in hostile(&mut rng, term, 0) {
            send(&mut attacker, frame);
        }
    }
    // While the log drives: the same, and what was true once. A flood in the background, too.
    let mut player =
        Command::new("canplayer").args(["-I", path, "vcan0=vcan0"]).stdout(Stdio::null()).spawn().unwrap();
    let mut flood = Command::new("cangen")
        .args("vcan0 -g 2 -I 5A5 -L 8 -D r".split(' '))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut sent = 0;
    while player.try_wait().unwrap().is_none() {
        for frame in hostile(&mut rng, term, 1_000) {
            send(&mut attacker, frame);
            sent += 1;
        }
        // Of the past: an older term with the next cycle, and the log's own first cycles with another content.
        send(&mut attacker, command(older, 1_000 + COMMANDS, ATTACK));
        attacker.wait(now() + PERIOD / 4);
    }
    // All of it once more: every cycle was acted on before.
    call(&format!("canplayer -I {path} vcan0=vcan0"));
    flood.kill().unwrap();
    flood.wait().unwrap();

    let events = vehicle.finish().events;
    let mut acted: Vec<(Cycle, Signals)> = Vec::new();
    for (_, event) in &events {
        if let Event::Acted { cycle, signals, .. } = event {
            acted.push((*cycle, *signals));
        }
    }
    println!("{} of {COMMANDS} commands acted on beside {sent} hostile frames and a flood", acted.len());
    // The first of two opens nothing, and a guest may stand still for longer than a gate waits.
    assert!(acted.len() as u64 >= COMMANDS / 2, "{acted:?}");
    assert!(
        acted.iter().all(|(_, signals)| LAYOUT.counts(signals).nth(1) == Some(100)),
        "nobody else's: {acted:?}"
    );
    assert!(acted.is_sorted_by(|(one, _), (next, _)| one < next), "each cycle once: {acted:?}");
}
