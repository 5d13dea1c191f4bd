//! From a signal's raw counts to the length of a pulse: whole numbers only, for a controller without floating point.

/// The shortest pulse that a servo or speed controller is ever given, in µs.
const MIN_US: u16 = 500;
/// The longest one, in µs.
const MAX_US: u16 = 2_500;
/// A signal has 32 bits at most, so no count is farther from 0.
const WIDEST: i64 = 1 << 32;

/// The length of a servo pulse, 500 to 2,500 µs.
///
/// 1,000 to 2,000 µs is what makers promise, and many servos turn farther; outside of this type's range is a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pulse(u16);

impl Pulse {
    /// Returns a pulse of `us` microseconds, or `None` when that is not 500 to 2,500.
    #[must_use]
    pub const fn from_us(us: u16) -> Option<Self> {
        if us >= MIN_US && us <= MAX_US { Some(Self(us)) } else { None }
    }

    /// Returns the length in µs.
    #[must_use]
    pub const fn us(self) -> u16 {
        self.0
    }
}

/// The pulses at the ends of an actuator's travel and between them.
///
/// The ends are mechanical: no signal and no trim leads beyond them. A servo that turns the other way round has its
/// ends exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Travel {
    /// At the smallest count: a servo's right end, a speed controller's full brake.
    pub at_min: Pulse,
    /// At count 0: straight ahead, or neutral.
    pub at_zero: Pulse,
    /// At the largest count: a servo's left end, a speed controller's full forward.
    pub at_max: Pulse,
}

/// Why there is no such servo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServoError {
    /// The pulse at zero, with the trim, does not lie between the two ends.
    ZeroOutside,
    /// The counts do not go from below 0 to above it, or beyond what 32 bits carry.
    Counts,
}

/// How long the pulse is for a count: a straight line from zero to each end.
///
/// # Invariants
/// `min_counts < 0 < max_counts`; the pulse at zero lies strictly between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Servo {
    travel: Travel,
    min_counts: i64,
    max_counts: i64,
}

impl Servo {
    /// Returns a servo with this travel for counts from `min_counts` to `max_counts`; `trim_us` moves the pulse at zero
    /// and not the ends.
    ///
    /// # Errors
    /// [`ServoError`] says what does not fit.
    pub const fn new(travel: Travel, trim_us: i16, min_counts: i64, max_counts: i64) -> Result<Self, ServoError> {
        if min_counts >= 0 || max_counts <= 0 || min_counts < -WIDEST || max_counts > WIDEST {
            return Err(ServoError::Counts);
        }
        let Some(us) = travel.at_zero.0.checked_add_signed(trim_us) else {
            return Err(ServoError::ZeroOutside);
        };
        let rises = travel.at_min.0 < us && us < travel.at_max.0;
        let falls = travel.at_min.0 > us && us > travel.at_max.0;
        if !rises && !falls {
            return Err(ServoError::ZeroOutside);
        }
        Ok(Self { travel: Travel { at_zero: Pulse(us), ..travel }, min_counts, max_counts })
    }

    /// Returns the pulse for `counts`, rounded to the nearest µs; counts beyond the range stay at the end.
    #[must_use]
    pub fn pulse(&self, counts: i64) -> Pulse {
        let (end, full) =
            if counts < 0 { (self.travel.at_min, self.min_counts) } else { (self.travel.at_max, self.max_counts) };
        let counts = counts.clamp(self.min_counts, self.max_counts);
        let zero = i64::from(self.travel.at_zero.0);
        // Both have one sign, so the quotient is 0 to 1 and the pulse lies between zero and the end.
        let way = (i64::from(end.0) - zero) * counts.abs();
        let full = full.abs();
        let half = if way < 0 { -full / 2 } else { full / 2 };
        u16::try_from(zero + (way + half) / full).map_or(end, Pulse)
    }

    /// Returns the pulse at zero: straight ahead, or neutral.
    #[must_use]
    pub const fn zero(&self) -> Pulse {
        self.travel.at_zero
    }

    /// Returns the pulse at the smallest count: the right end, or full brake.
    #[must_use]
    pub const fn at_min(&self) -> Pulse {
        self.travel.at_min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u16) -> Pulse {
        Pulse::from_us(us).expect("a pulse")
    }

    fn travel(at_min: u16, at_zero: u16, at_max: u16) -> Travel {
        Travel { at_min: us(at_min), at_zero: us(at_zero), at_max: us(at_max) }
    }

    #[test]
    fn counts_become_pulses_on_a_straight_line_to_each_end() {
        let servo = Servo::new(travel(1_000, 1_500, 1_900), 0, -5_000, 5_000).expect("a servo");
        let pulses = [-5_000, -2_500, -1, 0, 1, 6, 7, 2_500, 5_000].map(|counts| servo.pulse(counts).us());
        assert_eq!(pulses, [1_000, 1_250, 1_500, 1_500, 1_500, 1_500, 1_501, 1_700, 1_900]);
    }

    #[test]
    fn a_servo_that_turns_the_other_way_round_has_its_ends_exchanged() {
        let servo = Servo::new(travel(2_000, 1_500, 1_000), 0, -5_000, 5_000).expect("a servo");
        let pulses = [-5_000, -7, 0, 7, 5_000].map(|counts| servo.pulse(counts).us());
        assert_eq!(pulses, [2_000, 1_501, 1_500, 1_499, 1_000]);
    }

    #[test]
    fn trim_moves_zero_and_not_the_ends() {
        let servo = Servo::new(travel(1_000, 1_500, 2_000), -40, -5_000, 5_000).expect("a servo");
        let pulses = [-5_000, 0, 5_000].map(|counts| servo.pulse(counts).us());
        assert_eq!(pulses, [1_000, 1_460, 2_000]);
    }

    #[test]
    fn no_count_leads_beyond_the_ends_and_more_is_never_less() {
        // A speed controller: brakes harder than it accelerates.
        for (drive, sign) in [(travel(1_000, 1_500, 2_000), 1), (travel(2_100, 1_480, 900), -1)] {
            let servo = Servo::new(drive, 0, -6_000, 4_000).expect("a servo");
            let mut last = servo.at_min().us();
            for counts in i64::from(i16::MIN)..=i64::from(i16::MAX) {
                let pulse = servo.pulse(counts).us();
                assert!((i32::from(pulse) - i32::from(last)) * sign >= 0, "{counts}");
                last = pulse;
            }
            assert_eq!(servo.pulse(i64::MIN), drive.at_min);
            assert_eq!(servo.pulse(i64::MAX), drive.at_max);
        }
    }

    #[test]
    fn what_is_no_servo_is_refused() {
        let zero_outside = Err(ServoError::ZeroOutside);
        assert_eq!(Servo::new(travel(1_000, 1_000, 2_000), 0, -1, 1), zero_outside);
        assert_eq!(Servo::new(travel(1_000, 2_100, 2_000), 0, -1, 1), zero_outside);
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), 500, -1, 1), zero_outside);
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), i16::MIN, -1, 1), zero_outside);
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), 0, 0, 1), Err(ServoError::Counts));
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), 0, -1, 0), Err(ServoError::Counts));
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), 0, i64::MIN, 1), Err(ServoError::Counts));
        assert_eq!(Servo::new(travel(1_000, 1_500, 2_000), 0, -1, WIDEST + 1), Err(ServoError::Counts));
        assert_eq!((Pulse::from_us(499), Pulse::from_us(2_501)), (None, None));
    }

    #[test]
    fn the_widest_counts_do_not_overflow() {
        let servo = Servo::new(travel(500, 1_500, 2_500), 0, -WIDEST, WIDEST).expect("a servo");
        assert_eq!((servo.pulse(i64::MIN).us(), servo.pulse(i64::MAX).us()), (500, 2_500));
    }
}
