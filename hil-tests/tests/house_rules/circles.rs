//! No circle of files: whoever reads one file of a crate must not have to know all the others. A module and its submodules count as one.

use super::{assert_none, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Circles that are known, and shall go.
const KNOWN: &[(&str, &[&str])] = &[
    ("hil-tests/rigs", &["host::agents", "host::inject", "host::run"]),
    ("standby/agent", &["cli", "data", "doctor", "image", "jitter", "keys", "orders", "status"]),
    (
        "vehicle-demo/app",
        &["cli", "cloud", "commands", "device", "fed", "live", "output", "plain", "role", "vehicle"],
    ),
];

type Path = Vec<String>;

fn path(words: &[&str]) -> Path {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Returns the paths that a tree of a `use` names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut parts, mut depth) = (vec![String::new()], 0_u32);
    for letter in inside.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("at least one").push(letter);
        }
    }
    let whole = |part: &String| leaves(part).into_iter().map(|leaf| format!("{}{leaf}", before.trim()));
    parts.iter().filter(|part| !part.trim().is_empty()).flat_map(whole).collect()
}

/// Returns what the code of a file names by `use`, `crate::` and `super::`.
fn named(code: &str) -> BTreeSet<String> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("use ").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let tree = code[at + 4..].split(';').next().unwrap_or_default();
        named.extend(leaves(tree));
    }
    for start in ["crate::", "super::"] {
        for (at, _) in
            code.match_indices(start).filter(|(at, _)| !code[..*at].ends_with(|l| is_word(l) || l == ':'))
        {
            let end =
                code[at..].find(|letter| !is_word(letter) && letter != ':').map_or(code.len(), |end| at + end);
            named.insert(code[at..end].to_owned());
        }
    }
    named
}

/// Returns which module of the crate `name` means in the module `own`.
fn module(name: &str, own: &Path, modules: &BTreeSet<Path>) -> Option<Path> {
    let mut words: Vec<&str> = name.split("::").map(str::trim).collect();
    let mut at = match words.first() {
        Some(&"crate") => Path::new(),
        Some(&("super" | "self")) => own.clone(),
        Some(first) if modules.contains(&[own.clone(), path(&[first])].concat()) => own.clone(),
        Some(_) | None => return None,
    };
    words.retain(|word| *word != "crate" && *word != "self");
    for word in words {
        if word == "super" {
            at.pop();
        } else {
            at.push(word.to_owned());
        }
    }
    while !at.is_empty() && !modules.contains(&at) {
        at.pop();
    }
    Some(at)
}

/// Returns the two modules between which the edge stands: side by side in the nearest one that has both.
fn beside(from: &Path, to: &Path) -> Option<(Path, Path)> {
    let common = from.iter().zip(to).take_while(|(one, other)| one == other).count();
    // A module and what is in it are one.
    (common < from.len() && common < to.len()).then(|| (from[..=common].to_vec(), to[..=common].to_vec()))
}

/// Returns the modules of each crate that name each other in a circle.
fn circles(files: &BTreeMap<Path, String>) -> BTreeSet<Path> {
    let modules: BTreeSet<Path> = files.keys().cloned().collect();
    let mut edges = BTreeSet::new();
    for (own, code) in files {
        let targets = named(code).into_iter().filter_map(|name| module(&name, own, &modules));
        edges.extend(targets.filter_map(|to| beside(own, &to)));
    }
    // Whatever nobody names, and whatever names nobody, is in no circle.
    loop {
        let before = edges.len();
        let (froms, tos): (BTreeSet<Path>, BTreeSet<Path>) = edges.iter().cloned().unzip();
        edges.retain(|(from, to)| tos.contains(from) && froms.contains(to));
        if edges.len() == before {
            return froms;
        }
    }
}

/// Returns the files of each crate: its folder, and the code of each module without its tests.
fn crates() -> BTreeMap<String, BTreeMap<Path, String>> {
    let mut crates = BTreeMap::<String, BTreeMap<Path, String>>::new();
    for source in sources() {
        let Some((folder, file)) = source.path.split_once("/src/") else { continue };
        let file = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let words: Vec<&str> = file.split('/').filter(|word| !["lib", "main"].contains(word)).collect();
        if words.contains(&"tests") || words.first() == Some(&"bin") {
            continue;
        }
        let code = source.code().filter(|(line, _)| !source.is_test(*line)).map(|(_, line)| format!("{line}\n"));
        let code = code.collect::<String>();
        crates.entry(folder.to_owned()).or_default().entry(path(&words)).or_default().push_str(&code);
    }
    crates
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let mut broken = Vec::new();
    for (folder, files) in crates() {
        let found: Vec<String> = circles(&files).iter().map(|module| module.join("::")).collect();
        let known = KNOWN.iter().find(|(known, _)| *known == folder).map_or(&[][..], |(_, modules)| modules);
        if found != known {
            broken.push(format!(
                "{folder}: {found:?} name each other in a circle, and known are {known:?}: move what both need into a file of its own"
            ));
        }
    }
    assert_none(&broken);
}

#[test]
fn circles_are_seen_and_rows_are_none() {
    let files = |texts: &[(&str, &str)]| {
        let module = |name: &str| path(&name.split("::").filter(|word| !word.is_empty()).collect::<Vec<_>>());
        texts.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let row = [
        ("", "mod a; mod b;"),
        ("a", "use crate::b::{C, d::{E}};"),
        ("b", "use std::fmt;"),
        ("b::d", "use super::F;"),
    ];
    assert!(circles(&files(&row)).is_empty(), "a module and its submodules are one");
    let circle =
        [("a", "use super::b;"), ("b", "fn f() -> crate::c::T {}"), ("c", "use crate::{a::{self, X}, std};")];
    assert_eq!(circles(&files(&circle)), ["a", "b", "c"].map(|name| path(&[name])).into());
}
