//! What does not fit a type, kept as serde says it until the sentence about it can be written.

use serde::de::{self, Expected, Unexpected};
use std::fmt::{self, Display};
use std::ops::Range;

/// What does not fit, and where.
#[derive(Debug)]
pub(super) struct Problem {
    what: Misfit,
    pub(super) span: Option<Range<usize>>,
    /// Keys and numbers of list items, outermost first.
    path: Vec<Step>,
}

/// One step on the way to a value.
#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

#[derive(Debug)]
enum Misfit {
    Key { given: String, allowed: &'static [&'static str] },
    Word { given: String, allowed: &'static [&'static str] },
    Type { given: String, wanted: String },
    Missing { key: &'static str },
    Other(String),
}

impl Problem {
    fn new(what: Misfit) -> Self {
        Self { what, span: None, path: Vec::new() }
    }

    /// Returns where it is, in bytes.
    pub(super) fn at(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.start)
    }

    /// Returns the problem as one of what `step` leads to, which stands at `span`.
    pub(super) fn within(mut self, step: Step, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self.path.insert(0, step);
        self
    }

    /// Returns what is wrong, and what to write instead.
    pub(super) fn words(&self) -> (String, String) {
        let place = place(&self.path);
        let key = self.path.iter().rev().find_map(|step| if let Step::Key(key) = step { Some(key) } else { None });
        let key = key.map_or("", String::as_str);
        // A key is missing or unknown in the table that the path leads to.
        let within = if self.path.is_empty() { String::new() } else { format!(" in [{}]", dotted(&self.path)) };
        match &self.what {
            Misfit::Key { given, allowed } => {
                let instead = match super::nearest(given, allowed.iter().copied()) {
                    Some(meant) => format!("write `{meant}`"),
                    None => format!("the keys there are {}", list(allowed, "`", ", ")),
                };
                (format!("unknown key `{given}`{within}"), instead)
            }
            Misfit::Word { given, allowed } => {
                (format!("{place} cannot be `{given}`"), format!("write {}", list(allowed, "\"", " or ")))
            }
            Misfit::Type { given, wanted } => {
                let wanted = wanted_words(wanted);
                (format!("{place} is {given}, not {wanted}"), instead_of(key, given, &wanted))
            }
            Misfit::Missing { key } => (format!("`{key}` is missing{within}"), format!("write `{key} = ...`")),
            Misfit::Other(text) => (format!("{place}: {text}"), "write another value".to_owned()),
        }
    }
}

fn dotted(path: &[Step]) -> String {
    let keys = path.iter().filter_map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None });
    keys.collect::<Vec<_>>().join(".")
}

/// Returns a path as people say it: item 1 of `points` in [course].
fn place(path: &[Step]) -> String {
    let mut words = String::new();
    let Some(last_key) = path.iter().rposition(|step| matches!(step, Step::Key(_))) else {
        return "the file".to_owned();
    };
    for step in path[last_key..].iter().rev() {
        words.push_str(&match step {
            Step::Item(index) => format!("item {index} of "),
            Step::Key(key) => format!("`{key}`"),
        });
    }
    if last_key > 0 {
        words.push_str(&format!(" in [{}]", dotted(&path[..last_key])));
    }
    words
}

fn list(words: &[&str], quote: &str, between: &str) -> String {
    words.iter().map(|word| format!("{quote}{word}{quote}")).collect::<Vec<_>>().join(between)
}

/// Returns serde's name of a type in words.
fn wanted_words(wanted: &str) -> String {
    match wanted {
        "f64" => "a number".to_owned(),
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" | "u64" => "a whole number of 0 or more".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "an array of length 2" => "a pair of numbers, [x, y]".to_owned(),
        _ if wanted.starts_with("struct ") => "a table".to_owned(),
        _ => wanted.to_owned(),
    }
}

fn instead_of(key: &str, given: &str, wanted: &str) -> String {
    if wanted == "a table" {
        return format!("write [{key}] on a line of its own, and its keys below");
    }
    // A text like 10ms, and the key says ms: the number is known.
    let text = given.strip_prefix("the string \"").and_then(|text| text.strip_suffix('"'));
    if let Some(text) = text.filter(|_| wanted.contains("number")) {
        let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim();
        if !number.is_empty() && (unit.is_empty() || key.ends_with(&format!("_{unit}"))) {
            return format!("the unit is in the key: write `{key} = {number}`");
        }
    }
    if wanted == "a number" {
        return "write a number without quotes and without a unit: the unit is in the key".to_owned();
    }
    format!("write {wanted}")
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, instead) = self.words();
        write!(f, "{what}; {instead}")
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: Display>(text: T) -> Self {
        Self::new(Misfit::Other(text.to_string()))
    }

    fn invalid_type(given: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let given = match given.to_string().as_str() {
            "map" => "a table".to_owned(),
            "sequence" => "a list".to_owned(),
            given => format!("the {given}"),
        };
        Self::new(Misfit::Type { given, wanted: wanted.to_string() })
    }

    fn invalid_value(given: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(given, wanted)
    }

    fn invalid_length(given: usize, wanted: &dyn Expected) -> Self {
        Self::new(Misfit::Type { given: format!("a list of {given}"), wanted: wanted.to_string() })
    }

    fn unknown_field(given: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Misfit::Key { given: given.to_owned(), allowed })
    }

    fn unknown_variant(given: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(Misfit::Word { given: given.to_owned(), allowed })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Misfit::Missing { key })
    }
}
