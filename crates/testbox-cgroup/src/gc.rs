//! Garbage collection: removes the groups of boxes whose owner died, and touches nothing else.

use std::path::PathBuf;

use crate::{CgroupError, Host};

/// What a garbage collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Directories that are gone now.
    pub removed: Vec<PathBuf>,
    /// Directories with our kind of name that stay, and why.
    pub kept: Vec<(PathBuf, String)>,
}

/// Finds the groups of boxes in all hierarchies, kills what is in those whose owner died, and removes them.
///
/// # Errors
/// The own boot id cannot be read. A group that cannot be removed is no error: it is in `kept` with the reason.
pub fn gc(host: &Host) -> Result<GcReport, CgroupError> {
    let _ = host;
    unimplemented!()
}
