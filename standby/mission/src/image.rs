//! Images: what they are named by, where they are kept, how they come and go.
//!
//! Everything is the OCI's: an image is an *index* over *manifests*, one a platform, each with a configuration and layers;
//! each of these is a *blob*, named by the digest of its bytes. So a digest of an index names everything below it, and
//! whoever checks each blob against its name has checked the image.

pub mod build;
pub mod digest;
pub mod error;
pub mod layout;
pub mod libraries;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod pull;
pub mod push;
pub mod reference;
pub mod registry;
pub mod source;
pub mod unpack;
pub mod verify;

pub use digest::Digest;
pub use error::{ImageError, Kind};
pub use layout::Layout;
pub use platform::Platform;
pub use reference::{Place, Reference};
