//! The firmware: takes the board, and turns. What goes wrong releases the outputs and waits for the watchdog.

#![no_std]
#![no_main]

mod board;

use actuator_node::ActuatorNode;
use core::panic::PanicInfo;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use twinhelm_hal::gate::Gate;

/// Which of the vehicle's gates this is, 0 to 3.
const GATE: u8 = 0;

#[entry]
fn main() -> ! {
    let gate = Gate::new(GATE, board::TIMING, &board::LAYOUT);
    let mut node = ActuatorNode::new(gate, board::SETUP, board::take());
    // Taken once, after a reset: there is one.
    let core = cortex_m::Peripherals::take().expect("the core's peripherals are taken once");
    let mut clock = board::Clock::start(core.SYST);
    loop {
        node.turn(clock.now());
    }
}

#[panic_handler]
fn on_panic(_info: &PanicInfo<'_>) -> ! {
    wait_for_the_watchdog()
}

/// A fault of the processor: an address that does not exist, an instruction that is none.
// SAFETY: cortex-m-rt asks for `unsafe` because this runs at the highest priority, in whatever state the fault left; it
// stores to one cell and returns never.
#[exception]
unsafe fn HardFault(_frame: &ExceptionFrame) -> ! {
    wait_for_the_watchdog()
}

fn wait_for_the_watchdog() -> ! {
    cortex_m::interrupt::disable();
    board::release();
    loop {
        cortex_m::asm::nop();
    }
}
