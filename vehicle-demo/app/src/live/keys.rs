//! The keys, and what each asks for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use twinhelm_rigs::host::operator::Ask;

/// What the last line says.
pub(super) const HELP: &str =
    "k kill holder · h hang it · l cut link · s switch over · r repair · ? what is this · q quit";

/// What a key does to the view itself; `None`: it is none of those.
pub(super) fn explains(key: KeyEvent, is_explaining: bool) -> Option<bool> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_left = key.code == KeyCode::Esc && is_explaining;
    if is_left || key.code == KeyCode::Char('?') { Some(!is_explaining) } else { None }
}

/// What `?` shows: the keys, and the words.
pub(super) const EXPLAINED: &[(&str, &str)] = &[
    ("k, h", "kill the device that drives, or stop it, until r"),
    ("l", "cut the link between the devices, until r"),
    ("s", "ask who drives to hand the wheel over; it may refuse"),
    ("r", "mend what is wrong, and start again what is down"),
    ("q, Esc", "end the run, with its report"),
    ("holds the wheel", "whose term (number of a reign) the gate has adopted"),
    ("gate open, closed", "whether it acts; closed, the vehicle is braked to a stop"),
    ("protected", "the other device said just now that it could take over"),
    ("cover (c)", "a command of the standby for a cycle that the holder left empty"),
    ("takeover (T)", "the holder was silent for a lease, and the gate adopted the other's term"),
    ("missed deadline", "a cycle for which the gate had nothing to act on in time"),
    ("heard … ago", "since its last state came over the link, to this program"),
    ("apart", "how far the standby's command is from the holder's"),
    ("not known", "nothing is heard: it may be well, or not"),
];

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
            assert!(ask_of(key).is_some() != explains(key, false).is_some(), "{word}");
        }
        let key = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        assert_eq!(ask_of(key), None);
    }

    #[test]
    fn the_explanation_comes_and_goes_and_escape_ends_it_before_it_ends_the_run() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(explains(key(KeyCode::Char('?')), false), Some(true));
        assert_eq!(explains(key(KeyCode::Char('?')), true), Some(false));
        assert_eq!(explains(key(KeyCode::Esc), true), Some(false));
        assert_eq!(explains(key(KeyCode::Esc), false), None);
    }

    #[test]
    fn control_c_ends_the_run_with_its_report() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(ask_of(key), Some(Ask::Quit));
    }
}
