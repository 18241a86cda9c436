//! The socket to the plugin: frames in, orders out. Never blocks; what cannot be sent at once is queued, with a bound.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use testbox_pytest::{Decoder, Frame, Order, WireError};

/// Bytes taken in one go, so that other descriptors get their turn.
const CHUNK: usize = 64 << 10;
/// Descriptors that come with one order, at most.
const MOST_FDS: usize = 32;
/// Orders and bytes that wait to be sent, at most: a plugin that reads nothing is not talked to any longer.
const MOST_QUEUED: usize = 256;
const MOST_QUEUED_BYTES: usize = 4 << 20;

/// The socket, as long as both sides keep to the protocol.
pub(super) struct Channel {
    socket: Option<OwnedFd>,
    decoder: Decoder,
    /// Whole frames may still lie in the decoder.
    backlog: bool,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
}

struct Queued {
    bytes: Vec<u8>,
    sent: usize,
    /// They go with the first byte.
    fds: Vec<OwnedFd>,
}

/// Why the plugin is no longer listened to.
#[derive(Debug, thiserror::Error)]
pub(super) enum HangUp {
    /// It said what it would not say.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// It does not read what it is told.
    #[error("it does not read its orders")]
    Deaf,
}

impl Channel {
    pub(super) fn new(socket: Option<OwnedFd>) -> Self {
        Self { socket, decoder: Decoder::default(), backlog: false, queue: VecDeque::new(), queued_bytes: 0 }
    }

    /// The socket, to wait for frames.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// The socket, to wait for room for orders, if some wait.
    pub(super) fn fd_to_write(&self) -> Option<BorrowedFd<'_>> {
        self.fd().filter(|_| !self.queue.is_empty())
    }

    /// Frames were received that nobody took yet.
    pub(super) fn has_backlog(&self) -> bool {
        self.backlog
    }

    /// Nothing is said or heard any more.
    pub(super) fn close(&mut self) {
        self.socket = None;
        self.backlog = false;
        self.queue.clear();
    }

    /// Takes bytes off the socket, unless frames are left from before.
    pub(super) fn receive(&mut self) {
        let Some(socket) = self.socket.as_ref().filter(|_| !self.backlog) else { return };
        let mut chunk = vec![0; CHUNK];
        match recv(socket, chunk.as_mut_slice(), RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) | Ok((0, _)) => self.close(),
            Ok((length, _)) => {
                self.decoder.feed(&chunk[..length]);
                self.backlog = true;
            }
        }
    }

    /// The next frame of those that were received.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, HangUp> {
        if !self.backlog {
            return Ok(None);
        }
        let frame = self.decoder.next()?;
        self.backlog = frame.is_some();
        Ok(frame)
    }

    /// Sends an order, or queues it. After the end of the conversation nobody is there to be told.
    pub(super) fn send(&mut self, order: &Order, fds: Vec<OwnedFd>) -> Result<(), HangUp> {
        let bytes = order.frame();
        self.queued_bytes += bytes.len();
        self.queue.push_back(Queued { bytes, sent: 0, fds });
        self.flush();
        let full = self.queue.len() > MOST_QUEUED || self.queued_bytes > MOST_QUEUED_BYTES;
        if full { Err(HangUp::Deaf) } else { Ok(()) }
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) {
        while let (Some(socket), Some(first)) = (&self.socket, self.queue.front_mut()) {
            match first.send(socket) {
                Ok(sent) => self.queued_bytes -= sent,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The reader is gone; what it said before may still be heard.
                Err(_) => self.queue.clear(),
            }
            if self.queue.front().is_some_and(Queued::is_sent) {
                self.queue.pop_front();
            }
        }
        if self.queue.is_empty() {
            self.queued_bytes = 0;
        }
    }
}

impl Queued {
    fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn send(&mut self, socket: &OwnedFd) -> Result<usize, Errno> {
        let fds: Vec<BorrowedFd<'_>> = self.fds.iter().take(MOST_FDS).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sendmsg(socket, &[IoSlice::new(&self.bytes[self.sent..])], &mut control, flags)?;
        self.sent += sent;
        if sent > 0 {
            self.fds.clear();
        }
        Ok(sent)
    }
}
