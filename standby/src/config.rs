//! The timing of a pair, checked against its promise before anything drives.
//!
//! A configuration whose worst case does not fit is refused, with the inequality and its numbers: a timeout that
//! is only *recommended* to be long enough is found out on the road.

// The numbers come from files, and from the headers of recordings.
#![deny(clippy::arithmetic_side_effects)]

use core::time::Duration;
use twinhelm_hal::frame::{Frame, GATES};
use twinhelm_hal::gate;
use twinhelm_hal::signals::Bounds;

/// One probe every so many periods (V11).
pub(crate) const PROBE_PERIODS: u32 = 20;
/// An echo proves the output path for so long after its probe was sent.
pub(crate) const PROBE_PROOF: Duration = Duration::from_secs(1);

/// A pair is whole again so many periods after the end of any single fault of the fault model at the latest: its holder may die, and
/// the bound on the gap holds. Counted from where the device that was hit takes its first turn again. Proven by the explorer of
/// hil-tests, for 25, 100 and 1,000 Hz with one gate and two.
pub const WHOLE_AGAIN_PERIODS: u32 = 25;
/// The same after devices and gates were switched on within two gate leases of each other, counted from the last of them.
pub const WHOLE_AFTER_BOOT_PERIODS: u32 = 20;

/// What the primary does when the two devices disagree and both pass their self-check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDispute {
    /// It drives on; the standby is not ready.
    #[default]
    Keep,
    /// It brings the vehicle to a standstill.
    Stop,
}

/// The numbers of a configuration, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parameters {
    /// One control period, P.
    pub period: Duration,
    /// Cover margin, m: so long after the holder's command was due, the standby sends.
    pub margin: Duration,
    /// So long after the holder's last command acted on, the gate lets another device take over.
    pub gate_lease: Duration,
    /// So long without a sign on the link, the peer counts as gone there.
    pub link_lease: Duration,
    /// So long without anything heard on the bus, a standby considers itself cut off.
    pub blind_limit: Duration,
    /// So long without a command acted on, the gate goes to the safe state.
    pub command_timeout: Duration,
    /// Fault tolerant time interval of the vehicle (ISO 26262): how long it may go uncommanded.
    pub ftti: Duration,
    /// How much later than asked for the machine may wake a control loop, computing time of the law included.
    pub jitter: Duration,
    /// The bus's bitrate in bits a second.
    pub bitrate: u32,
    /// How many gates listen, 1 to 4.
    pub gates: u8,
    /// How far the two devices' commands may be apart, in raw counts of each signal.
    pub divergence_max: Bounds,
    /// What the primary does in a dispute.
    pub on_dispute: OnDispute,
    /// A digest of mission and configuration; devices that differ in it do not stand by for each other.
    pub digest: u64,
}

/// No span of a control loop is longer.
const SPAN_MAX: Duration = Duration::from_secs(3_600);

/// The vehicle's fault tolerant time interval when nobody says.
const FTTI: Duration = Duration::from_millis(100);

impl Parameters {
    /// Returns the 100 Hz profile scaled to `period`: leases, limits and timeouts follow the period, the margin stays.
    ///
    /// The FTTI belongs to the vehicle and does not follow the period: 100 ms, after which Dataspeed's drive-by-wire
    /// faults when a command is missing.
    #[must_use]
    pub const fn at_period(period: Duration) -> Self {
        Self {
            period,
            margin: Duration::from_millis(2),
            gate_lease: period.saturating_mul(3),
            link_lease: period.saturating_mul(50),
            blind_limit: period.saturating_mul(2),
            command_timeout: period.saturating_mul(5),
            ftti: FTTI,
            jitter: Duration::from_micros(500),
            bitrate: 500_000,
            gates: 1,
            divergence_max: Bounds::of(&[1_000, 2_000]),
            on_dispute: OnDispute::Keep,
            digest: 0,
        }
    }
}

/// A configuration that can keep the promise.
///
/// # Invariants
/// All inequalities of [`ConfigError`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config(Parameters);

/// Why a configuration cannot keep the promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An inequality between timings does not hold.
    #[error("{left} < {right} does not hold: {left_ms:?} ms is not below {right_ms:?} ms; {remedy}")]
    Inequality {
        /// The left side, in the words of the configuration.
        left: &'static str,
        /// The right side.
        right: &'static str,
        /// The left side in milliseconds.
        left_ms: Milliseconds,
        /// The right side in milliseconds.
        right_ms: Milliseconds,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A number is outside what can work at all.
    #[error("{name} = {value} cannot be: {remedy}")]
    Value {
        /// The key.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What to write instead.
        remedy: &'static str,
    },
}

/// A span that is shown in milliseconds without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Milliseconds(pub Duration);

impl core::fmt::Debug for Milliseconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let micros = self.0.as_micros();
        if micros.is_multiple_of(1000) {
            write!(f, "{}", micros / 1000)
        } else {
            write!(f, "{}", (micros as f64) / 1000.0)
        }
    }
}

impl Config {
    /// Checks `parameters`.
    ///
    /// # Errors
    /// [`ConfigError`] names the inequality that does not hold, with its numbers and what to write instead.
    pub fn new(parameters: Parameters) -> Result<Self, ConfigError> {
        let p = &parameters;
        let below = |left, left_ms, right, right_ms, remedy| {
            if left_ms < right_ms {
                return Ok(());
            }
            Err(ConfigError::Inequality {
                left,
                right,
                left_ms: Milliseconds(left_ms),
                right_ms: Milliseconds(right_ms),
                remedy,
            })
        };
        let value = |name, value, holds: bool, remedy| {
            if holds { Ok(()) } else { Err(ConfigError::Value { name, value, remedy }) }
        };
        value("gates", p.gates.into(), (1..=GATES).contains(&p.gates), "write 1 to 4")?;
        value("bitrate", p.bitrate.into(), p.bitrate >= 10_000, "write bits a second, 500000 for a common bus")?;
        // Before anything is added or multiplied: a file can say what no span can hold.
        for (name, span) in [
            ("period", p.period),
            ("margin", p.margin),
            ("gate_lease", p.gate_lease),
            ("link_lease", p.link_lease),
            ("blind_limit", p.blind_limit),
            ("command_timeout", p.command_timeout),
            ("ftti", p.ftti),
            ("jitter", p.jitter),
        ] {
            let in_seconds = "write a span of at most 3600 s";
            value(name, span.as_secs(), span <= SPAN_MAX, in_seconds)?;
        }
        let frame = frame_time(p.bitrate);
        let statuses_back = frame.saturating_mul(u32::from(p.gates).saturating_add(1)).saturating_add(p.jitter);
        let half_margin = p.margin.checked_div(2).unwrap_or_default();
        let next_cover = p.period.saturating_add(p.margin);
        below("0", Duration::ZERO, "period", p.period, "write the control period, 10 ms for 100 Hz")?;
        below("jitter", p.jitter, "margin / 2", half_margin, "raise margin_ms, or run on a calmer machine")?;
        below(
            "period + margin",
            next_cover,
            "blind_limit",
            p.blind_limit,
            "raise blind_limit_ms; twice the period is common",
        )?;
        below(
            "blind_limit",
            p.blind_limit,
            "gate_lease",
            p.gate_lease,
            "lower blind_limit_ms or raise gate_lease_ms; a deaf standby must fall silent before it can take over",
        )?;
        below(
            "gate_lease + period + margin",
            p.gate_lease.saturating_add(next_cover),
            "command_timeout",
            p.command_timeout,
            "raise command_timeout_ms; a takeover must come before the safe state",
        )?;
        below(
            "command_timeout",
            p.command_timeout,
            "ftti",
            p.ftti,
            "lower command_timeout_ms and what depends on it, or show that the vehicle tolerates a longer ftti_ms",
        )?;
        below(
            "frames of one period",
            bus_time(p.bitrate, p.gates),
            "period",
            p.period,
            "raise the bitrate, or lengthen the period",
        )?;
        below(
            "(gates + 1) × frame time + jitter",
            statuses_back,
            "margin",
            p.margin,
            "raise the bitrate or margin_ms; a status must be back before the standby decides",
        )?;
        below(
            "20 periods + gate_lease",
            p.period.saturating_mul(PROBE_PERIODS).saturating_add(p.gate_lease),
            "1 s",
            PROBE_PROOF,
            "shorten the period; or a standby would not be ready between the proofs of its output path",
        )?;
        Ok(Self(parameters))
    }

    /// Returns the bound of invariant 5 on the output gap under a single fault with a ready standby:
    /// period + cover margin + 2 × jitter + bus time.
    #[must_use]
    pub fn handover_gap_max(&self) -> Duration {
        let own = self.0.period.saturating_add(self.0.margin).saturating_add(self.0.jitter.saturating_mul(2));
        own.saturating_add(bus_time(self.0.bitrate, self.0.gates))
    }

    /// Returns what a gate of this vehicle counts by.
    #[must_use]
    pub const fn gate_timing(&self) -> gate::Timing {
        gate::Timing {
            period: self.0.period,
            margin: self.0.margin,
            gate_lease: self.0.gate_lease,
            command_timeout: self.0.command_timeout,
        }
    }
}

impl core::ops::Deref for Config {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.0
    }
}

/// Returns the longest time of an 8-byte classic frame on a bus of `bitrate` bits a second.
#[must_use]
pub fn frame_time(bitrate: u32) -> Duration {
    twinhelm_hal::bus::frame_time(&Frame { id: 0, len: 8, data: [0; 8] }, bitrate)
}

/// Returns the bus time of all frames of one period: two commands, two statuses a gate, one probe or counter frame.
#[must_use]
pub fn bus_time(bitrate: u32, gates: u8) -> Duration {
    frame_time(bitrate).saturating_mul(u32::from(gates).saturating_mul(2).saturating_add(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Duration = Duration::from_millis(10);

    fn refused(change: impl FnOnce(&mut Parameters)) -> String {
        let mut parameters = Parameters::at_period(P);
        change(&mut parameters);
        Config::new(parameters).expect_err("the configuration cannot keep the promise").to_string()
    }

    #[test]
    fn the_hundred_hertz_profile_keeps_the_promise() {
        let config = Config::new(Parameters::at_period(P)).unwrap();
        assert_eq!(config.handover_gap_max(), Duration::from_micros(14_350));
    }

    #[test]
    fn each_inequality_is_named_with_its_numbers() {
        assert_eq!(
            refused(|p| p.command_timeout = Duration::from_millis(40)),
            "gate_lease + period + margin < command_timeout does not hold: 42 ms is not below 40 ms; raise \
             command_timeout_ms; a takeover must come before the safe state"
        );
        assert!(refused(|p| p.jitter = Duration::from_millis(1)).starts_with("jitter < margin / 2 "));
        assert!(
            refused(|p| p.blind_limit = Duration::from_millis(12)).starts_with("period + margin < blind_limit")
        );
        assert!(refused(|p| p.blind_limit = Duration::from_millis(30)).starts_with("blind_limit < gate_lease"));
        assert!(refused(|p| p.ftti = Duration::from_millis(50)).starts_with("command_timeout < ftti"));
        assert!(refused(|p| p.bitrate = 50_000).starts_with("frames of one period < period"));
        assert!(refused(|p| p.bitrate = 125_000).starts_with("(gates + 1) × frame time + jitter < margin"));
        // 20 Hz was once taken, and a standby was not ready for a moment in each second.
        let slow = |p: &mut Parameters| {
            *p = Parameters::at_period(Duration::from_millis(50));
            p.ftti = Duration::from_secs(1);
        };
        assert!(
            refused(slow).starts_with("20 periods + gate_lease < 1 s does not hold: 1150 ms is not below 1000")
        );
        for huge in [Duration::MAX, Duration::from_secs(3_601), Duration::from_secs(u64::MAX / 2)] {
            assert!(refused(|p| p.period = huge).starts_with("period = "));
            assert!(refused(|p| p.gate_lease = huge).ends_with("cannot be: write a span of at most 3600 s"));
            assert!(refused(|p| p.margin = huge).starts_with("margin = "));
            assert!(refused(|p| p.jitter = huge).starts_with("jitter = "));
        }
        assert!(refused(|p| p.gates = 0).starts_with("gates = 0 cannot be"));
        assert!(refused(|p| p.period = Duration::ZERO).starts_with("0 < period"));
    }
}
