//! Devices, observers and an intruder, each with a Zenoh session of its own, on addresses that no other test has.
//!
//! Nothing here waits for a time: each wait ends with a condition, or fails after [`PATIENCE`].

#![expect(clippy::unwrap_used, reason = "Clippy takes the helpers of an integration test for something else")]

use std::error::Error;
use std::fmt::Debug;
use std::net::TcpListener;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Duration;
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::linger::lingering;
use twinhelm_standby::{Header, HeardSample, NotReady, Order, Published, Refusal, RoleName};
use twinhelm_zenoh::agents::{AgentLine, AgentWatch};
use twinhelm_zenoh::wire::{BYTES_MAX, Decoded, VERSION, decode, encode};
use twinhelm_zenoh::{Counters, Link, OBSERVED_MAX, Observed, OpenError, OrderError, Settings, SettingsError};
use zenoh::qos::CongestionControl;
use zenoh::sample::SampleKind;
use zenoh::{Session, Wait};

type State = [f64; 4];
type Memory = [f64; 8];
type Sample = twinhelm_standby::Sample<State, Memory>;
type LinkPort = twinhelm_zenoh::LinkPort<State, Memory>;
type Observer = twinhelm_zenoh::Observer<State, Memory>;

const LEFT: Slot = Slot::LEFT;
const RIGHT: Slot = Slot::RIGHT;
/// Far beyond what anything here takes, also on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint that no other test listens on, in this process or another: all of 127/8 is this machine. Linux counts
/// processes up to 2²², so what does not fit into the address goes into the port.
fn endpoint() -> String {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, beyond, high, low] = process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("tcp/127.{high}.{low}.{count}:{}", 7447 + u16::from(beyond))
}

fn settings(listen: &[&String], connect: &[&String]) -> Settings {
    let owned = |endpoints: &[&String]| endpoints.iter().map(|endpoint| (*endpoint).clone()).collect();
    Settings {
        vehicle: "demo".to_owned(),
        listen: owned(listen),
        connect: owned(connect),
        // Longer than a device would have, so that a busy machine does not end a link in the middle of a test.
        link_lease: Duration::from_secs(2),
        keep_alive: 4,
        keys: None,
    }
}

fn sample(slot: Slot, cycle: u64) -> Sample {
    let header = Header {
        slot,
        cycle: Cycle::new(cycle),
        term: Some(Term::next_of(slot, None)),
        role: RoleName::Standby,
        ready: Err(NotReady::NotJudged),
        sent: false,
        checked: true,
        divergence: None,
        disputes: false,
        digest: 0xDEAD_BEEF_0123_4567,
        relayed: [None; 4],
    };
    let published = Published {
        memory: [0.125; 8],
        readings: [1.0, 2.0, -0.5, 2.5],
        own_readings: true,
        standstill: false,
        signals: Some(Signals::of_16_bits([-300, 40])),
    };
    Sample { header, published: Some(published) }
}

/// Asks until there is an answer.
#[track_caller]
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(now() < until, "never: {what}");
        sleep_until(now() + Duration::from_millis(1));
    }
}

/// Publishes newer and newer samples until `to` hears one, and returns the cycle of the last.
#[track_caller]
fn publish_until_heard(from: &mut LinkPort, slot: Slot, after: u64, to: &mut LinkPort) -> u64 {
    let mut cycle = after;
    eventually("the first sample", || {
        cycle += 1;
        from.publish(&sample(slot, cycle));
        to.peer().and_then(|heard| heard.sample).filter(|heard| heard.header.cycle.number() > after)
    });
    cycle
}

fn open(slot: Slot, settings: &Settings) -> (Link, LinkPort) {
    Link::open(slot, settings).unwrap()
}

#[test]
fn samples_orders_and_refusals_reach_whom_they_are_for() {
    let (a, b) = (endpoint(), endpoint());
    let (left_link, mut left) = open(LEFT, &settings(&[&a], &[]));
    let (right_link, mut right) = open(RIGHT, &settings(&[&b], &[&a]));
    let observer = Observer::open(&settings(&[], &[&a, &b])).unwrap();

    let first = publish_until_heard(&mut left, LEFT, 0, &mut right);
    publish_until_heard(&mut right, RIGHT, 0, &mut left);

    // The newest wins, and each sample is told once.
    let last = first + 500;
    for cycle in first + 1..=last {
        left.publish(&sample(LEFT, cycle));
    }
    let mut newest = 0;
    let before = now();
    let heard = eventually("the last sample", || {
        let heard = right.peer()?;
        let cycle = heard.sample.unwrap().header.cycle.number();
        assert!(cycle > newest, "cycle {cycle} after {newest}");
        newest = cycle;
        (cycle == last).then_some(heard)
    });
    assert_eq!(heard.sample, Some(sample(LEFT, last)));
    assert!(heard.at <= now() && heard.at + PATIENCE > before);
    assert_eq!(right.peer(), None);

    // An order reaches its slot alone.
    eventually("the order is taken", || observer.order(RIGHT, Order::Switchover).ok());
    assert_eq!(eventually("the order", || right.order()), Order::Switchover);
    assert_eq!(right.order(), None);
    assert_eq!(left.order(), None);
    assert_eq!(left_link.counters().foreign, 0);
    let nobody = observer.order(Slot::new(2).unwrap(), Order::Switchover).unwrap_err();
    assert!(matches!(nobody, OrderError::NobodyThere { .. }), "{nobody}");
    assert_eq!(
        nobody.to_string(),
        "nobody listens in slot 2 of \"demo\": is the device running, and is its endpoint written down?"
    );

    // What the devices say reaches the observer.
    let refusal = Refusal::PeerNotReady(NotReady::Link);
    let mut newest = last;
    let (mut heard_of, mut heard_refusal) = ([false; 2], false);
    eventually("the refusal and both devices", || {
        newest += 1;
        left.publish(&sample(LEFT, newest));
        right.publish(&sample(RIGHT, newest));
        right.refuse(refusal);
        match observer.next(Duration::from_millis(1)) {
            Some(Observed::Refused { slot, refusal: heard, .. }) => {
                assert_eq!((slot, heard), (RIGHT, refusal));
                heard_refusal = true;
            }
            Some(Observed::State { slot, sample: Some(heard), .. }) => {
                assert_eq!(heard.header.slot, slot);
                heard_of[slot.index()] = true;
            }
            Some(Observed::State { sample: None, .. }) => panic!("there is one version here"),
            None => {}
        }
        (heard_refusal && heard_of == [true; 2]).then_some(())
    });

    let Counters { sent, received, unsent, malformed, other_version, foreign, .. } = right_link.counters();
    assert!(sent > 0 && received > 0);
    assert_eq!([unsent, malformed, other_version, foreign], [0; 4]);

    // A port outlives its link, and says nothing more.
    left_link.close();
    left.publish(&sample(LEFT, newest + 1));
    left.refuse(Refusal::NotPrimary);
    assert_eq!(left.order(), None);
}

#[test]
fn an_observer_passes_nothing_from_one_device_to_the_other() {
    let (a, b) = (endpoint(), endpoint());
    let (left_link, mut left) = open(LEFT, &settings(&[&a], &[]));
    let (right_link, mut right) = open(RIGHT, &settings(&[&b], &[]));
    let observer = Observer::open(&settings(&[], &[&a, &b])).unwrap();

    let mut cycle = 0;
    let mut heard = [0; 2];
    eventually("twenty samples of both", || {
        cycle += 1;
        left.publish(&sample(LEFT, cycle));
        right.publish(&sample(RIGHT, cycle));
        while let Some(Observed::State { slot, .. }) = observer.next(Duration::from_millis(1)) {
            heard[slot.index()] += 1;
        }
        (heard[0] >= 20 && heard[1] >= 20).then_some(())
    });
    assert_eq!(left_link.counters().received, 0);
    assert_eq!(right_link.counters().received, 0);
}

#[test]
fn nobody_waits_for_a_peer_that_takes_nothing_when_a_link_is_closed() {
    let a = endpoint();
    let (_listens, mut left) = open(LEFT, &settings(&[&a], &[]));
    let (_connects, mut right) = open(RIGHT, &settings(&[], &[&a]));
    // Zenoh has the kernel wait at both ends, which both are here. They keep talking: a silent link is opened anew.
    let mut cycle = 0;
    eventually("closing a link waits for nobody", || {
        cycle = publish_until_heard(&mut left, LEFT, cycle, &mut right);
        publish_until_heard(&mut right, RIGHT, cycle, &mut left);
        lingering().unwrap().is_empty().then_some(())
    });
}

#[test]
fn a_restarted_peer_is_heard_again() {
    let a = endpoint();
    let (listens, connects) = (settings(&[&a], &[]), settings(&[], &[&a]));
    // The one that connects is there before the one that listens.
    let (right_link, mut right) = open(RIGHT, &connects);
    let (left_link, mut left) = open(LEFT, &listens);
    let cycle = publish_until_heard(&mut left, LEFT, 0, &mut right);

    left_link.close();
    let (left_link, mut left) = open(LEFT, &listens);
    let cycle = publish_until_heard(&mut left, LEFT, cycle, &mut right);

    right_link.close();
    let (right_link, mut right) = open(RIGHT, &connects);
    let cycle = publish_until_heard(&mut left, LEFT, cycle, &mut right);
    publish_until_heard(&mut right, RIGHT, cycle, &mut left);
    assert_eq!((left_link.counters().foreign, right_link.counters().foreign), (0, 0));
}

/// Somebody on the network who puts what they like.
struct Intruder(Session);

impl Intruder {
    fn open(endpoints: &[&String]) -> Self {
        let config = format!(
            r#"{{
                mode: "peer",
                scouting: {{ multicast: {{ enabled: false }}, gossip: {{ enabled: false }} }},
                listen: {{ endpoints: [] }},
                connect: {{ endpoints: {endpoints:?} }},
            }}"#
        );
        Self(zenoh::open(zenoh::Config::from_json5(&config).unwrap()).wait().unwrap())
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let key = format!("twinhelm/demo/{key}");
        self.0.put(key, bytes).congestion_control(CongestionControl::Block).wait().unwrap();
    }

    fn put_sample(&self, key: &str, sample: &Sample) {
        self.put(key, encode(sample, &mut [0; BYTES_MAX]).unwrap());
    }
}

/// Zenoh can leave a link with one end that is not heard any more, for good. Only the deaf end can notice.
#[test]
fn a_device_that_sees_a_peer_and_hears_nothing_of_it_opens_its_session_anew() {
    let a = endpoint();
    let (_link, mut left) =
        open(LEFT, &Settings { link_lease: Duration::from_millis(100), ..settings(&[&a], &[]) });
    let mute = Intruder::open(&[&a]);
    let seen = Arc::new(AtomicU8::new(0));
    let counted = Arc::clone(&seen);
    let _tokens = mute
        .0
        .liveliness()
        .declare_subscriber("twinhelm/demo/alive/0")
        .history(true)
        .callback(move |token| {
            if token.kind() == SampleKind::Put {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        })
        .wait()
        .unwrap();
    let _peer = mute.0.liveliness().declare_token("twinhelm/demo/alive/1").wait().unwrap();
    eventually("it comes again", || (seen.load(Ordering::Relaxed) >= 2).then_some(()));
    let mut cycle = 0;
    eventually("it hears in its new session", || {
        cycle += 1;
        mute.put_sample("state/1", &sample(RIGHT, cycle));
        left.peer()
    });
}

#[test]
fn what_cannot_be_used_is_counted_and_does_not_stop_the_link() {
    let (a, b) = (endpoint(), endpoint());
    let (link, mut left) = open(LEFT, &settings(&[&a], &[]));
    let observer = Observer::open(&settings(&[&b], &[])).unwrap();
    let intruder = Intruder::open(&[&a, &b]);
    let mut puts = 0;
    eventually("both hear the intruder", || {
        puts += 1;
        intruder.put_sample("state/1", &sample(RIGHT, puts));
        (left.peer().is_some() && observer.next(Duration::ZERO).is_some()).then_some(())
    });
    // What was put before the links were up is lost; what was put after is counted.
    let cycle = puts + 1;
    intruder.put_sample("state/1", &sample(RIGHT, cycle));
    eventually("the link is quiet", || left.peer().filter(|heard| heard.sample == Some(sample(RIGHT, cycle))));
    let before = link.counters();

    let good = encode(&sample(RIGHT, cycle + 1), &mut [0; BYTES_MAX]).unwrap().to_vec();
    // Cannot be read: 7.
    intruder.put("state/1", &[]);
    intruder.put("state/1", &[VERSION]);
    intruder.put("state/1", &good[..good.len() - 1]);
    intruder.put("state/1", &[good.as_slice(), &[0]].concat());
    intruder.put("state/1", &vec![VERSION; 300_000]);
    intruder.put("order/0", &[VERSION, 77]);
    let delete = intruder.0.delete("twinhelm/demo/state/1");
    delete.congestion_control(CongestionControl::Block).wait().unwrap();
    // Another version: 3.
    intruder.put("state/1", &[VERSION + 1, 1, 2, 3]);
    intruder.put("state/1", &vec![VERSION + 1; 300_000]);
    intruder.put("order/0", &[VERSION + 1]);
    // Not whose key it is, the own slot, no slot at all, an order to everybody: 5.
    intruder.put_sample("state/1", &sample(LEFT, cycle + 1));
    intruder.put_sample("state/1", &sample(Slot::new(2).unwrap(), cycle + 1));
    intruder.put_sample("state/0", &sample(LEFT, cycle + 1));
    intruder.put_sample("state/*", &sample(RIGHT, cycle + 1));
    intruder.put("order/*", encode(&Order::Switchover, &mut [0; BYTES_MAX]).unwrap());

    let heard = eventually("the other version", || left.peer());
    assert_eq!(heard.sample, None, "a peer of another version is known as such");
    eventually("all of it is counted", || {
        let Counters { malformed, other_version, foreign, .. } = link.counters();
        (malformed >= 7 && other_version >= 3 && foreign >= 5).then_some(())
    });
    assert_eq!(link.counters(), Counters { malformed: 7, other_version: 3, foreign: 5, ..before });
    assert_eq!(left.order(), None);

    // The link goes on.
    intruder.put_sample("state/1", &sample(RIGHT, cycle + 2));
    eventually("a good sample after all that", || {
        left.peer().filter(|HeardSample { sample: heard, .. }| *heard == Some(sample(RIGHT, cycle + 2)))
    });
    intruder.put("order/0", encode(&Order::Switchover, &mut [0; BYTES_MAX]).unwrap());
    assert_eq!(eventually("an order after all that", || left.order()), Order::Switchover);

    // An observer that does not look loses what is newest, and holds up nobody.
    eventually("the observer has heard all of it", || match observer.next(Duration::ZERO)? {
        Observed::State { sample: heard, .. } => (heard == Some(sample(RIGHT, cycle + 2))).then_some(()),
        Observed::Refused { .. } => panic!("nobody refused anything"),
    });
    let before = observer.counters();
    let extra = 50;
    for cycle in 0..(OBSERVED_MAX + extra) as u64 {
        intruder.put_sample("state/1", &sample(RIGHT, cycle));
    }
    eventually("the observer's queue runs over", || {
        (observer.counters().dropped - before.dropped == extra as u64).then_some(())
    });
    let waiting = std::iter::from_fn(|| observer.next(Duration::ZERO)).count();
    assert_eq!(waiting, OBSERVED_MAX);
}

#[track_caller]
fn refused<T: Debug>(outcome: Result<T, OpenError>) -> OpenError {
    outcome.expect_err("must not open")
}

#[test]
fn what_stands_in_the_way_of_opening_is_named() {
    let a = endpoint();
    let taken = TcpListener::bind(a.trim_start_matches("tcp/")).unwrap();
    let error = refused(Link::open::<State, Memory>(LEFT, &settings(&[&endpoint(), &a], &[])));
    assert!(matches!(&error, OpenError::ListenInUse { endpoint } if *endpoint == a), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("listening on {a}: the port is in use; end the process that has it, or write another port")
    );
    drop(taken);

    // An address that is set aside for documentation, and therefore nobody's.
    let elsewhere = "tcp/192.0.2.1:7447".to_owned();
    let error = refused(Observer::open(&settings(&[&elsewhere], &[])));
    assert!(matches!(&error, OpenError::Listen { endpoint, .. } if *endpoint == elsewhere), "{error:?}");
    assert!(error.source().is_some());

    let error = refused(Link::open::<State, Memory>(LEFT, &Settings { keep_alive: 0, ..settings(&[&a], &[]) }));
    assert!(matches!(error, OpenError::Settings(SettingsError::KeepAlive { keep_alive: 0 })), "{error:?}");
}

#[test]
fn a_port_can_be_given_to_the_control_thread() {
    fn is_send<T: Send>() {}
    is_send::<LinkPort>();
    is_send::<Link>();
    is_send::<Observer>();
}

#[test]
fn an_agent_keeps_the_state_of_whoever_drove_and_answers_who_asks() {
    let (device, of_agent) = (endpoint(), endpoint());
    let (link, mut left) = open(LEFT, &settings(&[&device], &[]));
    let agent = AgentLine::open(RIGHT, &settings(&[&of_agent], &[&device])).unwrap();
    let watch = AgentWatch::open(&settings(&[], &[&of_agent])).unwrap();

    // A device that only follows has nothing to go on with.
    let drives =
        |cycle| Sample { header: Header { sent: true, ..sample(LEFT, cycle).header }, ..sample(LEFT, cycle) };
    let mut cycle = 0;
    let kept = eventually("a state of one that drove", || {
        cycle += 2;
        left.publish(&drives(cycle));
        left.publish(&sample(LEFT, cycle + 1));
        agent.ear().last_state()
    });
    let Decoded::Read(kept) = decode::<Sample>(&kept.bytes) else { panic!("it is a sample: {kept:?}") };
    assert!(kept.header.sent && kept.published == drives(1).published, "{kept:?}");
    // It is kept when the device is gone.
    link.close();
    assert!(agent.ear().last_state().is_some());

    agent.tell(b"well".to_vec());
    let told = eventually("an answer", || watch.ask(PATIENCE).ok().filter(|told| !told.is_empty()));
    assert_eq!(told, [(RIGHT, b"well".to_vec())]);
    agent.tell(b"better".to_vec());
    let news = eventually("the news", || watch.next(PATIENCE).filter(|(_, report)| report == b"better"));
    assert_eq!(news.0, RIGHT);
}
