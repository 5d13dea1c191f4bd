//! What a program says: lines to standard output and standard error.
//!
//! Two things are seen to here for every program. What could not be written is known at the end, so that nobody takes half an output
//! for all of it. And what others have sent (names, reasons, entries of a timeline) cannot steer the terminal: control characters
//! are written as JSON and people read them, `\u001b`.

use std::fmt::{self, Display, Write as _};
use std::io::{self, ErrorKind, Write as _};
use std::sync::{Mutex, PoisonError};

/// Why standard output could not be written, the first time.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line to standard output. What comes of it is known by [`is_gone`] and [`printed`].
pub fn print(line: impl Display) {
    let mut out = io::stdout().lock();
    let written = out.write_all(format!("{}\n", Clean(line)).as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Prints a line to standard error. Where that is gone, nobody could be told of it.
pub fn tell(line: impl Display) {
    // In one write: other processes may have the same terminal.
    let _ = io::stderr().lock().write_all(format!("{}\n", Clean(line)).as_bytes());
}

/// Returns whether standard output takes nothing any more: who prints for ever ends then.
#[must_use]
pub fn is_gone() -> bool {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Returns whether all that was printed was written. A reader that has gone (`| head`) has what it wanted.
///
/// # Errors
/// The first that the system had.
pub fn printed() -> io::Result<()> {
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err).or_else(|error| if has_left(&error) { Ok(()) } else { Err(error) })
}

/// Returns whether `written` says that all is written, as far as the reader wanted it.
#[must_use]
pub fn is_written(written: io::Result<()>) -> bool {
    written.map_or_else(|error| has_left(&error), |()| true)
}

fn has_left(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Returns an error with its causes, each once: many errors say nothing by themselves.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

/// Text whose control characters are written out; ends of lines and tabs stay.
struct Clean<T>(T);

impl<T: Display> Display for Clean<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Cleaner { to: f, keeps: &['\n', '\t'] }, "{}", self.0)
    }
}

/// Returns `text` in one line: what others have sent cannot look like a line of the program's own.
#[must_use]
pub fn one_line(text: impl Display) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write!(Cleaner { to: &mut line, keeps: &[] }, "{text}");
    line
}

struct Cleaner<'a, W: ?Sized> {
    to: &'a mut W,
    keeps: &'a [char],
}

impl<W: fmt::Write + ?Sized> fmt::Write for Cleaner<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|sign| {
            if steers(sign) && !self.keeps.contains(&sign) {
                write!(self.to, "\\u{:04x}", u32::from(sign))
            } else {
                self.to.write_char(sign)
            }
        })
    }
}

/// Returns whether a sign is not shown, but changes how others are: control characters, and those that turn the direction of writing.
fn steers(sign: char) -> bool {
    sign.is_control() || matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        let from_others = "\u{1b}[2J\u{9b}31mgone\r\u{7}\u{202e}";
        assert_eq!(Clean(from_others).to_string(), r"\u001b[2J\u009b31mgone\u000d\u0007\u202e");
        assert_eq!(Clean("a\tb\nc").to_string(), "a\tb\nc");
        assert_eq!(one_line("a\n10:00 left  all is well"), r"a\u000a10:00 left  all is well");
    }

    #[test]
    fn what_is_printed_as_json_stays_the_same_text() {
        let value = serde_json::json!({ "what": "\u{9b}2J\u{1b}x\u{202e}" });
        let printed = Clean(serde_json::to_string_pretty(&value).unwrap()).to_string();
        assert!(!printed.contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }

    #[test]
    fn an_error_is_told_with_each_of_its_causes_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("opening the door")]
        struct Outer(#[source] io::Error);
        assert_eq!(chain(&Outer(io::Error::other("it is locked"))), "opening the door: it is locked");

        #[derive(Debug, thiserror::Error)]
        #[error("opening the door: {0}")]
        struct Twice(#[source] io::Error);
        assert_eq!(chain(&Twice(io::Error::other("it is locked"))), "opening the door: it is locked");
    }
}
