//! `report`, `check` and `scenarios`: what is shown without driving.

use super::{Exit, Problem, exit_of, settings_named};
use crate::output;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinhelm_hil::scenario::scenarios as built_in;
use twinhelm_vehicle::report::{Report, SCHEMA, text};

/// `report`
pub(crate) fn report(paths: &[PathBuf]) -> Result<Exit, Problem> {
    let reports = paths.iter().map(|path| read_report(path)).collect::<Result<Vec<_>, _>>()?;
    if let [report] = reports.as_slice() {
        output::print(format_args!("{}", text::render(report)));
        return Ok(exit_of(report));
    }
    output::print(format_args!("{}", text::compare(&reports)));
    Ok(Exit::Holds)
}

fn read_report(path: &Path) -> Result<Report, Problem> {
    let name = path.display();
    let read = output::read(path)?;
    let value: serde_json::Value = serde_json::from_str(&read).map_err(|error| {
        let cut = if error.is_eof() { "the file is cut off" } else { "this is not a report" };
        Problem::bad_input(format!("{name}: {cut} ({error}); name a file that `run --json` wrote"))
    })?;
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    if schema != Some(SCHEMA.into()) {
        let found = schema.map_or_else(|| "no schema".to_owned(), |found| format!("schema {found}"));
        return Err(Problem::bad_input(format!("{name}: {found}; this program reads schema {SCHEMA}")));
    }
    serde_json::from_value(value)
        .map_err(|error| Problem::bad_input(format!("{name}: {error}; name a file that `run --json` wrote")))
}

/// `check`
pub(crate) fn check(path: Option<&Path>, period: Option<Duration>, profile: Option<&str>) -> Result<Exit, Problem> {
    let Some(path) = path else {
        output::print(settings_named(None, profile)?.text().trim_end());
        return Ok(Exit::Holds);
    };
    let settings = settings_named(Some(path), None)?;
    let config = settings.config(period).map_err(Problem::bad_input)?;
    let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
    output::print(format_args!("{}: ok", path.display()));
    output::print(format_args!(
        "  period {} ms, cover margin {} ms",
        milliseconds(config.period),
        milliseconds(config.margin)
    ));
    output::print(format_args!(
        "  a fault of one device leaves the gate without a command for at most {:.2} ms; the vehicle tolerates {} ms",
        milliseconds(config.handover_gap_max()),
        milliseconds(config.ftti)
    ));
    Ok(Exit::Holds)
}

/// `scenarios`
pub(crate) fn scenarios(json: bool) -> Result<Exit, Problem> {
    if json {
        let list: Vec<_> = built_in()
            .iter()
            .map(|scenario| serde_json::json!({ "name": scenario.name, "about": scenario.about }))
            .collect();
        output::print(format_args!("{}", serde_json::Value::from(list)));
        return Ok(Exit::Holds);
    }
    let scenarios = built_in();
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or_default();
    for scenario in scenarios {
        output::print(format_args!("{:width$}  {}", scenario.name, scenario.about));
    }
    Ok(Exit::Holds)
}
