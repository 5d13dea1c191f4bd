//! Simulates fleets whose pools have 10, 100 and 1,000 spares, in virtual time: a device of the pair dies, and a spare is recruited.
//! Counts the messages. Called by `./dev bench`; prints Markdown.

use std::time::Duration;
use twinhelm_hil::fleet::{Fleet, Trouble};

const SEED: u64 = 1;
const FAULT_AT: Duration = Duration::from_secs(3);

fn main() {
    println!(
        "| spares | offers a second, in the whole fleet | a device hears | words of one migration | whole after |"
    );
    println!("|---|---:|---:|---:|---:|");
    for count in [10, 100, 1_000] {
        // For as long as this runs.
        let names: Vec<&'static str> = (0..count).map(|number| &*format!("spare-{number:04}").leak()).collect();
        let mut fleet: Fleet = Fleet::new(SEED, &names, &[(FAULT_AT, Trouble::Dies("right", None))]);
        fleet.run_until_whole();
        let whole = fleet.ran().saturating_sub(FAULT_AT).as_secs_f64();
        assert!(fleet.is_whole() && fleet.broken.is_empty(), "{:?}", fleet.broken);
        let offers = fleet.sent.offers as f64 / fleet.ran().as_secs_f64();
        let hears = offers / f64::from(count + 2);
        println!("| {count} | {offers:.0} | {hears:.0} | {} | {whole:.1} s |", fleet.sent.words);
    }
    println!("\nIn virtual time, seed {SEED}: each step takes 0.05 to 3 s, and each message up to 0.4 s.");
}
