//! One outlet: a bounded queue before a descriptor of the user.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::io::Errno;
use testbox_model::Bytes;

use super::QUEUE_BYTES;
use super::sink::Sink;
use crate::SupervisorError;
use crate::inputs::Stream;

/// Pieces written in one go, so that other descriptors get their turn.
const PIECES: usize = 16;

pub(super) struct Outlet<'a> {
    stream: Stream,
    /// `None`: its reader is gone.
    sink: Option<Sink<'a>>,
    host: BorrowedFd<'a>,
    queue: VecDeque<u8>,
    last_byte: u8,
    last_progress: Instant,
    dropped: u64,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(stream: Stream, host: BorrowedFd<'a>) -> Result<Self, SupervisorError> {
        Ok(Self {
            stream,
            sink: Some(Sink::new(host, stream.name())?),
            host,
            queue: VecDeque::new(),
            last_byte: b'\n',
            last_progress: Instant::now(),
            dropped: 0,
        })
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.sink.as_ref().map_or(self.host, Sink::fd)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_BYTES
    }

    pub(super) fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    pub(super) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Queues bytes; without a reader they are dropped.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.last_byte = *last;
        match self.sink {
            Some(_) => self.queue.extend(bytes),
            None => self.dropped += bytes.len() as u64,
        }
    }

    /// Ends an unfinished line.
    pub(super) fn start_line(&mut self) {
        if self.last_byte != b'\n' {
            self.queue(b"\n");
        }
    }

    /// Writes what the reader takes; says so when the reader is gone.
    pub(super) fn push(&mut self, now: Instant) -> Option<String> {
        for _ in 0..PIECES {
            let (Some(sink), (front, _)) = (&self.sink, self.queue.as_slices()) else { return None };
            if front.is_empty() {
                return None;
            }
            match sink.write(front) {
                Ok(length) => {
                    self.queue.drain(..length);
                    self.last_progress = now;
                }
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => {}
                Err(errno) => return Some(self.lose(errno)),
            }
        }
        None
    }

    /// Gives up what is queued; says how much.
    pub(super) fn abandon(&mut self) -> Option<String> {
        let queued = self.drop_queue();
        (queued > 0).then(|| {
            format!("the reader of {} took nothing for too long; {} were dropped", self.stream.name(), Bytes(queued))
        })
    }

    fn lose(&mut self, errno: Errno) -> String {
        self.sink = None;
        self.drop_queue();
        let why = std::io::Error::from(errno);
        format!("cannot write to {} any more: {why}; the rest of the output was dropped", self.stream.name())
    }

    fn drop_queue(&mut self) -> u64 {
        let queued = self.queue.len() as u64;
        self.queue = VecDeque::new();
        self.dropped += queued;
        queued
    }
}
