//! Every command that the documents show is run as it stands there, or is listed here with the reason why it is not.
//!
//! The documents' folder of a run is one: what a command writes, the next one finds. `TWINHELM_FULL=1` (`./dev hil --full`) runs what
//! takes real time as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It takes real time: it is run with `TWINHELM_FULL=1`, and may answer so.
    Slow(&'static [i32]),
    /// It is run, and may answer so, by what the machine is.
    Answers(&'static [i32]),
    /// It is not run here.
    Not(&'static str),
}

/// By document and the beginning of a command. Whatever is not here is run, and has to end with 0.
const FATES: &[(&str, &str, Fate)] = &[
    ("README.md", "vehicle-demo run                     ", Fate::Slow(&[0])),
    ("README.md", "vehicle-demo run --fault", Fate::Slow(&[0])),
    (
        "README.md",
        "sudo target/debug/vehicle-demo run --runtime container",
        Fate::Not("the tests of containers run it"),
    ),
    ("README.md", "twinhelm status --watch", Fate::Not("it has no end; the tests of the agent ask")),
    ("README.md", "twinhelm doctor", Fate::Answers(&[0, 1])),
    ("README.md", "twinhelm jitter --seconds 60", Fate::Slow(&[0, 1])),
    ("README.md", "vehicle-demo replay", Fate::Slow(&[0])),
    ("README.md", "vehicle-demo failover", Fate::Slow(&[0])),
    ("README.md", "vehicle-demo link", Fate::Slow(&[0])),
    ("ARCHITECTURE.md", "cargo", Fate::Not("the stage nextest runs these very tests")),
    ("ARCHITECTURE.md", "TWINHELM_SEED=", Fate::Not("the stage nextest runs these very tests")),
    ("CONTRIBUTING.md", "cargo", Fate::Not("the stage nextest runs these very tests")),
    ("CONTRIBUTING.md", "TWINHELM_SEEDS=", Fate::Not("the stage nextest runs these very tests")),
    ("docs/add-a-driver.md", "cargo", Fate::Not("./dev test runs the same on all of the workspace")),
    ("docs/fuzzing.md", "", Fate::Not("./dev hil --full does the same, target by target")),
    ("docs/goals.md", "", Fate::Not("each takes a quarter of an hour")),
    ("docs/hardware.md", "vehicle-demo gate board.toml  ", Fate::Not("it needs the board's pins")),
    ("docs/hardware.md", "twinhelm agent --example > /etc", Fate::Not("it writes to /etc")),
    (
        "docs/hardware.md",
        "cp /usr/share",
        Fate::Not("it needs the package; the package's test looks for the files"),
    ),
    ("docs/migration.md", "vehicle-demo run --runtime container", Fate::Not("the tests of the fleet run it")),
    ("docs/migration.md", "twinhelm pool", Fate::Answers(&[3])),
    ("docs/migration.md", "twinhelm events", Fate::Not("it has no end; the tests of containers ask")),
    ("docs/migration.md", "twinhelm switchover", Fate::Answers(&[3])),
    (
        "docs/migration.md",
        "twinhelm data",
        Fate::Not("it needs object storage; the tests of mission data have one"),
    ),
    ("docs/missions.md", "sudo ./dev demo", Fate::Not("as in README.md")),
    ("docs/missions.md", "./dev image", Fate::Not("it builds the mission's image; the tests of containers use it")),
    ("docs/missions.md", "sudo target/debug/vehicle-demo", Fate::Not("the tests of containers run it")),
    ("docs/missions.md", "twinhelm image build --platform", Fate::Not("./dev images builds for boards")),
    (
        "docs/missions.md",
        "twinhelm image",
        Fate::Not("the tests of images have a registry and images of their own"),
    ),
    ("docs/missions.md", "twinhelm status", Fate::Not("it has no end; the tests of the agent ask")),
    ("docs/your-vehicle.md", "", Fate::Not("the test your_vehicle runs them in a project of its own")),
];

/// A command, and where it stands.
#[derive(Debug)]
struct Shown {
    document: String,
    line: usize,
    command: String,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root.join(name)).to_vec();
    let docs = std::fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("a file").path());
    all.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    all.sort();
    all
}

fn shown_in(path: &Path) -> Vec<Shown> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = path.strip_prefix(&root).expect("below the root").display().to_string();
    let text = std::fs::read_to_string(path).expect("a document");
    let mut shown = Vec::new();
    let mut is_inside = false;
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        if text.starts_with("```") {
            is_inside = !is_inside && ["```sh", "```bash", "```console"].contains(&text);
        } else if is_inside && !text.is_empty() && !text.starts_with('#') {
            shown.push(Shown { document: document.clone(), line, command: text.to_owned() });
        }
    }
    shown
}

fn fate(shown: &Shown) -> Fate {
    // A command without a comment ends where the table's has two spaces.
    let command = format!("{}  ", shown.command);
    let of =
        |(document, begins, _): &&(&str, &str, Fate)| shown.document == *document && command.starts_with(begins);
    FATES.iter().find(of).map_or(Fate::Answers(&[0]), |(.., fate)| *fate)
}

#[test]
fn every_command_that_the_documents_show_is_run_or_has_a_reason() {
    let is_full = std::env::var_os("TWINHELM_FULL").is_some();
    let program = Path::new(env!("CARGO_BIN_EXE_vehicle-demo"));
    let beside = program.parent().expect("a folder");
    let path = std::env::join_paths(
        std::iter::once(beside.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").expect("a path"))),
    );
    let path = path.expect("a path");
    let mut failed = Vec::new();
    let mut ran = 0;
    for document in documents() {
        let folder = tempfile::tempdir().expect("a folder");
        for shown in shown_in(&document) {
            let answers: &[i32] = match fate(&shown) {
                Fate::Answers(answers) => answers,
                Fate::Slow(answers) if is_full => answers,
                Fate::Slow(_) => {
                    println!("not run: {}: it takes real time (TWINHELM_FULL=1 runs it)", shown.command);
                    continue;
                }
                Fate::Not(why) => {
                    println!("not run: {}: {why}", shown.command);
                    continue;
                }
            };
            ran += 1;
            let output = Command::new("bash")
                .args(["-c", &shown.command])
                .current_dir(folder.path())
                .env("PATH", &path)
                .stdin(Stdio::null())
                .output()
                .expect("bash");
            if !output.status.code().is_some_and(|code| answers.contains(&code)) {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                failed.push(format!(
                    "{}:{}: {}: {}\n{said}",
                    shown.document, shown.line, shown.command, output.status
                ));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(ran >= 10, "{ran} commands were run: are the documents where they were?");
}

#[test]
fn every_reason_belongs_to_a_command_that_is_shown() {
    let all: Vec<Shown> = documents().iter().flat_map(|path| shown_in(path)).collect();
    let is_stale = |(document, begins, _): &&(&str, &str, Fate)| {
        !all.iter().any(|shown| shown.document == *document && format!("{}  ", shown.command).starts_with(begins))
    };
    let stale: Vec<_> = FATES.iter().filter(is_stale).map(|(document, begins, _)| (document, begins)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

#[test]
fn the_readme_names_every_kind_of_fault() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).expect("it");
    let kinds = twinhelm_hil::fault::parse::KINDS.iter();
    let missing: Vec<&str> = kinds
        .map(|(form, _)| form.split(['[', '=']).next().expect("a name"))
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
