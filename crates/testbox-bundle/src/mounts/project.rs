//! The project in the box, its guards, and what the user shows or hides by flags.

use std::path::{Path, PathBuf};

use testbox_model::RunPlan;

use super::{MountTable, Rank};
use crate::bundle::{BoxMount, Source};
use crate::error::BundleError;
use crate::host::Host;
use crate::image::ProjectLists;
use crate::project::Project;
use crate::walk;

/// Paths that a flag cannot show: the box has its own of them.
const OWN: [&str; 4] = ["/dev", "/proc", "/sys", "/"];
/// Paths that a flag cannot show read-write.
const SYSTEM: [&str; 8] = ["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/sbin", "/usr"];

/// Adds the project as a view, or read-write with its guards, and the paths of `--ro` and `--rw`.
pub(crate) fn add(
    table: &mut MountTable<'_>,
    host: &Host,
    plan: &RunPlan,
    project: &Project,
    lists: &ProjectLists,
) -> Result<(), BundleError> {
    let shift_root = host.euid == 0 && project.owner.0 == 0;
    let root = project.root.clone();
    let source = if plan.view.write.value {
        Source::Bind { path: root.clone(), is_dir: true, shift_root }
    } else {
        Source::View { lower: root.clone(), shift_root }
    };
    table.keep_links(&plan.project);
    table.keep_links(&plan.cwd);
    table.add(Rank::Project, BoxMount { destination: root, source, read_only: false });
    if plan.view.write.value {
        for path in guards(host, project, lists) {
            guard(table, host, project, &path, shift_root);
        }
    }
    for (flag, paths, read_only) in [("--ro", &plan.view.ro.value, true), ("--rw", &plan.view.rw.value, false)] {
        for path in paths {
            show_by_flag(table, host, project, flag, path, read_only)?;
        }
    }
    Ok(())
}

/// Guarded names that are not there: the box could make them, and the host would obey them next.
pub(crate) fn must_stay_absent(host: &Host, plan: &RunPlan, project: &Project, lists: &ProjectLists) -> Vec<PathBuf> {
    if !plan.view.write.value {
        return Vec::new();
    }
    let paths = lists.guarded.iter().map(|name| project.root.join(name));
    paths.filter(|path| fs_err::symlink_metadata(host.at(path)).is_err()).collect()
}

/// Guarded names that are links: a mount cannot keep the box from replacing them.
pub(crate) fn unguarded_links(host: &Host, plan: &RunPlan, project: &Project, lists: &ProjectLists) -> Vec<String> {
    if !plan.view.write.value {
        return Vec::new();
    }
    let paths = guards(host, project, lists).into_iter();
    let links = paths.filter(|path| walk::walk(host, path).is_ok_and(|end| end.path != *path));
    let note = |path: PathBuf| {
        format!("`{}` is a symbolic link, which the box can replace because of `--write`", path.display())
    };
    links.map(note).collect()
}

/// Where testbox's own reports lie in the project.
pub(crate) fn reports(plan: &RunPlan, project: &Project, lists: &ProjectLists) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = lists.covered.iter().map(|name| project.root.join(name)).collect();
    let reports = walk::absolute(&project.root, &plan.reports.dir.value);
    paths.extend((reports.starts_with(&project.root) && reports != project.root).then_some(reports));
    paths
}

/// What the box must not see: testbox's reports, and what `--hide` names as far as it is there.
pub(crate) fn hidden(
    host: &Host,
    plan: &RunPlan,
    project: &Project,
    lists: &ProjectLists,
) -> Result<Vec<PathBuf>, BundleError> {
    let mut paths = reports(plan, project, lists);
    for path in &plan.view.hide.value {
        let Ok(end) = walk::walk(host, &walk::absolute(&project.root, path)) else { continue };
        if project.cwd.starts_with(&end.path) {
            return Err(BundleError::HidesProject { path: path.clone(), cwd: project.cwd.clone() });
        }
        if end.path.to_str().is_none() {
            return Err(BundleError::NotUtf8 { what: "the path of `--hide`", path: end.path });
        }
        paths.push(end.path);
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// The user's own paths of `--hide` at which nothing is: misspelt, perhaps.
pub(crate) fn nothing_to_hide(host: &Host, plan: &RunPlan, project: &Project) -> Vec<String> {
    let paths = plan.view.hide_named.iter();
    let missing = paths.filter(|path| !walk::exists(host, &walk::absolute(&project.root, path)));
    missing.map(|path| format!("`--hide {}`: nothing is there to hide", path.display())).collect()
}

/// What exists of the project that the host runs or obeys.
fn guards(host: &Host, project: &Project, lists: &ProjectLists) -> Vec<PathBuf> {
    let is_venv = |folder: &Path| walk::is_file(host, &folder.join("pyvenv.cfg"));
    let mut paths: Vec<PathBuf> = lists.guarded.iter().map(|name| project.root.join(name)).collect();
    paths.extend([".venv", "venv"].map(|name| project.root.join(name)).into_iter().filter(|folder| is_venv(folder)));
    if is_venv(&project.root) {
        paths.extend(["bin", "include", "lib", "lib64", "pyvenv.cfg"].map(|name| project.root.join(name)));
    }
    paths.retain(|path| walk::exists(host, path));
    paths
}

/// Makes a path of the project read-only, unless it is a link out of the project, whose target is not shown.
fn guard(table: &mut MountTable<'_>, host: &Host, project: &Project, path: &Path, shift_root: bool) {
    let Some(end) = walk::walk(host, path).ok().filter(|end| end.path.starts_with(&project.root)) else { return };
    let source = Source::Bind { path: end.path.clone(), is_dir: end.metadata.is_dir(), shift_root };
    table.add(Rank::Guard, BoxMount { destination: end.path, source, read_only: true });
}

fn show_by_flag(
    table: &mut MountTable<'_>,
    host: &Host,
    project: &Project,
    flag: &'static str,
    path: &Path,
    read_only: bool,
) -> Result<(), BundleError> {
    let wanted = walk::absolute(&project.root, path);
    let refused = |why: &'static str| BundleError::CannotShow { flag, path: path.to_owned(), why };
    let end = walk::walk(host, &wanted).map_err(|source| BundleError::ShownMissing {
        flag,
        path: path.to_owned(),
        source,
    })?;
    if end.path == project.root {
        return Err(refused("it is the project itself, which the box sees anyway (read-write with `--write`)"));
    }
    if OWN.iter().any(|own| end.path == Path::new(own) || *own != "/" && end.path.starts_with(own)) {
        return Err(refused("the box has its own"));
    }
    if !read_only && SYSTEM.iter().any(|folder| end.path.starts_with(folder)) {
        return Err(refused("it belongs to the system"));
    }
    table.show(Rank::Flag, &wanted, read_only).map(|_| ())
}
