//! A device's own sensors: the truth with a bias that stays, noise that does not, and faults.
//!
//! Each device has its own, so the two devices of a pair never read quite the same. The noise is drawn whether or
//! not a fault hides it: a fault that ends leaves the rest of the run as it would have been.

use crate::ranges::{self, OutOfRange};
use crate::signals::State;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use twinhelm_hal::term::Slot;

/// How good a device's sensors are: standard deviations of what stays and of what changes with each reading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SensorConfig {
    /// Of the position's bias, along each axis, in m.
    pub position_bias_m: f64,
    /// Of the position's noise, along each axis, in m.
    pub position_noise_m: f64,
    /// Of the heading's bias, in rad.
    pub heading_bias_rad: f64,
    /// Of the heading's noise, in rad.
    pub heading_noise_rad: f64,
    /// Of the speed's bias, in m/s.
    pub speed_bias_mps: f64,
    /// Of the speed's noise, in m/s.
    pub speed_noise_mps: f64,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            position_bias_m: 0.005,
            position_noise_m: 0.002,
            heading_bias_rad: 0.004,
            heading_noise_rad: 0.001_5,
            speed_bias_mps: 0.01,
            speed_noise_mps: 0.01,
        }
    }
}

impl SensorConfig {
    /// Checks that every field is a number that a sensor can have.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        ranges::check(&[
            ("position_bias_m", self.position_bias_m, 0.0, 0.1),
            ("position_noise_m", self.position_noise_m, 0.0, 0.1),
            ("heading_bias_rad", self.heading_bias_rad, 0.0, 0.1),
            ("heading_noise_rad", self.heading_noise_rad, 0.0, 0.1),
            ("speed_bias_mps", self.speed_bias_mps, 0.0, 0.5),
            ("speed_noise_mps", self.speed_noise_mps, 0.0, 0.5),
        ])
    }
}

/// What can be wrong with a device's sensors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensorFault {
    /// They say nothing.
    Silent,
    /// They repeat the last reading.
    Stuck,
    /// Their noise is `factor` times as strong.
    Noisy {
        /// How many times.
        factor: f64,
    },
}

impl SensorFault {
    /// Checks that the noise's factor is a number.
    ///
    /// # Errors
    /// [`OutOfRange`] when it is none, or no sensor is as bad.
    pub fn check(&self) -> Result<(), OutOfRange> {
        match self {
            Self::Silent | Self::Stuck => Ok(()),
            Self::Noisy { factor } => ranges::check(&[("factor", *factor, 0.0, 1e3)]),
        }
    }
}

/// The sensors of one device.
#[derive(Clone, Debug)]
pub struct Sensors {
    config: SensorConfig,
    random: Pcg64Mcg,
    bias: State,
    fault: Option<SensorFault>,
    last: Option<State>,
}

impl Sensors {
    /// Returns the sensors of the device in `slot` in a run with `seed`: the same biases on every rig.
    #[must_use]
    pub fn of_device(config: SensorConfig, seed: u64, slot: Slot) -> Self {
        Self::new(config, seed.wrapping_mul(31).wrapping_add(u64::from(slot.number())))
    }

    /// Returns sensors with biases and noise drawn from `seed`. Two devices need two seeds.
    #[must_use]
    pub fn new(config: SensorConfig, seed: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let bias = State {
            x_m: config.position_bias_m * gauss(&mut random),
            y_m: config.position_bias_m * gauss(&mut random),
            yaw_rad: config.heading_bias_rad * gauss(&mut random),
            speed_mps: config.speed_bias_mps * gauss(&mut random),
        };
        Self { config, random, bias, fault: None, last: None }
    }

    /// Begins or ends a fault.
    pub fn set_fault(&mut self, fault: Option<SensorFault>) {
        self.fault = fault;
    }

    /// Returns the fault that is on.
    #[must_use]
    pub const fn fault(&self) -> Option<SensorFault> {
        self.fault
    }

    /// Returns a reading of `truth`, or `None` when the sensors are silent.
    pub fn read(&mut self, truth: &State) -> Option<State> {
        let factor = match self.fault {
            None | Some(SensorFault::Silent | SensorFault::Stuck) => 1.0,
            Some(SensorFault::Noisy { factor }) => factor,
        };
        let mut noise = |deviation: f64| factor * deviation * gauss(&mut self.random);
        let fresh = State {
            x_m: truth.x_m + self.bias.x_m + noise(self.config.position_noise_m),
            y_m: truth.y_m + self.bias.y_m + noise(self.config.position_noise_m),
            yaw_rad: truth.yaw_rad + self.bias.yaw_rad + noise(self.config.heading_noise_rad),
            speed_mps: truth.speed_mps + self.bias.speed_mps + noise(self.config.speed_noise_mps),
        };
        let reading = match self.fault {
            None | Some(SensorFault::Noisy { .. }) => fresh,
            Some(SensorFault::Stuck) => self.last.unwrap_or(fresh),
            Some(SensorFault::Silent) => return None,
        };
        self.last = Some(reading);
        Some(reading)
    }
}

/// Returns a number of standard normal distribution, as near as the sum of twelve even ones comes (Irwin and Hall):
/// never beyond six, and without a logarithm that a platform could round its own way.
fn gauss(random: &mut Pcg64Mcg) -> f64 {
    let mut sum = 0_u32;
    for _ in 0..3 {
        let bits = random.next_u64();
        for part in 0..4 {
            sum += u32::from(((bits >> (16 * part)) & 0xFFFF) as u16);
        }
    }
    // Twelve numbers from 0 to 65535, whose mean is 32767.5 each.
    (f64::from(sum) - 12.0 * 32_767.5) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: State = State { x_m: 1.0, y_m: -2.0, yaw_rad: 0.5, speed_mps: 2.0 };

    fn readings(sensors: &mut Sensors, count: usize) -> Vec<State> {
        (0..count).filter_map(|_| sensors.read(&TRUTH)).collect()
    }

    #[test]
    fn the_gaussian_has_mean_zero_and_deviation_one() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..100_000 {
            let value = gauss(&mut random);
            sum += value;
            squares += value * value;
        }
        assert!((sum / 1e5).abs() < 0.02 && (squares / 1e5 - 1.0).abs() < 0.02, "{sum} {squares}");
    }

    #[test]
    fn one_seed_gives_one_stream_and_two_seeds_give_two_devices() {
        let new = |seed| Sensors::new(SensorConfig::default(), seed);
        assert_eq!(readings(&mut new(1), 50), readings(&mut new(1), 50));
        assert_ne!(readings(&mut new(1), 1), readings(&mut new(2), 1));
    }

    #[test]
    fn a_fault_that_ends_leaves_the_rest_as_it_would_have_been() {
        let mut sound = Sensors::new(SensorConfig::default(), 3);
        let mut faulty = sound.clone();
        let all = readings(&mut sound, 30);
        assert_eq!(readings(&mut faulty, 10), all[..10]);
        faulty.set_fault(Some(SensorFault::Stuck));
        assert!(readings(&mut faulty, 5).iter().all(|reading| *reading == all[9]));
        faulty.set_fault(Some(SensorFault::Silent));
        assert_eq!(readings(&mut faulty, 5), []);
        faulty.set_fault(None);
        assert_eq!(readings(&mut faulty, 10), all[20..]);
    }

    #[test]
    fn noise_grows_by_the_factor_of_its_fault() {
        let spread = |fault| {
            let mut sensors = Sensors::new(SensorConfig::default(), 9);
            sensors.set_fault(fault);
            let all = readings(&mut sensors, 2_000);
            let mean = all.iter().map(|reading| reading.x_m).sum::<f64>() / 2e3;
            libm::sqrt(all.iter().map(|reading| (reading.x_m - mean) * (reading.x_m - mean)).sum::<f64>() / 2e3)
        };
        let (sound, noisy) = (spread(None), spread(Some(SensorFault::Noisy { factor: 10.0 })));
        assert!((sound - 0.002).abs() < 2e-4 && (noisy / sound - 10.0).abs() < 1e-6, "{sound} {noisy}");
    }
}
