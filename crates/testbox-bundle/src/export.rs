//! Writes a bundle as a folder that an OCI runtime executes as root: config.json, the root file system, the written layers.
//!
//! There the runtime does what testbox's own processes do in a launched box, with two differences: each scratch folder
//! is a tmpfs with the whole bound, and the written layer of the project lies on disk below the folder.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use oci_spec::runtime::{Capabilities, LinuxCapabilities, LinuxCapabilitiesBuilder};

use crate::bundle::{BoxMount, Bundle, Entry, Source};
use crate::error::BundleError;
use crate::spec::{Layers, Namespaces, Placement, faulty, oci_spec, resources_of_limits};
use crate::{etc, seccomp, skeleton};

/// Writes `dir/config.json`, `dir/rootfs` and `dir/scratch`. All or nothing: the folder appears when it is complete.
///
/// # Errors
/// The folder lies in the project or exists and is not empty, its path cannot stand in mount options, an argument or variable is not UTF-8,
/// or a file cannot be written.
pub fn export(bundle: &Bundle, dir: &Path) -> Result<(), BundleError> {
    let target = target(dir)?;
    refuse_inside_view(bundle, &target)?;
    let partial = partial_name(&target);
    let written = write(bundle, &partial, &target)
        .and_then(|()| fs::rename(&partial, &target).map_err(failed("move the finished bundle to", &target)));
    if written.is_err() && partial.exists() {
        // The first error is the one to tell; what remains is named by it.
        drop(fs::remove_dir_all(&partial));
    }
    written
}

/// The folder's own path, if it is free and can stand in mount options.
fn target(dir: &Path) -> Result<PathBuf, BundleError> {
    let name = dir.file_name().ok_or_else(|| BundleError::ExportPath { dir: dir.to_owned() })?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent).map_err(failed("find the parent folder of", dir))?;
    let target = parent.join(name);
    let plain = target.to_str().is_some_and(|text| !text.contains([',', ':', '\\']));
    if !plain {
        return Err(BundleError::ExportPath { dir: target });
    }
    let names = match fs::read_dir(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => 1,
        entries => entries.map_err(failed("list", &target))?.count(),
    };
    if names == 0 { Ok(target) } else { Err(BundleError::ExportNotEmpty { dir: target }) }
}

/// The written layer of an overlay may not lie below what it covers.
fn refuse_inside_view(bundle: &Bundle, target: &Path) -> Result<(), BundleError> {
    let lowers = bundle.mounts.iter().filter_map(|mount| match &mount.source {
        Source::View { lower, .. } => Some(lower),
        _ => None,
    });
    let around = lowers.into_iter().find(|lower| target.starts_with(lower));
    around.map_or(Ok(()), |lower| Err(BundleError::ExportInside { dir: target.to_owned(), project: lower.clone() }))
}

fn partial_name(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.partial-{}", std::process::id()))
}

fn write(bundle: &Bundle, partial: &Path, target: &Path) -> Result<(), BundleError> {
    refuse_not_utf8(bundle)?;
    fs::create_dir(partial).map_err(failed("create", partial))?;
    write_skeleton(bundle, &partial.join("rootfs"))?;
    for (index, mount) in bundle.mounts.iter().enumerate() {
        if let Source::View { lower, shift_root } = &mount.source {
            write_layers(bundle, &layers(partial, index), lower, *shift_root)?;
        }
    }
    write_config(bundle, partial, target)
}

/// JSON holds UTF-8 only, and a replaced character would change what the command gets.
fn refuse_not_utf8(bundle: &Bundle) -> Result<(), BundleError> {
    let bad = |what, text: &std::ffi::OsStr| BundleError::ExportNotUtf8 { what, value: text.display().to_string() };
    if let Some(argument) = bundle.process.argv.iter().find(|argument| argument.to_str().is_none()) {
        return Err(bad("the argument", argument));
    }
    let variable = bundle.process.env.iter().find(|(name, value)| name.to_str().and(value.to_str()).is_none());
    variable.map_or(Ok(()), |(name, _)| Err(bad("the variable", name)))
}

/// Folders, links and files, with the accounts of the user that the runtime starts the command as.
fn write_skeleton(bundle: &Bundle, rootfs: &Path) -> Result<(), BundleError> {
    fs::create_dir(rootfs).map_err(failed("create", rootfs))?;
    let home = bundle.process.env.iter().find(|(name, _)| name == "HOME").map(|(_, value)| PathBuf::from(value));
    let (uid, gid) = (bundle.identity.host_uid, bundle.identity.host_gid);
    let accounts = etc::accounts(&bundle.hostname, uid, gid, &home.unwrap_or_default());
    for entry in &bundle.skeleton {
        let own = accounts.iter().find(|account| skeleton::path_of(account) == skeleton::path_of(entry));
        write_entry(own.unwrap_or(entry), rootfs)?;
    }
    Ok(())
}

fn write_entry(entry: &Entry, rootfs: &Path) -> Result<(), BundleError> {
    let path = skeleton::path_of(entry);
    let path = rootfs.join(path.strip_prefix("/").unwrap_or(path));
    let written = match entry {
        Entry::Dir { mode, .. } => fs::create_dir(&path).and_then(|()| set_mode(&path, *mode)),
        Entry::Symlink { target, .. } => symlink(target, &path),
        Entry::File { content, mode, .. } => fs::write(&path, content).and_then(|()| set_mode(&path, *mode)),
    };
    written.map_err(failed("write", &path))
}

/// Upper and work folder. Where the project belongs to root, its folders are repeated in the upper layer as the
/// box's user's: the runtime cannot shift owners, and the command must be able to write into them.
fn write_layers(bundle: &Bundle, layers: &Layers, lower: &Path, repeat: bool) -> Result<(), BundleError> {
    for folder in [&layers.upper, &layers.work] {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
    }
    own(bundle, &layers.upper, 0o755)?;
    if repeat { repeat_folders(bundle, lower, &layers.upper) } else { Ok(()) }
}

fn repeat_folders(bundle: &Bundle, lower: &Path, upper: &Path) -> Result<(), BundleError> {
    for entry in fs::read_dir(lower).map_err(failed("list", lower))? {
        let entry = entry.map_err(failed("list", lower))?;
        if entry.file_type().map_err(failed("look at", &entry.path()))?.is_dir() {
            let (lower, upper) = (entry.path(), upper.join(entry.file_name()));
            fs::create_dir(&upper).map_err(failed("create", &upper))?;
            own(bundle, &upper, 0o755)?;
            repeat_folders(bundle, &lower, &upper)?;
        }
    }
    Ok(())
}

fn own(bundle: &Bundle, folder: &Path, mode: u32) -> Result<(), BundleError> {
    let (uid, gid) = (bundle.identity.host_uid, bundle.identity.host_gid);
    let owned = chown(folder, Some(uid), Some(gid)).and_then(|()| set_mode(folder, mode));
    owned.map_err(failed("give the box's user", folder))
}

fn write_config(bundle: &Bundle, partial: &Path, target: &Path) -> Result<(), BundleError> {
    let placement = Placement {
        rootfs: Path::new("rootfs"),
        staged: |_| false,
        layers: &|_: &BoxMount, index| Some(layers(target, index)),
        user: (bundle.identity.host_uid, bundle.identity.host_gid),
        capabilities: no_capabilities()?,
        cgroups_path: None,
        resources: Some(resources_of_limits(&bundle.limits)?),
        seccomp: Some(seccomp::oci(&bundle.seccomp)?),
        terminal: bundle.process.tty,
        namespaces: Namespaces::All,
    };
    let spec = oci_spec(bundle, &placement)?;
    let path = partial.join("config.json");
    let text = serde_json::to_vec_pretty(&spec).map_err(io::Error::from);
    text.and_then(|text| fs::write(&path, text)).map_err(failed("write", &path))
}

/// The layers of the view with this index in the bundle's mounts.
fn layers(dir: &Path, index: usize) -> Layers {
    let view = dir.join("scratch").join(format!("view-{index}"));
    Layers { upper: view.join("upper"), work: view.join("work") }
}

fn no_capabilities() -> Result<LinuxCapabilities, BundleError> {
    let none = Capabilities::new;
    let builder = LinuxCapabilitiesBuilder::default().bounding(none()).effective(none()).inheritable(none());
    builder.permitted(none()).ambient(none()).build().map_err(faulty("the capabilities"))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Export { step, path: path.clone(), source }
}
