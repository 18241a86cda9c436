//! Waiting on descriptors, always with a bound.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until `fd` reports one of `flags`, or for `at_most`; `None` waits for the time alone.
pub(crate) fn wait(fd: Option<BorrowedFd<'_>>, flags: PollFlags, at_most: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    let mut fds: Vec<PollFd<'_>> = fd.map(|fd| PollFd::from_borrowed_fd(fd, flags)).into_iter().collect();
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Pauses that grow from 0.25 ms to 8 ms, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    /// The first pause is the shortest.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { next: Duration::from_micros(250), deadline }
    }

    /// What the next pause should take at most; `None` when the deadline has passed.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(Duration::from_millis(8));
        (!left.is_zero()).then_some(pause)
    }
}
