//! The doors to a Linux machine: its clock, real-time threads, CAN, boards, a bus and readings between its
//! processes.
//!
//! This room makes system calls and decides nothing: what a frame means, who may send and what to do about a
//! missing right is said elsewhere. `unsafe` stands in [`scheduling`], where rustix has no call, in [`network`], where
//! its call is unsafe, in [`linger`], which looks at sockets of other threads, and in the watchdog of [`boards`], whose ioctl
//! is unsafe.
//!
//! Everything on the control thread's way (sending, receiving, polling, sleeping) neither allocates nor blocks,
//! except where waiting is the purpose and the name says so.

pub mod boards;
pub mod bus;
pub mod can;
pub mod clock;
mod core_threads;
pub mod datagram;
pub mod disk;
pub mod effort;
pub mod journal;
pub mod linger;
pub mod listener;
mod names;
pub mod network;
pub mod process;
pub mod realtime;
pub mod scheduling;
pub mod stalls;
pub mod terminal;
