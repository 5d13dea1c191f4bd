//! The instrument is tested: what is measured at the gate is compared with what is known to have happened.
//!
//! The vehicle process runs alone, and this test is the only sender on its bus, so that each gap in the stream of
//! commands is known by the sender's own clock.

mod tools;

use rustix::time::{ClockId, clock_gettime, clock_settime};
use std::sync::mpsc;
use std::time::Duration;
use tools::vehicle::{Vehicle, command};
use twinhelm_hal::bus::Station;
use twinhelm_hal::gate::How;
use twinhelm_hal::ports::Bus as _;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;
use twinhelm_linux::bus::Client;
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::realtime::{self, Next};
use twinhelm_linux::scheduling::Priority;
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::report::analysis::{Setting, analyse};
use twinhelm_vehicle::report::log::{Event, Log};
use twinhelm_vehicle::report::{Report, Verdict};

const PERIOD: Duration = Duration::from_millis(10);
/// Commands before the gap, and after it.
const COMMANDS: u64 = 30;

fn config() -> Config {
    Config::new(Parameters::at_period(PERIOD)).expect("the profile keeps the promise")
}

/// Sends `COMMANDS` commands, one each period, then none for `gap` more than a period, then as many again, and
/// returns when each was sent.
fn send(bus_name: &str, gap: Duration) -> Vec<(u64, Instant)> {
    let mut bus = Client::connect(bus_name, Station::of_device(Slot::LEFT)).expect("the bus is there");
    bus.wait_attached(Duration::from_secs(5)).expect("a seat");
    let first = Term::next_of(Slot::LEFT, None);
    // Behind a gap that closes the gate it opens to a higher term alone (G5).
    let closes = PERIOD + gap > config().command_timeout;
    let second = if closes { Term::next_of(Slot::LEFT, Some(first)) } else { first };
    let (note, sent) = mpsc::channel();
    let mut cycle = 0;
    let mut due = now() + PERIOD;
    let thread = realtime::spawn("sender", Priority::CONTROL, move |now| {
        if now < due {
            return Next::At(due);
        }
        cycle += 1;
        bus.send(command(if cycle <= COMMANDS { first } else { second }, cycle, Signals::default()));
        note.send((cycle, now)).expect("the test listens");
        due += if cycle == COMMANDS { PERIOD + gap } else { PERIOD };
        if cycle == 2 * COMMANDS { Next::Stop } else { Next::At(due) }
    });
    thread.expect("a thread").join();
    sent.iter().collect()
}

fn report(log: &Log, zero: Instant) -> Report {
    let end = log.events.last().map_or(zero, |(at, _)| *at);
    analyse(
        log,
        &Setting {
            rig: "vehicle alone".to_owned(),
            seed: 1,
            machine: String::new(),
            standby: "none".to_owned(),
            config: config(),
            zero,
            end,
            course_length_m: 1.0,
            watcher_stall_ms: None,
            notes: Vec::new(),
        },
    )
}

/// What the instrument itself lost while it stood still.
fn stalls(log: &Log) -> Duration {
    log.observer_stalls().map(|(since, until)| until.since(since)).max().unwrap_or_default()
}

/// Returns whether what sends stood still itself, besides the gap that it was to make, or the instrument for longer than a period:
/// then there is another gap, which may be the longest, or have closed the gate. Says so.
fn is_disturbed(sent: &[(u64, Instant)], log: &Log) -> bool {
    let is_late = |pair: &[(u64, Instant)]| pair[1].1.since(pair[0].1).abs_diff(PERIOD) > PERIOD / 2;
    let is_disturbed = sent.windows(2).any(|pair| pair[0].0 != COMMANDS && is_late(pair)) || stalls(log) > PERIOD;
    if is_disturbed {
        println!("not judged: the machine stalled");
    }
    is_disturbed
}

#[test]
fn a_known_gap_is_measured_within_half_a_period() {
    for gap in [5, 20, 50, 200].map(Duration::from_millis) {
        let bus = format!("twinhelm-{}-gap-{}", std::process::id(), gap.as_millis());
        let vehicle = Vehicle::start(config(), &bus, None);
        let sent = send(&bus, gap);
        let log = vehicle.finish();
        if is_disturbed(&sent, &log) {
            continue;
        }
        // A closed gate acts on the second of two frames.
        let closed = log.events.iter().any(|(_, event)| matches!(event, Event::Closed { gate: 0 }));
        assert_eq!(closed, gap >= Duration::from_millis(50), "{gap:?}");
        let at = |cycle: u64| sent.iter().find(|(sent, _)| *sent == cycle).expect("it was sent").1;
        let first = if closed { COMMANDS + 2 } else { COMMANDS + 1 };
        let known = at(first).since(at(COMMANDS));
        // The report has the span to its end too: cut the log off at the last command acted on.
        let last = log.events.iter().rposition(|(_, event)| matches!(event, Event::Acted { .. }));
        let log = Log { events: log.events[..=last.expect("commands were acted on")].to_vec() };
        let measured = report(&log, sent[0].1).output_gap_ms.max.expect("gaps");
        let measured = Duration::from_secs_f64(measured * 1e-3);
        let off = measured.abs_diff(known);
        // The instrument knows when it stood still, and says so in the same log.
        let allowed = PERIOD / 2 + stalls(&log);
        assert!(off <= allowed, "{gap:?}: known {known:?}, measured {measured:?}, off by more than {allowed:?}");
        println!("a gap of {known:?} was measured as {measured:?}");
    }
}

#[test]
fn an_observer_that_stood_still_makes_the_run_invalid() {
    let bus = format!("twinhelm-{}-stopped", std::process::id());
    let vehicle = Vehicle::start(config(), &bus, None);
    let started = now();
    // Stopped for ten periods: how long exactly does not matter, only that it is noticed.
    vehicle.signal("-STOP");
    sleep_until(now() + 10 * PERIOD);
    vehicle.signal("-CONT");
    let sent = send(&bus, Duration::ZERO);
    assert_eq!(sent.len() as u64, 2 * COMMANDS);
    let log = vehicle.finish();
    let stall = stalls(&log);
    assert!(stall >= 9 * PERIOD, "{stall:?}");
    let report = report(&log, started);
    assert!(report.observer_stalls >= 1, "{report:?}");
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(report.notes.iter().any(|note| note.contains("observer")), "{:?}", report.notes);
}

/// Sets the date forwards or backwards by this much, and back when it is dropped.
struct OtherDate {
    by: Duration,
}

impl OtherDate {
    /// Returns `None` where this program may not set the date.
    fn later_by(by: Duration) -> Option<Self> {
        step_date(by, true).then_some(Self { by })
    }
}

impl Drop for OtherDate {
    fn drop(&mut self) {
        assert!(step_date(self.by, false), "the date could be set before");
    }
}

fn step_date(by: Duration, forwards: bool) -> bool {
    let date = Duration::try_from(clock_gettime(ClockId::Realtime)).expect("after 1970");
    let date = if forwards { date + by } else { date - by };
    clock_settime(ClockId::Realtime, date.try_into().expect("before the end of time")).is_ok()
}

#[test]
fn steps_of_the_wall_clock_do_not_disturb_it() {
    let bus = format!("twinhelm-{}-date", std::process::id());
    let vehicle = Vehicle::start(config(), &bus, None);
    // Two seconds, in the middle of the stream: forwards, and backwards again.
    let stepper = std::thread::spawn(|| {
        for _ in 0..3 {
            let date = OtherDate::later_by(Duration::from_secs(2))?;
            sleep_until(now() + 5 * PERIOD);
            drop(date);
            sleep_until(now() + 5 * PERIOD);
        }
        Some(())
    });
    let sent = send(&bus, Duration::ZERO);
    let stepped = stepper.join().expect("the date was set back");
    let log = vehicle.finish();
    if stepped.is_none() {
        println!("skipped: setting the date takes root");
        return;
    }
    if is_disturbed(&sent, &log) {
        return;
    }
    let acted = log.events.iter().filter_map(|(at, event)| {
        if let Event::Acted { cycle, .. } = event { Some((cycle.number(), *at)) } else { None }
    });
    let acted: Vec<(u64, Instant)> = acted.collect();
    // The first of two opens nothing, and the last may still be on the wire when the vehicle is stopped.
    assert!(acted.len() as u64 >= 2 * COMMANDS - 2, "{}", acted.len());
    let sent_at = |cycle: u64| sent.iter().find(|(sent, _)| *sent == cycle).expect("it was sent").1;
    let allowed = PERIOD / 2 + stalls(&log);
    for pair in acted.windows(2) {
        let measured = pair[1].1.since(pair[0].1);
        let known = sent_at(pair[1].0).since(sent_at(pair[0].0));
        assert!(measured.abs_diff(known) <= allowed, "known {known:?}, measured {measured:?}");
    }
}

#[test]
fn a_gate_that_closed_opens_to_a_higher_term() {
    let bus = format!("twinhelm-{}-opening", std::process::id());
    let vehicle = Vehicle::start(config(), &bus, None);
    let _ = send(&bus, Duration::from_millis(200));
    let log = vehicle.finish();
    let openings = log.events.iter().filter(|(_, event)| matches!(event, Event::Acted { how: How::Opening, .. }));
    assert_eq!(openings.count(), 2, "at the start, and behind the gap");
}
