//! Where the directories of a box may lie: below the own group, else below the root of the hierarchy.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use testbox_model::Wall;

use crate::host::Hierarchy;
use crate::kernel::{self, Kernel};
use crate::{CgroupError, delegation};

/// What one wall, or a mere counter, needs of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// The wall that fails without it.
    pub(crate) wall: Wall,
    /// The controller.
    pub(crate) controller: &'static str,
    /// The box can do without.
    pub(crate) optional: bool,
}

/// The controller that only counts: CPU time, in a v1 hierarchy of its own.
pub(crate) const COUNTER: &str = "cpuacct";

impl Need {
    /// No limit is set with it.
    pub(crate) fn is_counter(self) -> bool {
        self.controller == COUNTER
    }
}

/// A fresh directory and the needs that its parent cannot fulfil.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The directory.
    pub(crate) path: PathBuf,
    /// What is missing in it, and why; only optional needs.
    pub(crate) missing: Vec<(Need, CgroupError)>,
}

/// The parents that a box may have, the best first.
pub(crate) fn parents(hierarchy: &Hierarchy) -> Vec<PathBuf> {
    let divisible = if hierarchy.unified { delegation::divisible(hierarchy) } else { None };
    // The mounted group of a container is no root: only its own processes or its manager may divide it.
    let top = !hierarchy.unified || hierarchy.mount_root == "/";
    let top = top.then(|| hierarchy.mount_point.clone());
    let mut parents: Vec<PathBuf> = Vec::new();
    for parent in [divisible, hierarchy.own.clone(), top].into_iter().flatten() {
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    parents
}

/// Makes the directory `name` below the first parent that can fulfil all needs that are not optional.
///
/// # Errors
/// The last parent's, or the first one's that tells what helps, if none can; `Exists` at once.
pub(crate) fn make(kernel: Kernel, hierarchy: &Hierarchy, name: &str, needs: &[Need]) -> Result<Placed, CgroupError> {
    first(hierarchy, name, needs, |parent| make_below(kernel, hierarchy, parent, name, needs))
}

/// Whether `make` could make a directory on v2, as far as can be seen without doing it; v1 is left to `make`.
pub(crate) fn look(kernel: Kernel, hierarchy: &Hierarchy, needs: &[Need]) -> Result<(), CgroupError> {
    if !hierarchy.unified {
        return Ok(());
    }
    first(hierarchy, "testbox", needs, |parent| {
        missing_in(kernel, hierarchy, parent, needs)?;
        let may = accessat(CWD, parent, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        may.map_err(|errno| not_made(needs[0].wall, parent.join("testbox"), true, errno.into()))
    })
}

/// What `attempt` makes of the first parent that will do.
fn first<T>(
    hierarchy: &Hierarchy,
    name: &str,
    needs: &[Need],
    attempt: impl Fn(&Path) -> Result<T, CgroupError>,
) -> Result<T, CgroupError> {
    let Need { wall, controller, .. } = needs[0];
    if hierarchy.read_only {
        let path = hierarchy.own.as_ref().unwrap_or(&hierarchy.mount_point).join(name);
        return Err(CgroupError::ReadOnly { wall, path, source: Errno::ROFS.into() });
    }
    let path = hierarchy.mount_point.join("cgroup.subtree_control");
    let mut last = CgroupError::NotEnabled { wall, controller, path, remedy: None };
    for parent in parents(hierarchy) {
        match attempt(&parent) {
            Ok(made) => return Ok(made),
            Err(error @ CgroupError::Exists { .. }) => return Err(error),
            Err(error) if !last.has_remedy() => last = error,
            Err(_) => {}
        }
    }
    Err(last)
}

fn make_below(
    kernel: Kernel,
    hierarchy: &Hierarchy,
    parent: &Path,
    name: &str,
    needs: &[Need],
) -> Result<Placed, CgroupError> {
    let wall = needs[0].wall;
    if is_frozen(parent) {
        return Err(CgroupError::Frozen { wall, path: parent.to_owned() });
    }
    let missing = if hierarchy.unified { missing_in(kernel, hierarchy, parent, needs)? } else { Vec::new() };
    let path = parent.join(name);
    (kernel.mkdir)(&path).map_err(|source| not_made(wall, path.clone(), hierarchy.unified, source))?;
    match hierarchy.unified.then(|| kernel::read(&path.join("cgroup.type"))) {
        Some(Ok(kind)) if kind.trim_ascii() != "domain" => {
            let _ = (kernel.rmdir)(&path);
            Err(CgroupError::NotDomain { wall, path, kind: kind.trim_ascii().to_owned() })
        }
        _ => Ok(Placed { path, missing }),
    }
}

/// The optional needs that `parent` does not pass on, after enabling what may be enabled.
fn missing_in(
    kernel: Kernel,
    hierarchy: &Hierarchy,
    parent: &Path,
    needs: &[Need],
) -> Result<Vec<(Need, CgroupError)>, CgroupError> {
    let wanted: Vec<&'static str> = needs.iter().map(|need| need.controller).collect();
    let mut missing = delegation::not_enabled(parent, &wanted);
    // In a group with processes, only some controllers can be enabled, and they make it one of threads.
    let left = hierarchy.own.as_deref() != Some(parent);
    if !missing.is_empty() && left && delegation::divisible(hierarchy).as_deref() == Some(parent) {
        delegation::enable(kernel, parent, &missing);
        missing = delegation::not_enabled(parent, &wanted);
    }
    let path = parent.join("cgroup.subtree_control");
    let errors = needs.iter().filter(|need| missing.contains(&need.controller)).map(|need| {
        let Need { wall, controller, .. } = *need;
        let remedy = delegation::remedy(hierarchy, parent, controller);
        (*need, CgroupError::NotEnabled { wall, controller, path: path.clone(), remedy })
    });
    let (optional, required): (Vec<_>, Vec<_>) = errors.partition(|(need, _)| need.optional);
    match required.into_iter().next() {
        Some((_, error)) => Err(error),
        None if optional.len() == needs.len() => Err(first_error(optional)),
        None => Ok(optional),
    }
}

fn first_error(mut missing: Vec<(Need, CgroupError)>) -> CgroupError {
    missing.swap_remove(0).1
}

fn is_frozen(parent: &Path) -> bool {
    let says = |file: &str, text: &str| {
        kernel::read(&parent.join(file)).is_ok_and(|content| content.lines().any(|line| line == text))
    };
    says("cgroup.events", "frozen 1") || says("freezer.state", "FROZEN") || says("freezer.parent_freezing", "1")
}

fn not_made(wall: Wall, path: PathBuf, unified: bool, source: io::Error) -> CgroupError {
    match Errno::from_io_error(&source) {
        Some(Errno::EXIST) => CgroupError::Exists { path },
        Some(Errno::ACCESS | Errno::PERM) => CgroupError::NotDelegated { wall, path, unified, source, remedy: None },
        Some(Errno::ROFS) => CgroupError::ReadOnly { wall, path, source },
        _ => CgroupError::Create { wall, path, source },
    }
}
