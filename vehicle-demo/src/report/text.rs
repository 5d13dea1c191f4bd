//! The report in plain words, for a terminal.

use super::{Migration, Report, Verdict};
use std::fmt::Write as _;

/// Returns the report as people read it.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &Report) -> std::fmt::Result {
    let real = report.rig != "sim";
    writeln!(out, "Handover report   rig {}, standby {}, seed {}", report.rig, report.standby, report.seed)?;
    writeln!(out, "  {}", report.machine)?;
    for handover in &report.handovers {
        writeln!(out)?;
        writeln!(
            out,
            "  {} at {:.2} s: {} stopped driving, {} drives on.",
            handover.cause, handover.fault_t_s, handover.from, handover.to
        )?;
        writeln!(
            out,
            "    detected in {:.1} ms, acted on {:.1} ms later: handled in {:.1} ms of {:.0} ms that the vehicle tolerates",
            handover.fdti_ms, handover.frti_ms, handover.fhti_ms, report.ftti_ms
        )?;
        writeln!(
            out,
            "    longest time without a command {:.1} ms (the period is {:.1} ms); command step {:.4} rad, {:.3} m/s²",
            handover.handover_gap_ms,
            report.period_ms,
            handover.command_step.steering_rad,
            handover.command_step.drive_mps2
        )?;
        if handover.stalled {
            writeln!(out, "    the machine itself stalled meanwhile: this sample is set aside in benchmarks")?;
        }
    }
    for phase in &report.phases {
        writeln!(out, "    {:.3} s  {}", phase.t_s, phase.name)?;
    }
    if report.handovers.is_empty() {
        let what = if report.takeovers > 0 {
            "No handover that a fault or a request explains; see the takeovers below."
        } else if report.missed_deadlines > 0 {
            "No handover: nobody took the wheel."
        } else {
            "No handover: the same device held the wheel from start to end."
        };
        writeln!(out, "\n  {what}")?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "  {} cycles: {} deadlines missed ({} of them although a standby was ready), {} covers, {} takeovers",
        report.cycles, report.missed_deadlines, report.uncovered, report.covers, report.takeovers
    )?;
    writeln!(
        out,
        "  {} false takeovers, {} by stalls of the machine; {} stale, {} double, {} wrong commands acted on",
        report.false_takeovers,
        report.stall_takeovers,
        report.stale_accepted,
        report.double_accepted,
        report.wrong_command_cycles
    )?;
    writeln!(out, "  time between two commands: {}", report.output_gap_ms)?;
    if let Some(stall) = report.watcher_stall_ms {
        writeln!(out, "  this machine woke its most urgent thread late by: {stall}")?;
    }
    if let Some(longest_ms) = report.observer_stall_max_ms {
        writeln!(
            out,
            "  the loop that measures stood still {} times for more than half a period, at most for {longest_ms:.1} ms",
            report.observer_stalls
        )?;
    }
    let course = if report.course_completed { "completed" } else { "not completed" };
    writeln!(out, "  course {course}, never more than {:.3} m off", report.cross_track_error_max_m)?;
    let redundancy = if report.redundancy_restored { "a standby is ready again" } else { "no standby at the end" };
    writeln!(out, "  without redundancy for {:.2} s; {redundancy}", report.time_without_redundancy_s)?;
    if let Some(periods) = report.redundancy_back_periods {
        let promised = twinhelm_standby::config::WHOLE_AGAIN_PERIODS;
        writeln!(
            out,
            "  a standby was ready {periods:.1} periods after a fault had ended, at most (promised after a single one: {promised})"
        )?;
    }
    for Migration { from, to, steps, bytes, end } in &report.migrations {
        let from = from.as_deref().unwrap_or("a device");
        // The pair is whole before the faulty device has answered, or not.
        let all = steps.iter().filter(|(name, _)| *name != "fence").map(|(_, ms)| ms).sum::<f64>() / 1e3;
        let resumed = steps.contains_key("resume");
        match to {
            Some(to) => {
                let order = ["detect", "notify", "pull", "fetch", "create", "start", "join", "fence", "resume"];
                let steps = order.iter().filter_map(|name| Some(format!("{name} {:.0}", steps.get(*name)?)));
                let steps = steps.collect::<Vec<_>>().join(", ");
                let did = if resumed { "resumed the mission".to_owned() } else { format!("stood by for {from}") };
                writeln!(out, "  {to} {did} after {all:.2} s: {steps} ms; {bytes} bytes pulled; {end}")?;
            }
            None => writeln!(out, "  nobody was recruited for {from}: {end}")?,
        }
    }
    if let Some(lost) = report.mission_data_lost_bytes {
        writeln!(out, "  {lost} bytes of acknowledged mission data lost")?;
    }
    for note in &report.notes {
        writeln!(out, "  ({note})")?;
    }
    if report.rig == "guest" {
        writeln!(
            out,
            "  (a guest kernel on one core of this machine: its CAN is the kernel's, its times promise nothing)"
        )?;
    } else if report.rig == "boards" {
        writeln!(
            out,
            "  (the controllers are on boards of their own; the gates and the vehicle are this machine's)"
        )?;
    } else if real {
        writeln!(out, "  (two processes on one machine are not two failure domains, and this bus is not CAN)")?;
    } else {
        writeln!(out, "  (virtual time: says nothing about any machine's latency)")?;
    }
    writeln!(out)?;
    match report.verdict {
        Verdict::Pass => writeln!(out, "  PASS: all bounds hold."),
        Verdict::Invalid => {
            writeln!(out, "  INVALID: this machine stalled too much for the figures to mean anything.")
        }
        Verdict::Fail => {
            writeln!(out, "  FAIL:")?;
            report.broken.iter().try_for_each(|bound| writeln!(out, "    {bound}"))
        }
    }
}

/// Returns several reports side by side, a column each.
#[must_use]
pub fn compare(reports: &[Report]) -> String {
    let simulated = |report: &Report| if report.rig == "sim" { " (simulated)" } else { "" };
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    type Cell = fn(&Report) -> String;
    let rows: [(&str, Cell); 6] = [
        ("longest time without a command", |report| {
            report.output_gap_ms.max.map_or_else(|| "-".to_owned(), |max| format!("{max:.1} ms"))
        }),
        ("deadlines missed", |report| report.missed_deadlines.to_string()),
        ("of cycles", |report| report.cycles.to_string()),
        ("largest distance from the course", |report| format!("{:.3} m", report.cross_track_error_max_m)),
        ("time without redundancy", |report| format!("{:.1} s", report.time_without_redundancy_s)),
        ("wrong or stale commands acted on", |report| {
            (report.wrong_command_cycles + report.stale_accepted + report.double_accepted).to_string()
        }),
    ];
    let mut columns = vec![vec![String::new()]];
    columns[0].extend(rows.iter().map(|(name, _)| (*name).to_owned()));
    columns[0].push("course completed".to_owned());
    for report in reports {
        let mut column = vec![format!("{}{}", report.standby, simulated(report))];
        column.extend(rows.iter().map(|(_, cell)| cell(report)));
        column.push(yes_or_no(report.course_completed));
        columns.push(column);
    }
    let mut text = String::new();
    for row in 0..columns[0].len() {
        for column in &columns {
            let width = column.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = write!(text, "  {:width$}", column[row]);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
