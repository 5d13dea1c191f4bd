//! What a run of the tests left: which were slow, and which skipped something. Pure: the text of nextest's JUnit file in, lists out.
//!
//! A test that cannot do its work here prints a line `skipped: WHY` and ends. That is a pass to every test runner, so it is
//! looked for here: skipped is not passed.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What a test says first when it cannot do its work.
const SKIPPED: &str = "skipped: ";

/// A test that ran.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ran {
    /// The binary and the test.
    pub(crate) name: String,
    pub(crate) took_s: f64,
    /// Why it, or a part of it, did nothing.
    pub(crate) skipped: Vec<String>,
}

/// Reads what nextest has written.
///
/// # Errors
/// Says in words what is wrong with the file.
pub(crate) fn read(junit: &str) -> Result<Vec<Ran>, String> {
    let mut reader = Reader::from_str(junit);
    let (mut all, mut is_output) = (Vec::new(), false);
    loop {
        let event = reader.read_event();
        match event.map_err(|error| format!("byte {}: {error}", reader.error_position()))? {
            Event::Start(start) if start.name().as_ref() == b"testcase" => all.push(ran(&start)?),
            Event::Empty(start) if start.name().as_ref() == b"testcase" => all.push(ran(&start)?),
            Event::Start(start) => is_output = start.name().as_ref() == b"system-out",
            Event::End(_) => is_output = false,
            Event::Text(text) if is_output => note_skips(&mut all, &String::from_utf8_lossy(&text)),
            Event::CData(text) if is_output => note_skips(&mut all, &String::from_utf8_lossy(&text)),
            Event::Eof => return Ok(all),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

fn ran(start: &BytesStart<'_>) -> Result<Ran, String> {
    let attribute = |name: &str| {
        let found = start.try_get_attribute(name).map_err(|error| error.to_string())?;
        let value = found.ok_or_else(|| format!("a test without {name}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&value.value).into_owned())
    };
    let took_s = attribute("time")?;
    let took_s = took_s.parse().map_err(|_| format!("a time of {took_s:?}"))?;
    Ok(Ran { name: format!("{} {}", attribute("classname")?, attribute("name")?), took_s, skipped: Vec::new() })
}

fn note_skips(all: &mut [Ran], output: &str) {
    if let Some(last) = all.last_mut() {
        last.skipped.extend(output.lines().filter_map(|line| line.trim().strip_prefix(SKIPPED)).map(str::to_owned));
    }
}

/// Returns the `count` that took longest, the longest first.
pub(crate) fn slowest(all: &[Ran], count: usize) -> Vec<&Ran> {
    let mut sorted: Vec<&Ran> = all.iter().collect();
    sorted.sort_by(|one, other| other.took_s.total_cmp(&one.took_s));
    sorted.truncate(count);
    sorted
}

/// Returns each skip, with its test, and whether one of `allowed` is in its reason.
pub(crate) fn skips<'a>(all: &'a [Ran], allowed: &[&str]) -> Vec<(&'a str, &'a str, bool)> {
    let of_one = |ran: &'a Ran| ran.skipped.iter().map(|why| (ran.name.as_str(), why.as_str()));
    let is_allowed = |why: &str| allowed.iter().any(|allowed| !allowed.is_empty() && why.contains(allowed));
    all.iter().flat_map(of_one).map(|(name, why)| (name, why, is_allowed(why))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="whole" tests="3">
  <testsuite name="twinhelm-rigs::guest" tests="3">
    <testcase name="one" classname="twinhelm-rigs::guest" time="1.250">
      <system-out>running 1 test
skipped: there is no guest kernel with GPIO
test one ... ok</system-out>
      <system-err>skipped: this is no output of the test</system-err>
    </testcase>
    <testcase name="two" classname="twinhelm-rigs::guest" time="3.000"/>
    <testcase name="three" classname="twinhelm-rigs::guest" time="0.500">
      <failure type="test failure">skipped: nor is this</failure>
      <system-out><![CDATA[it says "skipped: " in the middle
skipped: builds Zenoh a second time: ./dev hil --full]]></system-out>
    </testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn the_slowest_are_named_first() {
        let all = read(JUNIT).unwrap();
        let names: Vec<_> = slowest(&all, 2).iter().map(|ran| (ran.name.as_str(), ran.took_s)).collect();
        assert_eq!(names, [("twinhelm-rigs::guest two", 3.0), ("twinhelm-rigs::guest one", 1.25)]);
    }

    #[test]
    fn a_test_that_skipped_something_is_no_pass_unless_that_is_allowed() {
        let all = read(JUNIT).unwrap();
        let found = skips(&all, &["./dev hil --full", ""]);
        assert_eq!(
            found,
            [
                ("twinhelm-rigs::guest one", "there is no guest kernel with GPIO", false),
                ("twinhelm-rigs::guest three", "builds Zenoh a second time: ./dev hil --full", true),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_no_outcome() {
        assert!(read(&JUNIT[..JUNIT.len() / 2]).is_err() || read(&JUNIT[..JUNIT.len() / 2]).unwrap().len() < 3);
        assert!(read("<testcase name=\"one\"/>").unwrap_err().contains("time"));
    }
}
