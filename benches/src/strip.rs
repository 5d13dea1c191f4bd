//! The distribution of handover gaps as a strip: a dot a handover, on a logarithmic time axis, with lines at the period,
//! the command timeout and the FTTI.

use crate::figures::{Failover, OfFault};
use plotters::prelude::*;
use std::ops::Range;

/// Width and height in pixels.
const SIZE: (u32, u32) = (520, 74);
/// Colours that people tell apart who do not see red and green (Okabe and Ito).
const CALM: RGBColor = RGBColor(0, 114, 178);
const STALLED: RGBColor = RGBColor(213, 94, 0);
const LINE: RGBColor = RGBColor(120, 120, 120);
/// Dots that lie on each other are spread over so many rows.
const ROWS: usize = 7;

/// Returns the strip as SVG.
///
/// # Errors
/// What plotters says.
pub(crate) fn svg(figures: &Failover, fault: &OfFault) -> Result<String, String> {
    let mut svg = String::new();
    draw(&mut svg, figures, fault).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn draw(svg: &mut String, figures: &Failover, fault: &OfFault) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let right = figures.ftti_ms.max(fault.gap_ms.iter().copied().fold(0.0, f64::max)) * 1.3;
    let time: Range<f64> = figures.period_ms * 0.7..right;
    let mut chart = ChartBuilder::on(&area)
        .margin(2)
        .margin_right(10)
        .x_label_area_size(18)
        .build_cartesian_2d(time.log_scale(), 0.0..1.0)?;
    chart.configure_mesh().disable_y_mesh().disable_x_mesh().disable_y_axis().x_labels(6).draw()?;
    let lines =
        [(figures.period_ms, "period"), (figures.command_timeout_ms, "command timeout"), (figures.ftti_ms, "FTTI")];
    for (at_ms, name) in lines {
        chart.draw_series(LineSeries::new([(at_ms, 0.0), (at_ms, 1.0)], LINE))?;
        let style = ("sans-serif", 10).into_font().color(&LINE);
        chart.draw_series([Text::new(name, (at_ms * 1.02, 0.98), style)])?;
    }
    let dots = fault.gap_ms.iter().zip(&fault.set_aside).enumerate().map(|(index, (gap_ms, aside))| {
        let height = 0.15 + 0.6 * (index % ROWS) as f64 / (ROWS - 1) as f64;
        Circle::new((*gap_ms, height), 3, if *aside { STALLED.stroke_width(1) } else { CALM.filled() })
    });
    chart.draw_series(dots)?;
    area.present()?;
    drop(chart);
    Ok(())
}
