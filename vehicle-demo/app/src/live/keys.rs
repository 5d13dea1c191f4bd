//! The keys, and what each asks for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use twinhelm_rigs::host::operator::Ask;

/// What the last line says.
pub(super) const HELP: &str = "k kill holder · h hang it · l cut link · s switch over · r repair · q quit";

/// Returns what a key asks for.
pub(super) fn ask_of(key: KeyEvent) -> Option<Ask> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.code == KeyCode::Esc {
        return Some(Ask::Quit);
    }
    match key.code.as_char()? {
        // The terminal is in raw mode: this is no signal any more.
        'c' if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Ask::Quit),
        'k' => Some(Ask::kill()),
        'h' => Some(Ask::hang()),
        'l' => Some(Ask::cut_link()),
        's' => Some(Ask::switch_over()),
        'r' => Some(Ask::Repair),
        'q' => Some(Ask::Quit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_help_asks_for_something() {
        for word in HELP.split(" · ") {
            let letter = word.chars().next().expect("a letter");
            let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
            assert!(ask_of(key).is_some(), "{word}");
        }
        let key = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        assert_eq!(ask_of(key), None);
    }

    #[test]
    fn control_c_ends_the_run_with_its_report() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(ask_of(key), Some(Ask::Quit));
    }
}
