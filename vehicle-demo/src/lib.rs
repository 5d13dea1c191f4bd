//! The model electric vehicle: what is measured and commanded, its course, its plant, its sensors, its control law,
//! its actuator node behind the gate, and the picture of a run.
//!
//! This room is pure: arithmetic, seeds and virtual time; no clock, socket, thread or file. The same code plays the
//! vehicle in the simulator and in the host rig's vehicle process, and `libm` makes both compute the same bits.

#![forbid(unsafe_code)]

pub mod actuators;
pub mod board;
pub mod config;
pub mod course;
pub mod dbc;
pub mod law;
pub mod plan;
pub mod plant;
pub mod plot;
pub mod ranges;
pub mod report;
pub mod sensors;
pub mod signals;
pub mod vehicle;
