//! Outputs on a controller's own timers: two PWM channels and an output-enable pin, by embedded-hal's traits.

use super::{Outputs, Pulse, Pulses};
use embedded_hal::digital::{Error as _, ErrorKind as PinError, OutputPin};
use embedded_hal::pwm::{Error as _, ErrorKind as ChannelError, SetDutyCycle};

/// At which level a line means yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveLevel {
    /// Yes is low: the usual sense of an output-enable pin.
    Low,
    /// Yes is high.
    High,
}

/// What did not take what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PwmError {
    /// The servo's channel.
    Steering(ChannelError),
    /// The speed controller's channel.
    Drive(ChannelError),
    /// The output-enable pin.
    Enable(PinError),
    /// The pulse is longer than the period of the channels.
    PulseBeyondPeriod,
}

/// Two PWM channels of one period, and the pin that connects them to the actuators.
#[derive(Debug)]
pub struct PwmPins<S, D, E> {
    steering: S,
    drive: D,
    enable: E,
    active: ActiveLevel,
    period_us: u16,
}

impl<S: SetDutyCycle, D: SetDutyCycle, E: OutputPin> PwmPins<S, D, E> {
    /// Returns outputs on channels that repeat every `period_us`, 20,000 for the usual 50 Hz.
    pub const fn new(steering: S, drive: D, enable: E, active: ActiveLevel, period_us: u16) -> Self {
        Self { steering, drive, enable, active, period_us }
    }

    fn set(&mut self, which: Which, pulse: Pulse) -> Result<(), PwmError> {
        // embedded-hal's fraction must not be above 1, and divides by the period.
        if pulse.us() > self.period_us {
            return Err(PwmError::PulseBeyondPeriod);
        }
        match which {
            Which::Steering => self
                .steering
                .set_duty_cycle_fraction(pulse.us(), self.period_us)
                .map_err(|error| PwmError::Steering(error.kind())),
            Which::Drive => self
                .drive
                .set_duty_cycle_fraction(pulse.us(), self.period_us)
                .map_err(|error| PwmError::Drive(error.kind())),
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Steering,
    Drive,
}

impl<S: SetDutyCycle, D: SetDutyCycle, E: OutputPin> Outputs for PwmPins<S, D, E> {
    type Error = PwmError;

    fn drive(&mut self, pulses: Pulses) -> Result<(), PwmError> {
        self.set(Which::Steering, pulses.steering)?;
        self.set(Which::Drive, pulses.drive)
    }

    fn rest(&mut self) -> Result<(), PwmError> {
        // The drive first, and the other one whatever became of it.
        let drive = self.drive.set_duty_cycle_fully_off().map_err(|error| PwmError::Drive(error.kind()));
        let steering = self.steering.set_duty_cycle_fully_off().map_err(|error| PwmError::Steering(error.kind()));
        drive.and(steering)
    }

    fn select(&mut self, selected: bool) -> Result<(), PwmError> {
        let set = if selected == (self.active == ActiveLevel::High) {
            self.enable.set_high()
        } else {
            self.enable.set_low()
        };
        set.map_err(|error| PwmError::Enable(error.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    /// A timer of 48,000 counts a period.
    struct SimChannel(u16);

    impl embedded_hal::pwm::ErrorType for SimChannel {
        type Error = Infallible;
    }

    impl SetDutyCycle for SimChannel {
        fn max_duty_cycle(&self) -> u16 {
            48_000
        }

        fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
            self.0 = duty;
            Ok(())
        }
    }

    struct SimPin(bool);

    impl embedded_hal::digital::ErrorType for SimPin {
        type Error = Infallible;
    }

    impl OutputPin for SimPin {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0 = false;
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0 = true;
            Ok(())
        }
    }

    fn pins(active: ActiveLevel, period_us: u16) -> PwmPins<SimChannel, SimChannel, SimPin> {
        PwmPins::new(SimChannel(1), SimChannel(1), SimPin(false), active, period_us)
    }

    fn pulses() -> Pulses {
        let us = |us| Pulse::from_us(us).expect("a pulse");
        Pulses { steering: us(1_500), drive: us(2_000) }
    }

    #[test]
    fn a_pulse_is_its_share_of_the_period() {
        let mut pins = pins(ActiveLevel::High, 20_000);
        assert_eq!(pins.drive(pulses()), Ok(()));
        assert_eq!((pins.steering.0, pins.drive.0), (3_600, 4_800));
        assert_eq!(pins.rest(), Ok(()));
        assert_eq!((pins.steering.0, pins.drive.0), (0, 0));
    }

    #[test]
    fn a_pulse_that_does_not_fit_into_the_period_is_refused() {
        assert_eq!(pins(ActiveLevel::High, 1_900).drive(pulses()), Err(PwmError::PulseBeyondPeriod));
        assert_eq!(pins(ActiveLevel::High, 0).drive(pulses()), Err(PwmError::PulseBeyondPeriod));
    }

    #[test]
    fn the_line_means_yes_at_its_active_level() {
        for (active, selected, level) in [
            (ActiveLevel::High, true, true),
            (ActiveLevel::High, false, false),
            (ActiveLevel::Low, true, false),
            (ActiveLevel::Low, false, true),
        ] {
            let mut pins = pins(active, 20_000);
            assert_eq!(pins.select(selected), Ok(()));
            assert_eq!(pins.enable.0, level, "{active:?} {selected}");
        }
    }
}
