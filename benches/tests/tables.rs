//! What is generated from the kept figures is what stands in the README and in docs/benchmarks.md.

use std::path::Path;
use twinhelm_benches::figures::{Bench, SCHEMA};
use twinhelm_benches::{page, tables};
use twinhelm_vehicle::report::ladder::{Ladder, table};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}

fn kept() -> Bench {
    let bench: Bench = serde_json::from_str(&read("docs/figures/bench.json")).expect("figures of this form");
    assert_eq!(bench.schema, SCHEMA);
    bench
}

#[test]
fn the_readme_shows_the_kept_figures() {
    let readme = read("README.md");
    let again = tables::replace(&readme, &tables::readme(&kept())).expect("its two lines");
    assert_eq!(readme, again, "call `./dev bench --readme`; nobody edits what is generated");
}

#[test]
fn the_page_of_figures_is_the_generated_one() {
    assert_eq!(read("docs/benchmarks.md"), tables::page(&kept()), "call `./dev bench --readme`");
}

/// The lines of the README between which the ladder stands.
const LADDER: [&str; 2] =
    ["<!-- checked by a test: docs/figures/ladder.json -->", "<!-- end of what is checked -->"];

#[test]
fn the_readme_shows_the_kept_ladder() {
    let kept: Ladder = serde_json::from_str(&read("docs/figures/ladder.json")).expect("figures of this form");
    let runs = kept.rungs.first().map_or(0, |rung| rung.runs.len());
    let machine = format!(
        "Rig {} on {}, {runs} takeovers from each rung, the driving device killed.",
        kept.rig, kept.machine
    );
    let shown = format!("\n{machine} `vehicle-demo ladder --runs {runs}`.\n\n{}\n", table(&kept));
    let readme = read("README.md");
    let (before, rest) = readme.split_once(LADDER[0]).expect(LADDER[0]);
    let (_, after) = rest.split_once(LADDER[1]).expect(LADDER[1]);
    let again = [before, LADDER[0], "\n", &shown, LADDER[1], after].concat();
    if std::env::var_os("TWINHELM_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        std::fs::write(path, &again).expect("it is ours");
    } else {
        assert_eq!(readme, again, "call this test with TWINHELM_BLESS=1; nobody edits what is checked");
    }
}

#[test]
fn the_html_page_is_one_file_with_a_strip_for_each_fault() {
    let bench = kept();
    let html = page::html(&bench).expect("pictures");
    let faults: usize = bench.failover.iter().map(|failover| failover.faults.len()).sum();
    assert_eq!(html.matches("<svg").count(), faults);
    for words in ["period", "command timeout", "FTTI", bench.machine.as_str()] {
        assert!(html.contains(words), "{words}");
    }
    // Nothing is fetched from anywhere.
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=", "<script", "<link", "url("] {
        assert!(!outside.contains(word), "{word}");
    }
}

#[test]
fn a_readme_without_its_two_lines_is_told_so() {
    assert!(tables::replace("# Twinhelm\n", "x").expect_err("nothing to replace").contains("has no line"));
}
