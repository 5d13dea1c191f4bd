//! Opening a Zenoh session, and saying in words why there is none.

use crate::closing::wait_for_no_link;
use crate::credentials::{Credentials, CredentialsError};
use crate::settings::{Mode, Settings, SettingsError, address, is_quic};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use twinhelm_hal::time::Duration;
use twinhelm_linux::clock::{now, sleep_until};
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Config, Session, Wait};

/// Somebody who asks is of use only connected.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The lease of a router that is a process of its own.
const ROUTER_LEASE: Duration = Duration::from_secs(1);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be used.
    #[error("the settings of the link cannot be used")]
    Settings(#[from] SettingsError),
    /// The keys cannot be used.
    #[error("the keys of the link cannot be used")]
    Keys(#[from] CredentialsError),
    /// The keys are for another vehicle.
    #[error(
        "the keys in {} are of vehicle {theirs:?}, not of {vehicle:?}: write that vehicle, or the folder of other keys",
        keys.display()
    )]
    OtherVehicle {
        /// The folder.
        keys: PathBuf,
        /// The vehicle whose fleet they are of.
        theirs: String,
        /// The vehicle that was meant.
        vehicle: String,
    },
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
    #[error(
        "no agent of vehicle {vehicle:?} answers at {endpoints}: is one running, does it listen there, and, if that is quic/, does it \
         know these keys?"
    )]
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

impl Settings {
    /// Reads the keys, if there are any.
    ///
    /// # Errors
    /// They cannot be read, or are of another vehicle.
    pub fn credentials(&self) -> Result<Option<Credentials>, OpenError> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let credentials = Credentials::read(keys)?;
        let theirs = &credentials.members().vehicle;
        if *theirs != self.vehicle {
            let (theirs, vehicle) = (theirs.clone(), self.vehicle.clone());
            return Err(OpenError::OtherVehicle { keys: keys.clone(), theirs, vehicle });
        }
        Ok(Some(credentials))
    }
}

/// Opens a session. Does not wait for the other side.
pub(crate) fn open(settings: &Settings) -> Result<Session, OpenError> {
    open_as(settings, Mode::Peer)
}

/// Opens the session of a device's agent: routers pass on to it what other agents say. Does not wait for the other side.
pub(crate) fn open_agent(settings: &Settings) -> Result<Session, OpenError> {
    open_as(settings, Mode::Agent)
}

/// Opens a session that passes on what others say. Does not wait for them.
pub(crate) fn open_router(settings: &Settings) -> Result<Session, OpenError> {
    open_as(settings, Mode::Router)
}

/// Opens the session of somebody who asks, and waits until it is connected to one of the endpoints.
///
/// A client has one connection, behind which others pass on what it says. Where keys are asked for, devices pass nothing on:
/// each speaks in its own name. So then all endpoints are connected to, if there are several.
pub(crate) fn open_client(settings: &Settings) -> Result<Session, OpenError> {
    if settings.keys.is_none() || settings.connect.len() < 2 {
        return open_as(settings, Mode::Client);
    }
    let session = open_as(settings, Mode::Peer)?;
    let until = now() + CONNECTS_WITHIN;
    while now() < until {
        let info = session.info();
        if info.peers_zid().wait().next().is_some() || info.routers_zid().wait().next().is_some() {
            return Ok(session);
        }
        sleep_until(now() + LOOK_EVERY);
    }
    // A session that cannot be closed is dropped all the same.
    drop(session.close().wait());
    let (vehicle, endpoints) = (settings.vehicle.clone(), settings.connect.join(", "));
    Err(OpenError::NobodyThere { vehicle, endpoints, source: "nobody let it in within 3 s".into() })
}

fn open_as(settings: &Settings, mode: Mode) -> Result<Session, OpenError> {
    settings.check()?;
    let credentials = settings.credentials()?;
    for endpoint in &settings.listen {
        try_listening(endpoint)?;
    }
    let vehicle = settings.vehicle.clone();
    let failed = |source| match mode {
        Mode::Client => {
            OpenError::NobodyThere { vehicle: vehicle.clone(), endpoints: settings.connect.join(", "), source }
        }
        Mode::Peer | Mode::Agent | Mode::Router => OpenError::Session { vehicle: vehicle.clone(), source },
    };
    let config = Config::from_json5(&settings.to_json(mode, credentials.as_ref()).to_string()).map_err(&failed)?;
    wait_for_no_link();
    zenoh::open(config).wait().map_err(failed)
}

/// Returns the configuration of a `zenohd` that is started in the folder of these keys, listens at `listen`, and looks at what
/// passes as the router in a cloud application does.
#[must_use]
pub fn router_config(credentials: Credentials, listen: &str) -> String {
    let credentials = credentials.here();
    let settings = Settings {
        vehicle: credentials.members().vehicle.clone(),
        listen: vec![listen.to_owned()],
        connect: Vec::new(),
        link_lease: ROUTER_LEASE,
        keep_alive: 4,
        keys: None,
    };
    format!("{:#}\n", settings.to_json(Mode::Router, Some(&credentials)))
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
        Ok(address) if is_quic(endpoint) => UdpSocket::bind(address).map(drop),
        Ok(address) => TcpListener::bind(address).map(drop),
        Err(problem) => unreachable!("the settings were checked: {endpoint} {problem}"),
    };
    match bound {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(OpenError::ListenInUse { endpoint: endpoint.to_owned() })
        }
        Err(source) => Err(OpenError::Listen { endpoint: endpoint.to_owned(), source }),
    }
}
