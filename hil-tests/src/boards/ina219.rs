//! An INA219: bus voltage and the voltage over a shunt, after TI's datasheet SBOS448G.

use super::i2c::Chip;

const CONFIGURATION: u8 = 0;
const SHUNT: u8 = 1;
const BUS: u8 = 2;
const POWER: u8 = 3;
const CALIBRATION: u8 = 5;

const RESET: u16 = 0x8000;
const DEFAULT: u16 = 0x399F;
const CONVERSION_READY: u16 = 0b10;

/// The chip, with a battery behind a shunt. Its calibration stays 0: current and power are not computed in it.
#[derive(Clone, Debug)]
pub struct SimIna219 {
    /// What the battery has, in mV. The chip measures up to 32,760.
    pub bus_mv: u16,
    /// What falls over the shunt, in units of 10 µV; positive towards the load.
    pub shunt_10uv: i16,
    /// Whether it measures; otherwise its registers keep the last values.
    pub converts: bool,
    configuration: u16,
    is_ready: bool,
    at: Option<u8>,
    byte: usize,
    written: u8,
}

impl SimIna219 {
    /// Returns a chip at a battery of `bus_mv`, with `shunt_10uv` over its shunt.
    #[must_use]
    pub const fn new(bus_mv: u16, shunt_10uv: i16) -> Self {
        Self {
            bus_mv,
            shunt_10uv,
            converts: true,
            configuration: DEFAULT,
            is_ready: true,
            at: None,
            byte: 0,
            written: 0,
        }
    }

    fn register(&mut self, register: u8) -> u16 {
        match register {
            CONFIGURATION => self.configuration,
            SHUNT => self.shunt_10uv.cast_unsigned(),
            BUS => (self.bus_mv / 4) << 3 | if self.is_ready { CONVERSION_READY } else { 0 },
            POWER => {
                // Reading the power ends "ready", until the next conversion.
                self.is_ready = self.converts;
                0
            }
            _ => 0,
        }
    }
}

impl Chip for SimIna219 {
    fn start(&mut self) {
        self.at = None;
        self.byte = 0;
    }

    fn write(&mut self, byte: u8) {
        let Some(register) = self.at else {
            self.at = Some(byte);
            return;
        };
        if self.byte == 0 {
            (self.written, self.byte) = (byte, 1);
            return;
        }
        self.byte = 0;
        let word = u16::from_be_bytes([self.written, byte]);
        match register {
            CONFIGURATION if word & RESET != 0 => self.configuration = DEFAULT,
            CONFIGURATION => self.configuration = word,
            CALIBRATION => assert_eq!(word, 0, "this chip is simulated without its calibration"),
            _ => {}
        }
    }

    fn read(&mut self) -> u8 {
        let register = self.at.unwrap_or(CONFIGURATION);
        if self.byte.is_multiple_of(2) {
            let [high, low] = self.register(register).to_be_bytes();
            self.written = low;
            self.byte += 1;
            return high;
        }
        self.byte += 1;
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::SimI2c;
    use embedded_hal::i2c::I2c as _;

    fn read(bus: &mut SimI2c<SimIna219>, register: u8) -> u16 {
        let mut word = [0; 2];
        bus.write_read(0x40, &[register], &mut word).unwrap();
        u16::from_be_bytes(word)
    }

    #[test]
    fn registers_have_the_datasheets_units() {
        let mut bus = SimI2c::new(0x40, SimIna219::new(7_400, -123));
        assert_eq!(read(&mut bus, CONFIGURATION), DEFAULT);
        assert_eq!(read(&mut bus, BUS), 1_850 << 3 | CONVERSION_READY);
        assert_eq!(read(&mut bus, SHUNT).cast_signed(), -123);
        bus.write(0x40, &[CONFIGURATION, 0x01, 0x9F]).unwrap();
        assert_eq!(read(&mut bus, CONFIGURATION), 0x019F);
        bus.write(0x40, &[CONFIGURATION, 0x80, 0x00]).unwrap();
        assert_eq!(read(&mut bus, CONFIGURATION), DEFAULT);
    }

    #[test]
    fn a_chip_that_stopped_measuring_says_so_after_the_power_was_read() {
        let mut bus = SimI2c::new(0x40, SimIna219::new(7_400, 0));
        bus.chip_mut().converts = false;
        let _ = read(&mut bus, POWER);
        assert_eq!(read(&mut bus, BUS) & CONVERSION_READY, 0);
    }
}
