//! The in-box init as seen from outside: killed and reaped through its pidfd, never by number.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use testbox_model::BoxEnd;

use crate::SupervisorError;
use crate::error::io_error;

/// How long a dropped init is waited for after its kill.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

/// The init of the box. Dropping it unreaped ends it, and the box with it.
pub(crate) struct Init {
    pidfd: OwnedFd,
    end: BoxEnd,
    helper: Option<OwnedFd>,
    helper_lasted: Cell<bool>,
    reaped: bool,
}

impl Init {
    pub(crate) fn new(pidfd: OwnedFd, end: BoxEnd, helper: Option<OwnedFd>) -> Self {
        Self { pidfd, end, helper, helper_lasted: Cell::new(false), reaped: false }
    }

    /// The helper lived until it was killed with the box.
    pub(crate) fn helper_lasted(&self) -> bool {
        self.helper_lasted.get()
    }

    /// Becomes readable when init is dead and with it every process of the box.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// It does not die: it is not waited for any more.
    pub(crate) fn let_go(&mut self) {
        self.reaped = true;
    }

    /// Its pid in this pid namespace, while it lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        use std::os::fd::AsRawFd;
        let info = fs_err::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd())).ok()?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        pid.trim().parse().ok().filter(|pid| *pid > 0)
    }

    /// Ends the box. An init that is dead already is no error.
    pub(crate) fn kill(&self) {
        let signal = match self.end {
            BoxEnd::ByKernel => Signal::KILL,
            BoxEnd::ByInit => Signal::TERM,
        };
        if !self.reaped {
            let _dead_already = pidfd_send_signal(&self.pidfd, signal);
        }
        if let Some(helper) = &self.helper {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let lives = poll(&mut [PollFd::new(helper, PollFlags::IN)], Some(&now)) == Ok(0);
            self.helper_lasted.set(self.helper_lasted.get() || lives);
            let _dead_already = pidfd_send_signal(helper, Signal::KILL);
        }
    }

    /// Takes the wait status if init is dead; true if it is.
    pub(crate) fn reap(&mut self) -> Result<bool, SupervisorError> {
        while !self.reaped {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::CHILD) => self.reaped = true,
                Ok(None) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(SupervisorError::Reap { source: io_error(errno) }),
            }
        }
        Ok(true)
    }

    fn wait_until(&self, deadline: Instant) {
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let timeout = left.try_into().ok();
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timeout.as_ref()) {
                Err(Errno::INTR) => {}
                _ => return,
            }
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.wait_until(Instant::now() + DROP_PATIENCE);
            let _unreapable = self.reap();
        }
    }
}
