//! What the live view draws: the course from above, the pair, the strip of output gaps, what happened, the keys.
//!
//! It reads a glance and draws; without colours it says the same.

use super::strip::Strip;
use super::{COLUMNS_MIN, ROWS_MIN, Setting, is_too_small, keys};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Points};
use ratatui::widgets::{Block, Paragraph, Wrap};
use std::collections::VecDeque;
use std::time::Duration;
use twinhelm_hal::signals::Divergence;
use twinhelm_hal::term::Slot;
use twinhelm_rigs::host::glance::{DeviceGlance, Glance, Pose};
use twinhelm_standby::NotReady;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::device_name;
use twinhelm_vehicle::signals::SIGNALS;

/// The pair's box: its lines are as wide.
const PAIR_COLUMNS: u16 = 48;
/// The strip's rows: a row for each period up to the command timeout.
const STRIP_ROWS: u16 = 5;
/// The last lines of what happened; half of what a larger terminal has more goes there as well.
const LINES_SHOWN: u16 = 2;
/// What the pair's box takes.
const PAIR_ROWS: u16 = 9;
/// Nothing heard of a device for so many periods is worth a colour.
const QUIET_PERIODS: u32 = 3;
/// What was heard longer ago says nothing about now.
const KNOWN_FOR: Duration = Duration::from_millis(500);

/// How it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// The terminal has colours.
    pub(super) colours: bool,
    /// The keys and the words are explained instead.
    pub(super) explains: bool,
}

/// Draws how the run stands.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    setting: &Setting,
    glance: &Glance,
    lines: &VecDeque<String>,
    look: Look,
) {
    let Look { colours, explains } = look;
    let area = frame.area();
    if is_too_small(area.width, area.height) {
        let words = format!("make the terminal larger: {COLUMNS_MIN} × {ROWS_MIN} at least (q quits)");
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
        return;
    }
    let ink = Ink { colours };
    if explains {
        draw_words(frame, area, ink);
        return;
    }
    let lines_shown = LINES_SHOWN + area.height.saturating_sub(ROWS_MIN) / 2;
    let [title, middle, strip, events, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(PAIR_ROWS + 2),
        Constraint::Length(STRIP_ROWS + 2),
        Constraint::Length(lines_shown + 2),
        Constraint::Length(1),
    ])
    .areas(area);
    let [map, pair] = Layout::horizontal([Constraint::Min(20), Constraint::Length(PAIR_COLUMNS + 2)]).areas(middle);
    draw_title(frame, title, setting, glance);
    draw_course(frame, map, &setting.course, glance.pose, ink);
    draw_pair(frame, pair, setting, glance, ink);
    let block = Block::bordered().title(" time between commands, at gate 0 (c cover, T takeover, o opening) ");
    let inner = block.inner(strip);
    frame.render_widget(block, strip);
    let (period, timeout) = (setting.config.period, setting.config.command_timeout);
    frame.render_widget(Strip { gaps: &glance.gaps, period, timeout, colours }, inner);
    let columns = usize::from(events.width.saturating_sub(2));
    let folded: Vec<String> = lines.iter().flat_map(|line| fold(line, columns, LINE_INDENT)).collect();
    let shown =
        folded.iter().skip(folded.len().saturating_sub(lines_shown.into())).map(|line| Line::raw(line.as_str()));
    frame.render_widget(
        Paragraph::new(shown.collect::<Vec<_>>()).block(Block::bordered().title(" what happened ")),
        events,
    );
    frame.render_widget(Paragraph::new(keys::HELP).style(ink.of(Color::Cyan)), help);
}

/// How things are coloured, where there are colours.
#[derive(Clone, Copy)]
struct Ink {
    colours: bool,
}

impl Ink {
    fn of(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is not known is neither good nor bad.
    fn unknown(self) -> Style {
        self.of(Color::Magenta)
    }

    /// What must be seen: without colours it is bold.
    fn loud(self, colour: Color) -> Style {
        self.of(colour).add_modifier(Modifier::BOLD)
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, setting: &Setting, glance: &Glance) {
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    let time = match (glance.passed, glance.of) {
        (None, _) => "starting".to_owned(),
        (Some(passed), Some(of)) => format!("{} of {}", seconds(passed), seconds(of)),
        (Some(passed), None) => seconds(passed),
    };
    let until = if setting.open_ended { ", until q" } else { "" };
    frame.render_widget(Line::raw(format!(" {time}{until}   {}", setting.title)), area);
}

fn draw_course(frame: &mut Frame<'_>, area: Rect, course: &Course, pose: Option<Pose>, ink: Ink) {
    let block = Block::bordered().title(" course ");
    let outline: Vec<(f64, f64)> = course.outline().collect();
    let inner = block.inner(area);
    let (x, y) = bounds(&outline, inner);
    let colour = |colour| if ink.colours { colour } else { Color::Reset };
    let canvas = Canvas::default().block(block).marker(Marker::Braille).x_bounds(x).y_bounds(y).paint(|context| {
        context.draw(&Points { coords: &outline, color: colour(Color::DarkGray) });
        if let Some(pose) = pose {
            context.print(pose.x_m, pose.y_m, Span::styled("●", ink.loud(Color::Yellow)));
        }
    });
    frame.render_widget(canvas, area);
}

/// Returns bounds around the points in which a metre is as long to the right as upwards: a cell is 2 dots wide and 4
/// high, and a dot is about square.
fn bounds(points: &[(f64, f64)], area: Rect) -> ([f64; 2], [f64; 2]) {
    let range = |of: fn(&(f64, f64)) -> f64| {
        let low = points.iter().map(of).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        if low.is_finite() { (f64::midpoint(low, high), high - low) } else { (0.0, 0.0) }
    };
    let ((x_m, width_m), (y_m, height_m)) = (range(|point| point.0), range(|point| point.1));
    let dots = (f64::from(area.width.max(1)) * 2.0, f64::from(area.height.max(1)) * 4.0);
    // A little room around it.
    let m_per_dot = 1.1 * (width_m / dots.0).max(height_m / dots.1).max(1e-3);
    let around = |middle: f64, dots: f64| [middle - m_per_dot * dots / 2.0, middle + m_per_dot * dots / 2.0];
    (around(x_m, dots.0), around(y_m, dots.1))
}

fn draw_pair(frame: &mut Frame<'_>, area: Rect, setting: &Setting, glance: &Glance, ink: Ink) {
    let mut lines = vec![wheel(glance, ink), protection(glance, ink), motion(glance, ink)];
    let quiet = QUIET_PERIODS * setting.config.period;
    // What the box has more than it needs is for reasons that are longer than a line.
    let mut room = area.height.saturating_sub(PAIR_ROWS + 2);
    for slot in [Slot::LEFT, Slot::RIGHT] {
        let own = device(slot, &glance.devices[slot.index()], quiet, room, ink);
        room = room.saturating_sub(u16::try_from(own.len()).unwrap_or(u16::MAX).saturating_sub(2));
        lines.extend(own);
    }
    let Glance { covers, takeovers, missed_deadlines, .. } = glance;
    let style = if *missed_deadlines > 0 { ink.loud(Color::Red) } else { Style::new() };
    lines.push(Line::from(vec![
        Span::raw(format!("gate: covers {covers}  takeovers {takeovers}  ")),
        Span::styled(format!("missed deadlines {missed_deadlines}"), style),
    ]));
    let faults = if glance.faults.is_empty() { "nothing".to_owned() } else { glance.faults.join(", ") };
    lines.push(Line::raw(format!("wrong now: {faults}")));
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" pair ")), area);
}

fn wheel(glance: &Glance, ink: Ink) -> Line<'static> {
    let Some(term) = glance.term else {
        return Line::raw("nobody holds the wheel yet");
    };
    let holder = device_name(term.slot());
    if glance.gate_open {
        Line::raw(format!("{holder} holds the wheel, term {term}   gate open"))
    } else {
        Line::styled("the gate is closed: the vehicle is stopped", ink.loud(Color::Red))
    }
}

fn protection(glance: &Glance, ink: Ink) -> Line<'static> {
    let is_known = |device: &DeviceGlance| device.heard_ago.is_some_and(|ago| ago <= KNOWN_FOR);
    if !glance.devices.iter().any(|device| device.runs && is_known(device)) {
        Line::styled("not known who is protected: no device is heard", ink.unknown())
    } else if glance.is_protected() {
        Line::styled("protected: the other could take over now", ink.of(Color::Green))
    } else {
        Line::styled("NOT protected: nobody could take over now", ink.loud(Color::Red))
    }
}

fn motion(glance: &Glance, ink: Ink) -> Line<'static> {
    let Some(Pose { speed_mps, cross_track_m, .. }) = glance.pose else {
        return Line::styled("not known where the vehicle is", ink.unknown());
    };
    Line::raw(format!("vehicle: {speed_mps:.2} m/s   {:+.1} cm off the course", cross_track_m * 100.0))
}

/// Returns what is known of a device, in two lines, and in so many more as there is `room` for.
fn device(slot: Slot, device: &DeviceGlance, quiet: Duration, room: u16, ink: Ink) -> Vec<Line<'static>> {
    let name = device_name(slot);
    if !device.runs {
        return vec![Line::styled(format!("{name:6}down"), ink.loud(Color::Red)), Line::default()];
    }
    let heard = device.heard_ago.unwrap_or(Duration::MAX);
    let Some(role) = device.role.filter(|_| heard <= KNOWN_FOR) else {
        let ago = device.heard_ago.map_or_else(
            || "nothing was heard of it yet".to_owned(),
            |ago| format!("nothing was heard for {:.1} s", ago.as_secs_f64()),
        );
        return vec![Line::styled(format!("{name:6}not known: {ago}"), ink.unknown()), Line::default()];
    };
    let style = if heard > quiet { ink.loud(Color::Yellow) } else { Style::new() };
    let term = device.term.map_or_else(String::new, |term| format!("term {term}  "));
    let first = Line::from(vec![
        Span::raw(format!("{name:6}{role}  {term}")),
        Span::styled(format!("heard {:.0} ms ago", heard.as_secs_f64() * 1e3), style),
    ]);
    let divergence = device.divergence.map_or_else(String::new, apart);
    let mut all = vec![first];
    match device.ready {
        // The one that drives: everybody knows that it is no standby.
        Some(Err(NotReady::Role)) | None => all.push(Line::default()),
        Some(Ok(())) => all.push(Line::styled(format!("      ready   {divergence}"), ink.of(Color::Green))),
        Some(Err(why)) => {
            let mut folded = fold(&format!("      {why}"), PAIR_COLUMNS.into(), DEVICE_INDENT);
            let most = usize::from(room) + 1;
            if folded.len() > most {
                folded.truncate(most);
                if let Some(last) = folded.last_mut() {
                    *last = last.chars().take(usize::from(PAIR_COLUMNS) - 1).chain(['…']).collect();
                }
            }
            all.extend(folded.into_iter().map(|line| Line::styled(line, ink.of(Color::Yellow))));
        }
    }
    all
}

/// What goes on in the next line stands below what it belongs to: behind the time, or behind the device's name.
const LINE_INDENT: usize = 11;
const DEVICE_INDENT: usize = 6;

/// Returns how far the standby's command is from the holder's, in the signal in which it is the farthest.
fn apart(divergence: Divergence) -> String {
    let Some(signal) = SIGNALS.signals().get(usize::from(divergence.signal)) else { return String::new() };
    let value = f64::from(divergence.counts) * signal.factor.abs();
    format!("apart {value:.3} {} in {}", signal.unit, signal.name)
}

/// Returns a text in lines of so many columns, broken between words; all but the first begin with `indent` blanks.
fn fold(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let options =
        textwrap::Options::new(columns.max(indent + 8)).subsequent_indent(&BLANKS[..indent.min(BLANKS.len())]);
    textwrap::wrap(text, options).into_iter().map(std::borrow::Cow::into_owned).collect()
}

const BLANKS: &str = "                ";

/// Draws what the keys do and what the words mean.
fn draw_words(frame: &mut Frame<'_>, area: Rect, ink: Ink) {
    let name = |text: &'static str| Span::styled(format!("{text:>17}  "), ink.loud(Color::Cyan));
    let columns = usize::from(area.width.saturating_sub(21)).max(20);
    let lines = keys::EXPLAINED.iter().flat_map(|(word, what)| {
        let folded = fold(what, columns, 0);
        folded
            .into_iter()
            .enumerate()
            .map(move |(place, line)| Line::from(vec![name(if place == 0 { word } else { "" }), Span::raw(line)]))
    });
    let block = Block::bordered().title(" what the keys do, and what the words mean (? goes back) ");
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::sync::Arc;
    use twinhelm_hal::gate::How;
    use twinhelm_hal::term::Term;
    use twinhelm_rigs::host::glance::Gap;
    use twinhelm_standby::{Config, Parameters, RoleName};

    /// Draws on a terminal of so many columns and rows.
    fn drawn_as(look: Look, glance: &Glance, [columns, rows]: [u16; 2]) -> String {
        let setting = Setting {
            course: Arc::new(Course::harbour()),
            config: Config::new(Parameters::at_period(Duration::from_millis(10))).expect("it keeps the promise"),
            title: "rig host".to_owned(),
            open_ended: true,
        };
        let long = "  5.100 s  left refuses: the peer is not ready: output path: the gate does not echo probes; check the bus \
                    connection";
        let lines = VecDeque::from([long.to_owned(), "  5.000 s  kill@5.000s hits left".to_owned()]);
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
        terminal.draw(|frame| draw(frame, &setting, glance, &lines, look)).expect("memory");
        terminal.backend().to_string()
    }

    fn drawn(glance: &Glance, columns: u16, rows: u16) -> String {
        drawn_as(Look { colours: false, explains: false }, glance, [columns, rows])
    }

    fn glance() -> Glance {
        let left = DeviceGlance {
            runs: true,
            role: Some(RoleName::Primary),
            ready: Some(Err(NotReady::Role)),
            term: Some(Term::new(4)),
            heard_ago: Some(Duration::from_millis(7)),
            divergence: None,
        };
        let ready = Some(Ok(()));
        let right = DeviceGlance { role: Some(RoleName::Standby), ready, term: None, ..left };
        Glance {
            passed: Some(Duration::from_millis(5_250)),
            pose: Some(Pose { speed_mps: 2.25, cross_track_m: -0.034, ..Pose::default() }),
            gate_open: true,
            term: Some(Term::new(4)),
            devices: [left, right],
            covers: 2,
            gaps: [Gap { length: Duration::from_millis(10), how: How::Holder }].into(),
            faults: vec!["link-cut@4.000s".to_owned()],
            ..Glance::default()
        }
    }

    #[test]
    fn everything_is_said_without_colours() {
        let screen = drawn(&glance(), 100, 30);
        for words in [
            "5.2 s, until q",
            "left holds the wheel, term 4   gate open",
            "protected: the other could take over now",
            "vehicle: 2.25 m/s   -3.4 cm off the course",
            "left  primary  term 4  heard 7 ms ago",
            "right standby",
            "gate: covers 2  takeovers 0  missed deadlines 0",
            "at gate 0",
            "wrong now: link-cut@4.000s",
            "50 ms timeout",
            "10 ms period",
            "kill@5.000s hits left",
            keys::HELP,
            "●",
        ] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
    }

    #[test]
    fn what_is_not_well_is_said() {
        let mut glance = glance();
        glance.devices[0] = DeviceGlance::default();
        glance.devices[1].ready = Some(Err(NotReady::Link));
        glance.gate_open = false;
        let screen = drawn(&glance, 80, 24);
        for words in [
            "NOT protected",
            "left  down",
            "the gate is closed: the vehicle is stopped",
            "link: no state from the peer",
        ] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_and_a_long_reason_where_there_is_room() {
        let mut glance = glance();
        glance.devices[1].ready = Some(Err(NotReady::BusErrors));
        let screen = drawn(&glance, 100, 40);
        for words in ["bus connection", "check cable,", "termination and bitrate"] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
        let small = drawn(&glance, 80, 24);
        assert!(small.contains('…') && small.contains("wrong now"), "{small}");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        let mut glance = glance();
        glance.pose = None;
        glance.devices[0] = DeviceGlance { runs: true, ..DeviceGlance::default() };
        glance.devices[1].heard_ago = Some(Duration::from_secs(2));
        let screen = drawn(&glance, 100, 30);
        for words in [
            "left  not known: nothing was heard of it yet",
            "right not known: nothing was heard for 2.0 s",
            "not known where the vehicle is",
            "not known who is protected",
        ] {
            assert!(screen.contains(words), "{words} is missing in\n{screen}");
        }
    }

    #[test]
    fn the_keys_and_the_words_are_explained_on_the_smallest_terminal() {
        let screen = drawn_as(Look { colours: false, explains: true }, &glance(), [COLUMNS_MIN, ROWS_MIN]);
        for (word, _) in keys::EXPLAINED {
            assert!(screen.contains(word), "{word} is missing in\n{screen}");
        }
    }

    #[test]
    fn a_terminal_that_has_become_too_small_is_told_so() {
        let screen = drawn(&glance(), 60, 24);
        assert!(screen.contains("make the terminal larger: 80 × 24"), "{screen}");
    }

    #[test]
    fn a_metre_is_as_long_to_the_right_as_upwards() {
        let (x, y) = bounds(&[(0.0, 0.0), (10.0, 2.0)], Rect::new(0, 0, 40, 10));
        let m_per_dot = [(x[1] - x[0]) / 80.0, (y[1] - y[0]) / 40.0];
        assert!((m_per_dot[0] - m_per_dot[1]).abs() < 1e-12, "{m_per_dot:?}");
        assert!(x[0] < 0.0 && x[1] > 10.0 && y[0] < 0.0 && y[1] > 2.0);
    }
}
