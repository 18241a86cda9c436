//! The project and the working directory, resolved and checked: what may be shown as a project at all.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use testbox_model::RunPlan;

use crate::error::BundleError;
use crate::host::Host;
use crate::trust::Trust;
use crate::walk;

/// The project as the box will see it.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its root, resolved.
    pub(crate) root: PathBuf,
    /// The working directory, resolved.
    pub(crate) cwd: PathBuf,
    /// User and group that own its root.
    pub(crate) owner: (u32, u32),
}

impl Project {
    /// Resolves and checks the plan's project and working directory.
    pub(crate) fn resolve(plan: &RunPlan, host: &Host, trust: &Trust<'_>) -> Result<Self, BundleError> {
        let end = walk::walk(host, &plan.project)
            .map_err(|source| BundleError::Unresolvable { path: plan.project.clone(), source })?;
        let root = end.path;
        refuse(&root, trust)?;
        if !end.metadata.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(BundleError::ProjectUnreadable { project: root, source });
        }
        fs_err::read_dir(host.at(&root))
            .and_then(|_| owner_may_read(host, &end.metadata))
            .map_err(|source| BundleError::ProjectUnreadable { project: root.clone(), source })?;
        let cwd = walk::walk(host, &plan.cwd)
            .map_err(|source| BundleError::Unresolvable { path: plan.cwd.clone(), source })?
            .path;
        if !cwd.starts_with(&root) {
            return Err(BundleError::OutsideProject { cwd, project: root });
        }
        Ok(Self { root, cwd, owner: (end.metadata.uid(), end.metadata.gid()) })
    }
}

/// Root's box runs as the owner, whom permissions bind.
fn owner_may_read(host: &Host, metadata: &std::fs::Metadata) -> io::Result<()> {
    let may = host.euid != 0 || metadata.mode() & 0o500 == 0o500;
    if may { Ok(()) } else { Err(io::Error::from(io::ErrorKind::PermissionDenied)) }
}

fn refuse(root: &Path, trust: &Trust<'_>) -> Result<(), BundleError> {
    if root.to_str().is_none() {
        return Err(BundleError::NotUtf8 { what: "the path of the project", path: root.to_owned() });
    }
    let own = ["/dev", "/etc", "/proc", "/sys"].iter().find(|own| root.starts_with(own));
    // Interpreters and packages live in them, so the lists of `trust` allow them; no project does.
    let system = ["/usr", "/usr/local"].iter().any(|system| root == Path::new(system));
    let system = system.then(|| "it is a top folder of the system".to_owned());
    let own = || own.map(|own| format!("the box has a `{own}` of its own"));
    match trust.top_folder(root).or(system).or_else(own) {
        Some(why) => Err(BundleError::ProjectTooBroad { project: root.to_owned(), why }),
        None => Ok(()),
    }
}
