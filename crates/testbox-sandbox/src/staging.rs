//! Staging: the launcher lays out the box's root file system in its own mount namespace, by descriptor.
//!
//! Binds are cloned first and stay detached (as true root where testbox runs as root, so that a venv below an
//! unsearchable `/root` can be shown), with read-only, nosuid and nodev set on the whole tree, and shifted where the
//! project belongs to root. Then, in the box's namespaces, everything is put in place: the root with its generated files,
//! the scratch, the overlay, the binds, /dev and sysfs. What needs the box's pid namespace, proc and all that covers
//! parts of it, is left to libcontainer, which also binds the device nodes.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree,
};
use testbox_bundle::{BoxMount, Bundle, Entry, Source};
use testbox_model::{Limits, SetupStep};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::fuse::Means;
use crate::sys::{self, MountAttributes};
use crate::view::{Stage, View};

/// Places where the stage can be mounted: standard folders (FHS 3.0) that rarely hold a project; the first that exists
/// and is above no source is taken. The mount is visible to the launcher only.
const STAGES: [&str; 5] = ["/mnt", "/media", "/srv", "/opt", "/boot"];
/// Room for the generated files and libcontainer's state, in bytes and inodes.
const FRAME_BYTES: u64 = 16 << 20;
const FRAME_INODES: u64 = 4096;
/// The second bounded file system of a box.
const SHARED_MEMORY: &str = "/dev/shm";

/// What a bundle shows of the host, cloned and detached.
#[derive(Debug)]
pub(crate) struct Clones {
    /// By index of its mounts.
    binds: Vec<Option<OwnedFd>>,
    view: Option<View>,
}

/// What a root file system is laid out with.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) channel: &'a Channel,
    /// main's pidfd.
    pub(crate) main: BorrowedFd<'a>,
    /// Taken when the view is made.
    pub(crate) fuse: Option<Means>,
}

/// A root file system in place.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Folder of config.json and `rootfs`.
    pub(crate) bundle: PathBuf,
    /// libcontainer's state.
    pub(crate) state: PathBuf,
    /// Folders that main gets, by name: `scratch`, `upper` and `/dev/shm`.
    pub(crate) folders: Vec<(String, OwnedFd)>,
}

impl Clones {
    /// Clones every bind of the bundle, and the lower layer of its view as far as there can be an overlay.
    ///
    /// `shift` is a user namespace that says how owners are shifted: 0 in the file system appears as the box's host user.
    /// Only true root can shift (mount_setattr(2), "ID-mapped mounts").
    pub(crate) fn take(bundle: &Bundle, shift: BorrowedFd<'_>) -> Result<Self, StepFailure> {
        let view = bundle.mounts.iter().find_map(|mount| match &mount.source {
            Source::View { lower, shift_root } => Some(View::take(lower, *shift_root, shift)),
            _ => None,
        });
        let clone = |mount| clone_bind(mount, shift);
        Ok(Self { view: view.transpose()?, binds: bundle.mounts.iter().map(clone).collect::<Result<_, _>>()? })
    }

    /// As true root: what only it can read is copied, if it cannot be shown otherwise.
    pub(crate) fn copied_as_root(self, bundle: &Bundle, channel: &Channel) -> Result<Self, StepFailure> {
        let view = self.view.map(|view| view.copy_as_root(bundle, channel)).transpose()?;
        Ok(Self { view, ..self })
    }
}

/// Covers /sys/fs/cgroup by a read-only view of the unified hierarchy: libcontainer then leaves cgroups alone.
///
/// testbox has joined its own cgroups before; libcontainer's v2 manager meets EROFS, which it tolerates in a user
/// namespace, and does nothing.
pub(crate) fn show_cgroups_read_only() -> Result<(), StepFailure> {
    let mount_point = Path::new("/sys/fs/cgroup");
    let unified = mount_point.join("unified");
    let source = if unified.is_dir() { &unified } else { mount_point };
    let describe = || format!("show {} read-only on {}", source.display(), mount_point.display());
    let tree = open_tree(CWD, source, clone_flags(true)).at(SetupStep::Mounts, describe)?;
    let read_only = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..MountAttributes::default() };
    sys::mount_setattr(&tree, true, read_only).at(SetupStep::Mounts, describe)?;
    attach(&tree, mount_point).at(SetupStep::Mounts, describe)
}

/// Puts root file system, scratch, overlay and binds in place; in the user namespace.
pub(crate) fn lay_out(site: Site<'_>, clones: Clones) -> Result<Staged, StepFailure> {
    with_exact_modes(|| lay_out_exactly(site, clones))
}

/// The umask is the command's own; in `work` every mode is meant as it is said.
pub(crate) fn with_exact_modes<T>(work: impl FnOnce() -> T) -> T {
    let umask = rustix::process::umask(Mode::empty());
    let done = work();
    rustix::process::umask(umask);
    done
}

fn lay_out_exactly(mut site: Site<'_>, clones: Clones) -> Result<Staged, StepFailure> {
    let bundle = site.bundle;
    let stage = choose(bundle)?;
    let frame = tmpfs(FRAME_BYTES, FRAME_INODES, 0o755).at(SetupStep::Mounts, || "make the root".to_owned())?;
    attach(&frame, &stage).at(SetupStep::Mounts, || format!("mount the root on {}", stage.display()))?;
    let (scratch_dir, state, container) = (stage.join("scratch"), stage.join("state"), stage.join("bundle"));
    let rootfs = container.join("rootfs");
    for dir in [&scratch_dir, &state, &container, &rootfs] {
        make_dir(dir, 0o755)?;
    }
    skeleton(&rootfs, &bundle.skeleton)?;
    let Clones { binds, mut view } = clones;
    let describe = || format!("make the scratch space of {}", bundle.limits.tmp_bytes.value);
    match &view {
        Some(View::Copied { scratch, .. }) => attach(scratch, &scratch_dir),
        _ => scratch_space(&bundle.limits).and_then(|scratch| attach(&scratch, &scratch_dir)),
    }
    .at(SetupStep::Mounts, describe)?;
    let root = Root { fd: open_dir(&rootfs)? };
    let mut folders = vec![("scratch".to_owned(), open_dir(&scratch_dir)?)];
    for (mount, clone) in bundle.mounts.iter().zip(binds) {
        let mut inside = Vec::new();
        let (tree, is_dir) = match (&mount.source, clone) {
            (Source::Scratch { name, mode }, _) => (scratch_folder(&scratch_dir.join(name), *mode)?, true),
            (Source::View { .. }, _) => {
                let (Some(view), Some(fuse)) = (view.take(), site.fuse.take()) else { continue };
                let shown = Stage { site: &site, folder: &stage, scratch: &scratch_dir }.show(view, fuse)?;
                folders.push(("upper".to_owned(), shown.upper));
                inside = shown.beside;
                (shown.tree, true)
            }
            (Source::Bind { is_dir, .. }, Some(clone)) => (clone, *is_dir),
            (source, _) => match kernel_mount(source, &mount.destination)? {
                Some(tree) => (tree, true),
                None => continue,
            },
        };
        root.put(&tree, &mount.destination, is_dir)?;
        for (place, tree) in inside {
            root.put(&tree, &place, true)?;
        }
        if mount.destination == Path::new(SHARED_MEMORY) {
            folders.push((SHARED_MEMORY.to_owned(), tree));
        }
    }
    Ok(Staged { bundle: container, state, folders })
}

/// The folder of the box's root; every path is resolved inside it (R3).
struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Mounts `tree` at `destination`, which is made if it does not exist.
    fn put(&self, tree: &OwnedFd, destination: &Path, is_dir: bool) -> Result<(), StepFailure> {
        let describe = || format!("mount {} in the box", destination.display());
        let place = self.place(destination, is_dir).at(SetupStep::Mounts, describe)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree, c"", &place, c"", flags).at(SetupStep::Mounts, describe)
    }

    fn place(&self, destination: &Path, is_dir: bool) -> io::Result<OwnedFd> {
        let relative = destination.strip_prefix("/").unwrap_or(destination);
        if let Ok(place) = self.resolve(&self.fd, relative) {
            return Ok(place);
        }
        let mut parent = self.fd.try_clone()?;
        let mut components = relative.iter().peekable();
        while let Some(name) = components.next() {
            let missing = self.resolve(&parent, Path::new(name)).is_err();
            match (missing, is_dir || components.peek().is_some()) {
                (false, _) => {}
                (true, true) => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
                (true, false) => drop(rustix::fs::openat(
                    &parent,
                    name,
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC,
                    Mode::from_raw_mode(0o644),
                )?),
            }
            parent = self.resolve(&parent, Path::new(name))?;
        }
        Ok(parent)
    }

    /// Neither symbolic links nor `..` lead anywhere: destinations are real paths.
    fn resolve(&self, from: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(from, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), how)
    }
}

fn scratch_folder(path: &Path, mode: u32) -> Result<OwnedFd, StepFailure> {
    make_dir(path, mode)?;
    open_tree(CWD, path, clone_flags(false)).at(SetupStep::Mounts, || format!("bind {}", path.display()))
}

/// The one bounded file system for everything that the box writes, detached.
pub(crate) fn scratch_space(limits: &Limits) -> io::Result<OwnedFd> {
    tmpfs(limits.tmp_bytes.value.0, limits.tmp_inodes.value, 0o755)
}

pub(crate) fn tmpfs(size_bytes: u64, inodes: u64, mode: u32) -> io::Result<OwnedFd> {
    let (size, inodes, mode) = (size_bytes.to_string(), inodes.to_string(), format!("{mode:o}"));
    let options = [("size", size.as_str()), ("nr_inodes", &inodes), ("mode", &mode)];
    new_mount("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// A new instance of one of the kernel's file systems, in the launcher's namespaces; `None` if the mount is not of that
/// kind.
fn kernel_mount(source: &Source, destination: &Path) -> Result<Option<OwnedFd>, StepFailure> {
    let restricted = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let no_devices = restricted | MountAttrFlags::MOUNT_ATTR_NODEV;
    let made = match source {
        // Device nodes are bound into /dev: what is in it itself is files and links only.
        Source::Tmpfs { size_bytes, inodes, mode } => tmpfs(*size_bytes, *inodes, *mode),
        Source::Sysfs => new_mount("sysfs", &[], no_devices | MountAttrFlags::MOUNT_ATTR_RDONLY),
        Source::Devpts => new_mount("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], restricted),
        Source::Mqueue => new_mount("mqueue", &[], no_devices),
        Source::Proc | Source::Bind { .. } | Source::View { .. } | Source::Scratch { .. } => return Ok(None),
    };
    made.map(Some).at(SetupStep::Mounts, || format!("make {}", destination.display()))
}

pub(crate) fn new_mount(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&fs, *key, *value)?;
    }
    fsconfig_create(&fs)?;
    Ok(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Clones one bind; `None` if the mount is not of that kind.
fn clone_bind(mount: &BoxMount, shift: BorrowedFd<'_>) -> Result<Option<OwnedFd>, StepFailure> {
    let Source::Bind { path, shift_root, .. } = &mount.source else { return Ok(None) };
    let tree = clone_tree(path, true, mount.read_only)?;
    if *shift_root {
        shift_owner(&tree, shift).at(SetupStep::Mounts, || format!("shift the owner of {}", path.display()))?;
    }
    Ok(Some(tree))
}

/// Clones what is at `path`, restricted: nosuid, nodev, and as asked for.
pub(crate) fn clone_tree(path: &Path, recursive: bool, read_only: bool) -> Result<OwnedFd, StepFailure> {
    let tree =
        open_tree(CWD, path, clone_flags(recursive)).at(SetupStep::Mounts, || format!("bind {}", path.display()))?;
    let read_only = if read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let set = read_only | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    // Where systemd rules, mounts are shared: what the host mounts later below this one must not come into the box.
    let attributes = MountAttributes { set, propagation: libc::MS_PRIVATE, ..MountAttributes::default() };
    sys::mount_setattr(&tree, true, attributes)
        .at(SetupStep::Mounts, || format!("restrict the bind of {}", path.display()))?;
    Ok(tree)
}

pub(crate) fn shift_owner(tree: &OwnedFd, shift: BorrowedFd<'_>) -> io::Result<()> {
    sys::mount_setattr(tree, false, MountAttributes { idmap: Some(shift), ..MountAttributes::default() })
}

pub(crate) fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_NO_AUTOMOUNT;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

pub(crate) fn attach(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    Ok(move_mount(mount, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Whether this kind of mount is staged here, and nothing that libcontainer has to do. Only proc is not: it shows the
/// pid namespace of whoever mounts it.
pub(crate) fn stages(source: &Source) -> bool {
    !matches!(source, Source::Proc)
}

fn choose(bundle: &Bundle) -> Result<PathBuf, StepFailure> {
    let sources: Vec<&Path> = bundle
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            Source::Bind { path, .. } => Some(path.as_path()),
            Source::View { lower, .. } => Some(lower.as_path()),
            _ => None,
        })
        .collect();
    let free = |stage: &Path| stage.is_dir() && !stage.is_symlink() && !sources.iter().any(|s| s.starts_with(stage));
    STAGES.iter().map(Path::new).find(|stage| free(stage)).map(Path::to_owned).ok_or_else(|| StepFailure {
        step: SetupStep::Mounts,
        errno: 0,
        detail: format!(
            "none of {} is free to build the box on: each is missing or holds the project",
            STAGES.join(", ")
        ),
    })
}

fn skeleton(rootfs: &Path, entries: &[Entry]) -> Result<(), StepFailure> {
    entries.iter().try_for_each(|entry| {
        let (Entry::Dir { path, .. } | Entry::Symlink { path, .. } | Entry::File { path, .. }) = entry;
        create(entry, rootfs).at(SetupStep::Mounts, || format!("make {} in the box", path.display()))
    })
}

/// Makes one entry below a root.
pub(crate) fn create(entry: &Entry, rootfs: &Path) -> io::Result<()> {
    match entry {
        Entry::Dir { path, mode } => create_dir(&inside(rootfs, path), *mode),
        Entry::Symlink { path, target } => create_symlink(target, &inside(rootfs, path)),
        Entry::File { path, content, mode } => create_file(&inside(rootfs, path), content, *mode),
    }
}

fn inside(rootfs: &Path, path: &Path) -> PathBuf {
    rootfs.join(path.strip_prefix("/").unwrap_or(path))
}

pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), StepFailure> {
    create_dir(path, mode).at(SetupStep::Mounts, || format!("make {}", path.display()))
}

/// Makes a folder with exactly this mode; one that exists keeps its content and gets the mode.
fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Err(rustix::io::Errno::EXIST) => Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?),
        made => Ok(made?),
    }
}

pub(crate) fn create_symlink(target: &Path, path: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    Ok(rustix::fs::symlink(&target, path)?)
}

/// Makes a file with exactly this mode.
fn create_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))?;
    std::fs::File::from(file).write_all(content)
}

pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, StepFailure> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at(SetupStep::Mounts, || format!("open {}", path.display()))
}
