//! Files that are no recordings of ours, or of another time, are answered with what they are.

use mcap::records::MessageHeader;
use mcap::{WriteOptions, Writer};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;
use twinhelm_hil::recording::{
    Ended, LAYOUT, Part, Recorder, Recording, RecordingError, RunHeader, SCHEMA, explain,
};
use twinhelm_standby::Parameters;

/// Returns an MCAP file of `library` with one JSON message on `topic`.
fn file(library: &str, topic: &str, message: &str) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let options = WriteOptions::new().compression(None).library(library);
    let mut writer: Writer<_> = options.create(&mut bytes).expect("memory");
    let channel = writer.add_channel(0, topic, "json", &BTreeMap::new()).expect("memory");
    let header = MessageHeader { channel_id: channel, sequence: 0, log_time: 1, publish_time: 1 };
    writer.write_to_known_channel(&header, message.as_bytes()).expect("memory");
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
}

#[test]
fn a_message_that_does_not_read_is_told_with_its_topic() {
    let (error, words) = refused(&file("twinhelm 9.9.9", "/run", "{ \"schema\": 1,"));
    assert!(matches!(error, RecordingError::Message { .. }), "{error:?}");
    assert!(words.contains("a message on /run does not read"), "{words}");
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

#[test]
fn the_layout_names_topics_that_a_recording_has() {
    let layout: serde_json::Value = serde_json::from_str(LAYOUT).expect("JSON");
    assert!(layout["configById"].as_object().is_some_and(|panels| panels.len() >= 5));
    for topic in ["/odom", "/drive.drive.steering_angle", "/device/left/role.words", "/diagnostics", "/fault"] {
        assert!(LAYOUT.contains(topic), "{topic}");
    }
}
