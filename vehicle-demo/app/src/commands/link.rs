//! `link`: one way from device to device, beside plain Zenoh.

use super::{Exit, Problem};
use crate::cli::LinkArgs;
use crate::plain::Plain;
use crate::{Setup, machine, output};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use twinhelm_control::Controller;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::signals::Signals;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_rigs::host::addresses::endpoint;
use twinhelm_standby::{Header, NotReady, Published, RoleName, Sample};
use twinhelm_vehicle::config::Settings;
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::report::Quantiles;
use twinhelm_vehicle::signals::{Command, State};
use twinhelm_zenoh::one_way::{Ends, OneWay, one_way};

/// The version of the form of `--json`.
const SCHEMA: u32 = 1;
/// Long enough not to end a link in the middle because this machine is busy.
const LINK_LEASE: Duration = Duration::from_secs(2);

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Figures {
    schema: u32,
    machine: String,
    bytes: usize,
    every_ms: f64,
    late: u64,
    state_us: Vec<f64>,
    plain_us: Vec<f64>,
    ratio_of_medians: Option<f64>,
}

/// `link`
pub(crate) fn link<L, F>(args: &LinkArgs, factory: &F) -> Result<Exit, Problem>
where
    L: Controller<State = State, Command = Command> + Clone + Send + 'static,
    F: Fn(&Setup) -> L,
{
    if let Some(path) = &args.json {
        output::try_to_write(path)?;
    }
    let settings = Settings::default();
    let law = factory(&Setup { course: Arc::new(Course::harbour()), tuning: settings.tuning() });
    let mut plain = Plain::new();
    let measured = one_way(sample(&law), &ends(1)?, &ends(2)?, args.samples, args.every, |count| {
        plain.draw(f64::from(count) / f64::from(args.samples), format_args!("{count} of {}", args.samples));
    });
    plain.clear();
    let figures = figures(&measured.map_err(Problem::machine)?, args.every);
    for (name, times) in [("state, device to device", &figures.state_us), ("plain Zenoh", &figures.plain_us)] {
        let Quantiles { p50, p99, .. } = Quantiles::of(times.clone());
        let shown = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{us:.0} µs"));
        output::print(format_args!(
            "{name:24} median {}, p99 {} ({} of {} bytes)",
            shown(p50),
            shown(p99),
            times.len(),
            figures.bytes
        ));
    }
    if let Some(ratio) = figures.ratio_of_medians {
        output::print(format_args!("ratio of the medians     {ratio:.2}; {} came too late", figures.late));
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string(&figures)
            .map_err(|error| Problem::machine(format!("writing the figures: {error}")))?;
        output::write(path, &(text + "\n"))?;
    }
    Ok(Exit::Holds)
}

/// Returns a connection on ports that were free a moment ago.
fn ends(number: u8) -> Result<Ends, Problem> {
    let free = |error| Problem::machine(format!("finding a free port: {error}"));
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(free)?;
    let address: SocketAddr = listener.local_addr().map_err(free)?;
    let settings = |listen: Vec<String>, connect: Vec<String>| twinhelm_zenoh::Settings {
        vehicle: format!("one-way-{number}"),
        listen,
        connect,
        link_lease: LINK_LEASE,
        keep_alive: 4,
        keys: None,
    };
    let at = endpoint(address);
    Ok(Ends { from: settings(Vec::new(), vec![at.clone()]), to: settings(vec![at], Vec::new()) })
}

/// Returns what a primary publishes each cycle.
fn sample<L: Controller<State = State, Command = Command>>(law: &L) -> Sample<State, L::Memory> {
    let header = Header {
        slot: Slot::LEFT,
        cycle: Cycle::default(),
        term: Some(Term::next_of(Slot::LEFT, None)),
        role: RoleName::Primary,
        ready: Err(NotReady::Role),
        sent: true,
        checked: true,
        divergence: None,
        disputes: false,
        digest: u64::MAX,
        relayed: [None; 4],
    };
    let published = Published {
        memory: law.export(),
        readings: State::default(),
        own_readings: true,
        standstill: false,
        signals: Some(Signals::of_16_bits([-300, 40])),
    };
    Sample { header, published: Some(published) }
}

fn figures(measured: &OneWay, every: Duration) -> Figures {
    let us = |spans: &[Duration]| spans.iter().map(|span| span.as_secs_f64() * 1e6).collect::<Vec<_>>();
    let (state_us, plain_us) = (us(&measured.state), us(&measured.plain));
    let median = |us: &Vec<f64>| Quantiles::of(us.clone()).p50;
    let ratio = median(&state_us).zip(median(&plain_us)).map(|(state, plain)| state / plain);
    Figures {
        schema: SCHEMA,
        machine: machine::describe(),
        bytes: measured.bytes,
        every_ms: every.as_secs_f64() * 1e3,
        late: measured.late,
        state_us,
        plain_us,
        ratio_of_medians: ratio,
    }
}
