//! The recording's reader, the replay and the tale: on a file's bytes as they are, and on messages of our topics, which the target
//! itself puts into a file, because a checksum over each chunk lets few inputs through.
//!
//! An input that begins with `/` is messages: lines of a topic, a time in ms, and JSON.

use std::collections::BTreeMap;
use std::io::Cursor;
use twinhelm_hil::recording::{Part, Recording, explain, replay};
use twinhelm_standby::Parameters;

/// Lines beyond these are not read: an input should end.
const LINES_MAX: usize = 200;
/// A run that is replayed has this timing.
const HEAD: &str =
    r#"{"schema":1,"twinhelm":"0.1.0","run":{"rig":"sim","seed":1,"machine":"m","standby":"hot","parameters":"#;
const HEAD_ENDS: &str = r#","course_length_m":25.5,"epoch_ns":0}}"#;

/// Runs one input.
pub fn run(data: &[u8]) {
    if data.starts_with(b"/") {
        read(&file_of(data));
    } else {
        read(data);
    }
}

fn read(bytes: &[u8]) {
    let Ok(recording) = Recording::read("fuzzed.mcap", bytes) else { return };
    match replay(&recording) {
        Ok(replayed) => drop(replayed.to_string()),
        Err(difference) => drop(difference.to_string()),
    }
    let _ = recording.same_config(&Parameters::at_period(std::time::Duration::from_millis(10)));
    let whole = Part { from: None, until: None, every_step: true };
    for line in explain(&recording, whole) {
        let _ = line.to_string();
    }
}

/// Returns a file with these messages.
fn file_of(lines: &[u8]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut writer = mcap::WriteOptions::new()
        .compression(None)
        .library("twinhelm fuzzed")
        .create(&mut file)
        .expect("it is written to memory");
    let mut channels = BTreeMap::new();
    let lines = String::from_utf8_lossy(lines);
    let parameters = Parameters::at_period(std::time::Duration::from_millis(10));
    let parameters = serde_json::to_string(&parameters).expect("numbers are written");
    let head = format!("{HEAD}{parameters}{HEAD_ENDS}");
    for line in lines.lines().take(LINES_MAX) {
        let mut parts = line.splitn(3, ' ');
        let (topic, time, json) = (parts.next(), parts.next(), parts.next());
        let (Some(topic), Some(Ok(ms)), Some(json)) = (topic, time.map(str::parse::<u64>), json) else { continue };
        let channel = *channels.entry(topic.to_owned()).or_insert_with(|| {
            writer.add_channel(0, topic, "json", &BTreeMap::new()).expect("it is written to memory")
        });
        // The usual head, which is long: an input need not have it.
        let json = if json == "head" { &head } else { json };
        let (log_time, publish_time) = (ms.wrapping_mul(1_000_000), ms.wrapping_mul(1_000_000));
        let header = mcap::records::MessageHeader { channel_id: channel, sequence: 0, log_time, publish_time };
        writer.write_to_known_channel(&header, json.as_bytes()).expect("it is written to memory");
    }
    writer.finish().expect("it is written to memory");
    drop(writer);
    file.into_inner()
}
