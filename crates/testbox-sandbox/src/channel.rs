//! The status socket: JSON datagrams, with descriptors where a message carries them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use testbox_model::InitMessage;

use crate::error::StepFailure;

/// The largest datagram, in bytes; longer details are cut.
const MAX_MESSAGE: usize = 64 * 1024;
/// The largest number of descriptors in one message.
const MAX_DESCRIPTORS: usize = 8;

/// One end of the status socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, both close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), Self(theirs)))
    }

    /// The end of a socket that was made elsewhere.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Sends one message with its descriptors.
    pub fn send<M: Serialize>(&self, message: &M, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message with its descriptors; `None` when the other side is gone.
    pub fn receive<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        let mut bytes = vec![0u8; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let mut take = || rustix::net::recvmsg(&self.0, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC);
        let received = match take() {
            // The other side went without having read everything; what it said before is still there, and is next.
            Err(rustix::io::Errno::CONNRESET) => take(),
            received => received,
        }?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        match received.bytes {
            0 => Ok(None),
            length => Ok(Some((serde_json::from_slice(&bytes[..length])?, descriptors))),
        }
    }

    /// Reports a failed step; if even that fails there is nobody left to tell.
    pub(crate) fn report(&self, failure: StepFailure) {
        let mut detail = failure.detail;
        detail.truncate(detail.floor_char_boundary(MAX_MESSAGE / 4));
        let message = InitMessage::Failed { step: failure.step, errno: failure.errno, detail };
        drop(self.send(&message, &[]));
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use testbox_model::SupervisorMessage;

    use super::*;

    #[test]
    fn the_last_words_of_one_who_did_not_listen_are_heard() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(&SupervisorMessage::Start, &[]).unwrap();
        theirs.send(&InitMessage::Created { pid: 7 }, &[]).unwrap();
        drop(theirs);
        let (heard, _) = ours.receive::<InitMessage>().unwrap().unwrap();
        assert_eq!(heard, InitMessage::Created { pid: 7 });
        assert!(ours.receive::<InitMessage>().unwrap().is_none());
    }
}
