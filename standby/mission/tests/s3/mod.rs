//! An S3 of our own, on loopback: moto's server, and before it a relay that makes trouble when it is told to.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use twinhelm_mission::data::{Access, Address, Storage};

/// What the relay does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It passes it on.
    None,
    /// It refuses: 403.
    Refuses,
    /// It passes it on so much later.
    Slow(Duration),
    /// Every second one fails: 503.
    EverySecond,
    /// It lists what is there, and then says of manifests that they are not: 404.
    Forgets,
    /// The connection ends in the middle of the body of the next upload; then it passes on.
    CutsAnUpload,
}

/// The server, its relay, and how many requests it has seen.
pub struct S3 {
    server: Child,
    relay: SocketAddr,
    trouble: Arc<Mutex<(Trouble, usize)>>,
}

impl S3 {
    /// Starts it, with a bucket called `missions`.
    pub fn start() -> Self {
        let python = std::env::var("TWINHELM_PYTHON").expect("TWINHELM_PYTHON: `./dev test` sets it");
        let server = std::path::Path::new(&python).with_file_name("moto_server");
        let mut server = Command::new(server)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server: pip install 'moto[server,s3]'");
        let said = BufReader::new(server.stderr.take().expect("it is piped"));
        let mut lines = said.lines();
        let port = loop {
            let line = lines.next().expect("it says where it listens").expect("text");
            if let Some((_, port)) = line.split_once("http://127.0.0.1:") {
                break port.trim().parse::<u16>().expect("a port");
            }
        };
        // It would stop at a full pipe.
        thread::spawn(move || lines.for_each(drop));
        let server_at = SocketAddr::from(([127, 0, 0, 1], port));
        let bucket = answer_of(server_at, b"PUT /missions HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
        assert!(bucket.starts_with("HTTP/1.1 200") || bucket.starts_with("HTTP/1.0 200"), "{bucket}");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay = listener.local_addr().expect("its address");
        let trouble = Arc::new(Mutex::new((Trouble::None, 0)));
        let told = Arc::clone(&trouble);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                // Whoever went away in the middle has its reasons.
                thread::spawn(move || drop(serve(client, server_at, &told)));
            }
        });
        Self { server, relay, trouble }
    }

    /// Has the relay make `trouble` from now on.
    pub fn make(&self, trouble: Trouble) {
        self.trouble.lock().expect("no panic").0 = trouble;
    }

    /// Returns how many requests came until now.
    pub fn requests(&self) -> usize {
        self.trouble.lock().expect("no panic").1
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.relay)
    }

    pub fn storage(&self) -> Storage {
        let address: Address = "s3://missions/fleet".parse().expect("an address");
        let keys = Some(["test".to_owned(), "test".to_owned()]);
        Storage::open(&address, &Access { endpoint: Some(self.endpoint()), keys }).expect("it opens")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn answer_of(server: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).expect("it listens");
    stream.write_all(request).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// One request, and its answer. The server ends each connection behind its answer, so each request has one of its own.
fn serve(mut client: TcpStream, server: SocketAddr, told: &Mutex<(Trouble, usize)>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    let is_upload = text.starts_with("PUT") && length > 0;
    let trouble = {
        let mut told = told.lock().expect("no panic");
        told.1 += 1;
        match told.0 {
            Trouble::CutsAnUpload if is_upload => {
                told.0 = Trouble::None;
                Trouble::CutsAnUpload
            }
            Trouble::CutsAnUpload => Trouble::None,
            Trouble::EverySecond if told.1.is_multiple_of(2) => Trouble::None,
            // What is listed is asked for by a query.
            Trouble::Forgets if !(text.starts_with("GET") && text.contains("/manifest/")) => Trouble::None,
            other @ (Trouble::None
            | Trouble::Refuses
            | Trouble::Slow(_)
            | Trouble::EverySecond
            | Trouble::Forgets) => other,
        }
    };
    if trouble == Trouble::CutsAnUpload {
        let mut half = vec![0; length / 2];
        client.read_exact(&mut half)?;
        return client.shutdown(Shutdown::Both);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let refusal = match trouble {
        Trouble::Refuses => Some("403 Forbidden"),
        Trouble::EverySecond => Some("503 Slow Down"),
        Trouble::Forgets => Some("404 Not Found"),
        Trouble::None | Trouble::Slow(_) | Trouble::CutsAnUpload => None,
    };
    if let Some(status) = refusal {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return client.write_all(text.as_bytes());
    }
    if let Trouble::Slow(by) = trouble {
        thread::park_timeout(by);
    }
    let mut upstream = TcpStream::connect(server)?;
    let head = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    std::io::copy(&mut upstream, &mut client)?;
    client.shutdown(Shutdown::Both)
}
