//! Arbitrary bytes into everything that reads a wire, a bus or a file: one module a target, each with one `run`.
//!
//! A target is a program of libFuzzer (`fuzz_targets/`), which calls the `run` of its module; so its inputs can be run without
//! libFuzzer, too. What a target asserts is what holds for any input: nothing panics, no sum overflows, and the rules of
//! docs/protocol.md that need no fault model. docs/fuzzing.md says how to run one.

#![forbid(unsafe_code)]

pub mod bus_packets;
pub mod dbc;
pub mod files;
pub mod fleet;
pub mod gate;
pub mod image;
mod input;
pub mod mission_data;
pub mod node;
pub mod plan;
pub mod recording;
pub mod sample;
/// The link's layout: the door's own file, so that Zenoh is not built for a sanitizer.
#[path = "../../../standby/zenoh/src/wire.rs"]
mod wire;

/// What a target does with an input.
pub type Run = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Run)] = &[
    ("bus_packets", bus_packets::run),
    ("dbc", dbc::run),
    ("files", files::run),
    ("fleet", fleet::run),
    ("gate", gate::run),
    ("image", image::run),
    ("mission_data", mission_data::run),
    ("node", node::run),
    ("plan", plan::run),
    ("recording", recording::run),
    ("sample", sample::run),
];
