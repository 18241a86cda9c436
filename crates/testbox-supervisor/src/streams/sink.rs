//! Writing to the user's descriptors without ever blocking and without changing them.
//!
//! O_NONBLOCK belongs to the open file description, which the user's shell and other processes share. So a pipe or
//! terminal is opened anew through proc, with a description of its own; a socket is written with MSG_DONTWAIT; all else,
//! and what cannot be opened anew, is written in pieces that a ready pipe has room for, after asking whether it is ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, major, openat};
use rustix::io::{Errno, write};
use rustix::net::{SendFlags, send};

use crate::SupervisorError;
use crate::error::io_error;

/// A ready pipe takes so much without blocking (PIPE_BUF).
const PIECE_BYTES: usize = 4096;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

pub(super) struct Sink<'a> {
    host: BorrowedFd<'a>,
    way: Way,
}

enum Way {
    OwnDescription(OwnedFd),
    Socket,
    Pieces,
}

impl<'a> Sink<'a> {
    pub(super) fn new(host: BorrowedFd<'a>, object: &'static str) -> Result<Self, SupervisorError> {
        let stat = fstat(host).map_err(|errno| SupervisorError::Prepare {
            operation: "read the file type",
            object,
            source: io_error(errno),
        })?;
        let way = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Way::Socket,
            FileType::Fifo => open_anew(host),
            FileType::CharacterDevice if is_terminal_end(&stat) => open_anew(host),
            _ => Way::Pieces,
        };
        Ok(Self { host, way })
    }

    /// The descriptor to wait for.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::OwnDescription(fd) => fd.as_fd(),
            Way::Socket | Way::Pieces => self.host,
        }
    }

    /// Writes some of `bytes`; EAGAIN if the reader takes nothing now.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        match &self.way {
            Way::OwnDescription(fd) => write(fd, piece),
            Way::Socket => send(self.host, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Pieces if self.is_ready()? => write(self.host, piece),
            Way::Pieces => Err(Errno::AGAIN),
        }
    }

    fn is_ready(&self) -> Result<bool, Errno> {
        Ok(poll(&mut [PollFd::new(&self.host, PollFlags::OUT)], Some(&NOW))? > 0)
    }
}

fn open_anew(host: BorrowedFd<'_>) -> Way {
    let path = format!("/proc/self/fd/{}", host.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_or(Way::Pieces, Way::OwnDescription)
}

/// The slave of a pty, a console or a serial line; opening a master anew would make another pty.
fn is_terminal_end(stat: &Stat) -> bool {
    matches!(major(stat.st_rdev), 4 | 136..=143)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use rustix::fs::fcntl_getfl;

    use super::*;

    /// Fills a descriptor whose reader takes nothing; returns at all only if it never blocks.
    fn fill(sink: &Sink<'_>) -> usize {
        let mut total = 0;
        loop {
            match sink.write(&[b'x'; 10_000]) {
                Ok(length) => total += length,
                Err(errno) => {
                    assert_eq!(errno, Errno::AGAIN);
                    return total;
                }
            }
        }
    }

    #[test]
    fn a_full_pipe_does_not_block_and_keeps_its_flags() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        for way in [None, Some(Way::Pieces)] {
            let mut sink = Sink::new(writer.as_fd(), "stdout").unwrap();
            sink.way = way.unwrap_or(sink.way);
            let total = fill(&sink);
            assert!(total >= PIECE_BYTES, "{total}");
            let mut taken = vec![0; total];
            reader.read_exact(&mut taken).unwrap();
        }
        assert!(!fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_full_socket_and_a_stopped_terminal_do_not_block() {
        let (socket, _other) = UnixStream::pair().unwrap();
        fill(&Sink::new(socket.as_fd(), "stdout").unwrap());
        let pty = nix::pty::openpty(None, None).unwrap();
        fill(&Sink::new(pty.slave.as_fd(), "stdout").unwrap());
        assert!(!fcntl_getfl(&pty.slave).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = std::io::pipe().unwrap();
        let sink = Sink::new(writer.as_fd(), "stdout").unwrap();
        drop(reader);
        assert_eq!(sink.write(b"x"), Err(Errno::PIPE));
    }

    #[test]
    fn a_file_keeps_its_position() {
        let file = tempfile::tempfile().unwrap();
        let sink = Sink::new(file.as_fd(), "stdout").unwrap();
        sink.write(b"one ").unwrap();
        write(&file, b"two ").unwrap();
        sink.write(b"three").unwrap();
        assert_eq!(rustix::fs::tell(&file).unwrap(), 13);
    }
}
