//! The live view in a terminal: what the screen shows, and what each key does to real processes.

mod tools;

use tools::python;

#[test]
fn the_screen_shows_what_the_keys_do() {
    let said = python("live.py", &[env!("CARGO_BIN_EXE_vehicle-demo")]);
    assert_eq!(said.matches("as it should be").count(), 4, "{said}");
}
