//! The strip of output gaps: one column a command, the newest on the right, from nothing to the command timeout.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::widgets::Widget;
use std::collections::VecDeque;
use std::time::Duration;
use twinhelm_hal::gate::How;
use twinhelm_rigs::host::glance::Gap;

/// An eighth of a row, two, … a whole one.
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Room for the words behind the strip.
const WORDS: u16 = 18;

/// The strip.
pub(super) struct Strip<'a> {
    pub(super) gaps: &'a VecDeque<Gap>,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    pub(super) colours: bool,
}

impl Widget for Strip<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        if area.width <= WORDS || area.height == 0 {
            return;
        }
        let width = area.width - WORDS;
        let top = f64::from(area.height) * 8.0;
        let eighths = |span: Duration| (span.as_secs_f64() / self.timeout.as_secs_f64() * top).round();
        let period = area.bottom() - 1 - row_of(eighths(self.period), area.height);
        buffer.set_string(area.x + width, area.y, format!(" ┄ {} ms timeout", ms(self.timeout)), Style::new());
        buffer.set_string(area.x + width, period, format!(" ┄ {} ms period", ms(self.period)), Style::new());
        let shown = self.gaps.len().min(width.into());
        let newest = self.gaps.iter().skip(self.gaps.len() - shown);
        for (column, gap) in (area.x + width - u16::try_from(shown).unwrap_or(width)..).zip(newest) {
            let height = eighths(gap.length).clamp(1.0, top);
            let style = if self.colours { Style::new().fg(colour(gap, self.timeout)) } else { Style::new() };
            for row in 0..area.height {
                let rest = height - f64::from(row) * 8.0;
                if rest >= 1.0 {
                    let bar = BARS[(rest as usize).min(8) - 1];
                    buffer.set_string(column, area.bottom() - 1 - row, bar, style);
                }
            }
            // Without colours a letter tells what they tell.
            if let Some(letter) = letter(gap.how) {
                buffer.set_string(column, area.bottom() - 1, letter, style);
            }
        }
    }
}

/// Returns the row from the bottom on which a bar of so many eighths ends.
fn row_of(eighths: f64, rows: u16) -> u16 {
    ((eighths.max(1.0) - 1.0) / 8.0).floor().clamp(0.0, f64::from(rows - 1)) as u16
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// A command that was not the holder's is marked at its foot.
const fn letter(how: How) -> Option<&'static str> {
    match how {
        How::Holder => None,
        How::Cover => Some("c"),
        How::Takeover => Some("T"),
        How::Opening => Some("o"),
    }
}

fn colour(gap: &Gap, timeout: Duration) -> Color {
    if gap.length >= timeout {
        return Color::Red;
    }
    match gap.how {
        How::Holder => Color::Green,
        How::Cover => Color::Yellow,
        How::Takeover | How::Opening => Color::Magenta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(gaps: &[(u64, How)]) -> Vec<String> {
        let gaps = gaps.iter().map(|(ms, how)| Gap { length: Duration::from_millis(*ms), how: *how }).collect();
        let (period, timeout) = (Duration::from_millis(10), Duration::from_millis(50));
        let area = Rect::new(0, 0, 8 + WORDS, 5);
        let mut buffer = Buffer::empty(area);
        Strip { gaps: &gaps, period, timeout, colours: false }.render(area, &mut buffer);
        let row = |row: u16| (0..area.width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        (0..area.height).map(|at| row(at).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_period_is_a_fifth_of_the_strip_and_the_newest_gap_is_on_the_right() {
        let drawn = strip(&[(10, How::Holder), (20, How::Cover), (50, How::Takeover)]);
        assert_eq!(
            drawn,
            ["       █ ┄ 50 ms timeout", "       █", "       █", "      ██", "     █cT ┄ 10 ms period"]
        );
    }

    #[test]
    fn what_does_not_fit_leaves_on_the_left_and_what_is_too_long_is_cut() {
        let mut gaps = vec![(500, How::Opening)];
        gaps.extend([(10, How::Holder); 9]);
        let drawn = strip(&gaps);
        assert_eq!(drawn.last().map(String::as_str), Some("████████ ┄ 10 ms period"));
        assert_eq!(strip(&[(500, How::Holder)])[0], "       █ ┄ 50 ms timeout");
    }
}
