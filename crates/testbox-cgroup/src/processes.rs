//! Which processes are in a box, groups below it included.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::group::BoxGroup;
use crate::{CgroupError, kernel};

impl BoxGroup {
    /// Pids of the processes in the box, ascending. Processes of a pid namespace that the caller cannot see are missing
    /// here, but count in [`BoxGroup::is_empty`].
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        Ok(self.pids()?.into_iter().filter(|pid| *pid > 0).collect())
    }

    /// Whether no process is in the box.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn is_empty(&self) -> Result<bool, CgroupError> {
        Ok(self.pids()?.is_empty())
    }

    /// All pids in ascending order; 0 stands for processes that the caller cannot see.
    pub(crate) fn pids(&self) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for directory in &self.directories {
            let groups = if self.flat { vec![directory.path.clone()] } else { groups(&directory.path)? };
            for group in groups {
                pids.extend(members(&group)?);
            }
        }
        Ok(pids)
    }
}

/// A directory and all below it, the deepest first; none if it is gone.
pub(crate) fn groups(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CgroupError::Read { path: directory.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(groups(&entry.path())?);
        }
    }
    found.push(directory.to_owned());
    Ok(found)
}

fn members(group: &Path) -> Result<Vec<i32>, CgroupError> {
    let path = group.join("cgroup.procs");
    match kernel::read(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        // Removed meanwhile, by the reaper or by `gc`: nobody is in it.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NODEV)) => Ok(Vec::new()),
        Err(source) => Err(CgroupError::Read { path, source }),
    }
}
