//! The page that `./dev bench` writes: one HTML file without anything outside it, for whoever wants to see the
//! distributions.

use crate::figures::{Bench, Failover, OfFault};
use crate::strip;
use crate::tables::{rate, span};
use std::fmt::Write as _;
use twinhelm_vehicle::report::Verdict;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#222}\
    table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}td svg{display:block}h2{margin-top:2em}.note{color:#555}\
    .bad{color:#b00;font-weight:bold}";

/// Returns the page.
///
/// # Errors
/// In words, when a picture cannot be drawn.
pub fn html(bench: &Bench) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, bench)?;
    Ok(out)
}

fn write(out: &mut String, bench: &Bench) -> Result<(), String> {
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Twinhelm benchmarks</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Twinhelm benchmarks</h1><p>{}, {}, Twinhelm {}{}</p>\
         <p class=\"note\">Each dot is one handover: the longest time between two commands acted on, from the fault until the \
         new device drives, taken at the gate. A hollow dot: the machine itself stalled meanwhile. Two processes on one machine \
         are not two failure domains, and this bus is a model of CAN.</p>",
        escape(&bench.machine),
        escape(&bench.date),
        escape(&bench.twinhelm),
        if bench.quick { " (the short measurement)" } else { "" },
    );
    for failover in &bench.failover {
        write_failover(out, failover)?;
    }
    write_link(out, bench);
    let _ = write!(out, "<h2>Within one process</h2><table><tr><th>benchmark<th>median<th>");
    for micro in &bench.micro {
        let _ = write!(out, "<tr><td>{}<td>{}<td>{}", escape(&micro.name), span(micro.median_ns), rate(micro));
    }
    out.push_str("</table></html>\n");
    Ok(())
}

fn write_failover(out: &mut String, failover: &Failover) -> Result<(), String> {
    let _ = write!(
        out,
        "<h2>Failover: rig {}, profile {}</h2><p>Period {} ms, command timeout {} ms, FTTI {} ms; in virtual time the gap is at \
         most {:.2} ms.</p><table><tr><th>fault<th>N<th>handover gap, ms<th>median<th>periods<th>missed<th>covers<th>takeovers\
         <th>stall p99.9 / max, ms",
        escape(&failover.rig),
        escape(&failover.profile),
        failover.period_ms,
        failover.command_timeout_ms,
        failover.ftti_ms,
        failover.gap_bound_ms
    );
    for fault in &failover.faults {
        write_row(out, failover, fault)?;
    }
    out.push_str("</table>");
    Ok(())
}

fn write_row(out: &mut String, failover: &Failover, fault: &OfFault) -> Result<(), String> {
    let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let (gap, stall) = (fault.gap(), fault.watcher_stall_ms.unwrap_or_default());
    let verdict = match fault.verdict {
        Verdict::Pass => "",
        Verdict::Invalid => " <span class=\"bad\">invalid: the machine stalled</span>",
        Verdict::Fail => " <span class=\"bad\">failed</span>",
    };
    let strip = strip::svg(failover, fault)?;
    let _ = write!(
        out,
        "<tr><td>{}{verdict}<td>{}<td>{strip}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{} / {}",
        escape(&fault.fault),
        fault.gap_ms.len(),
        show(gap.p50),
        show(gap.p50.map(|p50| p50 / failover.period_ms)),
        fault.missed_deadlines,
        fault.covers,
        fault.takeovers,
        show(stall.p999),
        show(stall.max),
    );
    for broken in &fault.broken {
        let _ = write!(out, "<tr><td colspan=\"9\" class=\"bad\">{}", escape(broken));
    }
    Ok(())
}

fn write_link(out: &mut String, bench: &Bench) {
    let Some(link) = &bench.link else {
        return;
    };
    let _ = write!(
        out,
        "<h2>State, one way</h2><p>{} bytes, sent in turn with plain Zenoh every {} ms; {} came too late.</p>\
         <table><tr><th><th>N<th>median, µs<th>p99, µs",
        link.bytes, link.every_ms, link.late
    );
    for (name, times) in [("state, device to device", &link.state_us), ("plain Zenoh", &link.plain_us)] {
        let quantiles = twinhelm_vehicle::report::Quantiles::of(times.clone());
        let show = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{us:.0}"));
        let _ =
            write!(out, "<tr><td>{name}<td>{}<td>{}<td>{}", times.len(), show(quantiles.p50), show(quantiles.p99));
    }
    if let Some(ratio) = link.ratio_of_medians {
        let _ = write!(out, "<tr><td>ratio of the medians<td><td>{ratio:.2}<td>");
    }
    out.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
