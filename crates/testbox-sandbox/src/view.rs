//! The project's view: an overlay of it; where the kernel refuses one, the same by fuse-overlayfs; where that cannot be,
//! a copy in the scratch space. The lower rungs weaken no wall, so nobody is asked; main tells in every report which one
//! was taken, and why no higher one.
//!
//! The kernel can refuse at three places. A user's clone of the project, if something is mounted inside; the shift of
//! owners where the project is root's, on file systems that cannot be id-mapped; and the overlay itself. After the second
//! only true root can read what the box shall see, so the copy is made before the launcher becomes the host user; after
//! the others it is made by the host user, with the rights that the box's user has. fuse-overlayfs helps after the third
//! only: after the first it would show what is mounted inside, and for the second it would have to run as root.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::unistd::{Gid, setresgid};
use rustix::fs::{AtFlags, CWD, Gid as FileGid, Mode, OFlags, ResolveFlags, Uid as FileUid, chownat, mkdirat, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};
use testbox_bundle::{Bundle, Source};
use testbox_model::{InitMessage, ProjectCopy, SetupStep};

use crate::channel::Channel;
use crate::copy::{self, Job};
use crate::error::{AtStep, StepFailure};
use crate::fuse::Means;
use crate::identity;
use crate::staging::{
    Site, attach, clone_flags, clone_tree, make_dir, open_dir, scratch_space, shift_owner, with_exact_modes,
};

/// Folders of the scratch space: what the box writes into its view, and what overlayfs needs besides.
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";

/// The project's view on its way into the box.
#[derive(Debug)]
pub(crate) enum View {
    /// The lower layer of an overlay, cloned.
    Lower(OwnedFd),
    /// The kernel refuses an overlay of this.
    Refused(Original),
    /// True root made a copy of it, on the scratch space of the box.
    Copied {
        /// The scratch space, detached.
        scratch: OwnedFd,
        /// What of the project is shown beside the copy.
        beside: Vec<Beside>,
    },
}

/// A project of which there can be no overlay.
#[derive(Debug)]
pub(crate) struct Original {
    /// Its root.
    folder: OwnedFd,
    /// A path to it, for the launcher.
    path: PathBuf,
    /// It is root's, and the box's user shall see itself in root's place.
    of_root: bool,
    because: String,
}

/// A folder of the project that is bound read-only instead of being copied, and its place in the box.
pub(crate) type Beside = (PathBuf, OwnedFd);

/// A view in its place on the stage.
#[derive(Debug)]
pub(crate) struct Shown {
    /// What is mounted where the project is.
    pub(crate) tree: OwnedFd,
    /// What is mounted inside of it.
    pub(crate) beside: Vec<Beside>,
    /// The layer that the box writes.
    pub(crate) upper: OwnedFd,
}

/// Where the view is put together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) site: &'a Site<'a>,
    /// The stage's folder.
    pub(crate) folder: &'a Path,
    /// The folder of the scratch space, mounted.
    pub(crate) scratch: &'a Path,
}

impl View {
    /// Clones the lower layer of the project at `path`.
    pub(crate) fn take(path: &Path, shift_root: bool, shift: BorrowedFd<'_>) -> Result<Self, StepFailure> {
        // The lower layer of an overlay is a leaf: what is mounted below it would not be seen through it anyway.
        let tree = match clone_tree(path, false, true) {
            Err(failure) if failure.errno == libc::EINVAL => {
                let folder = copy::open_original(path).at(SetupStep::Copy, || format!("open {}", path.display()))?;
                let because = "something is mounted inside the project, which an overlay of a user cannot have below it, and \
                               fuse-overlayfs would show";
                let (path, because) = (path.to_owned(), because.to_owned());
                return Ok(Self::Refused(Original { folder, path, of_root: shift_root, because }));
            }
            tree => tree?,
        };
        if !shift_root {
            return Ok(Self::Lower(tree));
        }
        match shift_owner(&tree, shift) {
            Ok(()) => Ok(Self::Lower(tree)),
            Err(error) if is_refusal(&error) => {
                let because = format!(
                    "the project belongs to root, its file system supports no id-mapped mount for an overlay ({error}), and \
                     fuse-overlayfs would have to run as root"
                );
                Ok(Self::Refused(Original { folder: tree, path: path.to_owned(), of_root: true, because }))
            }
            Err(error) => Err(error).at(SetupStep::Mounts, || format!("shift the owner of {}", path.display())),
        }
    }

    /// As true root: copies a project that the host user may not read because it is root's.
    pub(crate) fn copy_as_root(self, bundle: &Bundle, channel: &Channel) -> Result<Self, StepFailure> {
        let Self::Refused(original @ Original { of_root: true, .. }) = self else { return Ok(self) };
        let describe = || "make the scratch space".to_owned();
        let scratch = scratch_space(&bundle.limits).at(SetupStep::Mounts, describe)?;
        let (uid, gid) = (bundle.identity.host_uid, bundle.identity.host_gid);
        let owner = (FileUid::from_raw(uid), FileGid::from_raw(gid));
        let beside = original.beside(bundle);
        identity::leave_root_groups(&bundle.identity)?;
        with_exact_modes(|| {
            mkdirat(&scratch, UPPER, Mode::RWXU).at(SetupStep::Copy, describe)?;
            let upper = rustix::fs::openat(&scratch, UPPER, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            let upper = upper.at(SetupStep::Copy, describe)?;
            as_powerless_root(|| original.copy(bundle, channel, &beside, Some(owner), &upper))
        })?;
        chownat(&scratch, "", Some(owner.0), Some(owner.1), AtFlags::EMPTY_PATH).at(SetupStep::Copy, describe)?;
        Ok(Self::Copied { scratch, beside })
    }
}

impl Original {
    /// What of the project need not be copied: the environment is the largest part of many projects, and nothing of the
    /// tests' own.
    fn beside(&self, bundle: &Bundle) -> Vec<Beside> {
        let Some((project, interpreter)) = project(bundle).zip(bundle.interpreter.as_ref()) else { return Vec::new() };
        let folders = interpreter.venv.iter().chain([&interpreter.base_prefix]);
        let mut beside: Vec<Beside> = Vec::new();
        for folder in folders {
            let folder = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.clone());
            let taken = bundle.mounts.iter().any(|mount| mount.destination == folder)
                || beside.iter().any(|(place, _)| folder.starts_with(place));
            let Ok(relative) = folder.strip_prefix(project) else { continue };
            if taken || relative.as_os_str().is_empty() || !self.shows(relative) {
                continue;
            }
            // What cannot be bound is copied.
            beside.extend(clone_tree(&self.path.join(relative), true, true).map(|tree| (folder.clone(), tree)));
        }
        beside
    }

    /// Whether it is a real folder of the project that the box's user could read; of root's only with everybody else.
    fn shows(&self, relative: &Path) -> bool {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stat = openat2(&self.folder, relative, flags, Mode::empty(), how).and_then(rustix::fs::fstat);
        stat.is_ok_and(|stat| !self.of_root || stat.st_mode & 0o005 == 0o005)
    }

    /// Makes the copy in `upper`, and tells main.
    fn copy(
        &self,
        bundle: &Bundle,
        channel: &Channel,
        beside: &[Beside],
        owner: Option<(FileUid, FileGid)>,
        upper: &OwnedFd,
    ) -> Result<(), StepFailure> {
        let describe = || "tell testbox of the copy".to_owned();
        channel.send(&InitMessage::Copying, &[]).at(SetupStep::Copy, describe)?;
        let covered = covered(bundle, beside);
        let job = Job { original: &self.folder, covered: &covered, owner, limits: &bundle.limits };
        let taken = job.run(upper).map_err(|failure| {
            let detail = format!("{} (it has to be a copy, because {})", failure.detail, self.because);
            StepFailure { detail, ..failure }
        })?;
        let copy = ProjectCopy { because: self.because.clone(), bytes: taken.bytes, inodes: taken.inodes };
        let copied = InitMessage::Copied { copy, left_out: taken.left_out, finished: taken.finished };
        channel.send(&copied, &[]).at(SetupStep::Copy, describe)
    }
}

impl Stage<'_> {
    /// Puts the view together.
    pub(crate) fn show(self, view: View, fuse: Means) -> Result<Shown, StepFailure> {
        let path = self.scratch.join(UPPER);
        let (tree, beside) = match view {
            View::Lower(clone) => self.overlay(clone, &path, fuse)?,
            View::Refused(original) => self.copy(&original, &path)?,
            View::Copied { beside, .. } => (clone_folder(&path)?, beside),
        };
        Ok(Shown { tree, beside, upper: open_dir(&path)? })
    }

    /// The overlay of the lower layer with its upper layer on the scratch, by the kernel or by fuse-overlayfs; or a copy
    /// of the lower layer.
    fn overlay(self, clone: OwnedFd, upper: &Path, fuse: Means) -> Result<(OwnedFd, Vec<Beside>), StepFailure> {
        let shown = || project(self.site.bundle).unwrap_or(Path::new("/")).display();
        // An overlay takes its layers by path, and only from mounts of the caller's own namespace.
        let (lower, work) = (self.folder.join("lower"), self.scratch.join(WORK));
        make_dir(&lower, 0o755)?;
        attach(&clone, &lower).at(SetupStep::Overlay, || format!("bind {}", shown()))?;
        let mode = rustix::fs::stat(&lower).map_or(0o755, |stat| stat.st_mode & 0o777);
        // The upper folder is the root of the view: the box's user must be able to write into its own project.
        make_dir(upper, mode | 0o700)?;
        make_dir(&work, 0o700)?;
        match overlay_mount(&lower, upper, &work) {
            Ok(mount) => Ok((mount, Vec::new())),
            Err(error) if is_refusal(&error) => {
                let mut because = format!("the kernel refuses an overlay of it: {error}");
                match fuse.mount(self.site, self.folder, &lower, self.scratch) {
                    Ok(mount) => return self.tell_of_fuse(because).map(|()| (mount, Vec::new())),
                    Err(why) => because = format!("{because}; and fuse-overlayfs cannot make it: {why}"),
                }
                self.copy(&Original { folder: clone, path: lower, of_root: false, because }, upper)
            }
            Err(error) => Err(error).at(SetupStep::Overlay, || format!("overlay {}", shown())),
        }
    }

    fn copy(self, original: &Original, upper: &Path) -> Result<(OwnedFd, Vec<Beside>), StepFailure> {
        make_dir(upper, 0o700)?;
        let Site { bundle, channel, .. } = *self.site;
        let beside = original.beside(bundle);
        original.copy(bundle, channel, &beside, None, &open_dir(upper)?)?;
        Ok((clone_folder(upper)?, beside))
    }

    fn tell_of_fuse(self, because: String) -> Result<(), StepFailure> {
        let mounted = InitMessage::ByFuse { because };
        self.site.channel.send(&mounted, &[]).at(SetupStep::Overlay, || "tell testbox of fuse-overlayfs".to_owned())
    }
}

/// Where the view of the bundle's project is shown, which is where the project is.
fn project(bundle: &Bundle) -> Option<&Path> {
    let views = bundle.mounts.iter().filter(|mount| matches!(mount.source, Source::View { .. }));
    views.map(|mount| mount.destination.as_path()).next()
}

/// What the box does not see through its view of the project, relative to it: what is hidden, and what is mounted there.
fn covered(bundle: &Bundle, beside: &[Beside]) -> BTreeSet<PathBuf> {
    let Some(project) = project(bundle) else { return BTreeSet::new() };
    let mounts = bundle.mounts.iter().map(|mount| &mount.destination);
    let places = mounts.chain(&bundle.masked_paths).chain(beside.iter().map(|(place, _)| place));
    let below = places.filter_map(|place| place.strip_prefix(project).ok());
    below.filter(|place| !place.as_os_str().is_empty()).map(Path::to_owned).collect()
}

/// What kernels answer to what they do not support: the file system (EINVAL, EPERM of another owner of it), overlays or
/// id-mapped mounts at all (ENODEV, ENOSYS, EOPNOTSUPP), overlays of an ordinary user (EPERM before Linux 5.11).
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::EINVAL, libc::EPERM, libc::ENODEV, libc::ENOSYS, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
}

fn overlay_mount(lower: &Path, upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "lowerdir", lower)?;
    fsconfig_set_string(&fs, "upperdir", upper)?;
    fsconfig_set_string(&fs, "workdir", work)?;
    // In a user namespace the overlay keeps its marks in `user.` attributes (overlayfs.rst, "userxattr").
    fsconfig_set_flag(&fs, "userxattr")?;
    fsconfig_create(&fs)?;
    Ok(fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )?)
}

fn clone_folder(path: &Path) -> Result<OwnedFd, StepFailure> {
    open_tree(CWD, path, clone_flags(false)).at(SetupStep::Mounts, || format!("bind {}", path.display()))
}

/// As root that may read only what root's own permissions allow: just what a view with shifted owners would show to the
/// box's user, ACLs included, because the kernel checks both in the same way.
fn as_powerless_root<T>(work: impl FnOnce() -> Result<T, StepFailure>) -> Result<T, StepFailure> {
    let describe = || "read as root without its powers".to_owned();
    let group = Gid::from_raw(0);
    setresgid(group, group, group).at(SetupStep::Identity, describe)?;
    let effective = caps::read(None, CapSet::Effective).map_err(io::Error::other).at(SetupStep::Identity, describe)?;
    let powerless = effective
        .iter()
        .copied()
        .filter(|power| !matches!(power, Capability::CAP_DAC_OVERRIDE | Capability::CAP_DAC_READ_SEARCH));
    let set = |powers: &caps::CapsHashSet| caps::set(None, CapSet::Effective, powers).map_err(io::Error::other);
    set(&powerless.collect()).at(SetupStep::Identity, describe)?;
    let done = work();
    set(&effective).at(SetupStep::Identity, describe)?;
    done
}
