//! Where the demo plays: a copy of the sample project in a temporary folder, so that it is a project of its own.

use std::path::{Path, PathBuf};

use crate::cache::make_readable;
use crate::error::Error;
use crate::workspace::Workspace;

/// The temporary folder; removed when this is dropped.
pub(crate) struct Stage {
    dir: PathBuf,
    /// The copy of the sample project.
    pub(crate) project: PathBuf,
    /// Its Python environment.
    pub(crate) venv: PathBuf,
}

impl Stage {
    pub(crate) fn new(workspace: &Workspace, venv: PathBuf) -> Result<Self, Error> {
        let dir = std::env::temp_dir().join(format!("testbox-demo-{}", std::process::id()));
        let stage = Self { project: dir.join("sample"), dir, venv };
        fs_err::create_dir(&stage.dir)?;
        copy(&workspace.sample(), &stage.project)?;
        make_readable(&stage.dir)?;
        Ok(stage)
    }

    /// Where a run's output is kept.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The file whose change would show that a box reached the host.
    pub(crate) fn canary(&self) -> PathBuf {
        self.dir.join("canary.txt")
    }

    /// Removes the last report, so that no run is judged by that of another.
    pub(crate) fn forget_report(&self) -> Result<(), Error> {
        let reports = self.project.join(".testbox");
        if reports.exists() {
            fs_err::remove_dir_all(reports)?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_dir_all(&self.dir) {
            eprintln!("demo  {error}");
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs_err::create_dir(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let left_over = entry.file_name() == "__pycache__" || entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type()?.is_dir() {
            _ if left_over => {}
            true => copy(&source, &target)?,
            false => drop(fs_err::copy(source, target)?),
        }
    }
    Ok(())
}
