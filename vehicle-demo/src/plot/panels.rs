//! The panels, one function each.

use super::thin::{range, sparse, thinned};
use super::{CommandPoint, FAULT, Figure, GREY, HANDOVER, SLOT_COLOURS};
use plotters::chart::{ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// What goes wrong while drawing; the target is a string, which never fails, but a layout may.
pub(super) type DrawError = DrawingAreaErrorKind<std::io::Error>;
/// One of a command's two signals.
type Signal = fn(&CommandPoint) -> f64;
type Drawn = Result<(), DrawError>;

const FONT: &str = "sans-serif";
/// Room for the figures left of an axis, so that all time axes begin at one place.
const LABELS_PX: i32 = 66;
/// Commands farther apart than this many periods are not joined by a line: nothing was acted on between them.
const JOINED_PERIODS_MAX: f64 = 2.5;
/// A gap up to this many periods is an ordinary cycle, and gets a small dot.
const USUAL_GAP_PERIODS: f64 = 1.1;

/// Draws the line above all.
pub(super) fn title(area: &Area<'_>, figure: &Figure) -> Drawn {
    let style = (FONT, 22).into_font().color(&BLACK);
    area.draw(&Text::new(figure.title.clone(), (16, 14), style))
}

/// Draws the course and the way from above, with the same scale along both axes.
pub(super) fn trajectory(area: &Area<'_>, figure: &Figure) -> Drawn {
    let places = || figure.course_xy.iter().copied().chain(figure.path.iter().map(|point| (point.x_m, point.y_m)));
    let (width, height) = area.dim_in_pixel();
    let (x, y) = same_scale(
        range(places().map(|(x, _)| x), 0.06),
        range(places().map(|(_, y)| y), 0.06),
        f64::from(width) / f64::from(height),
    );
    let mut chart = ChartBuilder::on(area)
        .caption("Trajectory from above (m)", (FONT, 15))
        .margin_right(20)
        .x_label_area_size(24)
        .y_label_area_size(LABELS_PX)
        .build_cartesian_2d(x, y)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).label_style((FONT, 12)).draw()?;

    let mut course = sparse(figure.course_xy.iter().copied());
    course.extend(course.first().copied());
    chart
        .draw_series(DashedLineSeries::new(course, 6, 5, GREY.stroke_width(1)))?
        .label("course")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], GREY));
    let driven = sparse(figure.path.iter().map(|point| (point.x_m, point.y_m)));
    chart
        .draw_series(LineSeries::new(driven, BLACK.stroke_width(1)))?
        .label("driven")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK));

    let faults = figure.faults.iter().filter_map(|(t_s, what)| Some((figure.place_at(*t_s)?, what)));
    let faults: Vec<_> = faults.collect();
    if !faults.is_empty() {
        chart
            .draw_series(faults.iter().map(|(place, _)| Cross::new(*place, 7, FAULT.stroke_width(3))))?
            .label("fault")
            .legend(|(x, y)| Cross::new((x + 9, y), 5, FAULT.stroke_width(3)));
        let style = (FONT, 14).into_font().color(&FAULT);
        chart.draw_series(faults.iter().map(|(place, what)| {
            EmptyElement::at(*place) + Text::new((*what).clone(), (10, -16), style.clone())
        }))?;
    }
    let handovers: Vec<_> = figure.handovers.iter().filter_map(|t_s| figure.place_at(*t_s)).collect();
    if !handovers.is_empty() {
        chart
            .draw_series(handovers.iter().map(|place| Circle::new(*place, 9, HANDOVER.stroke_width(2))))?
            .label("handover")
            .legend(|(x, y)| Circle::new((x + 9, y), 6, HANDOVER.stroke_width(2)));
    }
    legend(&mut chart)
}

/// Draws the cross-track error over time.
pub(super) fn cross_track(area: &Area<'_>, figure: &Figure) -> Drawn {
    let error = thinned(figure.path.iter().map(|point| (point.t_s, point.cross_track_m * 100.0)));
    let y = range(error.iter().map(|(_, error)| *error).chain([-1.0, 1.0]), 0.1);
    let mut chart = over_time(area, figure, "Cross-track error (cm, left positive)", y)?;
    chart.draw_series(LineSeries::new(error, BLACK.stroke_width(1)))?;
    Ok(())
}

/// Draws both signals of the commands over time, in the colours of their senders.
pub(super) fn commands(area: &Area<'_>, figure: &Figure) -> Drawn {
    let signals: [(&str, Signal); 2] = [
        ("Steering acted on (rad, left positive)", |command| command.steering_rad),
        ("Drive acted on (m/s²)", |command| command.drive_mps2),
    ];
    for (area, (name, signal)) in area.split_evenly((2, 1)).iter().zip(signals) {
        let y = range(figure.commands.iter().map(signal), 0.1);
        let mut chart = over_time(area, figure, name, y)?;
        for (slot, colour) in (0_u8..).zip(SLOT_COLOURS) {
            let stretches = stretches(figure, slot, signal);
            let label =
                figure.roles.get(usize::from(slot)).map_or(format!("slot {slot}"), |device| device.device.clone());
            for (index, stretch) in stretches.into_iter().enumerate() {
                // A single cover has no length: without a dot it would not be seen.
                let dot = if stretch.len() < 5 { 3 } else { 0 };
                let line = chart.draw_series(LineSeries::new(stretch, colour.stroke_width(2)).point_size(dot))?;
                if index == 0 {
                    let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
                    line.label(label.clone()).legend(key);
                }
            }
        }
        legend(&mut chart)?;
    }
    Ok(())
}

/// Returns the series of one sender, parted where others sent or nobody did.
fn stretches(figure: &Figure, slot: u8, signal: Signal) -> Vec<Vec<(f64, f64)>> {
    let joined_s = JOINED_PERIODS_MAX * figure.period_ms / 1_000.0;
    let same = |a: &CommandPoint, b: &CommandPoint| a.slot == b.slot && b.t_s - a.t_s <= joined_s;
    let own =
        figure.commands.chunk_by(same).filter(|stretch| stretch.first().is_some_and(|first| first.slot == slot));
    own.map(|stretch| thinned(stretch.iter().map(|command| (command.t_s, signal(command))))).collect()
}

/// Draws each device's roles as a band over time.
pub(super) fn roles(area: &Area<'_>, figure: &Figure) -> Drawn {
    let devices = f64::from(u32::try_from(figure.roles.len()).unwrap_or(u32::MAX)).max(1.0);
    let mut chart = ChartBuilder::on(area)
        .caption("Roles", (FONT, 15))
        .margin_right(20)
        .x_label_area_size(24)
        .y_label_area_size(LABELS_PX)
        .build_cartesian_2d(figure.times(), 0.0..devices)?;
    chart.configure_mesh().disable_mesh().y_labels(0).label_style((FONT, 12)).draw()?;
    let times = figure.times();
    let pixels_a_second = f64::from(chart.plotting_area().dim_in_pixel().0) / (times.end - times.start);
    let name_style = (FONT, 14).into_font().color(&BLACK).pos(Pos::new(HPos::Right, VPos::Center));
    let role_style = (FONT, 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    let mut top = devices;
    for device in &figure.roles {
        let (low, high) = (top - 0.85, top - 0.1);
        let middle = f64::midpoint(low, high);
        for span in device.spans.iter().filter(|span| span.from_s.is_finite() && span.to_s >= span.from_s) {
            let corners = [(span.from_s, low), (span.to_s, high)];
            chart.draw_series([Rectangle::new(corners, role_colour(&span.role).filled())])?;
            // A name that does not fit into its band would cover the next one.
            let letters = f64::from(u32::try_from(span.role.chars().count()).unwrap_or(u32::MAX));
            if (span.to_s - span.from_s) * pixels_a_second > 7.5 * letters + 8.0 {
                let text = Text::new(span.role.clone(), (5, 0), role_style.clone());
                chart.draw_series([EmptyElement::at((span.from_s, middle)) + text])?;
            }
        }
        let text = Text::new(device.device.clone(), (-8, 0), name_style.clone());
        let ((x, y), base) = (chart.backend_coord(&(times.start, middle)), area.get_base_pixel());
        area.draw(&(EmptyElement::at((x - base.0, y - base.1)) + text))?;
        top -= 1.0;
    }
    marks(&mut chart, figure, 0.0..devices)
}

fn role_colour(role: &str) -> RGBColor {
    match role.split([' ', '{', ':']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "primary" => RGBColor(126, 190, 232),
        "standby" => RGBColor(200, 228, 188),
        "claiming" => RGBColor(250, 214, 120),
        "joining" => RGBColor(236, 236, 200),
        "fenced" => RGBColor(240, 170, 150),
        // Anything else is a device that is not there.
        _ => RGBColor(225, 225, 225),
    }
}

/// Draws the output gaps over time, with the lines that they are judged by.
pub(super) fn gaps(area: &Area<'_>, figure: &Figure) -> Drawn {
    let gaps = thinned(figure.gaps.iter().copied());
    let longest = gaps.iter().map(|(_, gap)| *gap).fold(figure.command_timeout_ms, f64::max);
    let mut chart = over_time(area, figure, "Output gap (ms)", 0.0..longest.max(1.0) * 1.1)?;
    let times = figure.times();
    let lines = [
        (figure.period_ms, "period", GREY),
        (2.0 * figure.period_ms, "2 periods: beyond it a deadline is missed", BLACK),
        (figure.command_timeout_ms, "command timeout: safe state", FAULT),
    ];
    for (ms, name, colour) in lines {
        let style = (FONT, 12).into_font().color(&colour);
        chart.draw_series(DashedLineSeries::new(
            [(times.start, ms), (times.end, ms)],
            4,
            4,
            colour.stroke_width(1),
        ))?;
        chart.draw_series([EmptyElement::at((times.start, ms)) + Text::new(name, (6, -14), style)])?;
    }
    let (usual, long): (Vec<_>, Vec<_>) =
        gaps.into_iter().partition(|(_, ms)| *ms <= USUAL_GAP_PERIODS * figure.period_ms);
    chart.draw_series(usual.into_iter().map(|at| Circle::new(at, 1, SLOT_COLOURS[0].filled())))?;
    chart.draw_series(long.into_iter().map(|at| Circle::new(at, 4, SLOT_COLOURS[1].filled())))?;
    Ok(())
}

/// Returns a chart over the common time axis with the marks of faults and handovers.
fn over_time<'a, 'b>(
    area: &'a Area<'b>,
    figure: &Figure,
    caption: &str,
    y: Range<f64>,
) -> Result<Chart<'a, 'b>, DrawError> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 15))
        .margin_right(20)
        .x_label_area_size(24)
        .y_label_area_size(LABELS_PX)
        .build_cartesian_2d(figure.times(), y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|t_s| format!("{t_s:.1} s"))
        .y_labels(6)
        .label_style((FONT, 12))
        .draw()?;
    marks(&mut chart, figure, y)?;
    Ok(chart)
}

fn marks(chart: &mut Chart<'_, '_>, figure: &Figure, y: Range<f64>) -> Drawn {
    for (t_s, _) in &figure.faults {
        chart.draw_series(LineSeries::new([(*t_s, y.start), (*t_s, y.end)], FAULT.stroke_width(2)))?;
    }
    for t_s in &figure.handovers {
        chart.draw_series(LineSeries::new([(*t_s, y.start), (*t_s, y.end)], HANDOVER.stroke_width(1)))?;
    }
    Ok(())
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>) -> Drawn {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 13))
        .draw()
}

/// Widens one of two ranges, so that a metre is as long along both axes of a panel of this `aspect`.
fn same_scale(x: Range<f64>, y: Range<f64>, aspect: f64) -> (Range<f64>, Range<f64>) {
    let (width, height) = (x.end - x.start, y.end - y.start);
    if width < height * aspect {
        let room = (height * aspect - width) / 2.0;
        (x.start - room..x.end + room, y)
    } else {
        let room = (width / aspect - height) / 2.0;
        (x, y.start - room..y.end + room)
    }
}
