//! The door to the mission: images, their store, and the containers made of them.
//!
//! ```text
//!   image build ──► OCI layout ──► registry            device
//!                        └───────────┴──► pull ──► store ──► unpack ──► bundle ──► container
//!                                         (verified)    (verified again)   (by mission-runner)
//! ```
//!
//! - [`image`]: what an image is, how it is built, kept, pushed, pulled, verified and unpacked. A mission is named by the
//!   digest of its image, and nothing is used whose bytes do not have the digest that names them.
//! - [`container`]: a container as a value that is moved from state to state; [`runner`] is the process that makes it so.
//! - [`data`]: mission data, on the device's disk and in object storage.
//!
//! Nothing here runs on the control thread, and nothing here knows of a vehicle.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod container;
pub mod data;
pub mod image;
pub mod runner;
