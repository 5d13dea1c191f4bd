//! The live view: the run on the terminal while it lasts, and keys that make something go wrong.
//!
//! It draws on a thread of its own. The runner leaves it how the run stands and takes what the keys ask for; neither
//! waits for the other, and the control loops are in other processes altogether.

mod keys;
mod screen;
mod strip;

use crate::output;
use crate::plain::line;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal;
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use twinhelm_rigs::host::glance::Glance;
use twinhelm_rigs::host::operator::{Ask, Operator};
use twinhelm_standby::Config;
use twinhelm_vehicle::course::Course;

/// What fits: columns and rows.
const COLUMNS_MIN: u16 = 80;
const ROWS_MIN: u16 = 24;
/// How often it draws, and looks at the keys.
const DRAW_EVERY: Duration = Duration::from_millis(50);
/// So many lines are kept to be printed when the view is over.
const LINES_MAX: usize = 1_000;

/// What the view shows besides the run.
pub(crate) struct Setting {
    /// The course, seen from above.
    pub(crate) course: Arc<Course>,
    /// The timing: the strip's scale.
    pub(crate) config: Config,
    /// The rig and the machine.
    pub(crate) title: String,
    /// It goes on until `q`.
    pub(crate) open_ended: bool,
}

/// Says whether the view can be drawn here.
///
/// # Errors
/// Why not, where that is worth a line; nothing where there is no terminal, or plain lines were asked for.
pub(crate) fn is_possible(plain: bool) -> Result<(), Option<String>> {
    if plain || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(None);
    }
    let term = std::env::var("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" {
        return Err(Some(format!("TERM is `{term}`, on which nothing can be drawn: plain lines instead")));
    }
    let (columns, rows) = terminal::size().map_err(|error| Some(format!("no live view: {error}")))?;
    if is_too_small(columns, rows) {
        return Err(Some(format!(
            "the terminal has {columns} columns and {rows} rows, the live view needs {COLUMNS_MIN} and {ROWS_MIN}: \
             plain lines instead"
        )));
    }
    Ok(())
}

const fn is_too_small(columns: u16, rows: u16) -> bool {
    columns < COLUMNS_MIN || rows < ROWS_MIN
}

/// Returns whether the terminal is one with colours, and nobody has asked for none (no-color.org).
fn has_colours() -> bool {
    let asked_for_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let term = std::env::var("TERM").unwrap_or_default();
    !(asked_for_none || term.starts_with("vt") || term.ends_with("-m") || term.ends_with("-mono"))
}

/// What the runner's thread and the view's share.
#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
}

#[derive(Clone, Default)]
struct Seen {
    glance: Glance,
    lines: VecDeque<String>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Both sides leave it whole, whoever panicked.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The view that is being shown.
pub(crate) struct LiveView {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// The runner's side of the view.
pub(crate) struct Console {
    shared: Arc<Shared>,
    asks: Receiver<Ask>,
}

impl LiveView {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When the terminal does not let itself be drawn on.
    pub(crate) fn start(setting: Setting) -> io::Result<(Self, Console)> {
        let mut terminal = ratatui::try_init()?;
        let shared = Arc::new(Shared::default());
        let (asked, asks) = channel();
        let seen = shared.clone();
        let colours = has_colours();
        let thread = std::thread::Builder::new().name("live view".to_owned()).spawn(move || {
            // A terminal that is gone cannot be told so; the run goes on without it.
            let _ = show(&mut terminal, &setting, &seen, &asked, colours);
        })?;
        Ok((Self { shared: shared.clone(), thread }, Console { shared, asks }))
    }

    /// Gives the terminal back, and prints the lines that went by.
    pub(crate) fn stop(self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Its panic was printed; the run is over either way.
        let _ = self.thread.join();
        ratatui::restore();
        for line in &self.shared.seen().lines {
            output::tell(line);
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    setting: &Setting,
    shared: &Shared,
    asked: &Sender<Ask>,
    colours: bool,
) -> io::Result<()> {
    let mut explains = false;
    while !shared.over.load(Ordering::Relaxed) {
        let seen = shared.seen().clone();
        let look = screen::Look { colours, explains };
        terminal.draw(|frame| screen::draw(frame, setting, &seen.glance, &seen.lines, look))?;
        // Keys that come meanwhile are taken at once, all of them.
        let mut wait = DRAW_EVERY;
        while event::poll(wait)? {
            if let Event::Key(key) = event::read()? {
                if let Some(wanted) = keys::explains(key, explains) {
                    explains = wanted;
                } else if let Some(ask) = keys::ask_of(key) {
                    // Nobody listens when the run is over.
                    let _ = asked.send(ask);
                }
            }
            wait = Duration::ZERO;
        }
    }
    Ok(())
}

impl Operator for Console {
    fn wants_its_report(&self) -> bool {
        true
    }

    fn line(&mut self, t_s: Option<f64>, text: &str) {
        let lines = &mut self.shared.seen().lines;
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line(t_s, text));
    }

    fn look(&mut self, glance: &Glance) {
        self.shared.seen().glance = glance.clone();
    }

    fn ask(&mut self) -> Option<Ask> {
        self.asks.try_recv().ok()
    }
}
