//! Which cgroup hierarchies this machine has, and where the caller sits in them.

use std::path::{Path, PathBuf};

use crate::{BoxId, CgroupError};

/// How the controllers are spread over the two cgroup interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Only v1 hierarchies.
    V1,
    /// Only the unified hierarchy.
    V2,
    /// Both are mounted.
    Hybrid,
    /// No cgroup file system is mounted.
    None,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The unified hierarchy (v2).
    pub unified: bool,
    /// The controllers that this hierarchy has, as the kernel names them.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The caller's own group, if it is visible below the mount point.
    pub own: Option<PathBuf>,
    /// The mount is read-only.
    pub read_only: bool,
}

/// The cgroup hierarchies of a machine as the caller sees them.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// Reads `proc/self/mountinfo` and `proc/self/cgroup` below `root` (`/` on a real machine).
    ///
    /// # Errors
    /// One of these files cannot be read or does not have the kernel's form.
    pub fn detect(root: &Path) -> Result<Self, CgroupError> {
        Ok(Self { root: root.to_owned() })
    }

    /// The directory that all paths start at.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which interfaces are mounted.
    pub fn version(&self) -> Version {
        unimplemented!()
    }

    /// The mounted hierarchies.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        unimplemented!()
    }

    /// The hierarchy that has `controller` (`memory`, `pids`, `cpu`, `cpuacct`, `io` or `blkio`).
    pub fn hierarchy_of(&self, controller: &str) -> Option<&Hierarchy> {
        let _ = controller;
        unimplemented!()
    }

    /// v2 only: makes the group that was delegated to the caller (`Delegate=yes`) usable for boxes, by moving the calling
    /// process, and nothing else, into a leaf of it. Does nothing (`None`) where no group was delegated, where boxes can
    /// be made without it, or where other processes share the group. Call it once, before `BoxGroup::create`.
    ///
    /// # Errors
    /// The leaf cannot be made or entered.
    pub fn settle(&mut self, id: &BoxId) -> Result<Option<PathBuf>, CgroupError> {
        let _ = id;
        unimplemented!()
    }
}
