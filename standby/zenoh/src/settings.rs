//! How a session is opened: whom to listen for and whom to connect to, and how soon a dead link is torn down.
//!
//! Zenoh takes any number for its lease and its keep-alives. With none of the one it connects and expires for ever;
//! with none of the other it divides by zero on a thread of its own, and the process lives on without a link. So
//! everything is checked here, before Zenoh sees it.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

use crate::credentials::Credentials;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use twinhelm_hal::time::Duration;

/// The longest link lease: for so long a cut link may hold back samples and orders, and deliver them when it heals.
const LINK_LEASE_MAX: Duration = Duration::from_secs(10);
/// Zenoh's timers count milliseconds.
const KEEP_ALIVE_PERIOD_MIN: Duration = Duration::from_millis(1);
/// With one sign of life in a lease, each that is a little late ends the link.
const KEEP_ALIVES_MIN: u32 = 2;
/// A name longer than this is a mistake.
const VEHICLE_BYTES_MAX: usize = 64;
/// How long Zenoh waits for the other side's part in opening a link. Its own figure is 10 s, which would be the time
/// without a link when a device dies while it connects. A machine that asks for a long lease is slow at this, too: on a
/// guest's one core two devices that start together gave up on each other for a minute.
const OPEN_TIMEOUT_MIN_MS: u64 = 200;
/// How often a link that is not there is tried.
const RETRY_PERIOD_MS: u64 = 50;
/// Where keys are asked for, each time is twice as long after the last, up to this: whoever has the wrong ones costs the other side
/// a handshake each time. (Where nobody answers, the timeout below comes on top.)
const RETRY_PERIOD_WITH_KEYS_MAX_MS: u64 = 250;
/// A handshake on a slow board takes its time.
const OPEN_TIMEOUT_WITH_KEYS_MIN_MS: u64 = 1_000;
/// A client is of use only connected.
const CLIENT_CONNECTS_WITHIN_MS: i64 = 3_000;

/// How a session of a vehicle is opened. A device and an observer take the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The vehicle's name, a part of each key. Vehicles on one network have different ones.
    pub vehicle: String,
    /// Where others connect to, each as `tcp/ADDRESS:PORT` or `quic/ADDRESS:PORT`.
    pub listen: Vec<String>,
    /// Whom to connect to, each as `tcp/ADDRESS:PORT` or `quic/ADDRESS:PORT`. Tried for ever, every 50 ms; with
    /// keys less and less often, up to every 250 ms. Two devices need one connection:
    /// one listens, the other connects.
    pub connect: Vec<String>,
    /// How long the other side may be silent before the link is torn down, up to 10 s; whole milliseconds, rounded
    /// up. It finds dead links; it decides nothing about who drives. It is announced to the other side, which
    /// applies it to this one, so give both the same. 100 ms suits a device without real-time threads for Zenoh.
    pub link_lease: Duration,
    /// How many signs of life are sent in one link lease when there is nothing else to send: 2 or more, 4 is usual.
    pub keep_alive: u32,
    /// The folder with this member's keys, as `twinhelm keys init` writes it ([`Credentials`]). With it, whoever is not on this
    /// machine speaks `quic/`, and is somebody who belongs to the fleet. Without it everybody who reaches an endpoint is believed.
    pub keys: Option<PathBuf>,
}

/// What is wrong with [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The vehicle has no name.
    #[error("the vehicle's name is empty: write one, for example \"demo\"")]
    VehicleEmpty,
    /// Its name is too long.
    #[error("the vehicle's name has {bytes} bytes: write at most {VEHICLE_BYTES_MAX}")]
    VehicleTooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Its name has a character that a key gives a meaning to.
    #[error(
        "the vehicle's name {vehicle:?} has {found:?} in it, which means something in a Zenoh key: \
             write letters, digits, '-', '_' or '.'"
    )]
    VehicleCharacter {
        /// The name.
        vehicle: String,
        /// The first character that cannot be.
        found: char,
    },
    /// There is nobody to hear.
    #[error(
        "the link of {vehicle:?} has no endpoint: write one to listen on or to connect to, \
             for example tcp/10.0.0.2:7447"
    )]
    NoEndpoint {
        /// The vehicle.
        vehicle: String,
    },
    /// An endpoint cannot be read.
    #[error("{side} endpoint {endpoint:?} {problem}: write {}", problem.instead())]
    Endpoint {
        /// In which list.
        side: Side,
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        problem: EndpointProblem,
    },
    /// The link lease is zero or too long.
    #[error(
        "the link lease is {link_lease:?}: write more than 0 and at most {LINK_LEASE_MAX:?}, for example 100 ms"
    )]
    LinkLease {
        /// What was written.
        link_lease: Duration,
    },
    /// There are too few signs of life in a link lease.
    #[error(
        "keep_alive is {keep_alive}: write {KEEP_ALIVES_MIN} or more signs of life a link lease, for example 4"
    )]
    KeepAlive {
        /// What was written.
        keep_alive: u32,
    },
    /// There are too many.
    #[error(
        "keep_alive {keep_alive} in a link lease of {link_lease:?} leaves less than {KEEP_ALIVE_PERIOD_MIN:?} \
             between two signs of life: write a smaller keep_alive or a longer lease"
    )]
    KeepAlivePeriod {
        /// The link lease.
        link_lease: Duration,
        /// How many signs of life in it.
        keep_alive: u32,
    },
}

/// Which list an endpoint is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// [`Settings::listen`]
    Listen,
    /// [`Settings::connect`]
    Connect,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen => "listen",
            Self::Connect => "connect",
        })
    }
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointProblem {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It does not begin with `tcp/` or `quic/`: this build of Zenoh has no other transport.
    #[error("does not begin with tcp/ or quic/")]
    NoTransport,
    /// It is `quic/`, and there are no keys.
    #[error("needs keys, which `twinhelm keys init` writes")]
    NoKeys,
    /// It is `tcp/` beyond loopback, and there are keys, which nobody would be asked for there.
    #[error("asks nobody for a key beyond this machine (quic/ does)")]
    Unguarded,
    /// It has no port.
    #[error("has no port from 1 to 65535")]
    NoPort,
    /// It has no address, or one that cannot be told from its port.
    #[error("has no address, or an IPv6 address without [brackets]")]
    NoAddress,
    /// It carries options of Zenoh's.
    #[error("has options behind its port")]
    Options,
    /// It was listed before, in either list.
    #[error("is listed twice")]
    Twice,
}

impl EndpointProblem {
    const fn instead(self) -> &'static str {
        match self {
            Self::Empty | Self::NoTransport | Self::NoPort | Self::NoAddress | Self::Options | Self::Twice => {
                "tcp/ADDRESS:PORT, for example tcp/10.0.0.2:7447"
            }
            Self::NoKeys => "the folder of this member's, or tcp/ for loopback and a network of your own",
            Self::Unguarded => "quic/ADDRESS:PORT, for example quic/10.0.0.2:7447",
        }
    }
}

impl Settings {
    /// Checks all values.
    ///
    /// # Errors
    /// The first thing that is wrong, and what to write instead.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.check_vehicle()?;
        self.check_endpoints()?;
        let Self { link_lease, keep_alive, .. } = *self;
        if link_lease.is_zero() || link_lease > LINK_LEASE_MAX {
            return Err(SettingsError::LinkLease { link_lease });
        }
        if keep_alive < KEEP_ALIVES_MIN {
            return Err(SettingsError::KeepAlive { keep_alive });
        }
        if link_lease < KEEP_ALIVE_PERIOD_MIN.saturating_mul(keep_alive) {
            return Err(SettingsError::KeepAlivePeriod { link_lease, keep_alive });
        }
        Ok(())
    }

    fn check_vehicle(&self) -> Result<(), SettingsError> {
        let vehicle = &self.vehicle;
        if vehicle.is_empty() {
            return Err(SettingsError::VehicleEmpty);
        }
        if vehicle.len() > VEHICLE_BYTES_MAX {
            return Err(SettingsError::VehicleTooLong { bytes: vehicle.len() });
        }
        // `@` hides a key from wildcards; the others separate, match or are reserved.
        let has_meaning = |c: char| matches!(c, '/' | '*' | '$' | '?' | '#' | '@') || c.is_control();
        match vehicle.chars().find(|c| has_meaning(*c) || c.is_whitespace()) {
            Some(found) => Err(SettingsError::VehicleCharacter { vehicle: vehicle.clone(), found }),
            None => Ok(()),
        }
    }

    fn check_endpoints(&self) -> Result<(), SettingsError> {
        let listen = self.listen.iter().map(|endpoint| (Side::Listen, endpoint));
        let connect = self.connect.iter().map(|endpoint| (Side::Connect, endpoint));
        let mut seen = BTreeSet::new();
        for (side, endpoint) in listen.chain(connect) {
            let address = address(endpoint);
            let problem = match address {
                Ok(_) if !seen.insert(endpoint) => EndpointProblem::Twice,
                Ok(_) if is_quic(endpoint) && self.keys.is_none() => EndpointProblem::NoKeys,
                Ok(_) if is_unguarded(endpoint) && self.keys.is_some() => EndpointProblem::Unguarded,
                Ok(_) => continue,
                Err(problem) => problem,
            };
            return Err(SettingsError::Endpoint { side, endpoint: endpoint.clone(), problem });
        }
        if seen.is_empty() {
            return Err(SettingsError::NoEndpoint { vehicle: self.vehicle.clone() });
        }
        Ok(())
    }

    /// Returns the first endpoint beyond this machine at which nobody is asked for a key.
    #[must_use]
    pub fn unguarded(&self) -> Option<&str> {
        self.listen.iter().chain(&self.connect).find(|endpoint| is_unguarded(endpoint)).map(String::as_str)
    }

    /// Returns Zenoh's configuration as JSON. The settings were checked; `credentials` are what is in their folder of keys.
    pub(crate) fn to_json(&self, mode: Mode, credentials: Option<&Credentials>) -> Value {
        let link_lease_ms = self.link_lease.as_nanos().div_ceil(1_000_000);
        let link_lease_ms = u64::try_from(link_lease_ms).unwrap_or(u64::MAX);
        let (open_min_ms, retry_max_ms, factor) = match credentials {
            Some(_) => (OPEN_TIMEOUT_WITH_KEYS_MIN_MS, RETRY_PERIOD_WITH_KEYS_MAX_MS, 2),
            None => (OPEN_TIMEOUT_MIN_MS, RETRY_PERIOD_MS, 1),
        };
        let open_timeout_ms = open_min_ms.max(link_lease_ms / 2);
        let (zenohs_mode, connect_timeout_ms) = match mode {
            Mode::Peer | Mode::Agent => ("peer", -1),
            Mode::Router => ("router", -1),
            Mode::Client => ("client", CLIENT_CONNECTS_WITHIN_MS),
        };
        // Lists of their own for both sides: a peer that is told nothing listens on a port of Zenoh's choice.
        let mut config = json!({
            "mode": zenohs_mode,
            "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
            "listen": { "endpoints": as_zenoh_writes(&self.listen), "timeout_ms": 0, "exit_on_failure": true },
            "connect": {
                "endpoints": as_zenoh_writes(&self.connect),
                "timeout_ms": connect_timeout_ms,
                "exit_on_failure": mode == Mode::Client,
                "retry": {
                    "period_init_ms": RETRY_PERIOD_MS,
                    "period_max_ms": retry_max_ms,
                    "period_increase_factor": factor,
                },
            },
            // Else opening takes half a second longer when nobody is there yet.
            "open": { "return_conditions": { "connect_scouted": false, "declares": false } },
            "transport": {
                "unicast": { "open_timeout": open_timeout_ms, "accept_timeout": open_timeout_ms },
                "link": { "tx": {
                    "lease": link_lease_ms,
                    "keep_alive": self.keep_alive,
                } },
            },
        });
        if let Some(credentials) = credentials {
            config["transport"]["link"]["tls"] = credentials.tls();
            config["access_control"] = credentials.access_control();
            match mode {
                Mode::Agent => config["region_name"] = credentials.own().into(),
                Mode::Router => config["gateway"] = credentials.regions(),
                Mode::Peer | Mode::Client => {}
            }
        }
        config
    }
}

/// What a session is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One of them.
    Peer,
    /// A device's agent.
    Agent,
    /// Whom others meet at.
    Router,
    /// Somebody who has no part in the fleet: whom it connects to passes on what it says, and what is said to it.
    Client,
}

/// Zenoh's `tls/` is not offered: its two sides touch one connection at one time (decision 0008).
const QUIC: &str = "quic/";

/// Returns whether an endpoint is one of QUIC's, which are ports of UDP.
pub(crate) fn is_quic(endpoint: &str) -> bool {
    endpoint.starts_with(QUIC)
}

/// QUIC with one stream keeps what is said in order, as TCP does; Zenoh would open one for each priority.
fn as_zenoh_writes(endpoints: &[String]) -> Vec<String> {
    let one_stream = |endpoint: &String| match is_quic(endpoint) {
        true => format!("{endpoint}?multistream=0"),
        false => endpoint.clone(),
    };
    endpoints.iter().map(one_stream).collect()
}

/// Returns whether an endpoint is beyond this machine, and asks nobody for a key.
fn is_unguarded(endpoint: &str) -> bool {
    let Ok(address) = address(endpoint) else { return false };
    let is_loopback = match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        // Any other name is somebody's who says what it means.
        Err(_) => address.starts_with("localhost:"),
    };
    !is_quic(endpoint) && !is_loopback
}

/// Returns the `ADDRESS:PORT` of an endpoint.
pub(crate) fn address(endpoint: &str) -> Result<&str, EndpointProblem> {
    if endpoint.is_empty() {
        return Err(EndpointProblem::Empty);
    }
    let address = endpoint.strip_prefix("tcp/").or_else(|| endpoint.strip_prefix(QUIC));
    let address = address.ok_or(EndpointProblem::NoTransport)?;
    if address.contains(['?', '#']) {
        return Err(EndpointProblem::Options);
    }
    let (host, port) = address.rsplit_once(':').ok_or(EndpointProblem::NoPort)?;
    if !port.parse().is_ok_and(|port: u16| port != 0) {
        return Err(EndpointProblem::NoPort);
    }
    let is_bracketed = host.len() > 2 && host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']);
    if is_bracketed || is_host { Ok(address) } else { Err(EndpointProblem::NoAddress) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            vehicle: "demo".to_owned(),
            listen: vec!["tcp/127.0.0.1:7447".to_owned()],
            connect: vec!["tcp/[::1]:7447".to_owned(), "tcp/right.local:7447".to_owned()],
            link_lease: Duration::from_millis(100),
            keep_alive: 4,
            keys: None,
        }
    }

    #[test]
    fn good_settings_are_taken_by_zenoh_as_they_were_meant() {
        assert_eq!(good().check(), Ok(()));
        let fine = Settings { link_lease: Duration::from_micros(100_001), ..good() };
        let config = zenoh::Config::from_json5(&fine.to_json(Mode::Peer, None).to_string()).unwrap();
        assert_eq!(config.get_json("transport/link/tx/lease").unwrap(), "101");
        assert_eq!(config.get_json("transport/link/tx/keep_alive").unwrap(), "4");
        assert_eq!(config.get_json("scouting/multicast/enabled").unwrap(), "false");
        assert_eq!(config.get_json("scouting/gossip/enabled").unwrap(), "false");
        assert_eq!(config.get_json("connect/timeout_ms").unwrap(), "-1");
        assert_eq!(config.get_json("connect/exit_on_failure").unwrap(), "false");
        assert!(config.get_json("listen/endpoints").unwrap().contains("tcp/127.0.0.1:7447"));
        assert_eq!(config.get_json("transport/unicast/open_timeout").unwrap(), "200");
        // Who gives the link more time has a slow machine, and opening takes its time there, too.
        let slow = Settings { link_lease: Duration::from_secs(2), ..good() };
        let config = zenoh::Config::from_json5(&slow.to_json(Mode::Peer, None).to_string()).unwrap();
        assert_eq!(config.get_json("transport/unicast/open_timeout").unwrap(), "1000");
        let deaf = Settings { listen: Vec::new(), ..good() };
        let config = zenoh::Config::from_json5(&deaf.to_json(Mode::Peer, None).to_string()).unwrap();
        assert_eq!(config.get_json("listen/endpoints").unwrap(), "[]");
    }

    #[test]
    fn a_vehicle_name_that_a_key_would_read_as_something_else_is_refused() {
        let named = |vehicle: &str| Settings { vehicle: vehicle.to_owned(), ..good() }.check();
        assert_eq!(named(""), Err(SettingsError::VehicleEmpty));
        assert_eq!(named(&"x".repeat(65)), Err(SettingsError::VehicleTooLong { bytes: 65 }));
        for name in ["a/b", "*", "**", "a$*", "what?", "#1", "@admin", "a b", "a\n", "a\0"] {
            assert!(matches!(named(name), Err(SettingsError::VehicleCharacter { .. })), "{name:?}");
        }
        for name in ["demo", "car-7_b.2", "Wägelchen"] {
            assert_eq!(named(name), Ok(()), "{name:?}");
        }
        assert_eq!(
            named("a/b").unwrap_err().to_string(),
            "the vehicle's name \"a/b\" has '/' in it, which means something in a Zenoh key: \
             write letters, digits, '-', '_' or '.'"
        );
    }

    #[test]
    fn an_endpoint_that_is_not_an_address_and_a_port_over_tcp_is_refused() {
        for (endpoint, problem) in [
            ("", EndpointProblem::Empty),
            ("127.0.0.1:7447", EndpointProblem::NoTransport),
            ("udp/127.0.0.1:7447", EndpointProblem::NoTransport),
            // Zenoh would take it, and crash now and then: decision 0008.
            ("tls/127.0.0.1:7447", EndpointProblem::NoTransport),
            ("tcp/127.0.0.1", EndpointProblem::NoPort),
            ("tcp/127.0.0.1:", EndpointProblem::NoPort),
            ("tcp/127.0.0.1:0", EndpointProblem::NoPort),
            ("tcp/127.0.0.1:70000", EndpointProblem::NoPort),
            ("tcp/:7447", EndpointProblem::NoAddress),
            ("tcp/::1:7447", EndpointProblem::NoAddress),
            ("tcp/[]:7447", EndpointProblem::NoAddress),
            ("tcp/127.0.0.1:7447#iface=lo", EndpointProblem::Options),
            ("quic/127.0.0.1:7447", EndpointProblem::NoKeys),
            ("tcp/[::1]:7447", EndpointProblem::Twice),
        ] {
            let settings = Settings { listen: vec!["tcp/[::1]:7447".to_owned(), endpoint.to_owned()], ..good() };
            let expected = SettingsError::Endpoint { side: Side::Listen, endpoint: endpoint.to_owned(), problem };
            assert_eq!(settings.check(), Err(expected));
        }
        let keys = Some(PathBuf::from("/keys"));
        let with_keys = |endpoint: &str| Settings {
            listen: vec![endpoint.to_owned()],
            connect: Vec::new(),
            keys: keys.clone(),
            ..good()
        };
        for endpoint in ["tcp/10.0.0.1:7447", "tcp/right.local:7447", "tcp/0.0.0.0:7447", "tcp/[::]:7447"] {
            let expected = SettingsError::Endpoint {
                side: Side::Listen,
                endpoint: endpoint.to_owned(),
                problem: EndpointProblem::Unguarded,
            };
            assert_eq!(with_keys(endpoint).check(), Err(expected));
            assert_eq!(with_keys(endpoint).unguarded(), Some(endpoint));
        }
        for endpoint in ["tcp/127.1.2.3:7447", "tcp/[::1]:7447", "tcp/localhost:7447", "quic/10.0.0.1:7447"] {
            assert_eq!(with_keys(endpoint).check(), Ok(()));
            assert_eq!(with_keys(endpoint).unguarded(), None);
        }
        let to_itself = Settings { connect: good().listen, ..good() };
        assert_eq!(
            to_itself.check().unwrap_err().to_string(),
            "connect endpoint \"tcp/127.0.0.1:7447\" is listed twice: \
             write tcp/ADDRESS:PORT, for example tcp/10.0.0.2:7447"
        );
        let nobody = Settings { listen: Vec::new(), connect: Vec::new(), ..good() };
        assert_eq!(nobody.check(), Err(SettingsError::NoEndpoint { vehicle: "demo".to_owned() }));
    }

    #[test]
    fn a_lease_that_zenoh_would_take_and_break_on_is_refused() {
        let timed = |us, keep_alive| {
            let settings = Settings { link_lease: Duration::from_micros(us), keep_alive, ..good() };
            settings.check()
        };
        assert!(matches!(timed(0, 4), Err(SettingsError::LinkLease { .. })));
        assert!(matches!(timed(10_000_001, 4), Err(SettingsError::LinkLease { .. })));
        assert_eq!(timed(100_000, 0), Err(SettingsError::KeepAlive { keep_alive: 0 }));
        assert_eq!(timed(100_000, 1), Err(SettingsError::KeepAlive { keep_alive: 1 }));
        assert!(matches!(timed(3_999, 4), Err(SettingsError::KeepAlivePeriod { .. })));
        assert!(matches!(timed(100_000, u32::MAX), Err(SettingsError::KeepAlivePeriod { .. })));
        assert_eq!(timed(4_000, 4), Ok(()));
        assert_eq!(
            timed(3_000, 4).unwrap_err().to_string(),
            "keep_alive 4 in a link lease of 3ms leaves less than 1ms between two signs of life: \
             write a smaller keep_alive or a longer lease"
        );
    }
}
