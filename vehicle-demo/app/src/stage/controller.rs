//! A device's bus controller, which stands as the runner says: the userland bus has none that could fail.

use rtrb::Consumer;
use twinhelm_hal::ports::Confinement;

/// A bus controller that can fail.
pub(crate) struct Controller {
    changes: Consumer<Confinement>,
    stands: Confinement,
}

impl Controller {
    /// Returns a controller that is in order, and stands as `changes` say.
    pub(crate) const fn new(changes: Consumer<Confinement>) -> Self {
        Self { changes, stands: Confinement::Active }
    }

    /// Takes in what has happened to it.
    pub(crate) fn change(&mut self) {
        while let Ok(stands) = self.changes.pop() {
            self.stands = stands;
        }
    }

    /// Returns how it stands.
    pub(crate) const fn stands(&self) -> Confinement {
        self.stands
    }
}
