//! The World: devices, gates, bus, link and vehicle in virtual time, deterministic by seed.
//!
//! The World calls the same `standby::turn` as the device process, with the same gate and the same laws; only
//! the bus, the link, the clocks and the machine's jitter are models. Faults come from outside the devices.
//! [`check`] looks at every event of every run; [`storm`] makes random schedules; [`scenario`] reads them from
//! TOML; [`recording`] keeps a node's inputs so that its decisions can be replayed.
//!
//! This room is pure: seeds and virtual time, no clock, no socket, no thread. It builds without Zenoh.

#![forbid(unsafe_code)]

pub mod board_conformance;
pub mod boards;
pub mod broken;
pub mod bus_conformance;
pub mod check;
pub mod clock;
pub mod fault;
pub mod fleet;
pub mod law_faults;
pub mod link;
pub mod recording;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod storm;
pub mod tampering;
pub mod world;
