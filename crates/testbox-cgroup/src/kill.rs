//! Kills everything in a box: by the kernel at once on v2, else by pidfd after new processes have become impossible.
//!
//! Never by plain pid: between reading the list and the signal a pid can belong to another process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::group::BoxGroup;
use crate::wait::{Backoff, wait};
use crate::{CgroupError, counting, kernel};

/// How long the kernel may take to end processes that were killed; only uninterruptible sleep takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

impl BoxGroup {
    /// Kills every process in the box, fork chains too, and returns when none is left.
    ///
    /// From then on no process can be made in it. Counters of refused forks stay as they were before.
    ///
    /// # Errors
    /// A process cannot be signalled, or the box does not become empty within 5 seconds.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let mut backoff = Backoff::until(Instant::now() + PATIENCE);
        loop {
            let killed = self.kill_once()?;
            if self.is_empty()? {
                return Ok(());
            }
            let Some(pause) = backoff.next() else { return Err(self.not_empty()?) };
            // One of them is enough: most end together, and the next look tells.
            let first = killed.first().map(AsFd::as_fd);
            let path = || self.directories[0].path.clone();
            wait(first, PollFlags::IN, pause).map_err(|source| CgroupError::Read { path: path(), source })?;
        }
    }

    /// One pass over the processes; returns descriptors of those that were killed. No process can be made from then on.
    pub(crate) fn kill_once(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        self.forbid_forks();
        self.kill_by_kernel();
        self.kill_by_pidfd()
    }

    /// What a fork chain needs is the next fork.
    fn forbid_forks(&self) {
        if let Some(part) = &self.parts.pids {
            self.refused_before_kill.get_or_init(|| counting::refused_forks(part));
            // Where this fails, the passes repeat until nothing is left.
            let _ = (self.kernel.write)(&part.path.join("pids.max"), "0");
        }
    }

    /// v2 since Linux 5.14; elsewhere there is no such file.
    fn kill_by_kernel(&self) {
        for directory in self.directories.iter().filter(|directory| directory.unified) {
            let _ = (self.kernel.write)(&directory.path.join("cgroup.kill"), "1");
        }
    }

    /// One pass over the list; returns descriptors of those that were killed.
    fn kill_by_pidfd(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        let mut killed = Vec::new();
        for pid in self.processes()? {
            killed.extend(self.kill_one(pid)?);
        }
        Ok(killed)
    }

    fn kill_one(&self, pid: i32) -> Result<Option<OwnedFd>, CgroupError> {
        let failed =
            |errno: Errno| CgroupError::Kill { pid, path: self.directories[0].path.clone(), source: errno.into() };
        let Some(valid) = Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match pidfd_open(valid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // ESRCH: it is gone. EINVAL: the pid was used again, for a thread.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        // The descriptor is fixed now: if the pid is a member's, the descriptor is either that member's or a dead one's.
        if !self.is_member(pid) {
            return Ok(None);
        }
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Ok(()) => Ok(Some(pidfd)),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// In one of the directories, or below it.
    pub(crate) fn is_member(&self, pid: i32) -> bool {
        let Ok(text) = kernel::read(&self.root.join(format!("proc/{pid}/cgroup"))) else { return false };
        let lines = crate::proc_cgroup::parse(&text).unwrap_or_default();
        self.directories.iter().any(|directory| {
            let mut same = lines.iter().filter(|line| line.controllers == directory.key);
            same.any(|line| Path::new(&line.path).starts_with(&directory.group_path))
        })
    }

    /// Names what is left.
    pub(crate) fn not_empty(&self) -> Result<CgroupError, CgroupError> {
        let name = |pid: i32| match pid {
            0 => "processes of another pid namespace".to_owned(),
            pid => {
                let command = kernel::read(&self.root.join(format!("proc/{pid}/comm"))).unwrap_or_default();
                format!("{pid} ({})", command.trim_ascii_end())
            }
        };
        let left = self.pids()?.into_iter().map(name).collect();
        Ok(CgroupError::NotEmpty { path: self.directories[0].path.clone(), left })
    }
}
