//! Mission data: on the device's disk first, and then in object storage.
//!
//! ```text
//!   what a device publishes ──► snapshot, segment ──► spool (disk) ──► Uploader ──► object storage
//!                                                        │                              │
//!                               a neighbour asks ◄───────┘          recover, check ◄────┘
//! ```
//!
//! What is to be kept, uploaded and removed is decided in `twinhelm_standby::data`. Object storage looks so:
//!
//! ```text
//!   VEHICLE/plan/VERSION-DIGEST.json                  the plan
//!   VEHICLE/DEVICE/manifest/GENERATION.json           what is acknowledged; the highest generation holds
//!   VEHICLE/DEVICE/pages/NUMBER.json                  older entries of it
//!   VEHICLE/DEVICE/SPOOL-SEQ.snapshot.json, .mcap     the pieces
//! ```
//!
//! A manifest's next generation is created where none is: of two that do so at once, one fails, and looks again. (A local
//! directory can do no other conditional put; S3 can do this one, too.)

mod plan;
mod recover;
mod segment;
mod snapshot;
mod spool;
mod storage;
mod upload;

pub use plan::{Plan, PlanError};
pub use recover::{Checked, Recovered, check, get, newest_plan, recover};
pub use segment::Segment;
pub use snapshot::{Snapshot, SnapshotError};
pub use spool::Spool;
pub use storage::{Access, Address, BadAddress, Problem, Storage, StorageError};
pub use upload::{Pass, Uploader};
