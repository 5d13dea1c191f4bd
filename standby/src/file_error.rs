//! What is wrong with a file that a person wrote: where, what, and what to write instead.
//!
//! A [`Document`] is a TOML file that still knows where each of its values stands, so that whoever finds a value to
//! be impossible, be it long after reading, can point at its line. Names and texts come in; no file is opened here.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

mod problem;
mod reader;

use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One clear message about a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}; {instead}")]
pub struct FileError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

/// A TOML file that knows where each of its values stands.
#[derive(Clone, Debug)]
pub struct Document<'t> {
    file: &'t str,
    text: &'t str,
    root: Spanned<DeValue<'t>>,
}

impl<'t> Document<'t> {
    /// Reads `text`, which is the content of `file`, as TOML.
    ///
    /// # Errors
    /// [`FileError`] says where it ceases to be TOML.
    pub fn parse(file: &'t str, text: &'t str) -> Result<Self, FileError> {
        let root = DeTable::parse(text).map_err(|error| {
            let what = format!("this is no TOML: {}", error.message());
            // What is cut off is missed at the end.
            let at = error.span().map_or(text.len(), |span| span.start);
            let instead = if error.message().contains("duplicate") {
                "keep one of the two"
            } else {
                "write lines of KEY = VALUE below a [TABLE], texts in \"quotes\", numbers without a unit"
            };
            file_error(file, text, at, what, instead.to_owned())
        })?;
        let span = root.span();
        Ok(Self { file, text, root: Spanned::new(span, DeValue::Table(root.into_inner())) })
    }

    /// Reads the values. Types deny unknown fields, so that a typing error is not a default.
    ///
    /// # Errors
    /// [`FileError`] points at the first key or value that does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        T::deserialize(reader::Value::new(&self.root)).map_err(|problem| {
            let at = problem.at().unwrap_or_default();
            let (what, instead) = problem.words();
            file_error(self.file, self.text, at, what, instead)
        })
    }

    /// Returns an error about the value at `path`: keys, and numbers of list items. When there is no such value, it
    /// points at the nearest thing around where it would be.
    #[must_use]
    pub fn error(&self, path: &[&str], what: impl Into<String>, instead: impl Into<String>) -> FileError {
        let mut value = &self.root;
        let mut at = 0;
        for step in path {
            let Some((span, next)) = step_into(value.get_ref(), step) else {
                break;
            };
            (at, value) = (span.start, next);
        }
        file_error(self.file, self.text, at, what.into(), instead.into())
    }

    /// Returns where a message belongs that begins with a key, as in `mission.image: what is wrong with it`: the file, the line and the
    /// column of that key's value, and the message.
    #[must_use]
    pub fn about(&self, message: &str) -> String {
        let key = message.split([':', ' ']).next().unwrap_or_default();
        let FileError { file, line, column, .. } = self.error(&key.split('.').collect::<Vec<_>>(), "", "");
        format!("{file}:{line}:{column}: {message}")
    }

    /// Returns whether there is a value at `path`.
    #[must_use]
    pub fn has(&self, path: &[&str]) -> bool {
        let mut value = self.root.get_ref();
        path.iter().all(|step| step_into(value, step).map(|(_, next)| value = next.get_ref()).is_some())
    }
}

/// Returns what `step` names in `value`, and where: a value where it stands, a table where its name does.
fn step_into<'a, 't>(value: &'a DeValue<'t>, step: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'t>>)> {
    if let DeValue::Array(items) = value {
        let item = items.get(step.parse::<usize>().ok()?)?;
        return Some((item.span(), item));
    }
    let (key, next) = value.as_table()?.iter().find(|(key, _)| key.get_ref() == step)?;
    let span = if next.get_ref().is_table() { key.span() } else { next.span() };
    Some((span, next))
}

fn file_error(file: &str, text: &str, at: usize, what: String, instead: String) -> FileError {
    // A place within a character is that character's.
    let before = (0..=at.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let line = before.matches('\n').count().saturating_add(1);
    let column = before[line_start..].chars().count().saturating_add(1);
    FileError { file: file.to_owned(), line, column, what, instead }
}

/// Returns the word of `allowed` that somebody meant who wrote `word`.
#[must_use]
pub fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Less alike than this, a guess would be a riddle.
    const ALIKE_MIN: f64 = 0.75;
    let alike = allowed.into_iter().map(|other| (strsim::jaro_winkler(word, other), other));
    let best = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= ALIKE_MIN).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct File {
        timing: Timing,
        mode: Mode,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Timing {
        period_ms: Option<f64>,
        margin_ms: f64,
        gates: u8,
        points: Vec<[f64; 2]>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Keep,
        Stop,
    }

    fn refused(text: &str) -> String {
        let read = Document::parse("car.toml", text).and_then(|document| document.read::<File>());
        read.expect_err("a bad file").to_string()
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
        assert_eq!(
            refused("# äöü\n[timing]\nmargin_ms = 2\n  perod_ms = 10\n"),
            "car.toml:4:3: unknown key `perod_ms` in [timing]; write `period_ms`"
        );
        assert_eq!(
            refused("[timing]\ncolour = 1\n"),
            "car.toml:2:1: unknown key `colour` in [timing]; the keys there are `period_ms`, `margin_ms`, `gates`, \
             `points`"
        );
        assert_eq!(refused("[timng]\nperiod_ms = 1"), "car.toml:1:2: unknown key `timng`; write `timing`");
    }

    #[test]
    fn a_wrong_type_is_answered_with_the_line_to_write() {
        assert_eq!(
            refused("[timing]\nperiod_ms = \"10ms\""),
            "car.toml:2:13: `period_ms` in [timing] is the string \"10ms\", not a number; the unit is in the key: \
             write `period_ms = 10`"
        );
        assert_eq!(
            refused("[timing]\ngates = -1"),
            "car.toml:2:9: `gates` in [timing] is the integer `-1`, not a whole number from 0 to 255; write a whole \
             number from 0 to 255"
        );
        assert_eq!(
            refused("timing = 3"),
            "car.toml:1:10: `timing` is the integer `3`, not a table; write [timing] on a line of its own, and its keys below"
        );
        assert_eq!(refused("mode = \"halt\""), "car.toml:1:8: `mode` cannot be `halt`; write \"keep\" or \"stop\"");
        assert!(
            refused("[timing]\npoints = [[1, 2], [1]]")
                .starts_with("car.toml:2:19: item 1 of `points` in [timing]")
        );
    }

    #[test]
    fn a_message_that_begins_with_a_key_is_put_where_that_stands() {
        let document = Document::parse("car.toml", "[timing]\ngates = 9\n").expect("it is TOML");
        assert_eq!(document.about("timing.gates: write 1 to 4"), "car.toml:2:9: timing.gates: write 1 to 4");
        assert_eq!(document.about("timing.margin_ms is missing"), "car.toml:1:2: timing.margin_ms is missing");
        assert_eq!(document.about("all is wrong"), "car.toml:1:1: all is wrong");
    }

    #[test]
    fn what_is_no_toml_is_refused_where_it_ceases_to_be() {
        assert!(
            refused("[timing]\nperiod_ms = 10ms").starts_with("car.toml:2:"),
            "{}",
            refused("[timing]\nperiod_ms = 10ms")
        );
        assert!(refused("[timing").starts_with("car.toml:1:8: this is no TOML: "), "{}", refused("[timing"));
        assert!(refused("mode = \"ke").starts_with("car.toml:1:"), "{}", refused("mode = \"ke"));
        assert!(refused("mode = \"keep\"\nmode = \"stop\"").ends_with("keep one of the two"));
    }

    #[test]
    fn an_error_points_at_its_value_or_as_near_as_it_gets() {
        let document = Document::parse("a.toml", "x = 1\n[timing]\npoints = [[1, 2],\n [3, nan]]\n").unwrap();
        let place = |path: &[&str]| {
            let error = document.error(path, "", "");
            (error.line, error.column)
        };
        assert_eq!(place(&["timing", "points", "1", "1"]), (4, 6));
        assert_eq!(place(&["timing", "period_ms"]), (2, 2));
        assert_eq!(place(&["nothing"]), (1, 1));
        assert!(document.has(&["timing", "points", "0"]) && !document.has(&["timing", "points", "2"]));
    }
}
