//! What a vehicle is and how it is reached: units, time, terms, cycles, frames, the gate, the bus, ports, pins.
//!
//! This room is pure: plain data, limits and rules, `no_std`, no heap, no clock, no I/O. It has never
//! heard of a heartbeat or of a peer. The same [`gate::Gate`] runs in the simulator, in the process that
//! plays the vehicle, and on the actuator's microcontroller.
//!
//! Whoever calls in here brings the time along: each `now` is an argument.

#![no_std]
#![forbid(unsafe_code)]

pub mod actuator;
pub mod bus;
#[cfg(feature = "canon")]
pub mod canon;
pub mod cycle;
pub mod encoder;
pub mod frame;
pub mod gate;
pub mod pins;
pub mod ports;
pub mod signals;
pub mod term;
pub mod time;
pub mod units;
