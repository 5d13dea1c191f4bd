//! A PCA9685: sixteen PWM channels by registers, after NXP's datasheet, revision 4.

use super::i2c::Chip;

const MODE1: u8 = 0x00;
const MODE2: u8 = 0x01;
const LED0_ON_L: u8 = 0x06;
const LED15_OFF_H: u8 = 0x45;
const PRE_SCALE: u8 = 0xFE;

const RESTART: u8 = 0x80;
const EXTCLK: u8 = 0x40;
const AUTO_INCREMENT: u8 = 0x20;
const SLEEP: u8 = 0x10;
/// Bit 4 of an OFF or ON register's high byte.
const FULL: u8 = 0x10;
/// One tick of the internal oscillator of 25 MHz, in ns.
const OSCILLATOR_NS: u32 = 40;
const COUNTS: u16 = 4_096;

/// The chip.
#[derive(Clone, Debug)]
pub struct SimPca9685 {
    registers: [u8; 256],
    /// Where the next byte goes; `None` until a transfer has named a register.
    at: Option<u8>,
}

impl Default for SimPca9685 {
    fn default() -> Self {
        let mut chip = Self { registers: [0; 256], at: None };
        chip.power_up();
        chip
    }
}

impl SimPca9685 {
    /// Takes the power away and gives it back: asleep, every channel full off.
    pub fn power_up(&mut self) {
        self.registers = [0; 256];
        self.registers[usize::from(MODE1)] = SLEEP | 0x01;
        self.registers[usize::from(MODE2)] = 0x04;
        self.registers[usize::from(PRE_SCALE)] = 0x1E;
        for channel in 0..16 {
            self.registers[usize::from(LED0_ON_L) + 4 * channel + 3] = FULL;
        }
    }

    /// Returns the length of the pulses on `channel` in ns; `None` where there are none. The chip's own output-enable pin is
    /// a wire beside it.
    #[must_use]
    pub fn pulse_ns(&self, channel: u8) -> Option<u32> {
        let mode1 = self.registers[usize::from(MODE1)];
        if mode1 & (SLEEP | RESTART) != 0 {
            return None;
        }
        let first = usize::from(LED0_ON_L) + 4 * usize::from(channel % 16);
        let [on_low, on_high, off_low, off_high] = [0, 1, 2, 3].map(|byte| self.registers[first + byte]);
        if off_high & FULL != 0 {
            return None;
        }
        let count = |low: u8, high: u8| u16::from_le_bytes([low, high & 0x0F]);
        let on_for = if on_high & FULL != 0 {
            COUNTS
        } else {
            (COUNTS + count(off_low, off_high) - count(on_low, on_high)) % COUNTS
        };
        (on_for > 0).then(|| u32::from(on_for) * self.count_ns())
    }

    /// Returns the time from pulse to pulse, in ns.
    #[must_use]
    pub fn period_ns(&self) -> u32 {
        u32::from(COUNTS) * self.count_ns()
    }

    fn count_ns(&self) -> u32 {
        (u32::from(self.registers[usize::from(PRE_SCALE)]) + 1) * OSCILLATOR_NS
    }

    fn set(&mut self, register: u8, byte: u8) {
        let old = self.registers[usize::from(MODE1)];
        match register {
            MODE1 => {
                // Written as 1 RESTART ends; written as 0 it stays. The chip sets it when it falls asleep with channels on.
                let falls_asleep = byte & SLEEP != 0 && old & SLEEP == 0;
                let is_any_on = (0..16).any(|channel| self.pulse_ns(channel).is_some());
                let restarts = byte & RESTART != 0 && byte & SLEEP == 0;
                let pending = (falls_asleep && is_any_on) || (old & RESTART != 0 && !restarts);
                // The external clock, once chosen, stays until the power goes.
                let sticky = old & EXTCLK;
                self.registers[usize::from(MODE1)] = (byte & !RESTART) | sticky | if pending { RESTART } else { 0 };
            }
            PRE_SCALE => {
                // Blocked while the oscillator runs; 3 is the least.
                if old & SLEEP != 0 {
                    self.registers[usize::from(PRE_SCALE)] = byte.max(3);
                }
            }
            LED0_ON_L..=LED15_OFF_H => {
                let is_high = (register - LED0_ON_L) % 2 == 1;
                self.registers[usize::from(register)] = if is_high { byte & 0x1F } else { byte };
                // A write to a channel ends a pending restart as well.
                self.registers[usize::from(MODE1)] = old & !RESTART;
            }
            MODE2 => self.registers[usize::from(MODE2)] = byte & 0x1F,
            0x02..=0x05 => self.registers[usize::from(register)] = byte,
            // Reserved, and the registers for all channels at once, which no driver here uses.
            0x46..=0xFD | 0xFF => {}
        }
    }

    /// Returns where the next byte goes, and moves on as the mode says.
    fn next(&mut self) -> u8 {
        let at = self.at.unwrap_or(MODE1);
        if self.registers[usize::from(MODE1)] & AUTO_INCREMENT != 0 {
            self.at = Some(if at == LED15_OFF_H { MODE1 } else { at.wrapping_add(1) });
        }
        at
    }
}

impl Chip for SimPca9685 {
    fn start(&mut self) {
        self.at = None;
    }

    fn write(&mut self, byte: u8) {
        if self.at.is_none() {
            self.at = Some(byte);
            return;
        }
        let register = self.next();
        self.set(register, byte);
    }

    fn read(&mut self) -> u8 {
        let register = self.next();
        self.registers[usize::from(register)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::SimI2c;
    use embedded_hal::i2c::I2c as _;

    fn chip() -> SimI2c<SimPca9685> {
        SimI2c::new(0x40, SimPca9685::default())
    }

    fn read(bus: &mut SimI2c<SimPca9685>, register: u8) -> u8 {
        let mut byte = [0];
        bus.write_read(0x40, &[register], &mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn it_comes_up_asleep_at_200_hertz_with_every_channel_off() {
        let mut bus = chip();
        assert_eq!([MODE1, MODE2, PRE_SCALE].map(|at| read(&mut bus, at)), [0x11, 0x04, 0x1E]);
        assert_eq!(bus.chip().period_ns(), 5_079_040);
        bus.write(0x40, &[MODE1, 0x01]).unwrap();
        assert!((0..16).all(|channel| bus.chip().pulse_ns(channel).is_none()));
    }

    #[test]
    fn the_prescale_is_taken_only_in_sleep() {
        let mut bus = chip();
        bus.write(0x40, &[MODE1, 0x01]).unwrap();
        bus.write(0x40, &[PRE_SCALE, 121]).unwrap();
        assert_eq!(read(&mut bus, PRE_SCALE), 0x1E);
        bus.write(0x40, &[MODE1, 0x11]).unwrap();
        bus.write(0x40, &[PRE_SCALE, 121]).unwrap();
        assert_eq!((read(&mut bus, PRE_SCALE), bus.chip().period_ns()), (121, 19_988_480));
    }

    #[test]
    fn bytes_fill_one_register_or_several_as_the_mode_says() {
        let mut bus = chip();
        bus.write(0x40, &[LED0_ON_L, 1, 2, 3, 4]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|byte| read(&mut bus, LED0_ON_L + byte)), [4, 0, 0, FULL]);
        bus.write(0x40, &[MODE1, AUTO_INCREMENT]).unwrap();
        bus.write(0x40, &[LED0_ON_L, 0, 0, 0, 8]).unwrap();
        assert_eq!(bus.chip().pulse_ns(0), Some(2_048 * 31 * 40));
    }

    #[test]
    fn a_chip_put_to_sleep_with_channels_on_waits_for_a_restart() {
        let mut bus = chip();
        bus.write(0x40, &[MODE1, AUTO_INCREMENT]).unwrap();
        bus.write(0x40, &[LED0_ON_L, 0, 0, 0, 8]).unwrap();
        bus.write(0x40, &[MODE1, AUTO_INCREMENT | SLEEP]).unwrap();
        bus.write(0x40, &[MODE1, AUTO_INCREMENT]).unwrap();
        assert_eq!((read(&mut bus, MODE1) & RESTART, bus.chip().pulse_ns(0)), (RESTART, None));
        bus.write(0x40, &[MODE1, AUTO_INCREMENT | RESTART]).unwrap();
        assert_eq!(read(&mut bus, MODE1), AUTO_INCREMENT);
        assert!(bus.chip().pulse_ns(0).is_some());
    }
}
