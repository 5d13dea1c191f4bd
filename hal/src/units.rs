//! SI units as types, in REP-103 axes: x forward, y left, yaw counter-clockwise.
//!
//! A constructor refuses NaN and infinities, so that a value of these types can be trusted to be a number.

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(f64);

        impl $name {
            #[doc = concat!("Zero ", $symbol, ".")]
            pub const ZERO: Self = Self(0.0);

            #[doc = concat!("Returns `value` ", $symbol, ", or `None` when it is not finite.")]
            #[must_use]
            pub fn new(value: f64) -> Option<Self> {
                value.is_finite().then_some(Self(value))
            }

            #[doc = concat!("Returns the value in ", $symbol, ".")]
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)?;
                f.write_str(concat!(" ", $symbol))
            }
        }
    };
}

unit!(
    /// A length.
    Metres,
    "m"
);
unit!(
    /// A speed; negative is backwards.
    MetresPerSecond,
    "m/s"
);
unit!(
    /// An acceleration along the vehicle's x axis; negative brakes.
    MetresPerSecond2,
    "m/s²"
);
unit!(
    /// An angle; positive is to the left.
    Radians,
    "rad"
);
unit!(
    /// An electric tension.
    Volts,
    "V"
);
unit!(
    /// An electric current; negative while a battery is discharged, as ROS has it.
    Amperes,
    "A"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_always_a_number() {
        assert_eq!(Radians::new(f64::NAN), None);
        assert_eq!(Metres::new(f64::INFINITY), None);
        assert_eq!(MetresPerSecond::new(2.5).map(MetresPerSecond::get), Some(2.5));
    }
}
