//! What all probes stand on: a project in a temporary folder, and what earlier probes found out.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testbox_cgroup::{BoxId, GcReport, Host};
use testbox_model::{Fault, Readback, Wall};
use testbox_supervisor::Signals;

use crate::fault::{self, OrFault};

/// What all probes stand on.
pub(super) struct Ground {
    pub(super) cgroups: Host,
    pub(super) id: BoxId,
    pub(super) signals: Signals,
    pub(super) project: TemporaryProject,
    /// What dead runs had left when the doctor came.
    pub(super) garbage: GcReport,
    /// The walls that cannot be built here: boxes of later probes do without.
    pub(super) lacking: BTreeSet<Wall>,
    /// What the first box read back of its set-up; `None`: no box stands.
    pub(super) readback: Option<Readback>,
    /// The user wants no more.
    pub(super) interrupted: Option<Box<Fault>>,
}

impl Ground {
    /// Removes what dead runs left, and makes the project.
    pub(super) fn prepare() -> Result<Self, Box<Fault>> {
        let root = Path::new("/");
        let signals = Signals::install().or_fault()?;
        let mut cgroups = Host::detect(root).or_fault()?;
        let id = BoxId::of_current(root).or_fault()?;
        cgroups.settle(&id).or_fault()?;
        let garbage = testbox_cgroup::gc(&cgroups).or_fault()?;
        Ok(Self {
            cgroups,
            id,
            signals,
            project: TemporaryProject::new()?,
            garbage,
            lacking: BTreeSet::new(),
            readback: None,
            interrupted: None,
        })
    }
}

/// A project without a file of its own; the folder goes away with the value.
#[derive(Debug)]
pub(super) struct TemporaryProject(PathBuf);

impl TemporaryProject {
    fn new() -> Result<Self, Box<Fault>> {
        let template = std::env::temp_dir().join("testbox-doctor-XXXXXX");
        let hint = || Some("name a folder that you may write to in the variable TMPDIR".to_owned());
        let made = nix::unistd::mkdtemp(&template).map_err(|errno| {
            let error = std::io::Error::other(format!("cannot make `{}`: {errno}", template.display()));
            fault::of(&error, hint())
        })?;
        let project = Self(made);
        // Root's boxes run as somebody else, who must be able to enter it also where nothing can be shown as its own.
        fs_err::set_permissions(&project.0, Permissions::from_mode(0o755))
            .map_err(|error| fault::of(&error, hint()))?;
        // The nearest `.git` makes it a project of its own, whatever lies above it.
        fs_err::create_dir(project.0.join(".git")).map_err(|error| fault::of(&error, hint()))?;
        Ok(project)
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryProject {
    fn drop(&mut self) {
        // A folder that stays in the temporary folder is no finding about the host.
        drop(fs_err::remove_dir_all(&self.0));
    }
}
