//! One source of output: a pipe of the command or the master of its pty, read without blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read};

use crate::SupervisorError;
use crate::error::io_error;
use crate::inputs::Stream;

/// What may lie in a pipe or pty when its writers are dead: the largest pipe that an ordinary user can make.
const LEFT_OVER_BYTES: usize = 1 << 20;

pub(crate) struct Source {
    stream: Stream,
    fd: Option<OwnedFd>,
    /// A pty whose slaves are all closed: ready all the time, and yet not at its end while the box lives.
    resting: bool,
    is_pty: bool,
    /// Bytes that may still be read, once the box is dead.
    left_over: Option<usize>,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pull {
    Nothing,
    Bytes(usize),
    End,
}

impl Source {
    pub(crate) fn pipe(stream: Stream, fd: OwnedFd) -> Result<Self, SupervisorError> {
        set_nonblocking(&fd, "the command's output")?;
        Ok(Self { stream, fd: Some(fd), resting: false, is_pty: false, left_over: None })
    }

    pub(crate) fn pty(fd: OwnedFd) -> Result<Self, SupervisorError> {
        Ok(Self { is_pty: true, ..Self::pipe(Stream::Stdout, fd)? })
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    pub(super) fn fd_to_wait_for(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.resting && self.left_over.is_none()).map(AsFd::as_fd)
    }

    pub(super) fn is_open(&self) -> bool {
        self.fd.is_some()
    }

    pub(super) fn wake(&mut self) {
        self.resting = false;
    }

    pub(super) fn box_is_dead(&mut self) {
        self.left_over = Some(LEFT_OVER_BYTES);
    }

    pub(super) fn pull(&mut self, buffer: &mut [u8]) -> Pull {
        let Some(fd) = &self.fd else { return Pull::Nothing };
        let room = self.left_over.unwrap_or(usize::MAX).min(buffer.len());
        match read(fd, &mut buffer[..room]) {
            Err(Errno::INTR) => Pull::Nothing,
            Err(Errno::AGAIN) if self.left_over.is_none() => Pull::Nothing,
            Err(Errno::IO) if self.is_pty && self.left_over.is_none() => {
                self.resting = true;
                Pull::Nothing
            }
            Err(_) | Ok(0) => {
                self.fd = None;
                Pull::End
            }
            Ok(length) => {
                self.left_over = self.left_over.map(|left| left - length);
                Pull::Bytes(length)
            }
        }
    }
}

/// Only for descriptors whose open file description is testbox's own.
pub(super) fn set_nonblocking(fd: &OwnedFd, object: &'static str) -> Result<(), SupervisorError> {
    let failed = |errno| SupervisorError::Prepare { operation: "set O_NONBLOCK", object, source: io_error(errno) };
    let flags = fcntl_getfl(fd).map_err(failed)?;
    fcntl_setfl(fd, flags | OFlags::NONBLOCK).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_living_source_waits_and_a_dead_one_ends() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut source = Source::pipe(Stream::Stdout, reader.into()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(source.pull(&mut buffer), Pull::Nothing);
        writer.write_all(b"abc").unwrap();
        source.box_is_dead();
        assert_eq!(source.pull(&mut buffer), Pull::Bytes(3));
        assert_eq!(source.pull(&mut buffer), Pull::End, "the writer is open, but the box is dead");
        assert!(!source.is_open());
    }

    #[test]
    fn what_is_left_over_is_bounded_even_if_something_goes_on_writing() {
        let zeros = rustix::fs::open("/dev/zero", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty()).unwrap();
        let mut source = Source::pipe(Stream::Stdout, zeros).unwrap();
        source.box_is_dead();
        let (mut buffer, mut total) = (vec![0; 10_000], 0);
        while let Pull::Bytes(length) = source.pull(&mut buffer) {
            total += length;
        }
        assert_eq!(total, LEFT_OVER_BYTES);
    }

    #[test]
    fn a_pty_rests_while_no_slave_is_open() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut source = Source::pty(pty.master).unwrap();
        let mut buffer = [0; 64];
        drop(pty.slave);
        assert_eq!(source.pull(&mut buffer), Pull::Nothing);
        assert!(source.fd_to_wait_for().is_none());
        source.wake();
        assert!(source.fd_to_wait_for().is_some());
        source.box_is_dead();
        assert_eq!(source.pull(&mut buffer), Pull::End);
    }
}
