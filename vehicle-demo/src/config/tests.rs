//! The built-in file says what the code does, and bad files are answered with what to write.

use super::*;
use twinhelm_hal::signals::Bounds;

const MS: Duration = Duration::from_millis(1);

fn refused(text: &str) -> String {
    Settings::parse("car.toml", text).expect_err("a bad file").to_string()
}

#[test]
fn the_built_in_file_shows_the_defaults() {
    let file = Settings::parse(DEFAULT_NAME, DEFAULT).unwrap();
    let default = Settings::default();
    assert_eq!(file.config(None), default.config(None));
    assert_eq!(
        (file.plant(), file.sensors(), file.tuning(), file.link()),
        (default.plant(), default.sensors(), default.tuning(), default.link())
    );
    let empty = Settings::parse("empty.toml", "").unwrap();
    assert_eq!(empty.config(None), default.config(None));
    let profile = Parameters { digest: file.config(None).unwrap().digest, ..Parameters::at_period(10 * MS) };
    assert_eq!(*file.config(None).unwrap(), profile);
}

#[test]
fn the_built_in_file_shows_each_key_and_what_follows_the_period() {
    let uncommented: String = DEFAULT
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let all = Settings::parse("all.toml", &uncommented).unwrap();
    assert_eq!(all.config(None), Settings::default().config(None));
    // Each key of each table is there: a table that lacks one could not name it as unknown.
    let timing = all.file.timing;
    let named = [timing.gate_lease_ms, timing.blind_limit_ms, timing.command_timeout_ms, timing.ftti_ms];
    assert!(named.iter().chain(&[timing.link_lease_ms, timing.jitter_ms]).all(Option::is_some));
    let count = uncommented.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count();
    assert_eq!(count, 8 + 2 + 3 + 2 + 9 + 6 + 9, "timing, bus, pair, link, vehicle, sensors, law");
}

#[test]
fn each_built_in_profile_keeps_the_promise() {
    for (name, text) in PROFILES {
        let settings = Settings::profile(name).unwrap();
        assert_eq!(settings.text(), text);
        assert!(settings.config(None).is_ok(), "{name}");
    }
    let unknown = Settings::profile("2khz").unwrap_err().to_string();
    assert_eq!(unknown, "there is no profile `2khz`; write 100hz, 1khz or 25hz, or name a file by --config");
    for (name, _) in PROFILES {
        assert!(unknown.contains(name));
    }
}

#[test]
fn one_kilohertz_fits_on_a_bus_of_one_megabit_and_on_none_of_half_of_it() {
    let config = Settings::profile("1khz").unwrap().config(None).unwrap();
    let us = Duration::from_micros;
    assert_eq!((config.period, config.margin, config.jitter), (us(1_000), us(400), us(100)));
    assert_eq!((config.gate_lease, config.blind_limit, config.command_timeout), (us(3_000), us(2_000), us(5_000)));
    assert_eq!((config.bitrate, config.gates, config.ftti), (1_000_000, 1, 100 * MS));
    assert_eq!(config.handover_gap_max(), us(2_275));
    let [_, (_, text), _] = PROFILES;
    let slow = refused(&text.replace("bitrate_bit_s = 1000000", "bitrate_bit_s = 500000"));
    assert!(
        slow.contains("frames of one period < period does not hold: 1.35 ms is not below 1 ms")
            && slow.contains("raise the bitrate"),
        "{slow}"
    );
}

#[test]
fn what_follows_the_period_follows_it_unless_it_is_named() {
    let default = Settings::default().config(Some(5 * MS)).unwrap();
    assert_eq!((default.gate_lease, default.blind_limit, default.command_timeout), (15 * MS, 10 * MS, 25 * MS));
    assert_eq!((default.margin, default.period), (2 * MS, 5 * MS));
    let named = Settings::parse("car.toml", "[timing]\ngate_lease_ms = 25\n").unwrap();
    let named = named.config(Some(8 * MS)).unwrap();
    assert_eq!((named.gate_lease, named.blind_limit), (25 * MS, 16 * MS));
}

#[test]
fn devices_with_other_settings_have_other_digests() {
    let digest = |text: &str| Settings::parse("car.toml", text).unwrap().config(None).unwrap().digest;
    let digests = [
        digest(""),
        digest("[timing]\nmargin_ms = 2.5"),
        digest("[law]\nheading_gain = 0.9"),
        digest("[pair]\non_dispute = \"stop\""),
        digest("[vehicle]\nbattery_charge = 0.8"),
    ];
    for (index, one) in digests.iter().enumerate() {
        assert!(digests[..index].iter().all(|other| one != other), "{digests:x?}");
    }
    assert_eq!(digest("[link]\nport = 7447"), digests[0]);
    assert_eq!(digest("# a comment\n[timing]\nperiod_ms = 10"), digests[0]);
}

#[test]
fn a_divergence_bound_is_given_to_the_devices_in_counts() {
    let text = "[pair.divergence]\nSteering_rad = 0.05\nDrive_mps2 = 1.5";
    let bound = Settings::parse("car.toml", text).unwrap().config(None).unwrap().divergence_max;
    assert_eq!(bound, Bounds::of(&[500, 1_500]));
    let one = Settings::parse("car.toml", "[pair.divergence]\nDrive_mps2 = 1.5").unwrap();
    assert_eq!(one.config(None).unwrap().divergence_max, Bounds::of(&[1_000, 1_500]), "the other is the table's");
}

#[test]
fn bad_numbers_are_refused_where_they_stand() {
    assert_eq!(
        refused("[timing]\nperiod_ms = nan"),
        "car.toml:2:13: `period_ms` in [timing] is NaN; write a number from 0.1 to 1000"
    );
    assert_eq!(
        refused("[timing]\nperiod_ms = -10"),
        "car.toml:2:13: `period_ms` in [timing] is -10; write a number from 0.1 to 1000"
    );
    assert_eq!(
        refused("[timing]\n\n  perod_ms = 10"),
        "car.toml:3:3: unknown key `perod_ms` in [timing]; write `period_ms`"
    );
    assert!(refused("[timing]\nperiod = 10").ends_with("write `period_ms`"));
    assert!(refused("[timing]\nmargin_ms = \"2ms\"").ends_with("write `margin_ms = 2`"));
    assert!(
        refused("[vehicle]\nbattery_ah = inf")
            .starts_with("car.toml:2:14: `battery_ah` in [vehicle] is inf; write")
    );
    assert!(
        refused("[law]\nramp_mps2 = 0").starts_with("car.toml:2:13: `ramp_mps2` in [law] is 0; write a number")
    );
    assert!(refused("[sensors]\nspeed_noise_mps = nan").contains("[sensors] is NaN"));
    assert!(refused("[pair.divergence]\nSteering_rad = nan").contains("is NaN; write a number from 0.0001 to 1"));
    let unknown = refused("[pair.divergence]\nsteering_rad = 0.1");
    assert_eq!(unknown, "car.toml:2:1: unknown key `steering_rad` in [pair.divergence]; write `Steering_rad`");
    assert!(
        refused("[pair]\ndivergence_steering_rad = 0.1")
            .contains("unknown key `divergence_steering_rad` in [pair]")
    );
    assert!(refused("[pair]\non_dispute = \"halt\"").ends_with("write \"keep\" or \"stop\""));
    assert!(refused("[link]\nkeep_alive = 1").starts_with("car.toml:2:14: "));
    assert!(refused("[link]\nport = 70000").contains("not a whole number from 0 to 65535"));
    assert!(refused("[bus]\ngates = 9").starts_with("car.toml:2:9: gates = 9 cannot be; write 1 to 4"));
    assert!(refused("[bus]\nbitrate_bit_s = 9").starts_with("car.toml:2:17: bitrate = 9 cannot be"));
}

#[test]
fn times_that_no_sum_can_hold_are_refused() {
    for key in ["period", "margin", "gate_lease", "link_lease", "blind_limit", "command_timeout", "ftti", "jitter"]
    {
        for huge in ["1e19", "1e300", "inf"] {
            let error = refused(&format!("[timing]\n{key}_ms = {huge}"));
            assert!(error.contains(&format!("`{key}_ms` in [timing] is ")), "{error}");
        }
    }
    // And those that the command line hands in.
    for period in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(86_400), Duration::MAX] {
        assert!(Settings::default().config(Some(period)).is_err(), "{period:?}");
    }
}

#[test]
fn an_impossible_budget_is_refused_at_the_key_that_it_is_about() {
    assert_eq!(
        refused("[timing]\nperiod_ms = 10\ncommand_timeout_ms = 40\n"),
        "car.toml:3:22: gate_lease + period + margin < command_timeout does not hold: 42 ms is not below 40 ms; raise \
         command_timeout_ms; a takeover must come before the safe state"
    );
    assert!(
        refused("[timing]\njitter_ms = 1.5").starts_with("car.toml:2:13: jitter < margin / 2 does not hold: 1.5")
    );
    let error = Settings::default().config(Some(MS)).expect_err("too fast for the margin").to_string();
    assert!(
        error.starts_with("built-in vehicle.toml:9:13: period + margin < blind_limit does not hold"),
        "{error}"
    );
    assert!(error.contains("(with the period of 1ms asked for)"), "{error}");
    assert!(Settings::default().config(Some(Duration::ZERO)).is_err());
}
