//! A temporary folder for the programs that xtask starts: linters, package tools and tests leave files in theirs, and
//! those go away with it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::error::Error;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The folder; removed when this is dropped.
#[must_use = "the folder is removed when this is dropped"]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Makes a folder. Every user may write to it, as to /tmp, because some programs run as another one.
    pub(crate) fn make() -> Result<Self, Error> {
        let dir = tempfile::Builder::new().prefix("testbox-xtask-").tempdir()?;
        fs_err::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777))?;
        Ok(Self(dir))
    }

    /// The same folder, which every program gets from now on.
    pub(crate) fn for_all(self) -> Self {
        FOLDER.get_or_init(|| self.0.path().to_owned());
        self
    }
}

/// What programs find in `TMPDIR`; `None`: what this process has.
pub(crate) fn folder() -> Option<&'static Path> {
    FOLDER.get().map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn what_programs_leave_goes_away() {
        let scratch = Scratch::make().unwrap();
        let left = Program::with_temporary(Some(scratch.0.path()), "mktemp").stdout().unwrap();
        let left = Path::new(left.trim());
        assert!(left.starts_with(scratch.0.path()) && left.exists(), "{}", left.display());
        drop(scratch);
        assert!(!left.exists());
    }
}
