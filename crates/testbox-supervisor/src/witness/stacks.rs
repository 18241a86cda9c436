//! Stack dumps: the pipe that an interpreter writes them to, and what they said.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use testbox_model::StackDump;
use testbox_pytest::calls;

/// Bytes of a dump that are kept; the innermost calls of the running thread come early.
const MAX_DUMP: usize = 256 << 10;
/// Bytes taken in one go.
const CHUNK: usize = 64 << 10;
/// Dumps are not closer than this: each interrupts the tests for some microseconds.
const PAUSE: Duration = Duration::from_millis(150);

/// The stacks of one interpreter.
pub(super) struct Stacks {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
    at_ms: u64,
    last: Option<Instant>,
    kept: Option<StackDump>,
}

impl Stacks {
    /// A pipe for dumps; the second value is the end that the interpreter gets.
    pub(super) fn new() -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok((Self { pipe: Some(reader), text: Vec::new(), at_ms: 0, last: None, kept: None }, writer))
    }

    /// The pipe to wait for.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads a piece of a dump; true if there may be more.
    pub(super) fn read(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut chunk = vec![0; CHUNK];
        match rustix::io::read(pipe, chunk.as_mut_slice()) {
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Err(_) | Ok(0) => {
                self.pipe = None;
                false
            }
            Ok(length) => {
                let room = MAX_DUMP.saturating_sub(self.text.len());
                self.text.extend_from_slice(&chunk[..length.min(room)]);
                self.text.len() < MAX_DUMP
            }
        }
    }

    /// Whether it is time for another dump; the caller sends the signal.
    pub(super) fn ask(&mut self, now: Instant, at_ms: u64) -> bool {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return false;
        }
        self.keep();
        (self.last, self.at_ms) = (Some(now), at_ms);
        true
    }

    /// Another test begins: what was seen before is not where it was.
    pub(super) fn forget(&mut self) {
        while self.read() {}
        self.text.clear();
        (self.kept, self.last) = (None, None);
    }

    /// What the last dump that said something said.
    pub(super) fn take(&mut self) -> Option<StackDump> {
        while self.read() {}
        self.keep();
        self.kept.take()
    }

    /// A dump that says something takes the place of the one before.
    fn keep(&mut self) {
        let calls = calls(&String::from_utf8_lossy(&self.text));
        if !calls.is_empty() {
            self.kept = Some(StackDump { at_ms: self.at_ms, calls });
        }
        self.text.clear();
    }
}
