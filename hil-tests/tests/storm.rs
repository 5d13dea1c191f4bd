//! Thousands of random schedules, a test a class. `TWINHELM_SEED=n` runs one seed, `TWINHELM_SEEDS=n` so many.

use std::sync::Arc;
use twinhelm_hil::storm::{CLASSES, Storm, class};
use twinhelm_hil::world::AsDesigned;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn storm(name: &str) {
    let class = class(name).expect("a class of the storm");
    let course = Arc::new(Course::harbour());
    let storm = Storm::new(course.clone(), CourseLaw::new(course));
    let seeds = match number("TWINHELM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TWINHELM_SEEDS").unwrap_or(1_000),
    };
    let count = seeds.end - seeds.start;
    let mut failed = 0;
    let test = name.replace('-', "_");
    for seed in seeds {
        let schedule =
            storm.run::<AsDesigned<CourseLaw>>(class, seed).expect("the storm's timing keeps the promise");
        if !schedule.holds() {
            failed += 1;
            if failed <= 3 {
                println!(
                    "{schedule}replay: TWINHELM_SEED={seed} cargo nextest run -p twinhelm-hil --test storm {test} --no-capture\n"
                );
            }
        }
    }
    assert_eq!(failed, 0, "of {count} seeds");
}

macro_rules! storms {
    ($($test:ident $class:literal;)*) => {
        $(#[test]
        fn $test() {
            storm($class);
        })*

        #[test]
        fn every_class_has_its_test() {
            let tested = [$($class),*];
            let all: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
            assert_eq!(all, tested);
        }
    };
}

storms! {
    nothing "nothing";
    kill "kill";
    kill_restart "kill-restart";
    exit_restart "exit-restart";
    power "power";
    hang "hang";
    hang_for_ever "hang-for-ever";
    late_once "late-once";
    late_from_now_on "late-from-now-on";
    nan "nan";
    out_of_range "out-of-range";
    frozen_output "frozen-output";
    frozen_counter "frozen-counter";
    bus_cut "bus-cut";
    bus_cut_tx "bus-cut-tx";
    bus_cut_rx "bus-cut-rx";
    bus_passive "bus-passive";
    bus_off "bus-off";
    link_cut "link-cut";
    link_cut_tx "link-cut-tx";
    link_cut_rx "link-cut-rx";
    link_slow "link-slow";
    link_rough "link-rough";
    clock_slip "clock-slip";
    clock_drift "clock-drift";
    sensor_silent "sensor-silent";
    sensor_stuck "sensor-stuck";
    sensor_noisy "sensor-noisy";
    lose_command "lose-command";
    lose_command_at_gate "lose-command-at-gate";
    lose_command_at_peer "lose-command-at-peer";
    lose_status "lose-status";
    lose_all_statuses "lose-all-statuses";
    held_frame "held-frame";
    switchover "switchover";
    switchover_hit "switchover-hit";
    gate_restart "gate-restart";
    boot "boot";
    boot_fault "boot-fault";
    two_faults "two-faults";
    solo_hang "solo-hang";
}
