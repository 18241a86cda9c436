//! main's side of fuse-overlayfs: a child of main that is killed and reaped with the box.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid};

/// fuse-overlayfs at work. Killed and reaped when it is dropped.
#[derive(Debug)]
#[must_use = "it is killed when this is dropped"]
pub struct Daemon {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Daemon {
    /// The child of main that has this pid.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let known = rustix::process::Pid::from_raw(pid).ok_or_else(|| io::Error::other("the launcher sent pid 0"))?;
        Ok(Self { pid, pidfd: pidfd_open(known, PidfdFlags::empty())?, reaped: false })
    }

    /// Its pid, and a pidfd of it.
    pub(crate) fn known_as(&self) -> io::Result<(i32, OwnedFd)> {
        Ok((self.pid, self.pidfd.try_clone()?))
    }

    /// How it ended, if it did before it had nothing more to do: `exit status 1`, `signal 9`.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
        self.reaped = true;
        let signal = status.terminating_signal().map(|signal| format!("signal {signal}"));
        // It ends by itself, with success, when nobody has its mount any more.
        let code = status.exit_status().filter(|code| *code != 0);
        signal.or_else(|| code.map(|code| format!("exit status {code}")))
    }

    fn wait(&self, how: WaitIdOptions) -> Option<WaitIdStatus> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), how) {
                Err(rustix::io::Errno::INTR) => {}
                waited => return waited.ok().flatten(),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.reaped {
            let _gone_already = pidfd_send_signal(&self.pidfd, Signal::KILL);
            self.wait(WaitIdOptions::EXITED);
        }
    }
}
