//! The readiness ladder, measured: how long the wheel was nobody's from each rung, and with what.

use super::{Quantiles, Report};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The version of the form of `vehicle-demo ladder --json`.
pub const SCHEMA: u32 = 1;

/// What `vehicle-demo ladder --json` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// [`SCHEMA`]
    pub schema: u32,
    /// What it ran on.
    pub rig: String,
    /// The machine, in a line.
    pub machine: String,
    /// The version of this program.
    pub twinhelm: String,
    /// The control period.
    pub period_ms: f64,
    /// The vehicle's fault tolerant time interval.
    pub ftti_ms: f64,
    /// The rungs, the lowest first.
    pub rungs: Vec<Rung>,
}

/// One rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Its name.
    pub readiness: String,
    /// What happened, run by run.
    pub runs: Vec<RungRun>,
}

/// One takeover from a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungRun {
    /// The longest time without a command acted on.
    pub handover_gap_ms: f64,
    /// Each phase that ended on the way, and how long after the fault.
    pub phases: Vec<RungPhase>,
    /// Deadlines missed.
    pub missed_deadlines: u64,
    /// The largest distance from the course.
    pub cross_track_error_max_m: f64,
    /// Commands of the superseded device acted on: none, if the gate does its duty.
    pub stale_accepted: u64,
}

/// A phase of a takeover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungPhase {
    /// What was done then.
    pub name: String,
    /// When, after the fault.
    pub after_fault_ms: f64,
}

/// Returns what a run's report says of its takeover; `None` when there was none: nobody drove on.
#[must_use]
pub fn rung_run(report: &Report) -> Option<RungRun> {
    let handover = report.handovers.first()?;
    let after = |t_s: f64| (t_s - handover.fault_t_s) * 1e3;
    let phases =
        report.phases.iter().map(|phase| RungPhase { name: phase.name.clone(), after_fault_ms: after(phase.t_s) });
    let mut phases: Vec<RungPhase> = phases.collect();
    if phases.is_empty() {
        phases.push(RungPhase { name: "first command acted on".to_owned(), after_fault_ms: handover.fhti_ms });
    }
    phases.sort_by(|one, other| one.after_fault_ms.total_cmp(&other.after_fault_ms));
    Some(RungRun {
        handover_gap_ms: handover.handover_gap_ms,
        phases,
        missed_deadlines: report.missed_deadlines,
        cross_track_error_max_m: report.cross_track_error_max_m,
        stale_accepted: report.stale_accepted,
    })
}

impl Rung {
    /// Returns the phases in their order, each with the median of how long it took: from the end of the one before.
    #[must_use]
    pub fn phases(&self) -> Vec<(String, f64)> {
        let Some(first) = self.runs.first() else { return Vec::new() };
        let mut before = 0.0;
        let ends = first.phases.iter().filter_map(|phase| {
            let of_name = |run: &RungRun| {
                run.phases.iter().find(|other| other.name == phase.name).map(|other| other.after_fault_ms)
            };
            let end = median(self.runs.iter().filter_map(of_name).collect())?;
            let took = (end - before).max(0.0);
            before = end.max(before);
            Some((phase.name.clone(), took))
        });
        ends.collect()
    }

    fn gaps(&self) -> Vec<f64> {
        self.runs.iter().map(|run| run.handover_gap_ms).collect()
    }
}

/// Returns the table for people, as Markdown.
#[must_use]
pub fn table(ladder: &Ladder) -> String {
    let mut text = String::from(
        "| readiness | runs | handover gap, median | largest | missed deadlines | off course | where the time goes (medians) |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
    );
    for rung in &ladder.rungs {
        let gaps = rung.gaps();
        let largest = gaps.iter().copied().fold(0.0, f64::max);
        let missed = median(rung.runs.iter().map(|run| run.missed_deadlines as f64).collect()).unwrap_or_default();
        let off = rung.runs.iter().map(|run| run.cross_track_error_max_m).fold(0.0, f64::max);
        let phases: Vec<String> =
            rung.phases().iter().map(|(name, took)| format!("{name} {}", milliseconds(*took))).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {missed:.0} | {off:.2} m | {} |",
            rung.readiness,
            rung.runs.len(),
            milliseconds(median(gaps).unwrap_or_default()),
            milliseconds(largest),
            phases.join(", ")
        );
    }
    text
}

fn milliseconds(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn median(values: Vec<f64>) -> Option<f64> {
    let quantiles = Quantiles::of(values.clone());
    // Few values have no quantiles of their own.
    quantiles.p50.or_else(|| {
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    })
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 330);
/// Colours that people tell apart who do not see red and green (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(240, 228, 66),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(130, 130, 130),
];

/// Returns a picture: a bar a rung, in pieces of its phases, from the fault to the first command acted on.
///
/// # Errors
/// What plotters says.
pub fn picture(ladder: &Ladder) -> Result<String, String> {
    let mut svg = String::new();
    draw(&mut svg, ladder).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw(svg: &mut String, ladder: &Ladder) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let length = |rung: &Rung| rung.phases().iter().map(|(_, took)| took).sum::<f64>();
    let right = ladder.rungs.iter().map(length).fold(ladder.ftti_ms, f64::max) * 1.05;
    let rows = ladder.rungs.len() as f64;
    let title = format!("From the fault to the first command acted on, by readiness (rig {})", ladder.rig);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .margin_left(70)
        .x_label_area_size(30)
        .build_cartesian_2d(0.0..right, 0.0..rows + 0.6)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_desc("ms after the fault, medians").draw()?;
    let mut names: Vec<String> = Vec::new();
    for (row, rung) in ladder.rungs.iter().rev().enumerate() {
        let bottom = row as f64 + 0.15;
        let mut from = 0.0;
        for (name, took) in rung.phases() {
            let index = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            let colour = COLOURS[index % COLOURS.len()];
            chart.draw_series([Rectangle::new([(from, bottom), (from + took, bottom + 0.6)], colour.filled())])?;
            from += took;
        }
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        let label = format!("{}  {}", rung.readiness, milliseconds(from));
        chart.draw_series([Text::new(label, (right * 0.004 + from, bottom + 0.4), style)])?;
    }
    for (index, name) in names.iter().enumerate() {
        let at = right * (index as f64) / (names.len() as f64);
        let colour = COLOURS[index % COLOURS.len()];
        let style = ("sans-serif", 12).into_font().color(&BLACK);
        chart.draw_series([Rectangle::new(
            [(at, rows + 0.25), (at + right * 0.012, rows + 0.45)],
            colour.filled(),
        )])?;
        chart.draw_series([Text::new(name.clone(), (at + right * 0.016, rows + 0.48), style)])?;
    }
    area.present()?;
    drop(chart);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(gap: f64, ends: [f64; 2]) -> RungRun {
        let phases = ["noticed", "first command acted on"].into_iter().zip(ends);
        let phase = |(name, after_fault_ms): (&str, f64)| RungPhase { name: name.to_owned(), after_fault_ms };
        RungRun {
            handover_gap_ms: gap,
            phases: phases.map(phase).collect(),
            missed_deadlines: 12,
            cross_track_error_max_m: 0.25,
            stale_accepted: 0,
        }
    }

    fn ladder() -> Ladder {
        let runs = vec![run(190.0, [80.0, 180.0]), run(230.0, [80.0, 220.0]), run(210.0, [90.0, 200.0])];
        let rungs = vec![Rung { readiness: "paused".to_owned(), runs }];
        let (rig, machine, twinhelm) = ("host".to_owned(), "a machine".to_owned(), "0".to_owned());
        Ladder { schema: SCHEMA, rig, machine, twinhelm, period_ms: 10.0, ftti_ms: 100.0, rungs }
    }

    #[test]
    fn a_phase_lasts_from_the_end_of_the_one_before() {
        let phases = ladder().rungs[0].phases();
        assert_eq!(phases, [("noticed".to_owned(), 80.0), ("first command acted on".to_owned(), 120.0)]);
    }

    #[test]
    fn the_table_has_a_row_a_rung_and_the_picture_a_bar() {
        let text = table(&ladder());
        let row = "| paused | 3 | 210 ms | 230 ms | 12 | 0.25 m | noticed 80.0 ms, first command acted on 120 ms |";
        assert_eq!(text.lines().nth(2), Some(row), "{text}");
        let svg = picture(&ladder()).expect("it is drawn");
        assert!(svg.contains("paused") && svg.contains("noticed") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
