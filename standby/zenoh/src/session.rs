//! Opening a Zenoh session, and saying in words why there is none.

use crate::settings::{Settings, SettingsError, address};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Config, Session, Wait};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be used.
    #[error("the settings of the link cannot be used")]
    Settings(#[from] SettingsError),
    /// Somebody listens there.
    #[error("listening on {endpoint}: the port is in use; end the process that has it, or write another port")]
    ListenInUse {
        /// The endpoint.
        endpoint: String,
    },
    /// This machine cannot listen there.
    #[error("listening on {endpoint}: write an address of this machine, or 0.0.0.0 for all")]
    Listen {
        /// The endpoint.
        endpoint: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Zenoh opens no session.
    #[error("opening the Zenoh session of {vehicle:?}")]
    Session {
        /// The vehicle.
        vehicle: String,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nobody listens where somebody should.
    #[error("no agent of vehicle {vehicle:?} answers at {endpoints}: is one running, and does it listen there?")]
    NobodyThere {
        /// The vehicle.
        vehicle: String,
        /// The endpoints.
        endpoints: String,
        /// What Zenoh said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Zenoh opens the session, but not a key.
    #[error("declaring {key}")]
    Key {
        /// The key.
        key: String,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no thread for sending.
    #[error("starting the thread that sends to the peer")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// Returns what makes an error out of Zenoh's, for `key`.
    pub(crate) fn of(key: &str) -> impl FnOnce(zenoh::Error) -> Self {
        move |source| Self::Key { key: key.to_owned(), source }
    }
}

/// Opens a session. Does not wait for the other side.
pub(crate) fn open(settings: &Settings) -> Result<Session, OpenError> {
    settings.check()?;
    for endpoint in &settings.listen {
        try_listening(endpoint)?;
    }
    open_as(&settings.to_json(), |source| OpenError::Session { vehicle: settings.vehicle.clone(), source })
}

/// Opens a session that passes on what others say. Does not wait for them.
pub(crate) fn open_router(settings: &Settings) -> Result<Session, OpenError> {
    settings.check()?;
    for endpoint in &settings.listen {
        try_listening(endpoint)?;
    }
    open_as(&settings.to_json_of_router(), |source| OpenError::Session {
        vehicle: settings.vehicle.clone(),
        source,
    })
}

/// Opens the session of somebody who asks, and waits until it is connected to one of the endpoints.
pub(crate) fn open_client(settings: &Settings) -> Result<Session, OpenError> {
    settings.check()?;
    open_as(&settings.to_json_of_client(), |source| OpenError::NobodyThere {
        vehicle: settings.vehicle.clone(),
        endpoints: settings.connect.join(", "),
        source,
    })
}

fn open_as(json: &str, failed: impl Fn(zenoh::Error) -> OpenError) -> Result<Session, OpenError> {
    let config = Config::from_json5(json).map_err(&failed)?;
    zenoh::open(config).wait().map_err(failed)
}

/// Declares who publishes samples under `key`: the newest matters, and nobody waits for it to be sent.
pub(crate) fn publisher(session: &Session, key: &str) -> Result<Publisher<'static>, zenoh::Error> {
    session
        .declare_publisher(key.to_owned())
        // Express messages take a whole batch each, and with two batches the newest are lost first.
        .express(false)
        .congestion_control(CongestionControl::Drop)
        .priority(Priority::RealTime)
        .wait()
}

/// Listens for a moment, because Zenoh would say no more than that it failed.
fn try_listening(endpoint: &str) -> Result<(), OpenError> {
    let bound = match address(endpoint) {
        Ok(address) => TcpListener::bind(address),
        Err(problem) => unreachable!("the settings were checked: {endpoint} {problem}"),
    };
    match bound {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(OpenError::ListenInUse { endpoint: endpoint.to_owned() })
        }
        Err(source) => Err(OpenError::Listen { endpoint: endpoint.to_owned(), source }),
    }
}
