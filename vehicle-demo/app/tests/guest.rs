//! The rig `guest`: the same faults where the bus is the kernel's CAN. What it measures is order, never latency.

#![allow(clippy::unwrap_used)] // All of this file is a test.

#[path = "guest/board.rs"]
mod board;
#[path = "guest/boards.rs"]
mod boards;
#[path = "guest/disturbed.rs"]
mod disturbed;
#[path = "guest/hostile.rs"]
mod hostile;
mod tools;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;
use tools::{program, stalled_for, text};
use twinhelm_rigs::guest::{Guest, GuestError, Verdict, WINDOW};

/// A guest needs some seconds; a busy machine makes more of them.
const PATIENCE: Duration = Duration::from_secs(180);

/// The guest's profile: a gate lease of 120 ms, and the next command is due after 40.
const HOLDER_MAY_BE_LATE_MS: f64 = 80.0;
/// A standby that hears nothing for 80 ms falls silent; its first cover is due after a period, the margin of 14 ms and 5 of jitter.
const STANDBY_MAY_BE_LATE_MS: f64 = 21.0;

/// Drives in a guest for so long with `faults`. Returns the report, and what was shown and said.
fn drive(duration: &str, faults: &[&str]) -> (serde_json::Value, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let arguments = ["run", "--rig", "guest", "--plain", "--duration", duration, "--json"];
    let faults = faults.iter().flat_map(|fault| ["--fault", *fault]);
    let output = program().args(arguments).arg(&json).args(faults).output().expect("the program runs");
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    let report = std::fs::read_to_string(json).unwrap_or_else(|_| panic!("no report: {shown}{said}"));
    println!("{shown}");
    (serde_json::from_str(&report).expect("a report"), shown, said)
}

/// Drives in a guest for six seconds with `fault` in it. Returns the report, or `None` when the machine stalled too much for
/// it to be judged.
fn run(fault: &str) -> Option<serde_json::Value> {
    let (report, shown, said) = drive("6s", &[fault]);
    if has_stalled(&report) {
        println!("not judged, the machine stalled: {shown}");
        return None;
    }
    assert_eq!((&report["rig"], &report["broken"]), (&"guest".into(), &serde_json::json!([])), "{shown}{said}");
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles", "false_takeovers"] {
        assert_eq!(report[figure], 0, "{figure}: {shown}");
    }
    assert!(shown.contains("its times promise nothing"), "{shown}");
    Some(report)
}

fn has_stalled(report: &serde_json::Value) -> bool {
    stalled_for(report, HOLDER_MAY_BE_LATE_MS)
}

/// Asserts that right has the wheel. Nobody had ordered a fault, so the report calls it what it looks like: a takeover. A standby that is
/// held up too long in the middle of one falls silent; then it claims when the gate has closed.
fn right_has_taken_over(report: &serde_json::Value, shown: &str) {
    assert_eq!(report["broken"], serde_json::json!([]), "{report}");
    let takeovers = report["takeovers"].as_u64();
    let may_claim = stalled_for(report, STANDBY_MAY_BE_LATE_MS);
    assert!(takeovers == Some(1) || takeovers == Some(0) && may_claim, "{report}");
    assert!(shown.contains("right is primary"), "{shown}");
}

/// Asserts that right drove on behind the first handover, and that left is its standby at the end.
fn is_taken_over_and_whole_again(fault: &str) {
    let Some(report) = run(fault) else {
        return;
    };
    let first = &report["handovers"][0];
    assert_eq!((&first["from"], &first["to"]), (&"left".into(), &"right".into()), "{fault}: {report}");
    assert_eq!(report["redundancy_restored"], true, "{fault}: {report}");
}

#[test]
fn a_killed_controller_is_replaced_and_comes_back_as_the_standby() {
    is_taken_over_and_whole_again("kill@1s:1s:left");
}

#[test]
fn a_hung_controller_is_replaced_and_fenced_when_it_wakes() {
    is_taken_over_and_whole_again("hang@1s:1s:left");
}

#[test]
fn a_controller_without_power_is_replaced_and_comes_back_as_the_standby() {
    is_taken_over_and_whole_again("power@1s:1s:left");
}

#[test]
fn a_controller_that_is_cut_off_the_can_bus_or_cannot_be_heard_on_it_is_replaced() {
    for fault in ["bus-cut@1s:1s:left", "bus-cut=tx@1s:1s:left"] {
        is_taken_over_and_whole_again(fault);
    }
}

#[test]
fn a_controller_that_hears_nothing_on_the_can_bus_drives_on() {
    let Some(report) = run("bus-cut=rx@1s:1s:left") else {
        return;
    };
    assert_eq!(report["handovers"], serde_json::json!([]), "{report}");
}

#[test]
fn a_controller_whose_sensors_stop_or_stick_is_no_reason_to_stop() {
    for fault in ["sensor=silent@1s:1s:left", "sensor=stuck@1s:1s:left"] {
        let Some(report) = run(fault) else {
            continue;
        };
        assert_eq!(report["redundancy_restored"], true, "{fault}: {report}");
        assert!(report["cross_track_error_max_m"].as_f64() < Some(0.5), "{fault}: {report}");
    }
}

#[test]
fn a_link_that_is_cut_moves_no_wheel() {
    let Some(report) = run("link-cut@1s:1s:left") else {
        return;
    };
    assert_eq!(report["handovers"], serde_json::json!([]), "{report}");
    assert_eq!(report["redundancy_restored"], true, "{report}");
}

#[test]
fn a_fault_that_needs_the_userland_bus_is_refused_with_the_rigs_that_have_it() {
    let arguments = ["run", "--rig", "guest", "--plain", "--duration", "4s", "--fault", "frozen=counter@1s:left"];
    let output = program().args(arguments).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("needs the userland bus: use --rig host or --rig netns"), "{said}");
}

/// Has a witness on `can-gates` read every frame while the shell does `meanwhile`, which begins when the witness waits for the
/// interface; `more` is the witness's, which may send. Returns the verdict, and the `files` of the window.
fn beside_a_witness<const N: usize>(
    before: &str,
    more: &str,
    meanwhile: &str,
    files: [&str; N],
) -> (Verdict, [serde_json::Value; N]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (script, dbc) = (here.join("tests/witness.py"), here.join("../vehicle.dbc"));
    let line = format!(
        "{before}
         {python} {script} can-gates {dbc} {WINDOW}/witness {more} & witness=$!
         until [ -e {WINDOW}/witness.ready ] || ! kill -0 $witness; do sleep 0.1; done
         {meanwhile}
         code=$?; wait $witness && exit $code",
        python = tools::interpreter(),
        script = script.display(),
        dbc = dbc.display(),
    );
    let mut taken = files.map(|_| None);
    let take = |window: &Path| taken = files.map(|name| std::fs::read(window.join(name)).ok());
    let verdict = Guest::find().unwrap().run(&["sh", "-c", &line].map(OsStr::new), PATIENCE, take).unwrap();
    println!("{}", verdict.log);
    let taken = taken.map(|file| serde_json::from_slice(&file.expect(&verdict.log)).unwrap());
    (verdict, taken)
}

/// Drives for six seconds with `fault`, while a witness on the bus reads every frame; it may also send. Returns the verdict,
/// the report and what the witness has seen.
fn witnessed(fault: &str, witness: &str) -> (Verdict, serde_json::Value, serde_json::Value) {
    let drive = format!(
        "TWINHELM_GUEST=1 {program} run --rig guest --plain --duration 6s {fault} --json {WINDOW}/report",
        program = env!("CARGO_BIN_EXE_vehicle-demo"),
    );
    let (verdict, [report, seen]) = beside_a_witness("", witness, &drive, ["report", "witness"]);
    (verdict, report, seen)
}

#[test]
fn a_witness_waits_for_an_interface_that_is_there_but_down() {
    let there = "ip link add can-gates type vcan";
    let up = format!(
        "ip link set can-gates up
         until [ -e {WINDOW}/witness.hears ] || ! kill -0 $witness; do sleep 0.1; done
         cansend can-gates 100#FF00000000000000"
    );
    let (verdict, [seen]) = beside_a_witness(there, "", &up, ["witness"]);
    assert_eq!(verdict.code, 0, "{}", verdict.log);
    assert_eq!(seen["wrong_crc"], serde_json::json!(["100#ff00000000000000"]), "{seen}");
}

#[test]
fn independent_readers_decode_every_frame_of_a_drive_by_the_dbc_file() {
    let (verdict, report, seen) = witnessed("--fault kill@2s:1s:left", "");
    assert_eq!(verdict.code, 0, "{}", verdict.log);
    let nothing = serde_json::json!([]);
    assert_eq!((&seen["unknown"], &seen["wrong_crc"]), (&nothing, &nothing), "{seen}");
    let count = |name: &str| seen["counts"][name].as_u64().unwrap_or(0);
    assert!(count("COMMAND_0") > 20 && count("COMMAND_1") > 50, "both drove: {seen}");
    // Every command that was acted on was on the bus, and each is answered.
    let cycles = report["cycles"].as_u64().unwrap() - report["missed_deadlines"].as_u64().unwrap();
    assert!(count("COMMAND_0") + count("COMMAND_1") >= cycles, "{cycles} cycles: {seen}");
    assert!(count("STATUS_0") >= cycles && count("COUNTERS_0") > 20, "{seen}");
    assert!(seen["signals"]["Steering_rad"].as_u64() > Some(70), "{seen}");
}

#[test]
fn two_devices_with_one_number_are_noticed_and_named_and_the_other_one_drives() {
    let (verdict, report, seen) = witnessed("", "1.5");
    // One was enough: left says no more that could be repeated.
    assert!(seen["repeated"].as_u64() >= Some(1), "{seen}");
    if has_stalled(&report) {
        println!("not judged, the machine stalled: {report}");
        return;
    }
    right_has_taken_over(&report, &verdict.log);
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
}

/// Asserts that the ignored test `name` of this program passes in `guest`.
fn passes_inside(guest: &Guest, name: &str) {
    let verdict = guest.run_own_test(name, PATIENCE).unwrap();
    println!("{}", verdict.log);
    assert!(verdict.code == 0 && verdict.log.contains("1 passed"), "{}", verdict.log);
}

#[test]
fn a_log_that_canplayer_replays_drives_the_vehicle_and_hostile_traffic_does_not() {
    let name = "hostile::inside_a_replayed_log_drives_the_vehicle_and_hostile_traffic_does_not";
    passes_inside(&Guest::find().unwrap(), name);
}

#[test]
fn a_controller_whose_interface_goes_down_while_driving_is_replaced_and_comes_back_with_it() {
    disturbed::an_interface_goes_down_and_comes_back();
}

#[test]
fn a_bus_that_is_flooded_moves_no_actuator_and_costs_nobody_the_wheel() {
    disturbed::a_bus_is_flooded();
}

#[test]
fn an_estop_in_the_middle_of_a_takeover_stops_the_vehicle_on_the_kernels_bus_too() {
    let (report, shown, said) = drive("4s", &["kill@1s:left", "estop@1060ms"]);
    // Whatever was acted on behind it would be a broken invariant; without commands the deadlines of three seconds are missed.
    assert_eq!(report["broken"], serde_json::json!([]), "{shown}{said}");
    if has_stalled(&report) {
        println!("not judged, the machine stalled: {report}");
        return;
    }
    // Three of four seconds, 25 deadlines each.
    let missed = report["missed_deadlines"].as_u64().unwrap();
    assert!((70..=76).contains(&missed), "{missed}: {shown}{said}");
}

#[test]
fn a_controller_on_a_board_that_is_killed_over_ssh_is_replaced_and_comes_back() {
    boards::is_driven_over_ssh_through(&["--fault", "kill@2s:1s:left"]);
}

#[test]
fn a_board_without_power_is_replaced_and_comes_back() {
    boards::is_driven_over_ssh_through(&["--fault", "power@2s:1s:left"]);
}

#[test]
fn cables_of_boards_are_nobodys_and_their_clocks_their_own() {
    boards::refuses(&["--fault", "link-cut@1s:1s"], "those of boards are nobody's here");
    boards::refuses(&["--record", "/mnt/run.mcap"], "boards have clocks of their own");
}

/// Returns the guest that has a board's parts, if its kernel was built.
fn board() -> Option<Guest> {
    match Guest::find_with_gpio() {
        Ok(guest) => Some(guest),
        Err(GuestError::NoGpio) => {
            println!("skipped: {}", GuestError::NoGpio);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_gate_drives_a_boards_pins_and_the_button_stops_it() {
    let Some(guest) = board() else { return };
    let name = "board::inside_a_gate_drives_a_boards_pins_and_the_button_stops_it";
    passes_inside(&guest, name);
}

#[test]
fn a_hung_law_lets_the_watchdog_bite_and_a_clean_stop_does_not() {
    let Some(guest) = board() else { return };
    let name = "board::inside_a_hung_law_lets_the_watchdog_bite_and_a_clean_stop_does_not";
    // It restarts the guest's machine, which this one does not.
    let log = match guest.run_own_test(name, PATIENCE) {
        Err(GuestError::NoVerdict { log }) => log,
        Ok(verdict) => panic!("the guest went on to its end: {}", verdict.log),
        Err(error) => panic!("{error}"),
    };
    println!("{log}");
    for said in ["it is fed for longer than it waits", "it was stopped with the device", "the law hangs"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("nothing has bitten") && !log.contains("panicked"), "{log}");
    assert!(log.contains("softdog: Initiating system reboot"), "it ended, but nothing bit: {log}");
}
