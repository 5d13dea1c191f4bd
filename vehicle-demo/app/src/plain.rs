//! A run on an ordinary terminal, or in a pipe: a line for each thing worth one, and a bar that is drawn again.

use crate::output;
use std::io::IsTerminal as _;
use twinhelm_rigs::host::glance::Glance;
use twinhelm_rigs::host::operator::Operator;

/// How wide the bar is.
const WIDTH: usize = 40;

/// Plain lines.
pub(crate) struct Plain {
    bar: bool,
    shown: bool,
}

impl Plain {
    pub(crate) fn new() -> Self {
        Self { bar: std::io::stderr().is_terminal(), shown: false }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            output::draw(format_args!("\r\x1b[2K"));
        }
    }

    /// Draws a bar of which `part` is full, with `label` behind it; nothing where there is no terminal.
    pub(crate) fn draw(&mut self, part: f64, label: impl std::fmt::Display) {
        if !self.bar {
            return;
        }
        self.shown = true;
        let full = (part.clamp(0.0, 1.0) * WIDTH as f64) as usize;
        let bar = "█".repeat(full) + &"░".repeat(WIDTH - full);
        output::draw(format_args!("\r\x1b[2K{bar} {label}"));
    }
}

/// Returns a line as people read it.
pub(crate) fn line(t_s: Option<f64>, text: &str) -> String {
    let time = t_s.map_or_else(|| "    start".to_owned(), |t_s| format!("{t_s:7.3} s"));
    format!("{time}  {text}")
}

impl Operator for Plain {
    fn wants_its_report(&self) -> bool {
        true
    }

    fn line(&mut self, t_s: Option<f64>, text: &str) {
        self.clear();
        output::tell(line(t_s, text));
    }

    fn look(&mut self, glance: &Glance) {
        if let (Some(passed), Some(of)) = (glance.passed, glance.of) {
            let (passed, of) = (passed.as_secs_f64(), of.as_secs_f64());
            self.draw(passed / of, format_args!("{passed:.1} of {of:.1} s"));
        }
    }
}
