//! **Your chip goes here.** What stands here is a neutral board: each peripheral is a cell of memory, so that the firmware
//! builds, links and runs, drives nothing, and has its true size.
//!
//! Put your chip's HAL in the place of each `Neutral…`; what the traits ask for, chips' HALs have: `embedded_can::nb::Can` of
//! the CAN controller (identifiers 0x100 to 0x123 let through, automatic recovery from bus-off), `SetDutyCycle` of two timer
//! channels of 50 Hz, `OutputPin` of the output-enable line and `InputPin` of the e-stop's. Start the chip's independent
//! watchdog in [`take`], with some periods of time. [`release`] is for the moment in which nothing else works.

use actuator_node::{Peripherals, Watchdog};
use core::convert::Infallible;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use embedded_can::{Frame, Id, StandardId};
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::pwm::{self, SetDutyCycle};
use twinhelm_hal::actuator::SafeState;
use twinhelm_hal::gate::Timing;
use twinhelm_hal::pins::{ActiveLevel, Pulse, PwmPins, Servo, Setup, Travel};
use twinhelm_hal::signals::Layout;
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::time::{Duration, Instant};

/// The core's clock, in MHz: 16 is what an STM32 comes up with.
const CORE_MHZ: u64 = 16;
/// SysTick counts 24 bits down.
const TICKS: u32 = 1 << 24;
/// From pulse to pulse: 50 Hz.
const PULSES_EVERY_US: u16 = 20_000;

/// The timing of the vehicle's file (vehicle.toml), at 100 Hz.
pub const TIMING: Timing = Timing {
    period: Duration::from_millis(10),
    margin: Duration::from_millis(2),
    gate_lease: Duration::from_millis(30),
    command_timeout: Duration::from_millis(50),
};

const STEERED: Signal = Signal::of_counts("Steering_rad", [-5_000, 5_000]);
const DRIVEN: Signal = Signal::of_counts("Drive_mps2", [-6_000, 4_000]);

/// The car's signals in counts, with what the mechanics allow, as in the vehicle's DBC file.
pub static LAYOUT: Layout = Layout::of(&Table::of(&[STEERED, DRIVEN]));

const fn us(us: u16) -> Pulse {
    Pulse::from_us(us).expect("500 to 2,500 µs")
}

const fn servo(travel: Travel, trim_us: i16, [min_counts, max_counts]: [i64; 2]) -> Servo {
    match Servo::new(travel, trim_us, min_counts, max_counts) {
        Ok(servo) => servo,
        Err(_) => panic!("the middle pulse lies between the ends"),
    }
}

const TRAVEL: Travel = Travel { at_min: us(1_000), at_zero: us(1_500), at_max: us(2_000) };

/// What the car does when the gate closes. Nobody measures its speed here: it brakes with 2 m/s² for 1.5 s, and holds the wheels.
const SAFE: SafeState = SafeState::hold_and_brake(-2_000, Duration::from_millis(1_500));

/// The actuators. A pulse that cannot be does not build.
pub const SETUP: Setup = Setup {
    steering: servo(TRAVEL, 0, STEERED.limits()),
    drive: servo(TRAVEL, 0, DRIVEN.limits()),
    safe: SAFE,
    own_slot: None,
};

type Pins = PwmPins<NeutralChannel, NeutralChannel, NeutralLine>;

/// Returns the chip's peripherals, ready.
pub fn take() -> Peripherals<NeutralCan, Pins, NeutralButton, NeutralWatchdog> {
    let (steering, drive) = (NeutralChannel(&STEERING), NeutralChannel(&DRIVE));
    Peripherals {
        can: NeutralCan,
        outputs: PwmPins::new(steering, drive, NeutralLine, ActiveLevel::Low, PULSES_EVERY_US),
        estop: NeutralButton,
        watchdog: NeutralWatchdog,
    }
}

/// Releases the output-enable line without asking anybody: for a panic or a fault. The pulses go nowhere then, and the
/// watchdog restarts the chip.
pub fn release() {
    ENABLE_IS_HIGH.store(true, Ordering::SeqCst);
}

/// The time since the start, by SysTick, which every Cortex-M has. It has to be read once in a second (at 16 MHz).
pub struct Clock {
    systick: SYST,
    last: u32,
    ticks: u64,
}

impl Clock {
    /// Starts it.
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(TICKS - 1);
        systick.clear_current();
        systick.enable_counter();
        let last = SYST::get_current();
        Self { systick, last, ticks: 0 }
    }

    /// Returns the time.
    pub fn now(&mut self) -> Instant {
        // Kept running: nobody else has it.
        let _ = &self.systick;
        let current = SYST::get_current();
        self.ticks += u64::from(self.last.wrapping_sub(current) % TICKS);
        self.last = current;
        Instant::from_nanos(self.ticks * 1_000 / CORE_MHZ)
    }
}

// `used`, so that each store stays: to the compiler they are written and never read, as a register is.
#[used]
static STEERING: AtomicU16 = AtomicU16::new(0);
#[used]
static DRIVE: AtomicU16 = AtomicU16::new(0);
/// Active low: high is released.
#[used]
static ENABLE_IS_HIGH: AtomicBool = AtomicBool::new(true);
#[used]
static FED: AtomicU32 = AtomicU32::new(0);

/// A timer's channel.
pub struct NeutralChannel(&'static AtomicU16);

impl pwm::ErrorType for NeutralChannel {
    type Error = Infallible;
}

impl SetDutyCycle for NeutralChannel {
    fn max_duty_cycle(&self) -> u16 {
        black_box(PULSES_EVERY_US)
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        self.0.store(black_box(duty), Ordering::Relaxed);
        Ok(())
    }
}

/// The output-enable line.
pub struct NeutralLine;

impl digital::ErrorType for NeutralLine {
    type Error = Infallible;
}

impl OutputPin for NeutralLine {
    fn set_low(&mut self) -> Result<(), Infallible> {
        ENABLE_IS_HIGH.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        ENABLE_IS_HIGH.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// The e-stop's line. Here it is always pressed: a board that is not wired drives nothing.
pub struct NeutralButton;

impl digital::ErrorType for NeutralButton {
    type Error = Infallible;
}

impl InputPin for NeutralButton {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(black_box(true))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|is_high| !is_high)
    }
}

/// The watchdog.
pub struct NeutralWatchdog;

impl Watchdog for NeutralWatchdog {
    fn feed(&mut self) {
        FED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The CAN controller: it hears nothing, and what it is given goes nowhere.
pub struct NeutralCan;

impl embedded_can::nb::Can for NeutralCan {
    type Frame = NeutralFrame;
    type Error = embedded_can::ErrorKind;

    fn transmit(&mut self, frame: &NeutralFrame) -> nb::Result<Option<NeutralFrame>, Self::Error> {
        black_box(frame);
        Ok(None)
    }

    fn receive(&mut self) -> nb::Result<NeutralFrame, Self::Error> {
        black_box(Err(nb::Error::WouldBlock))
    }
}

/// A frame of the controller.
#[derive(Clone)]
pub struct NeutralFrame {
    id: StandardId,
    len: usize,
    data: [u8; 8],
}

impl Frame for NeutralFrame {
    fn new(id: impl Into<Id>, bytes: &[u8]) -> Option<Self> {
        let Id::Standard(id) = id.into() else {
            return None;
        };
        let mut data = [0; 8];
        data.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { id, len: bytes.len(), data })
    }

    fn new_remote(_id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        None
    }

    fn is_extended(&self) -> bool {
        false
    }

    fn is_remote_frame(&self) -> bool {
        false
    }

    fn id(&self) -> Id {
        self.id.into()
    }

    fn dlc(&self) -> usize {
        self.len
    }

    fn data(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or_default()
    }
}
