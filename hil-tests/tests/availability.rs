//! Where a pair is not whole, or not yet: it becomes whole, and the vehicle is driven. Each test is a schedule that once found no way
//! out, by the letter that the issue gave it.

use std::sync::Arc;
use std::time::Duration;
use twinhelm_hil::check::{Checks, Promise};
use twinhelm_hil::fault::Fault;
use twinhelm_hil::world::{AsDesigned, Setup, World};
use twinhelm_standby::{Config, Parameters};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::plant::PlantConfig;
use twinhelm_vehicle::sensors::SensorConfig;

const PERIOD: Duration = Duration::from_millis(10);

/// A World of two devices that boot when they are told to.
fn world(boot_us: [u64; 2], jitter_us: u64, gates: u8, faults: &[&str]) -> World<AsDesigned<CourseLaw>> {
    let mut parameters = Parameters::at_period(PERIOD);
    parameters.gates = gates;
    let config = Config::new(parameters).expect("the timing keeps the promise");
    let course = Arc::new(Course::harbour());
    let setup = Setup {
        config,
        seed: 7,
        law: CourseLaw::new(course.clone()),
        course,
        plant: PlantConfig::default(),
        sensors: SensorConfig::default(),
        boot: boot_us.map(|us| Some(Duration::from_micros(us))),
        jitter: Duration::from_micros(jitter_us),
        gates_from: Duration::ZERO,
        keep_log: false,
    };
    let mut world = World::new(setup, Checks::new(config, Promise { gap_max: None, no_false_takeover: false }));
    for fault in faults {
        world.inject(Fault::parse(fault).expect("a fault"));
    }
    world
}

/// Returns when the pair was whole first, in milliseconds, at most 5 s after the start.
fn whole_after_ms(world: &mut World<AsDesigned<CourseLaw>>) -> Option<u64> {
    (1..=5_000).find(|ms| {
        world.run_until(Duration::from_millis(*ms));
        world.is_protected()
    })
}

/// A: whatever the two boot offsets within two gate leases, exactly one of two claimers gives way.
#[test]
fn two_healthy_devices_drive_whatever_their_boot_offset() {
    let mut worst = 0;
    for jitter_us in [0, 20, 100, 450] {
        for gates in [1, 2] {
            for offset_us in (0..60_000).step_by(250) {
                for boot in [[0, offset_us], [offset_us, 0]] {
                    let mut world = world(boot, jitter_us, gates, &[]);
                    let whole = whole_after_ms(&mut world);
                    let whole = whole.unwrap_or_else(|| panic!("{boot:?}, jitter {jitter_us}, {gates} gate(s)"));
                    worst = worst.max(whole);
                }
            }
        }
    }
    println!("whole {worst} ms after boot at the latest");
    assert!(worst <= 500, "{worst} ms");
}

/// A: the offsets at which nobody ever drove, in fine steps.
#[test]
fn two_claimers_whose_frames_meet_do_not_give_way_to_each_other() {
    for jitter_us in [0, 5, 20] {
        for offset_us in (19_700..20_100).step_by(10) {
            for boot in [[offset_us, 0], [0, offset_us]] {
                let mut world = world(boot, jitter_us, 1, &[]);
                assert!(whole_after_ms(&mut world).is_some(), "{boot:?}, jitter {jitter_us}");
            }
        }
    }
}

/// B: a standby whose count ran ahead of a late holder's counts by the gate again.
#[test]
fn a_ready_standby_covers_a_holder_that_becomes_late_while_the_link_is_cut() {
    for late_ms in [11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 35] {
        for at_ms in (950..1_060).step_by(7) {
            let cut = "link-cut@900ms:300ms:left";
            let late = format!("late={late_ms}ms@{at_ms}ms:left");
            let mut world = world([0, 3_000], 100, 1, &[cut, &late]);
            world.run_until(Duration::from_millis(890));
            assert!(world.is_protected(), "it is ready before");
            // While the link is cut a holder that is late as well is two faults; when it is back the standby is ready, and covers.
            world.run_until(Duration::from_millis(1_300));
            let before = world.missed_deadlines();
            world.run_until(Duration::from_millis(3_000));
            let missed = world.missed_deadlines() - before;
            assert_eq!(missed, 0, "late by {late_ms} ms from {at_ms} ms on");
        }
    }
}

/// B: the same where the holder is late before the standby is ready.
#[test]
fn a_holder_that_is_late_from_the_beginning_gets_a_standby_that_covers() {
    for late_ms in [12, 15, 20, 25, 29] {
        for at_ms in (95..150).step_by(5) {
            let late = format!("late={late_ms}ms@{at_ms}ms:left");
            let mut world = world([0, 40_000], 100, 1, &[&late]);
            world.run_until(Duration::from_millis(1_500));
            let before = world.missed_deadlines();
            world.run_until(Duration::from_millis(3_500));
            let missed = world.missed_deadlines() - before;
            assert_eq!(missed, 0, "late by {late_ms} ms from {at_ms} ms on");
        }
    }
}

/// C: who has only its peer's readings leaves it to the peer to claim.
#[test]
fn a_device_without_sensors_does_not_outbid_the_one_that_has_them() {
    for jitter_us in [0, 20, 100] {
        for offset_us in (19_000..21_500).step_by(50) {
            let mut world = world([offset_us, 0], jitter_us, 1, &["sensor=silent@0ms:right"]);
            let whole = (1..=1_000).find(|ms| {
                world.run_until(Duration::from_millis(*ms));
                world.is_commanded()
            });
            let whole =
                whole.unwrap_or_else(|| panic!("left {offset_us} us later, jitter {jitter_us}: never driven"));
            assert!(whole <= 250, "left {offset_us} us later, jitter {jitter_us}: {whole} ms");
            world.run_until(Duration::from_millis(2_000));
            assert!(world.is_commanded());
        }
    }
}

/// C: sensors that come back are noticed by a device that waits for them.
#[test]
fn a_lone_device_whose_sensors_come_back_drives() {
    let mut world = world([0, 60_000_000], 100, 1, &["sensor=silent@0ms:700ms:left"]);
    world.run_until(Duration::from_millis(690));
    assert!(!world.is_commanded());
    world.run_until(Duration::from_millis(900));
    assert!(world.is_commanded());
}

/// D: a primary that no gate names any more joins anew.
#[test]
fn of_two_primaries_the_one_that_is_never_heard_gives_way() {
    let mut broken = Vec::new();
    for cut_us in (900_000..910_000).step_by(500) {
        for restart_us in (cut_us + 20_000..cut_us + 60_000).step_by(1_000) {
            let until = restart_us + 2_000;
            let cut = format!("bus-cut@{cut_us}us:{}us:left", until - cut_us);
            let restart = format!("gate-restart=0@{restart_us}us");
            let mut world = world([0, 3_000], 20, 1, &[&cut, &restart]);
            world.run_until(Duration::from_millis(2_000));
            if !world.is_protected() {
                broken.push((cut_us, restart_us));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

/// H: a device that is always later than the jitter that it was granted is no standby to count on.
#[test]
fn a_standby_that_is_late_itself_is_not_ready() {
    let mut world = world([0, 3_000], 100, 1, &["late=6ms@0ms:right"]);
    world.run_until(Duration::from_millis(890));
    assert!(world.is_commanded() && !world.is_protected());
}

/// A frame of the holder that was held for half the counter's range looks as far ahead as it is behind. The gate drops it (G2), and
/// so does a standby: otherwise each state that it is told is too old, until the holder's count has come so far.
#[test]
fn a_frame_held_for_half_the_counters_range_leaves_the_standby_ready() {
    for held_ms in [20_500, 21_000, 30_000, 40_900] {
        for after_us in [0, 3_300, 7_700] {
            let held = format!("held-frame={}us@1s:left", held_ms * 1_000 + after_us);
            let mut world = world([0, 3_000], 100, 1, &[&held]);
            for ms in (1_000..held_ms + 6_000).step_by(100) {
                world.run_until(Duration::from_millis(ms));
                assert!(world.is_protected(), "held for {held_ms} ms: not at {ms} ms");
            }
        }
    }
}
