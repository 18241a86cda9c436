//! The status socket: messages of the in-box init come in, signals for the command go out. Never blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use testbox_model::{InitMessage, PayloadEnd, SupervisorMessage};

/// Longest message that is understood, in bytes.
const MESSAGE_BYTES: usize = 64 << 10;

/// What the socket said.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// A message.
    Message(InitMessage),
    /// A datagram that is none.
    Garbage,
    /// Nothing for now.
    Nothing,
    /// The other side is gone; there is never anything again.
    End,
}

pub(crate) struct Status {
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Status {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket: Some(socket), buffer: vec![0; MESSAGE_BYTES] }
    }

    /// The descriptor to wait for, until the end was heard.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// One datagram.
    pub(crate) fn receive(&mut self) -> Heard {
        let Some(socket) = &self.socket else { return Heard::End };
        let mut take = || recv(socket, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT | RecvFlags::TRUNC);
        let received = match take() {
            // Init went without having read every order; what it said before is still there, and is next.
            Err(Errno::CONNRESET) => take(),
            received => received,
        };
        match received {
            Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
            Err(_) | Ok((_, 0)) => {
                self.socket = None;
                Heard::End
            }
            Ok((_, length)) => self.buffer.get(..length).map_or(Heard::Garbage, understand),
        }
    }

    /// Asks init to send this signal to the command's process group; false if init does not take it.
    pub(crate) fn signal(&self, signal: i32) -> bool {
        self.order(&SupervisorMessage::Signal { signal })
    }

    /// Asks init to send this signal to the command itself and to none of its children.
    pub(crate) fn signal_leader(&self, signal: i32) -> bool {
        self.order(&SupervisorMessage::SignalLeader { signal })
    }

    fn order(&self, message: &SupervisorMessage) -> bool {
        let message = serde_json::to_vec(message).unwrap_or_default();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.socket.as_ref().is_some_and(|socket| send(socket, &message, flags).is_ok())
    }
}

fn understand(datagram: &[u8]) -> Heard {
    serde_json::from_slice(datagram).map_or(Heard::Garbage, Heard::Message)
}

/// A raw wait status in words.
pub(crate) fn payload_end(status: i32) -> PayloadEnd {
    let [low, high, ..] = status.to_le_bytes();
    match low & 0x7f {
        0 => PayloadEnd::Exited { code: high },
        signal => PayloadEnd::Signaled { signal },
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn wait_statuses_are_read_as_the_kernel_writes_them() {
        assert_eq!(payload_end(0), PayloadEnd::Exited { code: 0 });
        assert_eq!(payload_end(255 << 8), PayloadEnd::Exited { code: 255 });
        assert_eq!(payload_end(9), PayloadEnd::Signaled { signal: 9 });
        assert_eq!(payload_end(0x80 | 11), PayloadEnd::Signaled { signal: 11 }, "with a core dump");
    }

    #[test]
    fn garbage_is_garbage_and_the_end_is_final() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut status = Status::new(ours);
        assert_eq!(status.receive(), Heard::Nothing);
        let too_long = vec![b' '; MESSAGE_BYTES + 1];
        for garbage in [&b"{"[..], b"\xff\xff", b"{\"type\":\"exited\"}", b"[[[[[[[[[[[[", &too_long] {
            send(&theirs, garbage, SendFlags::empty()).unwrap();
            assert_eq!(status.receive(), Heard::Garbage);
        }
        send(&theirs, br#"{"type":"exited","status":256}"#, SendFlags::empty()).unwrap();
        assert_eq!(status.receive(), Heard::Message(InitMessage::Exited { status: 256 }));
        drop(theirs);
        assert_eq!(status.receive(), Heard::End);
        assert!(!status.signal(15));
        assert_eq!(status.receive(), Heard::End);
    }

    #[test]
    fn what_init_said_is_heard_also_if_it_did_not_listen() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut status = Status::new(ours);
        assert!(status.signal(15));
        send(&theirs, br#"{"type":"exited","status":256}"#, SendFlags::empty()).unwrap();
        drop(theirs);
        assert_eq!(status.receive(), Heard::Message(InitMessage::Exited { status: 256 }));
        assert_eq!(status.receive(), Heard::End);
    }
}
