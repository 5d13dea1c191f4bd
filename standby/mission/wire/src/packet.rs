//! A message as one packet, and the file descriptors that travel beside it.

// What is read here came over a socket.
#![deny(clippy::arithmetic_side_effects)]

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many bytes a packet may have.
pub const PACKET_MAX: usize = 128 * 1024;
/// A container's standard input, output and error.
const FILES_MAX: usize = 3;

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other end is gone.
    #[error("the other end of the socket is closed")]
    Closed,
    /// It does not fit into a packet.
    #[error("a message of {bytes} bytes does not fit: at most {PACKET_MAX}")]
    TooLarge {
        /// How many bytes it takes.
        bytes: usize,
    },
    /// What came is none of ours.
    #[error("what came is no message: {0}")]
    Malformed(String),
    /// The kernel refused.
    #[error("speaking over the socket: {0}")]
    System(#[from] Errno),
}

/// Sends a message, and `files` beside it.
///
/// # Errors
/// [`WireError::Closed`] when the other end is gone.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, files: &[BorrowedFd<'_>]) -> Result<(), WireError> {
    let bytes = serde_json::to_vec(message).map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > PACKET_MAX {
        return Err(WireError::TooLarge { bytes: bytes.len() });
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(WireError::Malformed(format!("{} files beside a message", files.len())));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a message, and returns it with the files that came beside it.
///
/// # Errors
/// [`WireError::Closed`] when the other end is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> Result<(T, Vec<OwnedFd>), WireError> {
    let mut bytes = vec![0; PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Err(WireError::Closed),
            Err(error) => return Err(error.into()),
        }
    };
    if received.bytes == 0 {
        return Err(WireError::Closed);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(WireError::Malformed("it is longer than a packet".to_owned()));
    }
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    let message = serde_json::from_slice(&bytes[..received.bytes]);
    Ok((message.map_err(|error| WireError::Malformed(error.to_string()))?, files))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerId, Request};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read as _, Write as _};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a pair of sockets")
    }

    #[test]
    fn a_message_passes_with_its_files() {
        let (one, other) = pair();
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let request = Request::Start(ContainerId::new("left").expect("a name"));
        send(&one, &request, &[writer.as_fd()]).expect("it passes");
        drop(writer);
        let (heard, mut files) = receive::<Request>(&other).expect("it comes");
        assert_eq!((heard, files.len()), (request, 1));
        let mut file = std::fs::File::from(files.remove(0));
        file.write_all(b"mine").expect("it is the pipe");
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("what was written");
        assert_eq!(text, "mine");
    }

    #[test]
    fn an_end_that_is_gone_is_told_from_nonsense() {
        let (one, other) = pair();
        send(&one, &"hello", &[]).expect("it passes");
        assert!(matches!(receive::<Request>(&other), Err(WireError::Malformed(_))));
        drop(one);
        assert!(matches!(receive::<Request>(&other), Err(WireError::Closed)));
        assert!(matches!(send(&other, &"hello", &[]), Err(WireError::Closed)));
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_before_it_is_sent() {
        let (one, _other) = pair();
        let error = send(&one, &"x".repeat(PACKET_MAX), &[]).expect_err("it is too large");
        assert!(matches!(error, WireError::TooLarge { .. }), "{error}");
    }
}
