//! The [`Controller`] trait and the parts that control laws are made of.
//!
//! This room is arithmetic on state and period: `no_std`, no clock, no heap, no log, no panic on input. It has
//! never heard of a peer. Whoever writes a law of their own implements one trait; failover comes for free.

#![no_std]
#![forbid(unsafe_code)]

pub mod controller;
pub mod deadline;
pub mod pi;
pub mod stanley;
pub mod trim;

pub use controller::Controller;
