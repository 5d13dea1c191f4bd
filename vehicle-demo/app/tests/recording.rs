//! Recordings as files: written while driving, readable after any end of the writer, read by others, replayed.

mod tools;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use tools::{demo, program, python, text};

/// Runs with `arguments` and records into `path`; the run may be invalid on a machine that stalls, but must not fail.
fn record(path: &Path, arguments: &[&str]) {
    let output = program().arg("run").args(arguments).arg("--record").arg(path).output().expect("it runs");
    let shown = text(&output.stdout);
    assert!(
        matches!(output.status.code(), Some(0 | 1)) && !shown.contains("FAIL"),
        "{shown}{}",
        text(&output.stderr)
    );
}

/// Replays the recording, which must come out the same, and returns what is said.
fn replay(path: &Path, arguments: &[&str]) -> String {
    let output = program().arg("replay").arg(path).args(arguments).output().expect("it runs");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    shown
}

fn refused(arguments: &[&str]) -> String {
    let output = demo(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

#[test]
fn the_report_comes_out_the_same_by_pythons_mcap_and_by_replay_on_each_rig() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules: [(&str, &[&str]); 4] = [
        ("sim", &["--rig", "sim", "--fault", "kill@5s:1s", "--fault", "switchover@9s"]),
        ("sim-1khz", &["--rig", "sim", "--profile", "1khz", "--duration", "3s", "--fault", "hang@1s:200ms"]),
        (
            "host",
            &["--rig", "host", "--duration", "3s", "--fault", "kill@1s:500ms", "--fault", "nan@2s:300ms:right"],
        ),
        ("netns", &["--rig", "netns", "--duration", "3s", "--fault", "power@1s:500ms"]),
    ];
    for (rig, arguments) in schedules {
        let path = folder.path().join(format!("{rig}.mcap"));
        record(&path, arguments);
        println!("{rig}\n{}", python("recompute.py", &[path.to_str().expect("a path")]));
        let said = replay(&path, &[]);
        assert!(
            said.contains("the same decisions again") && said.contains("the report comes out the same"),
            "{said}"
        );
        assert!(path.with_extension("foxglove.json").is_file(), "a layout lies beside it");
    }
}

#[test]
fn a_replay_tells_why_a_standby_sent_and_why_the_gate_acted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    record(&path, &["--rig", "sim", "--fault", "kill@5s"]);
    let story = replay(&path, &["--from", "4990ms", "--until", "5100ms"]);
    let lines: Vec<&str> = story.lines().collect();
    let place = |words: &str| {
        let found = lines.iter().position(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("{words} is missing in\n{story}"))
    };
    let order = [
        place("kill@5s hits left"),
        place("right     sends for cycle"),
        place("a cover: the last command was acted on"),
        place("a takeover: the holder's last was acted on"),
        place("right     standby -> primary: heard gate 0: open"),
    ];
    assert!(order.is_sorted(), "{story}");
    assert!(lines[order[1]].contains("gate 0 has reported up to cycle"), "{story}");
    let steps = replay(&path, &["--from", "4990ms", "--until", "5010ms", "--step"]);
    assert!(steps.lines().count() > 20 && steps.contains("woke up -> nothing"), "{steps}");
    let json = replay(&path, &["--from", "4990ms", "--until", "5100ms", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["story"][0]["what"], "kill@5s hits left");
    assert_eq!((&json["replayed"]["report"], &json["difference"]), (&true.into(), &serde_json::Value::Null));
}

#[test]
fn a_recording_whose_writer_was_killed_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    let mut runner = program()
        .args(["run", "--rig", "host", "--duration", "60s", "--fault", "kill@500ms:left", "--record"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let said = BufReader::new(runner.stderr.take().expect("its messages"));
    // On a machine that stalls the right one may drive already.
    let (mut is_killed, mut drives) = (false, false);
    for line in said.lines().map_while(Result::ok) {
        is_killed |= line.contains("hits left");
        drives |= line.contains("right is primary");
        if is_killed && drives {
            break;
        }
    }
    assert!(is_killed && drives, "the right one drives");
    // It comes to the disk while it drives: the writer is no one who waits for the end. The file's length says less, it
    // grows in the middle of a chunk.
    let is_on_disk = || {
        let said = text(&demo(&["replay", path.to_str().expect("a path"), "--from", "0s"]).stdout);
        said.contains("left is down") && said.contains("a takeover")
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(40);
    while !is_on_disk() {
        assert!(std::time::Instant::now() < until, "nothing is written while it drives");
    }
    runner.kill().expect("killed");
    runner.wait().expect("its end");
    let said = replay(&path, &["--from", "400ms"]);
    assert!(said.contains("its writer was killed") && said.contains("the same decisions again"), "{said}");
    assert!(said.contains("kill@500ms:left hits left") && said.contains("left is down"), "{said}");
    assert!(said.contains("there is no report in it"), "{said}");
}

/// Runs `arguments` with `--record` on a file system of half a megabyte, in a mount namespace of its own that ends with
/// the shell; what was recorded is copied to `kept`. `None` without the right to mount.
fn on_a_full_disk(arguments: &str, kept: &Path) -> Option<(Option<i32>, String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "mount -t tmpfs -o size=512k twinhelm \"$1\" || exit 77
        \"$0\" run {arguments} --record \"$1/run.mcap\"; code=$?
        test ! -e \"$1/run.mcap\" || cp \"$1/run.mcap\" \"$2\" && exit $code"
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_vehicle-demo")])
        .args([folder.path(), kept])
        .output()
        .expect("unshare runs");
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        println!("skipped: mounting a file system takes root: {said}");
        return None;
    }
    Some((output.status.code(), shown, said))
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept.mcap");
    let Some((code, shown, said)) = on_a_full_disk("--rig host --duration 4s", &kept) else {
        return;
    };
    // Whoever asked for a recording has half of one: that is the machine's doing. (1: it stalled.)
    assert!(matches!(code, Some(1 | 3)) && !shown.contains("FAIL"), "{shown}{said}");
    assert_eq!(said.matches("the recording ends here: No space left on device").count(), 1, "{said}");
    assert!(
        said.contains("the run goes on") && shown.contains("(the recording ends before the run"),
        "{shown}{said}"
    );
    let story = replay(&kept, &["--from", "0s"]);
    assert!(story.contains("the same decisions again"), "{story}");
}

#[test]
fn a_full_disk_costs_a_simulated_run_its_recording_and_not_its_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((code, shown, said)) = on_a_full_disk("--rig sim --duration 4s", &folder.path().join("kept")) else {
        return;
    };
    assert_eq!(code, Some(3), "{shown}{said}");
    assert!(shown.contains("Handover report") && said.contains("No space left on device"), "{shown}{said}");
}

#[test]
fn what_is_no_recording_is_answered_with_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    assert!(refused(&["replay", &path("nothing.mcap")]).contains("nothing.mcap"));
    std::fs::write(path("text.mcap"), "a shopping list").expect("a file");
    assert!(
        refused(&["replay", &path("text.mcap")]).contains("this is no MCAP file; name a file that `run --record`")
    );
    std::fs::write(path("empty.mcap"), "").expect("a file");
    assert!(refused(&["replay", &path("empty.mcap")]).contains("no MCAP file"));
    let run = path("run.mcap");
    record(Path::new(&run), &["--rig", "sim", "--duration", "2s", "--fault", "kill@1s"]);
    let whole = std::fs::read(&run).expect("a recording");
    // Wherever it is cut, what is whole is replayed, or it says that there is nothing.
    for part in 1..20 {
        let cut = path("cut.mcap");
        std::fs::write(&cut, &whole[..whole.len() * part / 20]).expect("a file");
        let output = demo(&["replay", &cut]);
        let said = text(&output.stdout) + &text(&output.stderr);
        let (killed, nothing) = (said.contains("its writer was killed"), said.contains("there is nothing to read"));
        let fits = (output.status.code() == Some(0) && killed) || (output.status.code() == Some(2) && nothing);
        assert!(fits, "cut after {part} twentieths: {:?} {said}", output.status.code());
    }
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0x55;
    std::fs::write(path("broken.mcap"), &broken).expect("a file");
    assert!(refused(&["replay", &path("broken.mcap")]).contains("broken near byte"));
    let config = path("vehicle.toml");
    std::fs::write(&config, "[timing]\nmargin_ms = 2.5\n").expect("a file");
    let own = path("own.mcap");
    record(Path::new(&own), &["--rig", "sim", "--duration", "500ms", "--config", &config]);
    assert!(replay(Path::new(&own), &["--config", &config]).contains("the same decisions again"));
    let message = refused(&["replay", &run, "--config", &config]);
    assert!(
        message.contains("margin is 2 ms there and 2.5 ms here") && message.contains("replay it with its own"),
        "{message}"
    );
    assert!(refused(&["replay", &run, "--from", "2s", "--until", "1s"]).contains("--from comes after --until"));
    assert!(refused(&["replay", &run, "--from", "soon"]).contains("write a number with its unit"));
    assert!(refused(&["run", "--rig", "sim", "--record", "/proc/run.mcap"]).contains("name a folder"));
}
