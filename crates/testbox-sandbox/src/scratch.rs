//! The scratch folder of a box without namespaces: on the host's disk, below TMPDIR, named after the box.
//!
//! It is removed by folder descriptors, and no link is followed: its content is the box's. Whatever it holds: folders
//! without permissions, and more folders in folders than there are descriptors.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, chmod, fstat, mkdir, open, openat, openat2, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use testbox_bundle::Entry;
use testbox_cgroup::{BoxId, CgroupError, GcReport};
use testbox_model::SetupStep;

use crate::error::{AtStep, StepFailure};
use crate::staging;

/// Folders in folders that are entered; what lies deeper is moved up first.
const DEPTH: usize = 64;
/// Longest time of a removal: a process that is still dying may write meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the scratch folder of a box is: TMPDIR, resolved.
pub(crate) fn place(box_id: &str) -> io::Result<PathBuf> {
    Ok(fs_err::canonicalize(std::env::temp_dir())?.join(box_id))
}

/// Makes the folder for the calling user alone, with its content. There must be none yet.
pub(crate) fn make(path: &Path, content: &[Entry]) -> Result<(), StepFailure> {
    let describe = || format!("make {}", path.display());
    staging::with_exact_modes(|| {
        mkdir(path, Mode::RWXU).at(SetupStep::Scratch, describe)?;
        content.iter().try_for_each(|entry| staging::create(entry, Path::new("/")).at(SetupStep::Scratch, describe))
    })
}

/// Removes the scratch folder of a box, if it has one.
///
/// # Errors
/// It cannot be removed.
pub fn remove_scratch(box_id: &BoxId) -> io::Result<()> {
    let Ok(parent) = open(std::env::temp_dir(), folder(), Mode::empty()) else { return Ok(()) };
    remove(&parent, &box_id.to_string())
}

/// Removes the scratch folders of boxes whose testbox is dead; those of this user, or all of them as root.
///
/// # Errors
/// The own boot id cannot be read.
pub fn collect_scratch(root: &Path) -> Result<GcReport, CgroupError> {
    let own = BoxId::of_current(root)?;
    let (mut report, folder) = (GcReport::default(), std::env::temp_dir());
    let names = fs_err::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for id in names.filter_map(|name| name.to_str()?.parse::<BoxId>().ok()) {
        let path = folder.join(id.to_string());
        let Some(uid) = owner(&path) else { continue };
        let me = rustix::process::geteuid();
        if id.boot != own.boot {
            report.kept.push((path, "it belongs to another boot or to another pid namespace".to_owned()));
        } else if id.owner_alive(root) {
            report.kept.push((path, format!("its owner, process {}, is running", id.pid)));
        } else if !me.is_root() && uid != me.as_raw() {
            report.kept.push((path, format!("it belongs to user {uid}")));
        } else {
            match remove_scratch(&id) {
                Ok(()) => report.removed.push(path),
                Err(error) => report.kept.push((path, error.to_string())),
            }
        }
    }
    Ok(report)
}

/// Who owns this folder; `None` if it is none.
fn owner(path: &Path) -> Option<u32> {
    let found =
        open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    fstat(&found).ok().map(|stat| stat.st_uid)
}

fn remove(parent: &OwnedFd, name: &str) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    let name = std::ffi::CString::new(name)?;
    loop {
        let top = match enter(parent, &name) {
            Ok(top) => top,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        Emptying { top: &top, moved: 0, end }.empty(&top, 0)?;
        match unlinkat(parent, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if Instant::now() < end => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

struct Emptying<'a> {
    top: &'a OwnedFd,
    /// Folders that were moved up so far.
    moved: u64,
    end: Instant,
}

impl Emptying<'_> {
    /// Removes what is in a folder; what was moved to the top meanwhile stays there for the next pass.
    fn empty(&mut self, of: &OwnedFd, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(of)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if Instant::now() >= self.end {
                return Err(io::Error::other("removing it takes too long"));
            }
            match unlinkat(of, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => self.remove_folder(of, name, depth)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn remove_folder(&mut self, of: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        let inner = match enter(of, name) {
            Err(Errno::NOENT) => return Ok(()),
            inner => inner?,
        };
        if depth < DEPTH {
            self.empty(&inner, depth + 1)?;
        } else {
            return self.move_up(of, name);
        }
        match unlinkat(of, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Emptying<'_> {
    /// To a name that is free: the next pass finds it.
    fn move_up(&mut self, of: &OwnedFd, name: &CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let free = format!("moved-{}", self.moved);
            match renameat_with(of, name, self.top, free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) if Instant::now() < self.end => {}
                moved => return Ok(moved?),
            }
        }
    }
}

/// Opens a folder, made accessible to its owner. Neither a link nor a mount is entered.
fn enter(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat2(parent, name, flags, Mode::empty(), how)?;
    match openat(&found, c".", folder(), Mode::empty()) {
        Ok(opened) if may_write(&opened) => Ok(opened),
        _ => {
            chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU)?;
            openat(&found, c".", folder(), Mode::empty())
        }
    }
}

fn may_write(folder: &OwnedFd) -> bool {
    fstat(folder).is_ok_and(|stat| stat.st_mode & 0o700 == 0o700)
}

fn folder() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NAME: &str = "testbox-97b45cbc-4242-100";

    fn removed(fill: impl FnOnce(&Path)) -> tempfile::TempDir {
        let parent = tempfile::tempdir().unwrap();
        let folder_path = parent.path().join(NAME);
        fs_err::create_dir(&folder_path).unwrap();
        fill(&folder_path);
        let opened = open(parent.path(), folder(), Mode::empty()).unwrap();
        remove(&opened, NAME).unwrap();
        assert!(!folder_path.exists());
        remove(&opened, NAME).unwrap();
        parent
    }

    #[test]
    fn links_are_not_followed_and_closed_folders_are_opened() {
        let outside = tempfile::tempdir().unwrap();
        fs_err::write(outside.path().join("kept"), "x").unwrap();
        removed(|folder| {
            fs_err::os::unix::fs::symlink(outside.path(), folder.join("link")).unwrap();
            fs_err::create_dir_all(folder.join("closed/in")).unwrap();
            fs_err::write(folder.join("closed/in/file"), "x").unwrap();
            fs_err::set_permissions(folder.join("closed/in"), std::fs::Permissions::from_mode(0o500)).unwrap();
            fs_err::set_permissions(folder.join("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
        });
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn folders_in_folders_without_end_go() {
        removed(|path| {
            let mut inner = open(path, folder(), Mode::empty()).unwrap();
            for _ in 0..3000 {
                rustix::fs::mkdirat(&inner, c"deeper", Mode::RWXU).unwrap();
                inner = openat(&inner, c"deeper", folder(), Mode::empty()).unwrap();
            }
        });
    }

    #[test]
    fn a_link_in_its_place_is_left_alone() {
        let (parent, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(outside.path().join("kept"), "x").unwrap();
        fs_err::os::unix::fs::symlink(outside.path(), parent.path().join(NAME)).unwrap();
        remove(&open(parent.path(), folder(), Mode::empty()).unwrap(), NAME).unwrap();
        assert!(outside.path().join("kept").exists());
        assert!(owner(&parent.path().join(NAME)).is_none());
    }
}
