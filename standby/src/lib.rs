//! The pair protocol: who sends, when, and in which term. Every decision is here, and no I/O.
//!
//! ```text
//!        bus frames, peer's sample, orders          ┌──────────────┐
//!   ───────────────────────────────────────────────►│     Node     ├──► effects: compute, send, publish
//!                                                   └──────▲───────┘
//!        readings ──► Pilot (law, and a second one         │
//!                     that checks the first) ── command ───┘
//! ```
//!
//! Read [`turn`] first: it is one cycle of a device, read → update → step → write, and the only way that the
//! device process and the simulator drive a node. Then [`Node`] and its rules V1 to V14 (docs/protocol.md). The
//! rules G1 to G8 of the other side live in `twinhelm_hal::gate`.
//!
//! What this room may not do: read a clock (each `now` is an argument), open anything, start anything, log, or
//! roll dice that it was not handed.

#![forbid(unsafe_code)]

pub mod access;
pub mod asked;
pub mod config;
pub mod data;
pub mod file_error;
pub mod fleet;
pub mod input;
pub mod ladder;
pub mod migration;
pub mod node;
pub mod orchestrator;
pub mod pilot;
pub mod pool;
pub mod readiness;
pub mod role;
pub mod sample;
mod turn;
pub mod watch;

pub use config::{Config, ConfigError, OnDispute, Parameters};
pub use input::{Effect, Effects, Input, Order, Readings, Refusal};
pub use ladder::{AgentReport, Readiness};
pub use node::Node;
pub use pilot::Pilot;
pub use readiness::NotReady;
pub use role::{FencedBy, Role, RoleName};
pub use sample::{Header, HeardSample, Published, Relayed, Sample};
pub use turn::{Ports, turn};
pub use watch::Watch;
