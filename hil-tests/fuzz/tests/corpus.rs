//! Each target has seeds that are small, and none of them breaks it. With `TWINHELM_BLESS=1` the seeds that real encoders make are
//! written anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_fuzz::TARGETS;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_hal::time::Instant;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::recording::{Recorder, RunHeader};
use twinhelm_hil::run::{Plan, Standby, simulate_recorded};
use twinhelm_standby::{Config, Header, Input, Node, Order, Parameters, Pilot, Refusal, Relayed, Sample};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;
use twinhelm_vehicle::signals::{LAYOUT, State};

/// Seeds are for the repository: what is longer says no more.
const BYTES_MAX: usize = 12_000;
const PERIOD: Duration = Duration::from_millis(10);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

#[test]
fn each_target_runs_its_seeds() {
    if std::env::var_os("TWINHELM_BLESS").is_some() {
        write_samples();
        write_recording();
    }
    for (target, run) in TARGETS {
        let seeds = fs::read_dir(corpus(target)).unwrap_or_else(|error| panic!("corpus/{target}: {error}"));
        let mut seen = 0;
        for seed in seeds {
            let path = seed.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file");
            assert!(bytes.len() <= BYTES_MAX, "{}: {} bytes", path.display(), bytes.len());
            println!("{target}: {}", path.display());
            run(&bytes);
            seen += 1;
        }
        assert!(seen >= 1, "corpus/{target} has no seed");
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(corpus(target)).expect("the tree can be written");
    fs::write(corpus(target).join(name), bytes).expect("the tree can be written");
}

fn config() -> Config {
    Config::new(Parameters::at_period(PERIOD)).expect("the profile of 100 Hz")
}

fn write_samples() {
    let mut buffer = [0; 512];
    let mut message = |name: &str, bytes: &[u8]| {
        buffer[0] = 2;
        buffer[1..=bytes.len()].copy_from_slice(bytes);
        write("sample", name, &buffer[..=bytes.len()]);
    };
    let order = postcard_of(&Order::Switchover);
    message("order", &order);
    message("refusal", &postcard_of(&Refusal::NotPrimary));
    let now = Instant::from_nanos(1_000_000_000);
    let mut node: Node = Node::new(now, Slot::RIGHT, config(), LAYOUT);
    let _ = node.step(now, Input::Woke);
    let relayed = Some(Relayed { open: true, term: Some(Term::new(4)) });
    let header = Header { term: Some(Term::new(5)), relayed: [relayed, None, None, None], ..node.header() };
    message("header", &postcard_of(&Sample::<State, ()> { header, published: None }));
    let law = CourseLaw::new(Arc::new(Course::harbour()));
    let mut pilot = Pilot::new(law.clone(), law, PERIOD);
    let state = State { x_m: 0.1, y_m: 0.2, yaw_rad: 0.3, speed_mps: 2.0 };
    let published = pilot.compute(Some(state), None, false).published;
    message("sample", &postcard_of(&Sample { header, published }));
    write("sample", "another-version", &[1, 2, 3]);
}

fn postcard_of<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut buffer = [0; 512];
    postcard::to_slice(value, &mut buffer).expect("it fits").to_vec()
}

/// A short run with a takeover: as the file that it is, and as lines of its messages.
fn write_recording() {
    let header = RunHeader {
        rig: "sim".to_owned(),
        seed: 7,
        machine: "m".to_owned(),
        standby: "hot".to_owned(),
        parameters: Parameters::at_period(PERIOD),
        course_length_m: 25.5,
        epoch_ns: 0,
    };
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: config(),
        seed: 7,
        law: CourseLaw::new(Arc::clone(&course)),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_millis(260),
        faults: vec![Fault::parse("kill@200ms:20ms").expect("a fault")],
    };
    let mut recorder = Recorder::new(&header);
    let outcome = simulate_recorded(&plan, &mut recorder);
    recorder.report(outcome.setting.end, &outcome.report);
    let whole = recorder.finish();
    write("recording", "report", lines(&whole, &["/run", "/report", "/gate/0/decision", "/fault"], 40).as_bytes());
    write("recording", "turns", lines(&whole, &["/run", "/device/left/step"], 9).as_bytes());
    write("recording", "gate", lines(&whole, &["/run", "/gate/0/input"], 30).as_bytes());
    write("recording", "file", &Recorder::new(&header).finish());
}

/// The first messages of these topics, and every report, as the target reads them.
fn lines(file: &[u8], topics: &[&str], most: usize) -> String {
    let messages = mcap::MessageStream::new(file).expect("MCAP").map(|message| message.expect("a message"));
    let of_topics = messages.filter(|message| topics.contains(&message.channel.topic.as_str()));
    let mut text = String::new();
    for (index, message) in of_topics.enumerate() {
        let topic = message.channel.topic.as_str();
        if index < most || topic == "/report" {
            let json = String::from_utf8_lossy(&message.data);
            let json = if topic == "/run" { "head" } else { json.trim() };
            text += &format!("{topic} {} {json}\n", message.log_time / 1_000_000);
        }
    }
    text
}
