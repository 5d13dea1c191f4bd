//! Drives that something outside the rig disturbs: an interface that goes down, a bus that is flooded.

use super::{PATIENCE, has_stalled, right_has_taken_over};
use std::ffi::OsStr;
use std::path::Path;
use twinhelm_rigs::guest::{Guest, WINDOW};

/// Drives for `seconds`, and has the shell do `meanwhile` once the pair is ready; `$left` is the left device's process there. Returns
/// what was shown, and the report.
fn drive(seconds: u32, meanwhile: &str) -> (String, serde_json::Value) {
    let line = format!(
        r#"
        export TWINHELM_GUEST=1
        {program} run --rig guest --plain --duration {seconds}s --json {WINDOW}/report 2>&1 >{WINDOW}/shown | tee {WINDOW}/said &
        until grep -q "the pair is ready" {WINDOW}/said; do sleep 0.1; done
        # The runner's processes, in the order in which they were started: vehicle, left, right.
        left=$(pgrep -f "[v]ehicle-demo role$" | sed -n 2p)
        {meanwhile}
        wait
        cat {WINDOW}/shown"#,
        program = env!("CARGO_BIN_EXE_vehicle-demo"),
    );
    let mut report = None;
    let take = |window: &Path| report = std::fs::read(window.join("report")).ok();
    let verdict = Guest::find().unwrap().run(&["sh", "-c", &line].map(OsStr::new), PATIENCE, take).unwrap();
    println!("{}", verdict.log);
    let report = report.unwrap_or_else(|| panic!("no report: {}", verdict.log));
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    for figure in ["stale_accepted", "double_accepted", "wrong_command_cycles"] {
        assert_eq!(report[figure], 0, "{figure}: {report}");
    }
    (verdict.log, report)
}

/// Asserts that the vehicle drove on under right, and that left came back as its standby.
pub(super) fn an_interface_goes_down_and_comes_back() {
    let down = "nsenter --net=/proc/$left/ns/net ip link set can0 down && sleep 1 &&
        nsenter --net=/proc/$left/ns/net ip link set can0 up";
    let (shown, report) = drive(8, down);
    if has_stalled(&report) {
        println!("not judged, the machine stalled");
        return;
    }
    right_has_taken_over(&report, &shown);
    assert_eq!(report["redundancy_restored"], true, "{report}");
}

/// A stranger sends as fast as the kernel takes it what no station wants, and then every millisecond what every station has to
/// judge: left's identifier with a wrong check sum.
pub(super) fn a_bus_is_flooded() {
    let flood = "cangen can-gates -g 0 -I 7FF -L 8 -D i -p 10 & flood=$!; sleep 2; kill $flood
        cangen can-gates -g 1 -I 100 -L 8 -D FF00000000000000 & flood=$!; sleep 2; kill $flood";
    let (_, report) = drive(8, flood);
    if has_stalled(&report) {
        println!("not judged, the machine stalled");
        return;
    }
    assert_eq!((&report["takeovers"], &report["broken"]), (&0.into(), &serde_json::json!([])), "{report}");
    let dropped = &report["dropped"];
    assert!(dropped["bad_crc"].as_u64() > Some(100), "the gates have judged them: {dropped}");
}
