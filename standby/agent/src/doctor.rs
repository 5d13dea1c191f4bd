//! `doctor`: what of this machine a device needs, line by line: ok, or what is missing, why it matters, and what mends it.

mod buses;
mod machine;
mod root;

use crate::cli::DoctorArgs;
use crate::output::{Problem, print, print_json};
use root::Root;
use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Stands {
    /// As it should be.
    Ok,
    /// It works, and could be better; or it is not needed on every device.
    Note,
    /// A device cannot do its work, or not as promised.
    Missing,
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, in a word or two.
    what: &'static str,
    stands: Stands,
    /// What was seen.
    seen: String,
    /// Why it matters; empty when it is ok.
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'static str,
    /// The command that mends it; empty when it is ok.
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

impl Finding {
    fn ok(what: &'static str, seen: impl Into<String>) -> Self {
        Self { what, stands: Stands::Ok, seen: seen.into(), why: "", remedy: String::new() }
    }

    fn note(what: &'static str, seen: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Self {
        Self { what, stands: Stands::Note, seen: seen.into(), why, remedy: remedy.into() }
    }

    fn missing(what: &'static str, seen: impl Into<String>, why: &'static str, remedy: impl Into<String>) -> Self {
        Self { what, stands: Stands::Missing, seen: seen.into(), why, remedy: remedy.into() }
    }
}

/// `doctor`
pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Problem> {
    if !args.root.join("proc").is_dir() {
        let root = args.root.display();
        return Err(Problem::bad_input(format!("{root} has no folder proc: name the root of a system")));
    }
    let root = Root::new(args.root.clone());
    let findings: Vec<Finding> = machine::findings(&root).into_iter().chain(buses::findings(&root)).collect();
    if args.json {
        print_json(&findings)?;
    } else {
        findings.iter().for_each(show);
    }
    match findings.iter().filter(|finding| finding.stands == Stands::Missing).count() {
        0 => Ok(()),
        1 => Err(Problem::found("one thing is missing")),
        count => Err(Problem::found(format!("{count} things are missing"))),
    }
}

fn show(finding: &Finding) {
    let stands = match finding.stands {
        Stands::Ok => "ok",
        Stands::Note => "note",
        Stands::Missing => "missing",
    };
    print(format_args!("{stands:<8} {:<20} {}", finding.what, finding.seen));
    if !finding.why.is_empty() {
        print(format_args!("{:29} why:  {}", "", finding.why));
    }
    if !finding.remedy.is_empty() {
        print(format_args!("{:29} mend: {}", "", finding.remedy));
    }
}
