//! The mutants: the gate, the pair's side of a device and the turn, changed one thing at a time by cargo-mutants. What no test notices is
//! compared with the file that explains it, and nothing else may survive.

use crate::program::{Call, Failed};
use serde::Deserialize;
use std::fs;
use std::path::Path;

const OUT: &str = "target/mutants";
const EXPLAINED: &str = "hil-tests/mutants.toml";
/// So many may be explained; more are a lack of tests.
const EXPLAINED_MAX: usize = 10;

/// A mutant that may survive.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Explained {
    /// The file, from the root.
    file: String,
    /// The line that is changed, as it stands there, without the space before it.
    line: String,
    /// What cargo-mutants makes of it.
    mutant: String,
    /// Why no test can notice it, or need not.
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    explained: Vec<Explained>,
}

/// A mutant that survived, as cargo-mutants tells of it.
#[derive(Clone, Debug, PartialEq)]
struct Survivor {
    told: String,
    file: String,
    line: String,
    mutant: String,
}

/// Makes all mutants, tests each, and compares what survives.
pub(crate) fn run() -> Result<(), Failed> {
    let unreadable = |path: &Path, error: std::io::Error| Failed::Machine(format!("{}: {error}", path.display()));
    fs::create_dir_all(OUT).map_err(|error| unreadable(Path::new(OUT), error))?;
    let tests = ["--test-package", "twinhelm-hal,twinhelm-standby", "--timeout", "60", "--output", OUT];
    // It ends with an error when one survives; which ones is what counts.
    let ended = Call::new("cargo mutants --no-shuffle").args(tests).run();
    let read = |name: &str| {
        let path = Path::new(OUT).join("mutants.out").join(name);
        fs::read_to_string(&path).map_err(|error| unreadable(&path, error))
    };
    let (missed, caught) = (read("missed.txt")?, read("caught.txt")?);
    if caught.is_empty() {
        ended?;
    }
    let explained = fs::read_to_string(EXPLAINED).map_err(|error| unreadable(Path::new(EXPLAINED), error))?;
    let explained: File =
        toml::from_str(&explained).map_err(|error| Failed::Wrong(format!("{EXPLAINED}: {error}")))?;
    let line_of = |file: &str, number: usize| {
        let text = fs::read_to_string(file).ok()?;
        text.lines().nth(number.checked_sub(1)?).map(|line| line.trim().to_owned())
    };
    let survivors: Vec<_> = missed.lines().filter_map(|told| survivor(told, line_of)).collect();
    println!("{} mutants killed, {} survive", caught.lines().count(), survivors.len());
    let wrong = compare(&survivors, &explained.explained);
    if wrong.is_empty() { Ok(()) } else { Err(Failed::Wrong(wrong.join("\n"))) }
}

/// Reads a line of cargo-mutants: `FILE:LINE:COLUMN: MUTANT`.
fn survivor(told: &str, line_of: impl Fn(&str, usize) -> Option<String>) -> Option<Survivor> {
    let (place, mutant) = told.split_once(": ")?;
    let mut place = place.split(':');
    let (file, number) = (place.next()?, place.next()?.parse().ok()?);
    let line = line_of(file, number)?;
    Some(Survivor { told: told.to_owned(), file: file.to_owned(), line, mutant: mutant.to_owned() })
}

/// Returns what is wrong, in words: nobody explained a survivor, or explained one that does not survive, or there are too many.
fn compare(survivors: &[Survivor], explained: &[Explained]) -> Vec<String> {
    let is_of = |survivor: &Survivor, it: &Explained| {
        (&survivor.file, &survivor.line, &survivor.mutant) == (&it.file, &it.line, &it.mutant)
    };
    let unexplained = survivors.iter().filter(|survivor| !explained.iter().any(|it| is_of(survivor, it)));
    let mut wrong: Vec<String> = unexplained
        .map(|survivor| format!("no test notices it: {}\n    {}", survivor.told, survivor.line))
        .collect();
    for it in explained.iter().filter(|it| !survivors.iter().any(|survivor| is_of(survivor, it))) {
        let Explained { file, mutant, .. } = it;
        wrong
            .push(format!("{EXPLAINED} explains what does not survive, or stands there no more: {file}: {mutant}"));
    }
    let empty = explained.iter().filter(|it| it.why.trim().is_empty());
    wrong.extend(empty.map(|it| format!("{EXPLAINED} does not say why: {}", it.mutant)));
    if explained.len() > EXPLAINED_MAX {
        wrong.push(format!("{EXPLAINED} explains {}, more than {EXPLAINED_MAX}: write tests", explained.len()));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "hal/src/gate.rs:169:29: replace == with != in Gate<R>::on_command";

    fn explained() -> Explained {
        Explained {
            file: "hal/src/gate.rs".to_owned(),
            line: "if term == own {".to_owned(),
            mutant: "replace == with != in Gate<R>::on_command".to_owned(),
            why: "a test says so".to_owned(),
        }
    }

    fn read() -> Survivor {
        let line_of = |file: &str, number| {
            (file == "hal/src/gate.rs" && number == 169).then(|| "if term == own {".to_owned())
        };
        survivor(TOLD, line_of).expect("a line of cargo-mutants")
    }

    #[test]
    fn a_survivor_that_is_explained_is_nothing_to_tell_of_wherever_its_line_stands() {
        assert!(compare(&[read()], &[explained()]).is_empty());
    }

    #[test]
    fn an_unexplained_survivor_a_stale_explanation_and_one_without_a_reason_are_told() {
        assert!(compare(&[read()], &[])[0].contains(TOLD));
        assert!(compare(&[], &[explained()])[0].contains("does not survive"));
        let silent = Explained { why: " ".to_owned(), ..explained() };
        assert!(compare(&[read()], &[silent])[0].contains("does not say why"));
        let many = vec![explained(); 11];
        assert!(compare(&[read()], &many)[0].contains("more than 10"));
    }
}
