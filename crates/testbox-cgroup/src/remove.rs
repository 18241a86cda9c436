//! Removes the directories of a box when nobody is in them any more, and leaves no dead group in the kernel.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::group::BoxGroup;
use crate::wait::{Backoff, wait};
use crate::{CgroupError, kernel, processes};

impl BoxGroup {
    /// Waits until the box is empty, gives its memory back and removes the directories; those that are gone already are
    /// fine. Kills nobody.
    ///
    /// # Errors
    /// Something is left at `deadline`; the error names it.
    pub fn remove(&self, deadline: Instant) -> Result<(), CgroupError> {
        self.wait_empty(deadline)?;
        self.reclaim()?;
        for directory in &self.directories {
            for group in processes::groups(&directory.path)? {
                self.remove_one(&group, deadline)?;
            }
        }
        Ok(())
    }

    /// Waits until nobody is in the box. Kills nobody.
    ///
    /// # Errors
    /// Somebody is left at `deadline`; the error names it.
    pub fn wait_empty(&self, deadline: Instant) -> Result<(), CgroupError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let pids = self.pids()?;
            let Some(first) = pids.last().copied() else { return Ok(()) };
            let Some(pause) = backoff.next() else { return Err(self.not_empty()?) };
            self.wait_change(first, pause, deadline)
                .map_err(|source| CgroupError::Read { path: self.directories[0].path.clone(), source })?;
        }
    }

    /// Until the box may have become empty: v2 says so itself, v1 through the end of one of its processes.
    fn wait_change(&self, pid: i32, pause: Duration, deadline: Instant) -> io::Result<()> {
        if let Some(events) = self.directories.iter().find(|directory| directory.unified) {
            let events = kernel::open_file(&events.path.join("cgroup.events"))?;
            let populated = io::read_to_string(&events)?.lines().any(|line| line == "populated 1");
            let left = deadline.saturating_duration_since(Instant::now());
            return if populated { wait(Some(events.as_fd()), PollFlags::PRI, left) } else { Ok(()) };
        }
        let pidfd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        wait(pidfd.as_ref().map(AsFd::as_fd), PollFlags::IN, pause)
    }

    /// Page cache that is still charged would keep the removed group alive in the kernel, each group below it as well.
    /// Best effort: what cannot be given back costs the host memory for a while, but no process of the box is left that
    /// could use it.
    pub(crate) fn reclaim(&self) -> Result<(), CgroupError> {
        let Some(memory) = &self.parts.memory else { return Ok(()) };
        for group in processes::groups(&memory.path)? {
            self.reclaim_one(&group, memory.unified);
        }
        Ok(())
    }

    fn reclaim_one(&self, group: &Path, unified: bool) {
        if !unified {
            let _ = (self.kernel.write)(&group.join("memory.force_empty"), "0");
            return;
        }
        let used = kernel::read(&group.join("memory.current")).unwrap_or_default();
        if !matches!(used.trim_ascii(), "" | "0") {
            let _ = (self.kernel.write)(&group.join("memory.reclaim"), used.trim_ascii());
        }
    }

    fn remove_one(&self, group: &Path, deadline: Instant) -> Result<(), CgroupError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let source = match (self.kernel.rmdir)(group) {
                Ok(()) => return Ok(()),
                Err(source) => source,
            };
            let failed = |source| Err(CgroupError::Remove { path: group.to_owned(), source });
            match (Errno::from_io_error(&source), backoff.next()) {
                (Some(Errno::NOENT), _) => return Ok(()),
                (Some(Errno::BUSY), Some(pause)) => wait(None, PollFlags::empty(), pause).or_else(failed)?,
                _ => return failed(source),
            }
        }
    }
}
