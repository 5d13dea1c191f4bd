//! The cloud application alone: what it kept is there after a kill, and it says what is in its way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use tools::{demo, program, text};
use twinhelm_rigs::host::addresses::{Addresses, endpoint};

mod tools;

struct Cloud {
    process: Child,
    page: String,
}

impl Cloud {
    fn start(data: &Path) -> Self {
        let listen = endpoint(Addresses::of(std::process::id(), 0).cloud);
        let arguments = ["cloud", "--page", "127.0.0.1:0", "--listen", &listen, "--data"];
        let mut process = program().args(arguments).arg(data).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let page = line.trim().strip_prefix("the page: http://").and_then(|page| page.strip_suffix('/'));
        let page = page.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, page }
    }

    fn state(&self) -> serde_json::Value {
        serde_json::from_str(&tools::get(&self.page, "/api/state")).expect("JSON")
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // SIGKILL: it is asked nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_it_kept_is_there_after_a_kill_and_what_was_cut_off_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let up = r#"{"device":"left","seq":0,"unix_ms":1,"what":"up"}"#;
    let alone = r#"{"device":"right","seq":4,"unix_ms":2,"what":{"migration":{"Alone":{"lost":"left"}}}}"#;
    std::fs::write(folder.path().join("timeline.jsonl"), format!("{up}\n{alone}\n{{\"device\":\"ri"))
        .expect("a file");
    for _ in 0..2 {
        let cloud = Cloud::start(folder.path());
        let state = cloud.state();
        let told: Vec<_> =
            state["timeline"].as_array().expect("a list").iter().map(|entry| &entry["what"]).collect();
        assert_eq!(told, ["nobody stands by: left is lost", "its agent is up"], "{state}");
        assert_eq!(
            (&state["protected"], &state["migrations"][0]["from"]),
            (&serde_json::Value::Null, &"left".into()),
            "nobody is heard, and so nothing is known: {state}"
        );
        assert_eq!(state["timeline"][0]["time"], "1970-01-01 00:00:00.002 UTC");
        assert!(tools::get(&cloud.page, "/").contains("<title>Twinhelm</title>"));
        let mut taken = TcpStream::connect(&cloud.page).expect("it listens");
        taken.write_all(b"GET /nothing HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        taken.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let kept = std::fs::read_to_string(folder.path().join("timeline.jsonl")).expect("a file");
    assert_eq!(kept, format!("{up}\n{alone}\n"));
}

#[test]
fn a_page_that_cannot_be_served_and_data_that_cannot_be_kept_are_said_so() {
    let listen = endpoint(Addresses::of(std::process::id(), 0).page);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let arguments = ["cloud", "--page", "192.0.2.1:80", "--listen", &listen, "--data", &data];
    let nowhere = demo(&arguments);
    let why = text(&nowhere.stderr);
    assert_eq!(nowhere.status.code(), Some(3), "{why}");
    assert!(why.contains("serving the page at 192.0.2.1:80"), "{why}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let below = demo(&["cloud", "--data", &file.join("below").display().to_string()]);
    assert_eq!(below.status.code(), Some(2), "{}", text(&below.stderr));
}
