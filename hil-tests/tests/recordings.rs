//! Files that are no recordings of ours, or of another time, are answered with what they are.

use mcap::records::MessageHeader;
use mcap::{WriteOptions, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::recording::{
    Ended, LAYOUT, Part, Recorder, Recording, RecordingError, RunHeader, SCHEMA, explain, replay,
};
use twinhelm_hil::run::{Plan, Standby, simulate_recorded};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;

/// Returns an MCAP file of `library` with one JSON message on `topic`.
fn file(library: &str, topic: &str, message: &str) -> Vec<u8> {
    file_of(library, &[(topic, message)])
}

fn file_of(library: &str, messages: &[(&str, &str)]) -> Vec<u8> {
    let messages: Vec<_> = messages.iter().map(|(topic, message)| (*topic, 1, *message)).collect();
    file_at(library, &messages)
}

/// Returns an MCAP file with these messages: topic, time in ns, content.
fn file_at(library: &str, messages: &[(&str, u64, &str)]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let options = WriteOptions::new().compression(None).library(library);
    let mut writer: Writer<_> = options.create(&mut bytes).expect("memory");
    for (topic, at, message) in messages {
        let channel = writer.add_channel(0, topic, "json", &BTreeMap::new()).expect("memory");
        let header = MessageHeader { channel_id: channel, sequence: 0, log_time: *at, publish_time: *at };
        writer.write_to_known_channel(&header, message.as_bytes()).expect("memory");
    }
    writer.finish().expect("memory");
    drop(writer);
    bytes.into_inner()
}

fn header() -> RunHeader {
    RunHeader {
        rig: "sim".to_owned(),
        seed: 7,
        machine: "virtual time".to_owned(),
        standby: "hot".to_owned(),
        parameters: Parameters::at_period(Duration::from_millis(10)),
        course_length_m: 10.0,
        epoch_ns: 0,
    }
}

/// Returns the message that names a run, with another schema or timing.
fn run_message(schema: u32, parameters: &Parameters) -> String {
    let run = RunHeader { parameters: *parameters, ..header() };
    serde_json::json!({ "schema": schema, "twinhelm": "9.9.9", "run": run }).to_string()
}

fn refused(bytes: &[u8]) -> (RecordingError, String) {
    let error = Recording::read("x.mcap", bytes).expect_err("no recording of ours");
    let words = error.to_string();
    (error, words)
}

/// Each change of what is recorded keeps one of before.
#[test]
fn a_recording_of_before_there_was_a_table_of_signals_replays_to_the_same_decisions() {
    let lines = include_str!("recordings/schema-1.txt").lines().filter(|line| !line.starts_with('#'));
    let messages: Vec<_> = lines
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let mut next = || parts.next().expect("topic, time, content");
            (next(), next().parse().expect("a time in ns"), next())
        })
        .collect();
    let recording = Recording::read("schema-1.mcap", &file_at("twinhelm 0.1.0", &messages)).expect("it is read");
    let replayed = replay(&recording).expect("the same decisions");
    assert_eq!((replayed.lives, replayed.gates), (2, 1));
    // It is not empty: a changed command is noticed.
    let changed: Vec<_> = messages
        .iter()
        .map(|(topic, at, text)| (*topic, *at, text.replace(r#""signals":{"first":"#, r#""signals":{"first":1"#)))
        .collect();
    let changed: Vec<_> = changed.iter().map(|(topic, at, text)| (*topic, *at, &text[..])).collect();
    let other = Recording::read("schema-1.mcap", &file_at("twinhelm 0.1.0", &changed)).expect("it is read");
    assert!(replay(&other).is_err(), "other commands are other decisions");
}

#[test]
fn somebody_elses_mcap_file_is_told_by_its_writer() {
    let (error, words) = refused(&file("camera-recorder 3", "/camera", "{}"));
    assert!(matches!(error, RecordingError::NotOurs { .. }), "{error:?}");
    assert!(words.contains("it has no topic /run; `camera-recorder 3` wrote it"), "{words}");
}

#[test]
fn another_schema_is_told_with_the_version_that_can_read_it() {
    let parameters = header().parameters;
    let (error, words) = refused(&file("twinhelm 9.9.9", "/run", &run_message(SCHEMA + 1, &parameters)));
    assert!(matches!(error, RecordingError::Schema { .. }), "{error:?}");
    let expected = format!("a recording of schema {}, and this program reads {SCHEMA}", SCHEMA + 1);
    assert!(words.contains(&expected) && words.contains("read it with Twinhelm 9.9.9"), "{words}");
}

#[test]
fn a_timing_that_no_run_could_have_had_is_refused() {
    let parameters = Parameters { margin: Duration::ZERO, ..header().parameters };
    let (error, words) = refused(&file("twinhelm 9.9.9", "/run", &run_message(SCHEMA, &parameters)));
    assert!(matches!(error, RecordingError::Config { .. }), "{error:?}");
    assert!(words.contains("the run's timing cannot be: jitter < margin / 2"), "{words}");
    for huge in [Duration::MAX, Duration::from_secs(u64::MAX / 5), Duration::from_secs(86_400)] {
        let parameters = Parameters { gate_lease: huge, ..Parameters::at_period(huge) };
        let (error, words) = refused(&file("twinhelm 9.9.9", "/run", &run_message(SCHEMA, &parameters)));
        assert!(matches!(error, RecordingError::Config { .. }), "{error:?}");
        assert!(words.contains("cannot be: write a span of at most 3600 s"), "{words}");
    }
}

#[test]
fn a_message_that_does_not_read_is_told_with_its_topic() {
    let (error, words) = refused(&file("twinhelm 9.9.9", "/run", "{ \"schema\": 1,"));
    assert!(matches!(error, RecordingError::Message { .. }), "{error:?}");
    assert!(words.contains("a message on /run does not read"), "{words}");
}

#[test]
fn an_event_of_a_gate_that_does_not_exist_is_refused() {
    let run = run_message(SCHEMA, &header().parameters);
    let closed = r#"{"event":{"Closed":{"gate":9}},"words":"closes"}"#;
    let (error, words) = refused(&file_of("twinhelm 9.9.9", &[("/run", &run), ("/gate/0/decision", closed)]));
    assert!(matches!(error, RecordingError::Message { .. }), "{error:?}");
    assert!(words.contains("a message on /gate/0/decision does not read: it tells of something else"), "{words}");
}

#[test]
fn a_length_that_no_record_can_have_is_refused() {
    let begun = Recorder::new(&header()).take();
    // As a disk that is erased to ones, and as a length beyond all addresses.
    for tail in [&[0xFF; 64][..], &[&[0x01][..], &[0xFF; 8]].concat()] {
        let (error, words) = refused(&[&begun, tail].concat());
        assert!(matches!(error, RecordingError::Broken { .. }), "{error:?} {words}");
    }
}

#[test]
fn a_recording_of_nothing_is_whole_and_tells_nothing() {
    let recording = Recording::read("x.mcap", &Recorder::new(&header()).finish()).expect("ours");
    assert_eq!((recording.run.clone(), recording.ended, recording.lost), (header(), Ended::Whole, 0));
    assert_eq!(explain(&recording, Part::default()), []);
}

#[test]
fn what_is_appended_chunk_by_chunk_reads_at_any_time() {
    let mut recorder = Recorder::new(&header());
    let mut bytes = recorder.take();
    for count in 1..=3 {
        recorder.lost(twinhelm_hal::time::Instant::from_nanos(count), count);
        bytes.extend(recorder.take());
        let recording = Recording::read("x.mcap", &bytes).expect("ours");
        assert_eq!((recording.ended, recording.lost), (Ended::Cut, (1..=count).sum::<u64>()));
        // A disk that is full here leaves room for this end at most.
        let ended = [&bytes[..], &Recorder::ending()].concat();
        assert_eq!(Recording::read("x.mcap", &ended).expect("ours").ended, Ended::Whole);
    }
}

/// Returns the topics of a simulated run with a takeover.
fn recorded_topics() -> BTreeSet<String> {
    let course = Arc::new(Course::harbour());
    let plan = Plan {
        config: Config::new(header().parameters).expect("the timing keeps the promise"),
        seed: 7,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        standby: Standby::Hot,
        duration: Duration::from_secs(2),
        faults: vec![Fault::parse("kill@1s").expect("a fault")],
    };
    let mut recorder = Recorder::new(&header());
    let _ = simulate_recorded(&plan, &mut recorder);
    let bytes = recorder.finish();
    let summary = mcap::Summary::read(&bytes).expect("MCAP").expect("a summary");
    summary.channels.values().map(|channel| channel.topic.clone()).collect()
}

#[test]
fn the_layout_names_topics_that_a_recording_has() {
    let layout: serde_json::Value = serde_json::from_str(LAYOUT).expect("JSON");
    assert!(layout["configById"].as_object().is_some_and(|panels| panels.len() >= 5));
    let recorded = recorded_topics();
    // Each text that begins with a slash is a topic, or a topic and a path into its message.
    let named: BTreeSet<_> = LAYOUT.split('"').filter(|text| text.starts_with('/')).collect();
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        let topic = name.split('.').next().unwrap_or_default();
        assert!(recorded.contains(topic), "{name}: {recorded:?}");
    }
}
