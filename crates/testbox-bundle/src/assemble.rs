//! From plan to bundle: the one place where all parts come together, in the order in which they depend on each other.

use std::path::{Path, PathBuf};

use testbox_model::{Limits, RunPlan};

use crate::bundle::{BoxMount, Bundle, Process, Resource, Rlimit, Source};
use crate::error::BundleError;
use crate::host::Host;
use crate::image::{HomeLists, Image, ScratchName};
use crate::mounts::{self, MountTable, Rank};
use crate::plugin;
use crate::project::Project;
use crate::python::{self, Look, Python};
use crate::trust::Trust;
use crate::{environment, etc, identity, seccomp, skeleton, walk};

/// Builds the bundle of a plan. Reads files of the host and runs nothing.
///
/// # Errors
/// The project cannot be shown, its Python is missing or broken, a flag names what cannot be shown, or the seccomp
/// profile is wrong; each with a [`BundleError::hint`].
pub fn build(plan: &RunPlan, host: &Host) -> Result<Bundle, BundleError> {
    host.look_anew();
    let image = Image::base()?;
    let trust = Trust::new(host, &image.trust);
    let project = Project::resolve(plan, host, &trust)?;
    let python = discover(plan, host, &image, &trust, &project)?;
    let identity = identity::choose(host, project.owner);

    let mut table = MountTable::new(host);
    let etc_files = mounts::etc_files(host, &image.etc);
    mounts::add_system(&mut table, host, &image, plan, &etc_files);
    mounts::add_project(&mut table, host, plan, &project, &image.project)?;
    for path in &python.shown {
        table.show(Rank::Needed, &in_store(&image, path), true)?;
        table.keep_links(path);
    }
    let home = place_home(&mut table, &image.home)?;
    let mounts = table.finish()?;

    let mut masked_paths = image.proc.masked.clone();
    masked_paths.extend(visible(mounts::hidden(host, plan, &project, &image.project)?, &mounts.mounts));
    let mut notes = python.notes.clone();
    notes.extend(mounts::unguarded_links(host, plan, &project, &image.project));
    notes.extend(mounts::nothing_to_hide(host, plan, &project));
    let mut generated = etc::entries(host, &image, identity, plan.net.value, &home, etc_files)?;
    let mut env = environment::build(plan, host, &python, &home, &image.home.user);
    let plugin = plugin::of(plan, host, &python.bin_folders);
    if let Some(plugin) = &plugin {
        generated.extend(plugin.entries.iter().cloned());
        env = plugin::with_folder(env);
    }
    Ok(Bundle {
        process: Process {
            plugin: plugin.is_some(),
            argv: plugin.map_or_else(|| plan.command.clone(), |plugin| plugin.argv),
            env,
            cwd: project.cwd.clone(),
            tty: plan.terminal.tty.value,
            terminal_size: None,
        },
        identity,
        skeleton: skeleton::entries(&image.skeleton, generated, &mounts),
        mounts: mounts.mounts,
        masked_paths,
        reports: mounts::reports(plan, &project, &image.project),
        readonly_paths: image.proc.read_only.clone(),
        filters: seccomp::load(&plan.seccomp.value)?,
        net: plan.net.value,
        rlimits: rlimits(&plan.limits),
        hostname: image.home.user.clone(),
        limits: plan.limits.clone(),
        seccomp: plan.seccomp.value.clone(),
        interpreter: python.interpreter,
        must_stay_absent: mounts::must_stay_absent(host, plan, &project, &image.project),
        notes,
    })
}

fn discover(
    plan: &RunPlan,
    host: &Host,
    image: &Image,
    trust: &Trust<'_>,
    project: &Project,
) -> Result<Python, BundleError> {
    let flags = plan.view.ro.value.iter().chain(&plan.view.rw.value);
    let allowed = flags.filter_map(|path| walk::walk(host, &walk::absolute(&project.root, path)).ok());
    let allowed: Vec<PathBuf> = allowed.map(|end| end.path).collect();
    let python_path = environment::python_path(plan, host);
    let look = Look {
        host,
        image,
        trust,
        command: &plan.command,
        cwd: &project.cwd,
        project: &project.root,
        allowed: &allowed,
        python_path: python_path.as_deref(),
    };
    Ok(python::discover(&look)?)
}

/// The package store around a path, or the path itself.
fn in_store(image: &Image, path: &Path) -> PathBuf {
    let store = image.system.stores.iter().find(|store| path.starts_with(store));
    store.map_or_else(|| path.to_owned(), PathBuf::clone)
}

fn place_home(table: &mut MountTable<'_>, lists: &HomeLists) -> Result<PathBuf, BundleError> {
    let free = lists.candidates.iter().find(|candidate| !table.collides(candidate));
    let home = free.cloned().ok_or_else(|| BundleError::NoHome { tried: lists.candidates.clone() })?;
    let source = Source::Scratch { name: ScratchName::Home.as_str(), mode: 0o755 };
    table.add(Rank::System, BoxMount { destination: home.clone(), source, read_only: false });
    Ok(home)
}

/// What of the hidden paths the box would show; the rest is not in it anyway.
fn visible(hidden: Vec<PathBuf>, mounts: &[BoxMount]) -> impl Iterator<Item = PathBuf> {
    let of_host = |mount: &BoxMount| mounts::host_path(&mount.source).is_some();
    let shown = move |path: &PathBuf| {
        let around = mounts.iter().rev().find(|mount| path.starts_with(&mount.destination));
        let below = mounts.iter().any(|mount| mount.destination.starts_with(path) && of_host(mount));
        below || around.is_some_and(of_host)
    };
    hidden.into_iter().filter(shown)
}

fn rlimits(limits: &Limits) -> Vec<Rlimit> {
    let mut rlimits = vec![
        Rlimit { resource: Resource::Nofile, value: limits.nofile.value },
        Rlimit { resource: Resource::Core, value: 0 },
    ];
    let fsize = limits.fsize_bytes.value;
    rlimits.extend(fsize.map(|bytes| Rlimit { resource: Resource::Fsize, value: bytes.0 }));
    rlimits
}
