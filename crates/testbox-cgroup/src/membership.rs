//! Who is in a box: the way in, and the proof that somebody is.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::group::BoxGroup;
use crate::{CgroupError, kernel, proc_cgroup};

impl BoxGroup {
    /// Write-only descriptors of the file of members of each directory: a single-threaded child that writes `0` to
    /// each of them is in the box. Close-on-exec.
    ///
    /// In v1 that file is `tasks`: a thread that moves itself waits for nobody, while `cgroup.procs` takes a lock of the
    /// whole machine and with it an RCU grace period (cgroup_procs_write_start() in the kernel; 3 to 15 ms measured).
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn attach_fds(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        let open =
            |path: std::path::PathBuf| kernel::open_write(&path).map_err(|source| CgroupError::Join { path, source });
        self.directories.iter().map(|directory| open(directory.members())).collect()
    }

    /// A descriptor of the directory in which a process of the box can be born (CLONE_INTO_CGROUP of clone3(2)): there a
    /// member waits for nobody, while every way to move one takes that lock on cgroup v2. `None` where a box has groups
    /// in other hierarchies. Close-on-exec.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn birthplace(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let [directory] = &self.directories[..] else { return Ok(None) };
        let open = |path: std::path::PathBuf| {
            kernel::open_directory(&path).map_err(|source| CgroupError::Join { path, source })
        };
        directory.unified.then(|| open(directory.folder())).transpose()
    }

    /// What `/proc/PID/cgroup` of a member shows: (controllers field, path) of each hierarchy.
    pub fn membership(&self) -> Vec<(String, String)> {
        self.directories.iter().map(|directory| (directory.key.clone(), directory.members_path())).collect()
    }

    /// Compares `/proc/PID/cgroup` below `root` with [`BoxGroup::membership`].
    ///
    /// # Errors
    /// The process is gone or is not in one of the directories.
    pub fn verify_member(&self, root: &Path, pid: i32) -> Result<(), CgroupError> {
        verify_member(&self.membership(), root, pid)
    }
}

/// As [`BoxGroup::verify_member`], for a process that knows only the [`BoxGroup::membership`] of the box.
///
/// # Errors
/// The process is gone or is not in one of the directories.
pub fn verify_member(membership: &[(String, String)], root: &Path, pid: i32) -> Result<(), CgroupError> {
    let path = root.join(format!("proc/{pid}/cgroup"));
    let text = kernel::read(&path).map_err(|source| CgroupError::Read { path: path.clone(), source })?;
    let lines = proc_cgroup::parse(&text).map_err(|text| CgroupError::Malformed { path, text })?;
    for (key, path) in membership {
        let found = lines.iter().find(|line| line.controllers == *key).map(|line| line.path.as_str());
        if found != Some(path) {
            let found = found.map(|path| format!("{key}:{path}")).unwrap_or_default();
            return Err(CgroupError::NotMember { pid, expected: format!("{key}:{path}"), found });
        }
    }
    Ok(())
}
