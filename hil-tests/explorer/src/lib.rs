//! The explorer: an exhaustive search over the shipped node, turn, gate and bus, in virtual time.
//!
//! The storm throws dice; this goes through every trouble of the fault model at each moment of a grid, and looks at what comes of it
//! until the pair is whole again. States that will do the same from now on are recognised by their canonical form
//! (`twinhelm_hal::canon`), so a pair that goes round in a circle is found, too. What is searched, and what is not, is in
//! docs/protocol.md.

#![forbid(unsafe_code)]

mod device;
mod found;
mod law;
#[cfg(test)]
mod merging;
mod pair;
pub mod plan;
mod search;
mod tell;
mod trouble;

pub use found::{Figures, Found, Jitter, Start};
pub use pair::{Corner, Wakes};
pub use search::Search;
pub use trouble::{Detail, Trouble, singles};
