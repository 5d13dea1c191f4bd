//! What a board's file cannot say, each with the line to write instead.

use super::tables::{File, Line};
use crate::ranges::{self, OutOfRange};
use crate::signals::{DRIVE, STEERING};
use std::time::Duration;
use twinhelm_hal::pins::{Pulse, Servo, Travel};
use twinhelm_standby::Config;
use twinhelm_standby::config::frame_time;
use twinhelm_standby::file_error::{Document, FileError};

/// The length of an interface's name that Linux takes (`IFNAMSIZ` less the zero behind it).
const INTERFACE_MAX: usize = 15;
/// What the two pulses of a command are on an I2C bus: two writes of address, register and four bytes, nine bits each, and start
/// and stop.
const BITS_A_COMMAND: u32 = 2 * (6 * 9 + 2);

pub(super) struct Checks<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) file: &'a File,
}

impl Checks<'_> {
    /// Ranges of what a board can have.
    pub(super) fn ranges(&self) -> Result<(), FileError> {
        let File { servos, safe_state, encoder, battery, watchdog, .. } = self.file;
        let within =
            |path: &[&str], checked: Result<(), OutOfRange>| checked.map_err(|error| error.at(self.document, path));
        within(
            &["servos"],
            ranges::check(&[
                // A PCA9685 answers at these; servos take no faster pulses, and the chip can no slower.
                ("address", servos.address.into(), 0x40.into(), 0x7F.into()),
                ("rate_hz", servos.rate_hz.into(), 24.0, 390.0),
                // Standard mode, and the fast-mode plus of the chip.
                ("i2c_bit_s", servos.i2c_bit_s.into(), 10_000.0, 1_000_000.0),
            ]),
        )?;
        let (steering, drive) = (&servos.steering, &servos.drive);
        within(
            &["servos", "steering"],
            ranges::check(&[
                ("channel", steering.channel.into(), 0.0, 15.0),
                ("trim_us", steering.trim_us, -500.0, 500.0),
            ]),
        )?;
        within(
            &["servos", "drive"],
            ranges::check(&[
                ("channel", drive.channel.into(), 0.0, 15.0),
                ("trim_us", drive.trim_us, -500.0, 500.0),
            ]),
        )?;
        within(
            &["safe_state"],
            ranges::check(&[
                ("brake_mps2", safe_state.brake_mps2, -6.0, 0.0),
                ("brake_for_ms", safe_state.brake_for_ms.into(), 0.0, 10_000.0),
            ]),
        )?;
        if let Some(encoder) = encoder {
            let fields = [
                ("metres_per_tick", encoder.metres_per_tick, 1e-6, 1.0),
                ("silence_ms", encoder.silence_ms.into(), 10.0, 2_000.0),
            ];
            within(&["encoder"], ranges::check(&fields))?;
        }
        if let Some(battery) = battery {
            let fields = [
                // An INA219 answers at these, and measures up to 32 V.
                ("address", battery.address.into(), 0x40.into(), 0x4F.into()),
                ("shunt_ohm", battery.shunt_ohm, 1e-4, 10.0),
                ("voltage_min_v", battery.voltage_min_v, 0.5, 32.0),
                ("voltage_max_v", battery.voltage_max_v, battery.voltage_min_v, 32.0),
            ];
            within(&["battery"], ranges::check(&fields))?;
        }
        if let Some(watchdog) = watchdog {
            let fields = [("timeout_ms", watchdog.timeout_ms.into(), 1_000.0, 60_000.0)];
            within(&["watchdog"], ranges::check(&fields))?;
        }
        Ok(())
    }

    /// Names that the kernel knows, and numbers that it takes.
    pub(super) fn names(&self) -> Result<(), FileError> {
        let interface = &self.file.can.interface;
        if interface.is_empty() || interface.len() > INTERFACE_MAX || interface.contains(['/', ' ']) {
            let what = format!("`interface` in [can] is {interface:?}, which is no name of an interface");
            return Err(self.document.error(&["can", "interface"], what, "write one of `ip link show type can`"));
        }
        let lines = self.lines();
        let chips = lines.iter().map(|(table, _, line)| (*table, "chip", &line.chip));
        let watchdog = self.file.watchdog.iter().map(|watchdog| ("watchdog", "path", &watchdog.path));
        for (table, key, path) in chips.chain(watchdog) {
            if !path.starts_with("/dev/") {
                let what = format!("`{key}` in [{table}] is {path:?}, which is no device file");
                return Err(self.document.error(&[table, key], what, "write its whole path, as \"/dev/...\""));
            }
        }
        if let Some(watchdog) = self.file.watchdog.as_ref().filter(|dog| !dog.timeout_ms.is_multiple_of(1_000)) {
            let what = format!("`timeout_ms` in [watchdog] is {}", watchdog.timeout_ms);
            let instead = "write whole seconds, as 3000: Linux's watchdogs count in them";
            return Err(self.document.error(&["watchdog", "timeout_ms"], what, instead));
        }
        Ok(())
    }

    /// Two things on one line, one channel or one address: one of them would not work, or both.
    pub(super) fn nothing_twice(&self) -> Result<(), FileError> {
        let File { servos, battery, .. } = self.file;
        if servos.steering.channel == servos.drive.channel {
            let what = format!("channel {} has both the servo and the speed controller", servos.drive.channel);
            let instead = "write the channel that the speed controller is plugged into";
            return Err(self.document.error(&["servos", "drive", "channel"], what, instead));
        }
        if let Some(battery) = battery
            && (battery.i2c_bus, battery.address) == (servos.i2c_bus, servos.address)
        {
            let what = format!(
                "address {:#04x} on I2C bus {} is the servo chip's and the battery monitor's",
                battery.address, battery.i2c_bus
            );
            let instead = "set one of the chips to another address by its pins, and write that one";
            return Err(self.document.error(&["battery", "address"], what, instead));
        }
        let lines = self.lines();
        for (index, (table, key, line)) in lines.iter().enumerate() {
            let same = |other: &Line| other.chip == line.chip && other.offset == line.offset;
            if let Some((other, ..)) = lines[..index].iter().find(|(_, _, other)| same(other)) {
                let what = format!("line {} of {} is used in [{other}] already", line.offset, line.chip);
                return Err(self.document.error(&[table, key], what, "write the line that it is wired to"));
            }
        }
        Ok(())
    }

    /// Returns every line, with its table and the key of its number.
    fn lines(&self) -> Vec<(&'static str, &'static str, Line)> {
        let File { output_enable, estop, encoder, .. } = self.file;
        let mut lines = vec![("output_enable", "offset", output_enable.clone())];
        lines.extend(estop.iter().map(|line| ("estop", "offset", line.clone())));
        if let Some(encoder) = encoder {
            let line = |offset| Line { chip: encoder.chip.clone(), offset, active_low: false };
            lines.extend([("encoder", "a", line(encoder.a)), ("encoder", "b", line(encoder.b))]);
        }
        lines
    }

    /// What has to fit the vehicle's own file.
    pub(super) fn against(&self, vehicle: &Config) -> Result<(), FileError> {
        let File { gate, can, servos, safe_state, watchdog, .. } = self.file;
        if can.bitrate_bit_s != vehicle.bitrate {
            let what =
                format!("`bitrate_bit_s` in [can] is {}, and the vehicle's bus has another one", can.bitrate_bit_s);
            let instead = format!("write `bitrate_bit_s = {}`", vehicle.bitrate);
            return Err(self.document.error(&["can", "bitrate_bit_s"], what, instead));
        }
        let gates = vehicle.gates;
        if gate >= &gates {
            let what = format!("`gate` is {gate}, and the vehicle has {gates}");
            return Err(self.document.error(&["gate"], what, format!("write a number below {gates}")));
        }
        let bits = Duration::from_secs(1).saturating_mul(BITS_A_COMMAND);
        let pulses = bits.checked_div(servos.i2c_bit_s).unwrap_or(Duration::MAX);
        let statuses = u32::from(gates).saturating_add(1);
        let status = frame_time(vehicle.bitrate).saturating_mul(statuses).saturating_add(vehicle.jitter);
        if status.saturating_add(pulses) >= vehicle.margin {
            let ms = |span: Duration| span.as_secs_f64() * 1e3;
            let what = format!(
                "(gates + 1) × frame time + jitter + I2C time < margin does not hold: {:.2} + {:.2} ms is not below {} ms",
                ms(status),
                ms(pulses),
                ms(vehicle.margin)
            );
            let instead = format!(
                "raise i2c_bit_s here and where the bus gets its clock from, or margin_ms in the vehicle's file; the gate's \
                 status is behind {BITS_A_COMMAND} bits of pulses"
            );
            return Err(self.document.error(&["servos", "i2c_bit_s"], what, instead));
        }
        let Some(watchdog) = watchdog else {
            return Ok(());
        };
        let safe_ms = vehicle.command_timeout.as_secs_f64() * 1e3 + f64::from(safe_state.brake_for_ms);
        if safe_ms >= f64::from(watchdog.timeout_ms) {
            let what = format!(
                "command_timeout + brake_for < timeout does not hold: {safe_ms} ms is not below {} ms",
                watchdog.timeout_ms
            );
            let instead = "raise timeout_ms; the vehicle must stand before its board is restarted";
            return Err(self.document.error(&["watchdog", "timeout_ms"], what, instead));
        }
        Ok(())
    }

    /// Returns the servo of the steering.
    pub(super) fn steering(&self) -> Result<Servo, FileError> {
        let steering = &self.file.servos.steering;
        let pulses =
            [("right_us", steering.right_us), ("centre_us", steering.centre_us), ("left_us", steering.left_us)];
        self.servo("steering", pulses, steering.trim_us, STEERING.limits())
    }

    /// Returns the servo that a speed controller is.
    pub(super) fn drive(&self) -> Result<Servo, FileError> {
        let drive = &self.file.servos.drive;
        let pulses =
            [("brake_us", drive.brake_us), ("neutral_us", drive.neutral_us), ("forward_us", drive.forward_us)];
        self.servo("drive", pulses, drive.trim_us, DRIVE.limits())
    }

    fn servo(
        &self,
        table: &str,
        pulses: [(&'static str, u16); 3],
        trim_us: f64,
        [min_counts, max_counts]: [i64; 2],
    ) -> Result<Servo, FileError> {
        let path = |key| ["servos", table, key];
        let pulse = |(key, us): (&'static str, u16)| {
            Pulse::from_us(us).ok_or_else(|| {
                let what = format!("`{key}` in [servos.{table}] is {us}");
                self.document.error(&path(key), what, "write a pulse from 500 to 2500")
            })
        };
        let [min, zero, max] = pulses;
        let travel = Travel { at_min: pulse(min)?, at_zero: pulse(zero)?, at_max: pulse(max)? };
        #[expect(clippy::cast_possible_truncation, reason = "in range, and a cast saturates")]
        let trim_us = libm::round(trim_us) as i16;
        Servo::new(travel, trim_us, min_counts, max_counts).map_err(|_| {
            let ((min, min_us), (zero, zero_us), (max, max_us)) = (min, zero, max);
            let what = format!(
                "`{zero}` = {zero_us} with a trim of {trim_us} does not lie between `{min}` = {min_us} and `{max}` = \
                 {max_us}"
            );
            self.document.error(&path(zero), what, "write the pulses as measured, the middle one between the ends")
        })
    }
}
