//! A session that others meet at: a Zenoh router inside this process, and all that is heard by it.

use crate::fleet::{FleetLine, Heard};
use crate::observer::Observer;
use crate::session::{OpenError, open_router};
use crate::settings::Settings;
use crate::wire::Carried;
use zenoh::{Session, Wait};

/// A router. Dropping it closes its session.
#[derive(Debug)]
pub struct Hub {
    session: Session,
    settings: Settings,
}

impl Hub {
    /// Opens a router that listens and connects as `settings` say, and returns at once whether or not anybody is there.
    ///
    /// # Errors
    /// As [`Link::open`](crate::Link::open).
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self { session: open_router(settings)?, settings: settings.clone() })
    }

    /// Returns an observer of the vehicle's devices.
    ///
    /// # Errors
    /// Zenoh does not take a key.
    pub fn observer<S: Carried, M: Carried>(&self) -> Result<Observer<S, M>, OpenError> {
        Observer::on(self.session.clone(), &self.settings.vehicle)
    }

    /// Returns a line to the fleet, for somebody who is called `name`.
    ///
    /// # Errors
    /// Zenoh does not take a key.
    pub fn fleet(
        &self,
        name: &str,
        hear: impl Fn(Heard) + Clone + Send + Sync + 'static,
    ) -> Result<FleetLine, OpenError> {
        FleetLine::on(self.session.clone(), false, name, &self.settings.vehicle, hear)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // A session that cannot be closed is dropped all the same.
        drop(self.session.close().wait());
    }
}
