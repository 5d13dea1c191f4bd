//! Scenarios: each built-in one on the simulator with its bounds and invariants, and what is refused in a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use twinhelm_hil::fault::Fault;
use twinhelm_hil::run::{Outcome, Plan, Standby, simulate};
use twinhelm_hil::scenario::{Bounds, Scenario, scenarios};
use twinhelm_hil::world::ORIGIN;
use twinhelm_standby::Config;
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::law::CourseLaw;
use twinhelm_vehicle::report::Verdict;
use twinhelm_vehicle::report::analysis::Setting;
use twinhelm_vehicle::report::figure::figure;

/// A bound that holds for one seed may hold by luck.
const SEEDS: u64 = 5;

fn config(scenario: &Scenario) -> Config {
    let config = Settings::default().config(None).expect("the defaults keep the promise");
    scenario.fit(&config).expect("so many gates fit")
}

fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let settings = Settings::default();
    let plan = Plan {
        config: config(scenario),
        seed,
        law: CourseLaw::with_tuning(scenario.course.clone(), settings.tuning()),
        course: scenario.course.clone(),
        plant: settings.plant(),
        sensors: settings.sensors(),
        standby: scenario.standby,
        duration: scenario.duration,
        faults: scenario.faults.clone(),
    };
    let mut outcome = simulate(&plan);
    scenario.judge(&mut outcome.report);
    outcome
}

fn builtin(name: &str) -> &'static Scenario {
    Scenario::builtin(name).expect("a built-in scenario")
}

fn refused(text: &str) -> String {
    let head = "name = \"x\"\nabout = \"y\"\n";
    Scenario::parse("x.toml", &format!("{head}{text}")).expect_err("a bad file").to_string()
}

#[test]
fn every_built_in_scenario_keeps_its_bounds_and_invariants() {
    for scenario in scenarios() {
        for seed in scenario.seed..scenario.seed + SEEDS {
            let Outcome { report, violations, .. } = run(scenario, seed);
            assert_eq!(violations, [], "{}, seed {seed}", scenario.name);
            assert_eq!(report.broken, Vec::<String>::new(), "{}, seed {seed}: {report:#?}", scenario.name);
            assert_eq!(report.verdict, Verdict::Pass, "{}", scenario.name);
        }
    }
}

/// Two faults at once are outside the promise; once both are over, the pair is whole again.
#[test]
fn a_claimer_that_cannot_send_does_not_keep_the_pair_from_being_whole() {
    // The gate closes: the holder's law is stuck and claims in vain, the other one slept, and opens the gate.
    for seed in 1..=SEEDS {
        let text = "name = \"two\"\nabout = \"two faults at once\"\nduration_s = 5.0\n\
            faults = [\"frozen@1s:300ms:left\", \"hang@1000ms:70ms:right\"]\n";
        let mut scenario = Scenario::parse("two.toml", text).expect("a scenario");
        scenario.seed = seed;
        let Outcome { report, violations, .. } = run(&scenario, seed);
        assert_eq!(violations, [], "seed {seed}");
        assert!(report.missed_deadlines > 0, "seed {seed}: the gate closed");
        assert!(report.redundancy_restored, "seed {seed}: {report:#?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    for scenario in ["hang", "link-rough", "ce06-both-claim-at-boot"].map(builtin) {
        let (one, again, other) = (run(scenario, 1), run(scenario, 1), run(scenario, 2));
        assert_eq!(one.log, again.log, "{}", scenario.name);
        assert_eq!(one.report, again.report, "{}", scenario.name);
        assert_ne!(one.log, other.log, "{}", scenario.name);
    }
}

#[test]
fn the_built_in_scenarios_are_the_files_of_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let names: BTreeSet<String> = scenarios().iter().map(|scenario| scenario.name.clone()).collect();
    assert_eq!(files, names);
    for number in 1..=16 {
        let prefix = format!("ce{number:02}-");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "{prefix}");
    }
    for scenario in scenarios() {
        assert!(!scenario.about.is_empty() && !scenario.about.contains('\n'), "{}", scenario.name);
        assert_ne!(scenario.bounds, Bounds::default(), "{} bounds nothing", scenario.name);
    }
}

#[test]
fn the_counterexamples_come_about() {
    let dropped = |name, why: &str| run(builtin(name), 1).report.dropped.get(why).copied().unwrap_or_default();
    assert!(dropped("ce04-old-frame-does-not-open", "closed_to_term") > 0);
    assert!(dropped("ce06-both-claim-at-boot", "other_candidate") > 0);
    assert!(dropped("ce12-late-frames-renew-nothing", "old_cycle") > 0);
    assert!(dropped("ce15-two-claimers-take-turns", "other_candidate") > 0);
}

#[test]
fn a_broken_bound_is_told_in_words_with_both_numbers() {
    let text = "name = \"x\"\nabout = \"y\"\nstandby = \"none\"\nfaults = [\"kill@5s\"]\n[bounds]\n\
                missed_deadlines_max = 3\ntakeovers_min = 1\ncross_track_error_max_m = 0.01\ncourse_completed = true";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let report = run(&scenario, 1).report;
    assert_eq!(report.verdict, Verdict::Fail);
    let [missed, takeovers, off, course] = &report.broken[..] else {
        panic!("{:?}", report.broken);
    };
    assert_eq!(*missed, format!("missed deadlines: {}, at most 3 allowed", report.missed_deadlines));
    assert_eq!(takeovers, "takeovers: 0, at least 1 expected");
    assert!(off.starts_with("cross-track error: 0.1") && off.ends_with(" m, at most 0.01 m allowed"), "{off}");
    assert_eq!(course, "the course was completed: false, expected true");
}

#[test]
fn a_scenario_says_only_what_it_wants_to_be_different() {
    let plain = Scenario::parse("x.toml", "name = \"x\"\nabout = \"y\"").unwrap();
    assert_eq!((plain.duration.as_secs(), plain.standby, plain.seed, plain.gates), (14, Standby::Hot, 1, None));
    assert!(plain.faults.is_empty() && (plain.course.length_m() - 25.5).abs() < 0.1);
    let named = Scenario::parse("x.toml", "name = \"x\"\nabout = \"y\"\n[course]\nname = \"harbour\"").unwrap();
    assert!((named.course.length_m() - plain.course.length_m()).abs() < f64::EPSILON);
    assert_eq!(
        Scenario::builtin("kil").unwrap_err().to_string(),
        "there is no scenario `kil`; write `kill`, or the path of a file"
    );
    assert!(Scenario::builtin("/dev/zero").unwrap_err().to_string().contains("vehicle-demo scenarios"));
}

#[test]
fn a_bad_fault_is_refused_where_it_stands() {
    assert_eq!(
        refused("faults = [\"kill@5s\",\n  \"hang@5\"]"),
        "x.toml:4:3: fault `hang@5`: `5` is no time; write a number with a unit, as in 5s, 250ms or 1.5s"
    );
    assert!(refused("faults = [\"explode@5s\"]").starts_with("x.toml:3:11: fault `explode@5s`: there is no kind"));
    assert!(refused("faults = \"kill@5s\"").contains("`faults` is the string \"kill@5s\", not a list"));
    assert_eq!(
        refused("duration_s = 4\nfaults = [\"kill@5s\"]"),
        "x.toml:4:11: fault `kill@5s` comes after the run, which ends at 4s; write an earlier time, or a longer \
         `duration_s`"
    );
}

#[test]
fn a_bad_course_is_refused_with_what_the_course_says() {
    assert_eq!(
        refused("[course]\npoints = [[0, 0]]"),
        "x.toml:4:10: the course does not do: 1 points; a closed course needs at least 4"
    );
    assert_eq!(
        refused("[course]\npoints = [[0, 0], [4, 0],\n [nan, 3], [0, 3]]"),
        "x.toml:5:2: the course does not do: point 2 is [NaN, 3]; both have to be finite numbers of metres"
    );
    assert!(refused("[course]\npoints = [[0, 0], [4, 0, 1]]").contains("item 1 of `points` in [course]"));
    assert!(refused("[course]\npoints = [[0, 0], [1, 0], [1, 1], [0, 1]]").contains("the steering reaches"));
    assert!(refused("[course]\nname = \"habour\"").ends_with("write `name = \"harbour\"`, or points"));
    let neither = refused("[course]\n");
    assert!(neither.starts_with("x.toml:3:2: [course] has to have a name or points"), "{neither}");
    // What is proposed can be driven.
    let proposed = neither.split('`').find(|part| part.starts_with("points")).unwrap();
    let text = format!("name = \"x\"\nabout = \"y\"\n[course]\n{proposed}");
    assert!(Scenario::parse("x.toml", &text).is_ok());
    let slope = refused("[course]\nname = \"harbour\"\nside_slopes = [{ from_m = 0, slope_rad = nan }]");
    assert!(slope.starts_with("x.toml:5:42: `slope_rad` in [course.side_slopes.0] is NaN"), "{slope}");
}

#[test]
fn other_bad_files_are_refused_where_they_are_bad() {
    assert_eq!(
        Scenario::parse("x.toml", "").unwrap_err().to_string(),
        "x.toml:1:1: `name` is missing; write `name = ...`"
    );
    assert!(refused("faults = [\"kill@5s\"").starts_with("x.toml:3:"), "{}", refused("faults = [\"kill@5s\""));
    assert!(refused("standby = \"warm\"").ends_with("write \"none\", \"fresh\" or \"hot\""));
    assert!(refused("duration = 5").ends_with("write `duration_s`"));
    assert!(refused("duration_s = nan").starts_with("x.toml:3:14: `duration_s` is NaN; write a number from 0.1"));
    assert!(refused("duration_s = -3").contains("is -3; write"));
    assert!(refused("gates = 5").contains("write a number from 1 to 4"));
    assert!(refused("seed = -1").contains("not a whole number of 0 or more"));
    assert!(refused("[bounds]\ntakeover_max = 1").ends_with("write `takeovers_max`"));
    assert!(
        refused("[bounds]\ncross_track_error_max_m = nan").starts_with("x.toml:4:27: `cross_track_error_max_m`")
    );
    assert!(refused("[bounds]\nmissed_deadlines_max = 0.5").contains("not a whole number of 0 or more"));
}

#[test]
fn times_that_no_sum_can_hold_are_refused() {
    for huge in ["86400.1", "1e19", "1e300", "inf"] {
        let error = refused(&format!("duration_s = {huge}"));
        assert!(error.contains("write a number from 0.1 to 86400"), "{error}");
    }
    for fault in [
        "kill@999999999999999999s",
        "hang@1s:999999999999999999s",
        "late=999999999999999999s@1s",
        "late=1e9periods@1s",
        "link-slow=86401s@1s",
        "clock-slip=+999999999999999999s@1s",
        "held-frame=999999999999999999s@1s",
    ] {
        let error = refused(&format!("faults = [\"{fault}\"]"));
        assert!(error.starts_with("x.toml:3:11: "), "{error}");
    }
    // The longest that may be written are run, and nothing overflows.
    let longest = ["late=86400s@1ms:86400s", "link-slow=86400s@2ms:86400s", "clock-slip=+86400s@3ms"];
    let faults = longest.map(|fault| Fault::parse(fault).unwrap());
    let scenario =
        Scenario { duration: Duration::from_millis(100), faults: faults.to_vec(), ..builtin("kill").clone() };
    drop(run(&scenario, 1));
}

#[test]
fn the_picture_of_a_kill_can_be_looked_at() {
    let scenario = builtin("kill");
    let Outcome { report, log, .. } = run(scenario, 1);
    let setting = Setting {
        rig: report.rig,
        seed: report.seed,
        machine: report.machine,
        standby: report.standby,
        config: config(scenario),
        zero: ORIGIN,
        end: ORIGIN + scenario.duration,
        course_length_m: scenario.course.length_m(),
        watcher_stall_ms: None,
        notes: Vec::new(),
    };
    let figure = figure(&log, &setting, &scenario.course, "kill at 5 s, rig sim, seed 1");
    assert_eq!((figure.faults.len(), figure.handovers.len()), (1, 1));
    assert_eq!(figure.roles[0].spans.last().map(|span| span.role.as_str()), Some("down"));
    let svg = figure.to_svg().unwrap();
    for word in ["kill left", "primary", "standby", "down", "right"] {
        assert!(svg.contains(word), "{word}");
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kill.svg");
    std::fs::write(&path, svg).unwrap();
    // Where a renderer is installed, the picture is one that a renderer draws.
    if let Ok(status) = Command::new("rsvg-convert").arg(&path).arg("-o").arg(path.with_extension("png")).status() {
        assert!(status.success());
    }
}
