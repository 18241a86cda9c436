//! The cgroups of one box behind one type, whatever the hierarchies are.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use testbox_model::WallReport;

use crate::{BoxId, CgroupError, Counters, Demand, Host, Usage};

/// The cgroups of one box: one directory in each hierarchy that guards or counts something, none in degraded mode.
#[derive(Debug)]
pub struct BoxGroup {
    walls: Vec<WallReport>,
}

impl BoxGroup {
    /// Makes the directories of a box, writes the limits, reads them back.
    ///
    /// # Errors
    /// A wall cannot be built and is not in `demand.allow_degraded`; nothing is left then.
    pub fn create(host: &Host, id: &BoxId, demand: &Demand) -> Result<Self, CgroupError> {
        let _ = (host, id, demand);
        unimplemented!()
    }

    /// The directories of a box that exist already, to kill and remove them: for the process that survives the owner.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn find(host: &Host, id: &BoxId) -> Result<Option<Self>, CgroupError> {
        let _ = (host, id);
        unimplemented!()
    }

    /// What stands of the walls memory, pids, cpu and io.
    pub fn walls(&self) -> &[WallReport] {
        &self.walls
    }

    /// The directories, outermost first.
    pub fn paths(&self) -> Vec<PathBuf> {
        unimplemented!()
    }

    /// Write-only descriptors of `cgroup.procs` of each directory: a single-threaded child that writes `0` to each of
    /// them is in the box. Close-on-exec.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn attach_fds(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        unimplemented!()
    }

    /// What `/proc/PID/cgroup` of a member shows: (controllers field, path) of each hierarchy.
    pub fn membership(&self) -> Vec<(String, String)> {
        unimplemented!()
    }

    /// Compares `/proc/PID/cgroup` below `root` with [`BoxGroup::membership`].
    ///
    /// # Errors
    /// The process is gone or is not in one of the directories.
    pub fn verify_member(&self, root: &Path, pid: i32) -> Result<(), CgroupError> {
        let _ = (root, pid);
        unimplemented!()
    }

    /// A cheap sample: three reads of open files.
    pub fn usage(&self) -> Usage {
        unimplemented!()
    }

    /// Everything that the kernel counted so far; call it before [`BoxGroup::remove`].
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }

    /// A descriptor that becomes readable when the kernel meets the memory limit and kills. Non-blocking; reading up to
    /// 4096 bytes clears it. `None` without a memory group.
    ///
    /// # Errors
    /// The notification cannot be set up.
    pub fn oom_event_fd(&self) -> Result<Option<OwnedFd>, CgroupError> {
        unimplemented!()
    }

    /// A descriptor that becomes readable when the memory in use crosses `bytes`, up or down. `None` on v2, which has no
    /// such notification.
    ///
    /// # Errors
    /// The notification cannot be set up.
    pub fn memory_threshold_fd(&self, bytes: u64) -> Result<Option<OwnedFd>, CgroupError> {
        let _ = bytes;
        unimplemented!()
    }

    /// Pids of the processes in the box, ascending.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        unimplemented!()
    }

    /// Whether no process is in the box.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn is_empty(&self) -> Result<bool, CgroupError> {
        unimplemented!()
    }

    /// Kills every process in the box, fork chains too.
    ///
    /// # Errors
    /// A process cannot be signalled, or the box does not become empty within 5 seconds.
    pub fn kill(&self) -> Result<(), CgroupError> {
        unimplemented!()
    }

    /// Waits until the box is empty, gives its memory back and removes the directories; those that are gone already are
    /// fine.
    ///
    /// # Errors
    /// Something is left at `deadline`; the error names it.
    pub fn remove(&self, deadline: Instant) -> Result<(), CgroupError> {
        let _ = deadline;
        unimplemented!()
    }
}
