//! docs/your-vehicle.md, tried: exactly its text is built in a folder of its own and runs on both rigs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tools::{assert_nothing_wrong_was_acted_on, stalled, text};

mod tools;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Returns the fenced blocks of `language`, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let rest = text.split(&fence).skip(1);
    rest.map(|rest| rest.split("```").next().expect("a closed block").to_owned()).collect()
}

fn cargo(project: &Path, arguments: &[&str]) -> Output {
    let target = repository().join("target");
    Command::new(env!("CARGO"))
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target)
        // The workspace's profile, so that nothing of Zenoh is built a second time.
        .args(["--config", "profile.dev.opt-level=1"])
        .args(["--config", "profile.dev.debug=\"line-tables-only\""])
        .args(["--config", "profile.dev.package.\"*\".opt-level=2"])
        .args(["--config", "profile.dev.package.\"*\".debug=false"])
        .args(["--config", "profile.dev.build-override.opt-level=0"])
        .args(["--config", "profile.dev.build-override.debug=false"])
        .args(arguments)
        .output()
        .expect("cargo runs")
}

fn succeeds(what: &str, output: &Output) -> String {
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{what}: {shown}\n{}", text(&output.stderr));
    shown
}

#[test]
fn the_text_of_the_page_builds_and_drives_on_both_rigs() {
    let page = std::fs::read_to_string(repository().join("docs/your-vehicle.md")).expect("the page");
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(repository(), folder.path().join("twinhelm")).expect("a link");
    let project = folder.path().join("my-vehicle");
    std::fs::create_dir_all(project.join("src")).expect("a folder");
    let tables = blocks(&page, "toml");
    let [law] = blocks(&page, "rust").try_into().expect("one law");
    for (name, text) in [("Cargo.toml", &tables[0]), ("vehicle.toml", &tables[1]), ("src/main.rs", &law)] {
        std::fs::write(project.join(name), text).expect("a file");
    }
    // The same versions as here, without asking any registry.
    std::fs::copy(repository().join("Cargo.lock"), project.join("Cargo.lock")).expect("the lock file");
    succeeds("build", &cargo(&project, &["build", "--offline"]));
    let program = repository().join("target/debug/my-vehicle");
    let blocks = blocks(&page, "sh");
    let commands = blocks.iter().flat_map(|block| block.lines());
    let commands: Vec<&str> = commands.filter_map(|line| line.strip_prefix("cargo run -- ")).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let mut started = Command::new(&program);
        started.current_dir(&project).args(command.split(' '));
        if !command.starts_with("run") {
            succeeds(command, &started.output().expect("it runs"));
            continue;
        }
        let output = started.args(["--json", "report.json"]).output().expect("it runs");
        let written = std::fs::read_to_string(project.join("report.json"));
        let shown = text(&output.stdout);
        let written = written.unwrap_or_else(|_| panic!("no report: {shown}{}", text(&output.stderr)));
        let report = serde_json::from_str(&written).expect("a report");
        assert_nothing_wrong_was_acted_on(&report, &shown);
        assert!(
            shown.contains("left stopped driving, right drives on") || shown.contains("left drives on"),
            "{shown}"
        );
        if stalled(&report) {
            println!("not judged, the machine stalled: {shown}");
            continue;
        }
        succeeds(command, &output);
        assert!(shown.contains("PASS"), "{shown}");
    }
}

#[test]
fn the_page_shows_the_example() {
    let page = std::fs::read_to_string(repository().join("docs/your-vehicle.md")).expect("the page");
    let example = include_str!("../examples/own_law.rs");
    assert!(page.contains(example), "copy vehicle-demo/app/examples/own_law.rs into docs/your-vehicle.md");
    assert!(example.lines().count() < 80);
}
