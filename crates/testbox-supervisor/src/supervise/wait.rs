//! What the loop waits for: descriptors, in the order in which they are served, and the next deadline.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Phase, Supervisor};
use crate::SupervisorError;
use crate::error::io_error;
use crate::inputs::Stream;

/// A descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Status,
    Init,
    Signals,
    Oom,
    Alarm,
    Witness,
    Orders,
    Stack,
    WorkerStack(u32),
    WorkerAlarm(u32),
    Source(Stream),
    Outlet(Stream),
    HostInput,
    CommandInput,
}

type Interest<'f> = (Ready, BorrowedFd<'f>, PollFlags);

impl Supervisor<'_, '_> {
    /// Waits for descriptors or the next deadline.
    pub(super) fn wait(&self) -> Result<Vec<Ready>, SupervisorError> {
        let now = Instant::now();
        let interests = self.interests(now);
        let mut fds: Vec<PollFd<'_>> =
            interests.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        match poll(&mut fds, self.timeout(now).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(SupervisorError::Poll { count: interests.len(), source: io_error(errno) }),
        }
        let ready = interests.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((ready, ..), _)| *ready).collect())
    }

    fn interests(&self, now: Instant) -> Vec<Interest<'_>> {
        let mut interests = Vec::with_capacity(12);
        interests.extend(self.status.fd().map(|fd| (Ready::Status, fd, PollFlags::IN)));
        if !matches!(self.phase, Phase::Flushing { .. }) {
            interests.push((Ready::Init, self.init.fd(), PollFlags::IN));
        }
        interests.push((Ready::Signals, self.signals.fd(), PollFlags::IN));
        interests.extend(self.oom_interest(now));
        interests.extend(self.witness.fd().map(|fd| (Ready::Witness, fd, PollFlags::IN)));
        interests.extend(self.witness.fd_to_write().map(|fd| (Ready::Orders, fd, PollFlags::OUT)));
        interests.extend(self.witness.stack_fd().map(|fd| (Ready::Stack, fd, PollFlags::IN)));
        interests.extend(self.witness.worker_stack_fds().map(|(w, fd)| (Ready::WorkerStack(w), fd, PollFlags::IN)));
        if self.phase == Phase::Running {
            interests
                .extend(self.witness.worker_alarm_fds().map(|(w, (fd, flags))| (Ready::WorkerAlarm(w), fd, flags)));
            let alarms = self.sampler.meter().alarm_fds().into_iter();
            interests.extend(alarms.map(|(fd, flags)| (Ready::Alarm, fd, flags)));
        }
        interests.extend(self.output.readable().map(|(stream, fd)| (Ready::Source(stream), fd, PollFlags::IN)));
        interests.extend(self.output.writable().map(|(stream, fd)| (Ready::Outlet(stream), fd, PollFlags::OUT)));
        interests.extend(self.input.readable().map(|fd| (Ready::HostInput, fd, PollFlags::IN)));
        interests.extend(self.input.writable().map(|fd| (Ready::CommandInput, fd, PollFlags::OUT)));
        interests
    }

    fn oom_interest(&self, now: Instant) -> Option<Interest<'_>> {
        let (fd, flags) = self.sampler.meter().oom_fd()?;
        (self.phase == Phase::Running && self.sampler.hears_oom(now)).then_some((Ready::Oom, fd, flags))
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        self.deadline(now).saturating_duration_since(now).try_into().ok()
    }

    fn deadline(&self, now: Instant) -> Instant {
        match self.phase {
            Phase::Running => {
                let timers = if self.stopper.stop().is_none() { Some(self.timers.next(now)) } else { None };
                let deadlines = [timers, self.stopper.kill_at(), self.witness.next(now)].into_iter().flatten();
                deadlines.fold(self.sampler.next(), Instant::min)
            }
            Phase::Lingering { quiet_since, until } => until.min(quiet_since + self.pace.linger_quiet),
            Phase::Dying { give_up } => give_up,
            Phase::Flushing { since } => self.flush_deadline(since),
            Phase::Over => now,
        }
    }
}
