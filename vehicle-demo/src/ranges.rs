//! The ranges of what a person writes into a file: NaN and what no vehicle has are refused by name.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

/// A value that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{field} = {value}: has to be a number from {min} to {max}")]
pub struct OutOfRange {
    /// The field's name, as in the file, its unit at the end.
    pub field: &'static str,
    /// What it is.
    pub value: f64,
    /// The smallest that it may be.
    pub min: f64,
    /// The largest that it may be.
    pub max: f64,
}

/// Checks fields, given as name, value, smallest and largest.
pub(crate) fn check(fields: &[(&'static str, f64, f64, f64)]) -> Result<(), OutOfRange> {
    // `contains` is false for NaN.
    let bad = fields.iter().find(|(_, value, min, max)| !(*min..=*max).contains(value));
    bad.map_or(Ok(()), |&(field, value, min, max)| Err(OutOfRange { field, value, min, max }))
}

#[cfg(test)]
mod tests {
    use crate::course::SideSlope;
    use crate::law::Tuning;
    use crate::plant::PlantConfig;
    use crate::sensors::{SensorConfig, SensorFault};

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(PlantConfig::default().check(), Ok(()));
        assert_eq!(SensorConfig::default().check(), Ok(()));
        assert_eq!(Tuning::default().check(), Ok(()));
    }

    #[test]
    fn nan_and_the_impossible_are_refused_by_name() {
        let plant = PlantConfig { steering_tau_s: -1.0, ..PlantConfig::default() };
        let error = plant.check().expect_err("a negative time constant");
        assert_eq!(error.to_string(), "steering_tau_s = -1: has to be a number from 0.001 to 1");
        let sensors = SensorConfig { speed_bias_mps: f64::NAN, ..SensorConfig::default() };
        assert_eq!(sensors.check().map_err(|error| error.field), Err("speed_bias_mps"));
        let tuning = Tuning { ramp_mps2: 0.0, ..Tuning::default() };
        assert_eq!(tuning.check().map_err(|error| error.field), Err("ramp_mps2"));
        let slope = SideSlope { from_m: 0.0, slope_rad: f64::INFINITY };
        assert_eq!(slope.check().map_err(|error| error.field), Err("slope_rad"));
        assert!(SensorFault::Noisy { factor: f64::NAN }.check().is_err());
    }
}
