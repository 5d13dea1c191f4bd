//! The door to Zenoh: each device's state to the other, orders to a device, and an observer that listens to all.
//!
//! ```text
//!   control thread            link-tx                         Zenoh's rx thread       control thread
//!   publish ──► newest ──► encode, put ──── tcp ────► decode, stamp ──► newest ──► peer
//!   refuse  ──► queue  ──►                            orders        ──► queue  ──► order
//! ```
//!
//! [`Link::open`] gives the [`Link`], which keeps the session, and the [`LinkPort`], which the control thread holds.
//! No method of the port allocates, locks or waits. State goes through cells that hold the newest sample, so an old
//! one is never taken for a new one because a queue was long; what waited in the *network* is told by its cycle,
//! which is the node's business.
//!
//! This room decodes and decides nothing. What it cannot read, or what comes from a slot that it should not come
//! from, is dropped and counted ([`Counters`]); a peer of another version is passed on as such.
//!
//! What is not here, on purpose:
//!
//! - **Detection.** Nothing is concluded from Zenoh's liveliness, its link lease or silence. The heartbeat is the
//!   control output on the bus. The liveliness token is there for people and their tools.
//! - **Fencing, freshness.** Zenoh gives neither. Terms and cycles in the sample do, and the gate.
//! - **Delivery.** A sample that the network cannot take is dropped: the next one is a period away. An order may be
//!   lost as well; who gave it looks at the roles.
//! - **Discovery.** No multicast, no gossip, no router: endpoints are written down.
//! - **Secrecy and identity without keys.** Who reaches an endpoint that is `tcp/` can order a switchover and pose as a peer,
//!   which cannot make a device drive, but can feed it wrong state. With [`Settings::keys`] both sides of a `quic/` link
//!   prove who they are ([`credentials`]), and each speaks in its own name alone.
//! - **More than two devices that publish state.** A port has one cell for "the peer"; spares come later.
//! - **Real-time scheduling of Zenoh's threads.** They inherit what the thread has that opens the link.

#![forbid(unsafe_code)]

pub mod agents;
mod closing;
mod counters;
pub mod credentials;
pub mod fleet;
mod hub;
mod intake;
mod keys;
mod link;
mod observer;
mod once;
pub mod one_way;
mod session;
mod settings;
mod stock;
mod strangers;
pub mod wire;

pub use counters::Counters;
pub use credentials::{Credentials, CredentialsError};
pub use hub::Hub;
pub use link::{Link, LinkPort, ORDERS_MAX, REFUSALS_MAX};
pub use observer::{OBSERVED_MAX, Observed, Observer, OrderError};
pub use session::{OpenError, router_config};
pub use settings::{EndpointProblem, Settings, SettingsError, Side};
pub use stock::{Stock, Stocked};
pub use strangers::watch_strangers;
pub use wire::{Carried, TooLarge};
