//! docs/your-vehicle.md, tried: its law drives on both rigs by its commands, and, where there is time, exactly its text is built in
//! a folder of its own.

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

/// Returns the page.
fn page() -> String {
    std::fs::read_to_string(repository().join("docs/your-vehicle.md")).expect("the page")
}

/// Lays the page's project into `folder`, and returns where it is.
fn lay_out(page: &str, folder: &Path) -> PathBuf {
    std::os::unix::fs::symlink(repository(), folder.join("twinhelm")).expect("a link");
    let project = folder.join("my-vehicle");
    std::fs::create_dir_all(project.join("src")).expect("a folder");
    let tables = blocks(page, "toml");
    let [law] = blocks(page, "rust").try_into().expect("one law");
    for (name, text) in [("Cargo.toml", &tables[0]), ("vehicle.toml", &tables[1]), ("src/main.rs", &law)] {
        std::fs::write(project.join(name), text).expect("a file");
    }
    // The same versions as here, without asking any registry.
    std::fs::copy(repository().join("Cargo.lock"), project.join("Cargo.lock")).expect("the lock file");
    project
}

fn succeeds(what: &str, output: &Output) -> String {
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{what}: {shown}\n{}", text(&output.stderr));
    shown
}

/// Runs the page's commands in `project` with the program that was built.
fn drives_by_the_commands(page: &str, project: &Path, program: &Path) {
    let blocks = blocks(page, "sh");
    let commands = blocks.iter().flat_map(|block| block.lines());
    let commands: Vec<&str> = commands.filter_map(|line| line.strip_prefix("cargo run -- ")).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let mut started = Command::new(program);
        started.current_dir(project).args(command.split(' '));
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
fn the_law_of_the_page_drives_on_both_rigs_by_its_commands() {
    let page = page();
    let folder = tempfile::tempdir().expect("a folder");
    let project = lay_out(&page, folder.path());
    let example = Path::new(env!("CARGO_BIN_EXE_vehicle-demo")).with_file_name("examples/own_law");
    drives_by_the_commands(&page, &project, &example);
}

/// Its dependencies have other features than the workspace's, so all of Zenoh is built for it.
#[test]
fn the_text_of_the_page_builds_in_a_folder_of_its_own_and_drives() {
    if std::env::var_os("TWINHELM_FULL").is_none() {
        println!("skipped: it builds Zenoh a second time: ./dev hil --full");
        return;
    }
    let page = page();
    let folder = tempfile::tempdir().expect("a folder");
    let project = lay_out(&page, folder.path());
    let target = repository().join("target/own-project");
    let built = Command::new(env!("CARGO"))
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--offline"])
        .output()
        .expect("cargo runs");
    succeeds("build", &built);
    drives_by_the_commands(&page, &project, &target.join("debug/my-vehicle"));
}

#[test]
fn the_page_shows_the_example() {
    let page = page();
    let example = include_str!("../examples/own_law.rs");
    assert!(page.contains(example), "copy vehicle-demo/app/examples/own_law.rs into docs/your-vehicle.md");
    assert!(example.lines().count() < 80);
}
