//! The relay in the link between the two devices: it forwards, and when a direction is cut it stops forwarding there
//! without closing anything, as a dead switch does. What waits meanwhile comes when the link heals.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use twinhelm_hal::term::Slot;

/// A relay; it stops when it is dropped.
#[derive(Debug)]
pub struct Relay {
    /// By the device that sends: left, which connects, and right.
    cuts: Arc<[watch::Sender<bool>; 2]>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Listens on `from` and forwards each connection to `to`.
    ///
    /// # Errors
    /// When `from` cannot be listened on.
    pub async fn start(from: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(from).await?;
        let cuts = Arc::new([watch::Sender::new(false), watch::Sender::new(false)]);
        let shared = cuts.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(join(client, to, [shared[0].subscribe(), shared[1].subscribe()]));
            }
        });
        Ok(Self { cuts, task })
    }

    /// Cuts or heals what the device in slot `from` sends.
    pub fn set_cut(&self, from: Slot, cut: bool) {
        self.cuts[from.index().min(1)].send_replace(cut);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards between `client` and `to` until either end closes.
async fn join(client: TcpStream, to: SocketAddr, cuts: [watch::Receiver<bool>; 2]) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    // Small messages are to arrive when they are sent; a socket that refuses this only delays them.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let [from_client, from_server] = cuts;
    tokio::select! {
        () = forward(client_in, server_out, from_client) => {}
        () = forward(server_in, client_out, from_server) => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
