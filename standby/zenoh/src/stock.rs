//! What a device has for its neighbours: named bytes, which whoever asks gets.
//!
//! ```text
//!   twinhelm/<vehicle>/stock/<device>/<name>     a query returns them
//! ```

// What is read here came over the network.
#![deny(clippy::arithmetic_side_effects)]

use crate::session::OpenError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use twinhelm_hal::time::Duration;
use zenoh::query::{ConsolidationMode, QueryTarget, Queryable};
use zenoh::{Session, Wait};

type Shelf = Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>>;

/// Something that a neighbour has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stocked {
    /// Who has it.
    pub device: String,
    /// What it is.
    pub name: String,
    /// It.
    pub bytes: Vec<u8>,
}

/// A device's stock.
#[derive(Debug)]
pub struct Stock {
    session: Session,
    vehicle: String,
    device: String,
    shelf: Shelf,
    _asked: Queryable<()>,
}

impl Stock {
    pub(crate) fn on(session: Session, device: &str, vehicle: &str) -> Result<Self, OpenError> {
        let shelf = Shelf::default();
        let key = format!("twinhelm/{vehicle}/stock/{device}");
        let asked = {
            let (shelf, own) = (Arc::clone(&shelf), key.clone());
            session
                .declare_queryable(format!("{key}/*"))
                .callback(move |query| {
                    let all = shelf.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    for (name, bytes) in all {
                        // Whoever asked may be gone.
                        drop(query.reply(format!("{own}/{name}"), bytes).wait());
                    }
                })
                .wait()
                .map_err(OpenError::of(&key))?
        };
        Ok(Self { session, vehicle: vehicle.to_owned(), device: device.to_owned(), shelf, _asked: asked })
    }

    /// Has `bytes` from now on, called `name`.
    pub fn keep(&self, name: &'static str, bytes: Vec<u8>) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).insert(name, bytes);
    }

    /// Asks all neighbours for what they have; returns what came within `wait`.
    ///
    /// # Errors
    /// Zenoh does not take the question.
    pub fn ask(&self, wait: Duration) -> Result<Vec<Stocked>, OpenError> {
        let key = format!("twinhelm/{}/stock/*/*", self.vehicle);
        let asked = self.session.get(&key).target(QueryTarget::All).consolidation(ConsolidationMode::None);
        let replies = asked.timeout(wait).wait().map_err(OpenError::of(&key))?;
        let mut found: Vec<Stocked> = Vec::new();
        while let Ok(reply) = replies.recv() {
            let Ok(sample) = reply.result() else { continue };
            let mut parts = sample.key_expr().as_str().rsplit('/');
            if let (Some(name), Some(device)) = (parts.next(), parts.next())
                && device != self.device
                // A neighbour who is met at a router as well answers by both ways.
                && !found.iter().any(|one| one.device == device && one.name == name)
            {
                let bytes = sample.payload().to_bytes().into_owned();
                found.push(Stocked { device: device.to_owned(), name: name.to_owned(), bytes });
            }
        }
        Ok(found)
    }
}
