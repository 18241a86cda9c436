//! What can go wrong with cgroups: one variant a step, each with the object, the value and the exact fix.

use std::io;
use std::path::PathBuf;

use testbox_model::Wall;

/// A step that failed; `hint` says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A file of the kernel cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No mounted hierarchy has the controller that a wall needs.
    #[error("cannot build the wall `{wall}`: no mounted cgroup hierarchy has the controller `{controller}`")]
    ControllerMissing {
        /// The wall.
        wall: Wall,
        /// The controller, as the kernel names it.
        controller: &'static str,
    },
}

impl CgroupError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
