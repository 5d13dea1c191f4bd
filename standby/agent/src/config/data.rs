//! The table `[data]`: where mission data is kept, and how much of it.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinhelm_mission::data::{Access, Address};

/// What a device does with mission data.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub storage: Address,
    pub access: Access,
    /// What the mission is to do; `None` on a device that fetches it.
    pub plan: Option<PathBuf>,
    pub snapshot_every: Duration,
    pub segment_every: Duration,
    pub upload_every: Duration,
    pub disk_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DataTable {
    storage: Option<String>,
    endpoint: Option<String>,
    plan: Option<PathBuf>,
    snapshot_ms: u64,
    segment_ms: u64,
    upload_ms: u64,
    disk_mib: u64,
}

impl Default for DataTable {
    fn default() -> Self {
        Self {
            storage: None,
            endpoint: None,
            plan: None,
            snapshot_ms: 1_000,
            segment_ms: 10_000,
            upload_ms: 2_000,
            disk_mib: 256,
        }
    }
}

impl DataTable {
    /// Checks all values; `store` is where a device keeps what it has.
    pub(super) fn check(self, store: &Path) -> Result<Data, String> {
        let Self { storage, endpoint, plan, snapshot_ms, segment_ms, upload_ms, disk_mib } = self;
        let storage = match storage {
            Some(text) => text.parse().map_err(|error| format!("data.storage: {error}"))?,
            None => Address::Dir(store.join("objects")),
        };
        if let Some(endpoint) = endpoint.as_ref().filter(|text| !text.starts_with("http")) {
            return Err(format!("data.endpoint = {endpoint:?} cannot be: write https://HOST:PORT"));
        }
        if let Some(plan) = plan.as_ref().filter(|path| path.is_relative()) {
            return Err(format!("data.plan = {:?} is relative: write a path from / on", plan.display()));
        }
        let every = |key: &str, ms: u64| {
            if (100..=3_600_000).contains(&ms) {
                Ok(Duration::from_millis(ms))
            } else {
                Err(format!("data.{key} = {ms} cannot be: write 100 to 3600000"))
            }
        };
        if !(1..=1 << 20).contains(&disk_mib) {
            return Err(format!("data.disk_mib = {disk_mib} cannot be: write 1 or more"));
        }
        Ok(Data {
            storage,
            access: Access { endpoint, keys: None },
            plan,
            snapshot_every: every("snapshot_ms", snapshot_ms)?,
            segment_every: every("segment_ms", segment_ms)?,
            upload_every: every("upload_ms", upload_ms)?,
            disk_bytes: disk_mib << 20,
        })
    }
}
