//! The environment with linters and with uv, as pinned in `images/ci/requirements.txt`.

use std::path::PathBuf;

use super::{python, venv};
use crate::cache::Cache;
use crate::error::Error;
use crate::workspace::Workspace;

/// The environment; made when it is asked for the first time.
pub(crate) fn tools_venv(workspace: &Workspace) -> Result<PathBuf, Error> {
    let python = python::find((3, 10), false)?;
    let requirements = fs_err::read_to_string(workspace.root.join("images/ci/requirements.txt"))?;
    let lines: Vec<&str> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
    venv::ensure(&Cache::open(workspace)?, "lint", &python, &lines)
}
