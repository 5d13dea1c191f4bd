//! Keys as their users have them: made by `twinhelm keys init`, and asked for at each end of a link.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::term::Slot;
use twinhelm_standby::{Header, NotReady, Order, RoleName, Sample};
use twinhelm_zenoh::agents::AgentLine;
use twinhelm_zenoh::fleet::{FleetLine, Heard};
use twinhelm_zenoh::{Hub, Link, LinkPort, Settings, watch_strangers};

const TWINHELM: &str = env!("CARGO_BIN_EXE_twinhelm");
/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// No cycle that was told comes here.
const FORGED: u64 = 1 << 40;

fn keys(folder: &Path, members: &[&str]) -> Output {
    let to = folder.display().to_string();
    let arguments = [&["keys", "init", "--to", &to], members].concat();
    Command::new(TWINHELM).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

/// A fleet whose members' folders are here.
fn fleet() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let members = ["left=0", "right=1", "depot", "--person", "anna", "--watcher", "page", "--router", "cloud"];
    let made = keys(folder.path(), &members);
    assert!(made.status.success(), "{made:?}");
    folder
}

fn endpoint(transport: &str) -> String {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, beyond, high, low] = std::process::id().to_be_bytes();
    format!("{transport}/127.{high}.{low}.{count}:{}", 7_510 + u16::from(beyond))
}

fn settings(listen: &[&str], connect: &[&str], keys: Option<PathBuf>) -> Settings {
    let owned = |endpoints: &[&str]| endpoints.iter().map(|&one| one.to_owned()).collect();
    Settings {
        vehicle: "demo".to_owned(),
        listen: owned(listen),
        connect: owned(connect),
        link_lease: Duration::from_secs(1),
        keep_alive: 4,
        keys,
    }
}

/// A router, and what it hears under a name.
fn hub(at: &str, keys: PathBuf, name: &str) -> (Hub, FleetLine, Receiver<Heard>) {
    let hub = Hub::open(&settings(&[at], &[], Some(keys))).expect("a router");
    let (hear, heard) = channel();
    let line = hub.fleet(name, move |it| drop(hear.send(it))).expect("a line");
    (hub, line, heard)
}

fn line(at: &str, keys: PathBuf, name: &str) -> (FleetLine, Receiver<Heard>) {
    let (hear, heard) = channel();
    let line = FleetLine::open(name, &settings(&[], &[at], Some(keys)), move |it| drop(hear.send(it)));
    (line.expect("it is let in"), heard)
}

/// Says and says until something is heard that `holds`; returns all that was heard until then.
#[track_caller]
fn until(heard: &Receiver<Heard>, say: impl Fn(), holds: impl Fn(&Heard) -> bool) -> Vec<Heard> {
    let (mut all, end) = (Vec::new(), Instant::now() + PATIENCE);
    while Instant::now() < end {
        say();
        while let Ok(one) = heard.recv_timeout(Duration::from_millis(20)) {
            all.push(one);
            if all.last().is_some_and(&holds) {
                return all;
            }
        }
    }
    panic!("never; heard {all:?}");
}

fn is_word(from: &str) -> impl Fn(&Heard) -> bool + '_ {
    move |heard| matches!(heard, Heard::Word { from: said, .. } if said == from)
}

#[test]
fn members_know_each_other_and_speak_in_their_own_names_alone() {
    let folder = fleet();
    let of = |name: &str| folder.path().join(name);
    let at = endpoint("quic");
    let (_hub, cloud, heard) = hub(&at, of("cloud"), "cloud");

    // A person's word arrives, and the answer comes back; a device's offer as well.
    let (anna, answers) = line(&at, of("anna"), "anna~1");
    until(&heard, || anna.say("cloud", b"hello".to_vec()), is_word("anna~1"));
    until(&answers, || cloud.say("anna~1", b"hello".to_vec()), is_word("cloud"));
    let (left, words_to_left) = line(&at, of("left"), "left");
    let is_offer = |heard: &Heard| matches!(heard, Heard::Offer { device, .. } if device == "left");
    until(&heard, || left.offer(b"an offer".to_vec()), is_offer);

    // Through the router, from one member to another.
    until(&words_to_left, || anna.say("left", b"through".to_vec()), is_word("anna~1"));

    // Whoever takes another's name is not heard: what is said after it, in the own name, is.
    let (as_left, _) = line(&at, of("page"), "left");
    let (page, _) = line(&at, of("page"), "page~1");
    let said = || {
        as_left.say("cloud", b"forged".to_vec());
        as_left.offer(b"forged".to_vec());
        as_left.note(b"forged".to_vec());
        page.say("cloud", b"honest".to_vec());
    };
    // Often, so that what was forged had its time.
    for _ in 0..20 {
        let all = until(&heard, said, is_word("page~1"));
        assert!(!all.iter().any(is_forged), "{all:?}");
    }
}

/// The agent of a device, and what it hears.
fn agent(slot: Slot, settings: &Settings, name: &str) -> (AgentLine, FleetLine, Receiver<Heard>) {
    let (hear, heard) = channel();
    let agent = AgentLine::open(slot, settings).expect("an agent");
    let line = agent.fleet(name, "demo", move |it| drop(hear.send(it))).expect("a line");
    (agent, line, heard)
}

#[test]
fn agents_who_meet_at_a_router_hear_each_other_and_neighbours_there_hear_each_word_once() {
    let folder = fleet();
    let of = |name: &str| Some(folder.path().join(name));
    let (at, door) = (endpoint("quic"), endpoint("quic"));
    let (_hub, ..) = hub(&at, folder.path().join("cloud"), "cloud");
    let (left_agent, left, heard_by_left) = agent(Slot::LEFT, &settings(&[&door], &[&at], of("left")), "left");
    let (_right, right, heard_by_right) = agent(Slot::RIGHT, &settings(&[], &[&at], of("right")), "right");
    let is_offer = |heard: &Heard| matches!(heard, Heard::Offer { device, .. } if device == "left");
    until(&heard_by_right, || left.offer(b"an offer".to_vec()), is_offer);
    until(&heard_by_left, || right.say("left", b"hello".to_vec()), is_word("right"));

    // Depot is left's neighbour, too. It comes by both ways, once both are there.
    let (depot_agent, depot, _) = agent(Slot::LEFT, &settings(&[], &[&at, &door], of("depot")), "depot");
    until(&heard_by_right, || depot.say("right", b"hello".to_vec()), is_word("depot"));
    let count = AtomicU8::new(0);
    let say = || depot.say("left", vec![count.fetch_add(1, Ordering::Relaxed)]);
    let is_last =
        |heard: &Heard| matches!(heard, Heard::Word { from, bytes } if from == "depot" && bytes[0] >= 100);
    let all = until(&heard_by_left, say, is_last);
    let mut words: Vec<_> =
        all.iter().filter(|heard| is_word("depot")(heard)).map(|heard| format!("{heard:?}")).collect();
    let heard = words.len();
    words.sort_unstable();
    words.dedup();
    assert!(heard > 50 && words.len() == heard, "{} of {heard} are different", words.len());

    // What it asks is answered by both ways as well.
    let stock = |agent: &AgentLine, name| agent.stock(name, "demo").expect("a stock");
    let (of_left, of_depot) = (stock(&left_agent, "left"), stock(&depot_agent, "depot"));
    of_left.keep("plan", b"a course".to_vec());
    let ask = || of_depot.ask(Duration::from_secs(1)).expect("it asks").len();
    let answers: Vec<_> = (0..20).map(|_| ask()).collect();
    assert!(answers.contains(&1) && answers.iter().all(|count| *count <= 1), "{answers:?}");
}

#[test]
fn whoever_is_on_a_devices_machine_speaks_to_it_and_not_for_it() {
    let folder = fleet();
    let of = |name: &str| Some(folder.path().join(name));
    let (door, inside) = (endpoint("quic"), endpoint("tcp"));
    // Left lets the fleet in by one door, and whoever is on its machine by the other.
    let left = AgentLine::open(Slot::LEFT, &settings(&[&door, &inside], &[], of("left"))).expect("an agent");
    let (hear, heard_by_left) = channel();
    let to_left = left.fleet("left", "demo", move |it| drop(hear.send(it))).expect("a line");
    let right = AgentLine::open(Slot::RIGHT, &settings(&[], &[&door], of("right"))).expect("an agent");
    let (hear, heard_by_right) = channel();
    let _to_right = right.fleet("right", "demo", move |it| drop(hear.send(it))).expect("a line");
    let local = FleetLine::open("left", &settings(&[], &[&inside], None), |_| {}).expect("it is on the machine");

    let said = || {
        local.say("right", b"forged".to_vec());
        local.offer(b"forged".to_vec());
        local.note(b"forged".to_vec());
        local.say("left", b"to the device itself".to_vec());
        to_left.say("right", b"honest".to_vec());
    };
    until(&heard_by_left, said, is_word("left"));
    for _ in 0..20 {
        let all = until(&heard_by_right, said, is_word("left"));
        assert!(!all.iter().any(is_forged), "{all:?}");
    }
}

#[test]
fn a_watcher_answers_for_nobody() {
    let folder = fleet();
    let of = |name: &str| folder.path().join(name);
    let at = endpoint("quic");
    let (_hub, cloud, heard) = hub(&at, of("cloud"), "cloud");
    let (left, _) = line(&at, of("left"), "left");
    left.note(b"an entry".to_vec());
    // It says that it has left's timeline, and would answer whoever asks for it.
    let (posing, _) = line(&at, of("page"), "left");
    posing.keep(b"forged".to_vec());
    let (page, _) = line(&at, of("page"), "page~1");
    let mut answers = 0;
    for _ in 0..20 {
        until(&heard, || page.say("cloud", b"still here".to_vec()), is_word("page~1"));
        let told = cloud.events(PATIENCE).expect("it asks");
        // On a machine that stalls left may be connecting again.
        assert!(told.iter().all(|entry| *entry == ("left".to_owned(), b"an entry".to_vec())), "{told:?}");
        answers += told.len();
    }
    assert!(answers > 0, "left answers");
}

fn is_forged(heard: &Heard) -> bool {
    let (Heard::Word { bytes, .. } | Heard::Offer { bytes, .. } | Heard::Event { bytes, .. }) = heard;
    bytes == b"forged"
}

/// A device's sample that says nothing but who it is of, and when.
fn sample(slot: Slot, cycle: u64) -> Sample<u8, u8> {
    let header = Header {
        slot,
        cycle: Cycle::new(cycle),
        term: None,
        role: RoleName::Standby,
        ready: Err(NotReady::NotJudged),
        sent: false,
        checked: true,
        divergence: None,
        disputes: false,
        digest: 0,
        relayed: [None; 4],
    };
    Sample { header, published: None }
}

#[test]
fn devices_share_their_state_and_nobody_else_puts_words_into_their_mouths() {
    let folder = fleet();
    let of = |name: &str| Some(folder.path().join(name));
    let (at_left, at_right) = (endpoint("quic"), endpoint("quic"));
    let open = |slot, listen: &[&str], connect: &[&str], keys| {
        Link::open::<u8, u8>(slot, &settings(listen, connect, keys)).expect("a link")
    };
    let (_left, mut left) = open(Slot::LEFT, &[&at_left], &[], of("left"));
    let (_right, mut right) = open(Slot::RIGHT, &[&at_right], &[&at_left], of("right"));
    // Somebody of the fleet who is not that device, and says so all the time.
    let (_posing, mut posing) = open(Slot::LEFT, &[], &[&at_right], of("page"));
    let (mut heard, mut is_connected, mut cycle, end) = (0, false, 0, Instant::now() + PATIENCE);
    while heard < 50 {
        assert!(Instant::now() < end, "{heard} were heard");
        right.publish(&sample(Slot::RIGHT, cycle));
        is_connected |= posing.peer().is_some();
        cycle += 1;
        left.publish(&sample(Slot::LEFT, cycle));
        posing.publish(&sample(Slot::LEFT, FORGED + cycle));
        if let Some(sample) = right.peer().and_then(|heard| heard.sample) {
            assert!(sample.header.cycle.number() < FORGED, "it was told by somebody else");
            heard += u32::from(is_connected);
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_device_that_is_at_a_router_hears_its_own_orders_and_samples_once() {
    let folder = fleet();
    let of = |name: &str| folder.path().join(name);
    let (at, inside) = (endpoint("quic"), endpoint("tcp"));
    let (hub, _cloud, heard) = hub(&at, of("cloud"), "cloud");
    let seen = hub.observer::<u8, u8>().expect("an observer");
    let (_link, mut mission) =
        Link::open::<u8, u8>(Slot::LEFT, &settings(&[&inside], &[&at], Some(of("left")))).expect("a mission");
    let (agent, line, _) = agent(Slot::LEFT, &settings(&[], &[&at, &inside], Some(of("left"))), "left");
    let is_offer = |heard: &Heard| matches!(heard, Heard::Offer { .. });
    until(&heard, || line.offer(b"an offer".to_vec()), is_offer);
    drop(agent.ear().take_own());
    let (mut own, mut cycle, end) = (Vec::new(), 0, Instant::now() + PATIENCE);
    // Publishes a sample; returns whether the router has heard one.
    let mut turn = |mission: &mut LinkPort<u8, u8>| {
        assert!(Instant::now() < end, "{} came", own.len());
        cycle += 1;
        mission.publish(&sample(Slot::LEFT, cycle));
        let is_seen = seen.next(Duration::from_millis(2)).is_some();
        own.extend(agent.ear().take_own().0);
        (is_seen, own.len())
    };
    // Until both ways are there.
    let mut is_seen = false;
    while !is_seen || turn(&mut mission).1 < 50 {
        is_seen |= turn(&mut mission).0;
    }
    let mut orders = 0;
    for _ in 0..20 {
        agent.order("demo", Slot::LEFT, Order::Switchover).expect("it is sent");
        let before = orders;
        while orders == before {
            turn(&mut mission);
            orders += std::iter::from_fn(|| mission.order()).count();
        }
    }
    // One that came by the longer way would be late.
    for _ in 0..50 {
        turn(&mut mission);
        orders += std::iter::from_fn(|| mission.order()).count();
    }
    assert_eq!(orders, 20);
    let mut cycles: Vec<_> = own.iter().map(|sample| sample.header.cycle).collect();
    cycles.sort_unstable();
    cycles.dedup();
    assert_eq!(cycles.len(), own.len(), "samples came twice");
}

#[test]
fn a_stranger_is_not_let_in_and_is_told_of() {
    let (folder, other) = (fleet(), fleet());
    let (tell, told) = channel();
    assert!(watch_strangers(move |why| drop(tell.send(why))), "the first of this process");
    let at = endpoint("quic");
    let (_hub, _cloud, heard) = hub(&at, folder.path().join("cloud"), "cloud");

    // With keys of another fleet.
    let settings_of_other = settings(&[], &[&at], Some(other.path().join("anna")));
    let refused = FleetLine::open("anna~1", &settings_of_other, |_| {}).expect_err("it is no member");
    assert!(refused.to_string().contains("does it know these keys?"), "{refused}");
    let why = told.recv_timeout(PATIENCE).expect("it is told");
    // Its own side refuses as well, and says so: what is told is what came from there.
    assert!(!why.is_empty());

    // Without any.
    let plain = at.replace("quic/", "tcp/");
    FleetLine::open("anna~1", &settings(&[], &[&plain], None), |_| {}).expect_err("nobody is there");
    assert!(heard.try_recv().is_err(), "nothing was heard of either");
}

#[test]
fn a_door_that_somebody_else_has_is_named() {
    let folder = fleet();
    let at = endpoint("quic");
    let _taken = UdpSocket::bind(at.trim_start_matches("quic/")).expect("a port");
    let of_cloud = Some(folder.path().join("cloud"));
    let Err(error) = Hub::open(&settings(&[&at], &[], of_cloud)) else { panic!("it is taken") };
    assert!(error.to_string().contains(&format!("listening on {at}: the port is in use")), "{error}");
}

#[test]
fn strangers_who_knock_all_the_time_keep_no_member_out() {
    let (folder, other) = (fleet(), fleet());
    let of = |name: &str| folder.path().join(name);
    let at = endpoint("quic");
    let (_hub, _cloud, heard) = hub(&at, of("cloud"), "cloud");
    // Devices of another fleet, which try for ever, and what is no handshake at all.
    let wrong = settings(&[], &[&at], Some(other.path().join("left")));
    let strangers = (0..8).map(|_| AgentLine::open(Slot::LEFT, &wrong).expect("it waits"));
    let _strangers: Vec<AgentLine> = strangers.collect();
    let (over, is_over) = channel::<()>();
    let address = at.trim_start_matches("quic/").to_owned();
    let every = Duration::from_millis(5);
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        while is_over.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            // Whatever becomes of it.
            let _ = socket.send_to(b"knock, knock", &address);
        }
    });
    for count in 0..5 {
        let name = format!("anna~{count}");
        let (anna, _) = line(&at, of("anna"), &name);
        until(&heard, || anna.say("cloud", b"hello".to_vec()), is_word(&name));
    }
    drop(over);
}

#[test]
fn members_come_and_go_and_keep_their_keys() {
    let folder = fleet();
    let of = |name: &str| folder.path().join(name);
    let secret = fs::metadata(of("left").join("own.key")).expect("a key");
    assert_eq!(secret.permissions().mode() & 0o777, 0o600, "for its owner's eyes alone");
    assert!(!of("left").join("ca.key").exists(), "the authority's key stays with it");
    let key = |name: &str| fs::read(of(name).join("own.key")).expect("a key");
    let (left, anna) = (key("left"), key("anna"));

    // `page` is dropped, `bert` is new, and anna is a watcher now.
    let made =
        keys(folder.path(), &["left=0", "right=1", "--person", "bert", "--watcher", "anna", "--router", "cloud"]);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success() && said.contains("page has a folder here and is no member any more"), "{said}");
    assert!(key("left") == left && key("anna") != anna, "who stays what it was keeps its key");
    let at = endpoint("quic");
    let (_hub, _cloud, heard) = hub(&at, of("cloud"), "cloud");
    let (bert, _) = line(&at, of("bert"), "bert~1");
    let (page, _) = line(&at, of("page"), "page~1");
    for _ in 0..20 {
        let said = || {
            page.say("cloud", b"still here".to_vec());
            bert.say("cloud", b"new here".to_vec());
        };
        let all = until(&heard, said, is_word("bert~1"));
        assert!(!all.iter().any(is_word("page~1")), "a certificate alone makes no member");
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_to_write() {
    let folder = TempDir::new().expect("a folder");
    for (members, says) in [
        (&["left=4"][..], "write NAME=SLOT with a slot from 0 to 3"),
        (&["left=0", "right=0"], "left and right both have slot 0"),
        (&["left=0", "left=1"], "two devices have one name"),
        (&["left=0", "--person", "left"], "left is in it twice"),
        (&["le/ft=0"], "\"le/ft\" names no member: write letters, digits and dashes"),
        (&["authority"], "call the member otherwise"),
    ] {
        let refused = keys(folder.path(), members);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(says), "{members:?}: {said}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "and nothing is written");
    let other = keys(folder.path(), &["left=0", "--vehicle", "a/b"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && said.contains("means something in a Zenoh key"), "{said}");

    // An authority of another vehicle, and one that has lost its key.
    let of_demo = fleet();
    let other = keys(of_demo.path(), &["left=0", "--vehicle", "other"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && said.contains("it is not the authority of \"other\""), "{said}");
    fs::remove_file(of_demo.path().join("authority/ca.key")).expect("a key");
    let without = keys(of_demo.path(), &["left=0", "more=2"]);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(without.status.code() == Some(2) && said.contains("so nobody can be made a member"), "{said}");

    // Keys that are not a device's.
    let keys_folder = fleet();
    let config = |device: &str, keys: &str| {
        let example = Command::new(TWINHELM).args(["agent", "--example"]).output().expect("it runs").stdout;
        let text = String::from_utf8(example).expect("text");
        let keys = keys_folder.path().join(keys).display().to_string();
        let text = text.replace("/etc/twinhelm/keys", &keys).replace("\"right\" ", &format!("\"{device}\" "));
        let path = folder.path().join("agent.toml");
        fs::write(&path, text).expect("a file");
        let checked = Command::new(TWINHELM).args(["agent", "--check", "--config"]).arg(&path).output();
        let Output { status, stderr, .. } = checked.expect("it runs");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    };
    assert_eq!(config("right", "right").0, Some(0));
    for (device, keys, says) in [
        ("right", "left", "link.keys are those of \"left\", and device = \"right\""),
        ("anna", "anna", "link.keys are those of a person who may order, not of a device"),
        ("left", "left", "slot = 1, and link.keys say 0: write that, or make keys with left=1"),
        ("depot", "depot", "slot = 1, and link.keys say none"),
        ("right", "nobody", "write the folder that `twinhelm keys init` made for this member"),
    ] {
        let (code, said) = config(device, keys);
        assert!(code == Some(2) && said.contains(says), "{device} {keys}: {said}");
    }
}
