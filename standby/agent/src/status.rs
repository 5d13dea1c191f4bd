//! `status`: what the agents say of themselves.

// What is read here lies on a disk, or came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::cli::{StatusArgs, seconds};
use crate::orders::settings_of;
use crate::output::{Problem, bytes, one_line, print, print_json};
use std::collections::BTreeMap;
use std::time::Duration;
use twinhelm_linux::terminal::chain;
use twinhelm_linux::terminal::is_gone;
use twinhelm_standby::AgentReport;
use twinhelm_standby::data::DataReport;
use twinhelm_zenoh::agents::AgentWatch;

/// Sessions that connect need a moment; the first question may find nobody.
const QUESTIONS: u32 = 5;

/// `status`
pub(crate) fn status(args: &StatusArgs) -> Result<(), Problem> {
    let settings = settings_of(&args.vehicle, &args.connect, args.keys.as_deref());
    // Who watches may come before the agents; who asks once wants to hear that nobody is there.
    let watch = if args.watch { AgentWatch::open(&settings) } else { AgentWatch::open_client(&settings) };
    let watch = watch.map_err(|error| Problem::machine(chain(&error)))?;
    let wait = seconds(args.wait)?.checked_div(QUESTIONS).unwrap_or_default();
    let mut reports = BTreeMap::new();
    for _ in 0..QUESTIONS {
        let told = watch.ask(wait).map_err(|error| Problem::machine(chain(&error)))?;
        reports.extend(told.into_iter().filter_map(|(slot, text)| Some((slot, read(&text)?))));
        if reports.len() >= args.connect.len() {
            break;
        }
        // It answers at once when nobody is there.
        if let Some((slot, text)) = watch.next(wait) {
            reports.extend(read(&text).map(|report| (slot, report)));
        }
    }
    if reports.is_empty() && !args.watch {
        let message = format!(
            "no agent of vehicle {:?} answers at {}: is one running, and does it listen there?",
            args.vehicle,
            args.connect.join(", ")
        );
        return Err(Problem::machine(message));
    }
    show(args, reports.values().collect())?;
    if !args.watch {
        return Ok(());
    }
    // A reader that has gone wants no more.
    while !is_gone() {
        let Some((slot, text)) = watch.next(Duration::from_secs(3600)) else { continue };
        let Some(report) = read(&text) else { continue };
        let is_news = reports.get(&slot).is_none_or(|old: &AgentReport| {
            // Memory changes all the time, and says nothing new.
            AgentReport { resident_bytes: report.resident_bytes, ..old.clone() } != report
        });
        reports.insert(slot, report);
        if is_news {
            show(args, reports.values().collect())?;
        }
    }
    Ok(())
}

/// Says in a line how mission data stands.
fn words_of(data: &DataReport) -> String {
    let DataReport { plan, acknowledged_snapshot, acknowledged, waiting, dropped, problem, .. } = data;
    let plan = plan.map_or_else(|| "no plan".to_owned(), |plan| format!("plan {plan}"));
    let state = acknowledged_snapshot.map_or_else(|| "no state".to_owned(), |state| format!("state of {state}"));
    let lost = match dropped.pieces {
        0 => String::new(),
        pieces => format!(", {pieces} parts given up"),
    };
    let problem = problem.as_ref().map_or_else(String::new, |problem| format!("; {problem}"));
    let (safe, waits) = (bytes(acknowledged.bytes), bytes(waiting.bytes));
    format!("data: {plan}, {state} is safe, {safe} uploaded, {waits} wait{lost}{problem}")
}

fn read(text: &[u8]) -> Option<AgentReport> {
    serde_json::from_slice(text).ok()
}

fn show(args: &StatusArgs, reports: Vec<&AgentReport>) -> Result<(), Problem> {
    if args.json && args.watch {
        let line = serde_json::to_string(&reports);
        print(line.map_err(|error| Problem::machine(chain(&error)))?);
        return Ok(());
    }
    if args.json {
        return print_json(&reports);
    }
    print(format_args!(
        "{:<12} {:>4}  {:<8} {:<8} {:<18} {:>8} {:>8} {:>10}  image",
        "device", "slot", "holds", "wanted", "", "pid", "restarts", "memory"
    ));
    for report in reports {
        let doing = match (&report.busy, report.pulled) {
            (_, Some((done, all))) => format!("pulls {}%", percent(done, all)),
            (Some(task), None) => task.name().to_owned(),
            (None, None) if report.ready => "ready".to_owned(),
            (None, None) => "waits".to_owned(),
        };
        let doing = match report.part.as_deref() {
            None | Some("member") => doing,
            Some(part) => format!("{part}, {doing}"),
        };
        let pid = report.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        print(format_args!(
            "{:<12} {:>4}  {:<8} {:<8} {:<18} {:>8} {:>8} {:>10}  {}",
            report.device,
            report.slot,
            report.holds,
            report.wanted,
            doing,
            pid,
            report.restarts,
            bytes(report.resident_bytes),
            report.image.get(..19).unwrap_or(&report.image),
        ));
        if let Some(problem) = &report.problem {
            print(format_args!("             {}", one_line(problem)));
        }
        if let Some(data) = &report.data {
            print(format_args!("             {}", one_line(words_of(data))));
        }
    }
    Ok(())
}

/// Returns how much of all is done, in percent, whatever an agent says of it.
fn percent(done: u64, all: u64) -> u128 {
    u128::from(done).saturating_mul(100).checked_div(all.into()).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_whatever_an_agent_claims() {
        assert_eq!((percent(1, 4), percent(0, 0), percent(u64::MAX, u64::MAX)), (25, 100, 100));
    }
}
