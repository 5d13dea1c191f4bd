//! Rigs that run a scenario on something real.
//!
//! [`host`]: real processes, real Zenoh, real time on one machine, with a userland CAN bus. It starts the process
//! roles of whatever program calls it, injects the faults from outside, collects what happened at the gate, and
//! hands a log to the same analysis as the simulator. [`netns`] is the network of the rig of that name: the same
//! processes, each device in a network namespace of its own. [`guest`] boots a kernel that has CAN. [`tape`] writes a run down.
//!
//! This room wires doors to decisions and presents results; it has no protocol logic.

pub mod guest;
pub mod host;
pub mod netns;
pub mod tape;
