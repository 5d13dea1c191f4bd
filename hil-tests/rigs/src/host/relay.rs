//! The relay in the link between the two devices: it forwards, and when the link is cut it stops forwarding
//! without closing anything, as a dead switch does. What waits meanwhile comes when the link heals.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay; it stops when it is dropped.
#[derive(Debug)]
pub struct Relay {
    cut: Arc<watch::Sender<bool>>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Listens on `from` and forwards each connection to `to`.
    ///
    /// # Errors
    /// When `from` cannot be listened on.
    pub async fn start(from: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(from).await?;
        let cut = Arc::new(watch::Sender::new(false));
        let shared = cut.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(join(client, to, shared.subscribe()));
            }
        });
        Ok(Self { cut, task })
    }

    /// Cuts or heals the link, both directions.
    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards between `client` and `to` until either end closes.
async fn join(client: TcpStream, to: SocketAddr, cut: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    // Small messages are to arrive when they are sent; a socket that refuses this only delays them.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    tokio::select! {
        () = forward(client_in, server_out, cut.clone()) => {}
        () = forward(server_in, client_out, cut) => {}
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
