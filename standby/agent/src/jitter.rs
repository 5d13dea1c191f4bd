//! `jitter`: how late this machine wakes its most urgent thread, and what that allows.

use crate::cli::{JitterArgs, seconds};
use crate::output::{Problem, print, print_json, tell};
use serde::Serialize;
use std::time::Duration;
use twinhelm_linux::clock::{now, sleep_until};
use twinhelm_linux::stalls::{Spinners, Stalls, WATCH_PERIOD, Watcher};
use twinhelm_standby::{Config, Parameters};

/// Upper ends of the histogram's classes, in microseconds.
const CLASSES_US: [u32; 11] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];
/// Periods that are tried, in ms.
const PERIODS_MS: core::ops::RangeInclusive<u64> = 1..=1_000;
/// The widest bar of the histogram.
const BAR: u64 = 40;

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    wakes: u64,
    seconds: f64,
    budget_ms: f64,
    median_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// How many wakes were at most so many microseconds late.
    histogram: Vec<Class>,
    /// `None`: none up to a second.
    shortest_period_ms: Option<f64>,
    within_budget: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_real_time: Option<String>,
}

#[derive(Debug, Serialize)]
struct Class {
    /// `None`: later than every other class.
    up_to_us: Option<u32>,
    wakes: u64,
}

/// A shorter look says nothing.
const SECONDS_MIN: Duration = Duration::from_secs(1);
/// Nor do fewer wakes: half of those that a core has in that time.
const WAKES_MIN: u64 = 500;

/// `jitter`
pub(crate) fn jitter(args: &JitterArgs) -> Result<(), Problem> {
    let length = seconds(args.seconds)?;
    if length < SECONDS_MIN {
        return Err(Problem::bad_input(format_args!(
            "--seconds {}: so few wakes say nothing of what a machine can do; write {} or more",
            args.seconds,
            SECONDS_MIN.as_secs()
        )));
    }
    let budget = Duration::try_from_secs_f64(args.budget * 1e-3);
    let budget = budget.map_err(|_| Problem::bad_input(format!("a budget of {} ms cannot be", args.budget)))?;
    let machine = |error: std::io::Error| Problem::machine(format!("starting the threads that measure: {error}"));
    let spinners = if args.idle { None } else { Some(Spinners::start().map_err(machine)?) };
    let watcher = Watcher::start(WATCH_PERIOD).map_err(machine)?;
    sleep_until(now() + length);
    let stalls = watcher.stop().map_err(machine)?;
    if let Some(spinners) = spinners {
        spinners.stop();
    }
    let measured = measure(&stalls, length, budget, args.bitrate);
    if measured.wakes < WAKES_MIN {
        return Err(Problem::machine(format_args!(
            "{} wakes in {} s: this machine stood still for most of it, and that is all that can be said",
            measured.wakes, measured.seconds
        )));
    }
    if args.json {
        print_json(&measured)?;
    } else {
        show(&measured, args);
    }
    if measured.within_budget {
        Ok(())
    } else {
        Err(Problem::found(format!("late by {:.3} ms, more than the {} ms granted", measured.max_ms, args.budget)))
    }
}

fn measure(stalls: &Stalls, length: Duration, budget: Duration, bitrate: u32) -> Measured {
    let max = Duration::from_secs_f64(stalls.max_ms() * 1e-3);
    let mut below = 0;
    let mut histogram: Vec<Class> = CLASSES_US
        .iter()
        .map(|us| {
            let within = stalls.wakes_within(*us);
            let class = Class { up_to_us: Some(*us), wakes: within - below };
            below = within;
            class
        })
        .collect();
    histogram.push(Class { up_to_us: None, wakes: stalls.wakes() - below });
    Measured {
        wakes: stalls.wakes(),
        seconds: length.as_secs_f64(),
        budget_ms: budget.as_secs_f64() * 1e3,
        median_ms: stalls.lateness_ms(0.5),
        p99_ms: stalls.lateness_ms(0.99),
        p999_ms: stalls.lateness_ms(0.999),
        max_ms: stalls.max_ms(),
        histogram,
        shortest_period_ms: shortest_period(max, bitrate).map(|period| period.as_secs_f64() * 1e3),
        within_budget: max <= budget,
        without_real_time: stalls.scheduling().err().map(str::to_owned),
    }
}

/// Returns the shortest period, in whole milliseconds, whose timing keeps the promise when a device is late by `jitter`: the
/// cover margin is a fifth of the period, as in the profile of 100 Hz, and the frames have to fit on the bus.
fn shortest_period(jitter: Duration, bitrate: u32) -> Option<Duration> {
    PERIODS_MS.map(Duration::from_millis).find(|period| {
        let profile = Parameters::at_period(*period);
        let parameters =
            Parameters { margin: *period / 5, jitter, bitrate, ftti: profile.ftti.max(*period * 10), ..profile };
        Config::new(parameters).is_ok()
    })
}

fn show(measured: &Measured, args: &JitterArgs) {
    print(format_args!(
        "{} wakes in {} s, on each core, {}",
        measured.wakes,
        measured.seconds,
        if args.idle { "cores idle in between" } else { "threads of the lowest priority kept the cores awake" }
    ));
    let most = measured.histogram.iter().map(|class| class.wakes).max().unwrap_or(0).max(1);
    for Class { up_to_us, wakes } in &measured.histogram {
        let name = up_to_us.map_or_else(|| "later".to_owned(), |us| format!("≤ {} ms", f64::from(us) * 1e-3));
        // One wake is seen, too.
        let bar = (wakes * BAR).div_ceil(most);
        let bar = "█".repeat(usize::try_from(bar).unwrap_or(0));
        print(format_args!("  {name:>10} {wakes:>9}  {bar}"));
    }
    let Measured { median_ms, p99_ms, p999_ms, max_ms, .. } = measured;
    print(format_args!(
        "late by: median {median_ms:.3} ms, p99 {p99_ms:.3}, p99.9 {p999_ms:.3}, at most {max_ms:.3}"
    ));
    match measured.shortest_period_ms {
        Some(period) => print(format_args!(
            "the shortest period that it can hold by this: {period} ms (a cover margin of a fifth of it, {} kbit/s); what \
             was not measured may be worse",
            args.bitrate / 1_000
        )),
        None => print("no period up to a second can be held by this"),
    }
    if let Some(missing) = &measured.without_real_time {
        tell(format_args!("without real-time scheduling ({missing}) this is the other programs' load as well"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BITRATE: u32 = 1_000_000;

    #[test]
    fn the_shortest_period_is_the_one_whose_margin_has_room_for_the_jitter() {
        let shortest = |us| shortest_period(Duration::from_micros(us), BITRATE).map(|period| period.as_millis());
        // jitter < margin / 2 = period / 10, and the frames of the margin: some 0.28 ms at 1 Mbit/s.
        assert_eq!(shortest(20), Some(2));
        assert_eq!(shortest(450), Some(5));
        assert_eq!(shortest(999), Some(10));
        assert_eq!(shortest(1_000), Some(11));
        assert_eq!(shortest(200_000), None);
    }

    #[test]
    fn a_slow_bus_makes_the_period_longer() {
        let on_a_slow_bus = shortest_period(Duration::from_micros(20), 125_000);
        assert!(on_a_slow_bus > shortest_period(Duration::from_micros(20), BITRATE));
    }
}
