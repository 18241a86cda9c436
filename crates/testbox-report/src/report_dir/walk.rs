//! The way to the report folder: folder by folder, by descriptors; the last two are never reached through a link.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::ReportError;
use super::folder::{Folder, give_to, open_own};

/// The folder that testbox keeps its reports in by default; git need not see it.
const HOME: &str = ".testbox";
const SEARCH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the folder and creates what is missing of its path.
pub(super) fn open(dir: &Path, owner: Option<(u32, u32)>) -> Result<Folder, ReportError> {
    let names = names(dir)?;
    let mut path = start(dir).to_owned();
    let mut fd =
        open_start(dir).map_err(|errno| ReportError::OpenFolder { path: path.clone(), source: errno.into() })?;
    for (index, name) in names.iter().enumerate() {
        path.push(name);
        fd = Step { parent: &fd, name, path: &path, guarded: is_guarded(index, &names) }.enter(owner)?;
        if *name == HOME {
            ignore_by_git(&fd, &path.join(".gitignore"), owner)?;
        }
    }
    let fd = rustix::fs::openat(&fd, ".", READ, Mode::empty())
        .map_err(|errno| ReportError::OpenFolder { path, source: errno.into() })?;
    Ok(Folder::new(fd, dir.to_owned(), owner))
}

/// Fails if the folder's path no longer leads to it: its files would land where nobody looks for them, and a planted
/// folder in its place would speak for testbox.
pub(super) fn check_place(folder: &Folder) -> Result<(), ReportError> {
    let gone = || ReportError::Gone { path: folder.path().to_owned() };
    let names = names(folder.path())?;
    let mut fd = open_start(folder.path()).map_err(|_| gone())?;
    for (index, name) in names.iter().enumerate() {
        fd = Step { parent: &fd, name, path: folder.path(), guarded: is_guarded(index, &names) }
            .open(SEARCH)
            .map_err(|_| gone())?;
    }
    if folder.is_same(&fd) { Ok(()) } else { Err(gone()) }
}

fn start(dir: &Path) -> &'static Path {
    Path::new(if dir.is_absolute() { "/" } else { "" })
}

fn open_start(dir: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, if dir.is_absolute() { "/" } else { "." }, SEARCH, Mode::empty())
}

/// The names of the path, from its start on.
fn names(dir: &Path) -> Result<Vec<&OsStr>, ReportError> {
    let is_step = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    let names: Vec<_> = dir.components().filter(is_step).map(Component::as_os_str).collect();
    if names.is_empty() { Err(ReportError::NoName { path: dir.to_owned() }) } else { Ok(names) }
}

/// The last two folders are the project's to name, and so the box's to plant; those above are the user's own way.
fn is_guarded(index: usize, names: &[&OsStr]) -> bool {
    index + 2 >= names.len()
}

/// One folder on the way.
struct Step<'a> {
    parent: &'a OwnedFd,
    name: &'a OsStr,
    path: &'a Path,
    /// A link in this place is refused.
    guarded: bool,
}

impl Step<'_> {
    fn enter(&self, owner: Option<(u32, u32)>) -> Result<OwnedFd, ReportError> {
        match self.open(SEARCH) {
            Err(Errno::NOENT) => self.create(owner),
            opened => opened.map_err(|errno| self.error(errno)),
        }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let guard = if self.guarded { OFlags::NOFOLLOW } else { OFlags::empty() };
        rustix::fs::openat(self.parent, self.name, flags | guard, Mode::empty())
    }

    fn create(&self, owner: Option<(u32, u32)>) -> Result<OwnedFd, ReportError> {
        match rustix::fs::mkdirat(self.parent, self.name, Mode::from_raw_mode(0o755)) {
            // Another run was faster, and it gives the folder to its owner.
            Err(Errno::EXIST) => self.open(SEARCH).map_err(|errno| self.error(errno)),
            Err(errno) => Err(ReportError::CreateFolder { path: self.path.to_owned(), source: errno.into() }),
            Ok(()) => {
                let fd = self.open(READ | OFlags::NOFOLLOW).map_err(|errno| self.error(errno))?;
                give_to(&fd, owner, self.path)?;
                Ok(fd)
            }
        }
    }

    fn error(&self, errno: Errno) -> ReportError {
        let path = self.path.to_owned();
        let found = rustix::fs::statat(self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW);
        match found.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) if self.guarded => ReportError::Link { path },
            Ok(_) if errno == Errno::NOTDIR => ReportError::NotAFolder { path },
            _ => ReportError::OpenFolder { path, source: errno.into() },
        }
    }
}

/// Makes git ignore everything in `folder`; a `.gitignore` that says something is left alone.
fn ignore_by_git(folder: &OwnedFd, path: &Path, owner: Option<(u32, u32)>) -> Result<(), ReportError> {
    let there = rustix::fs::statat(folder, ".gitignore", AtFlags::SYMLINK_NOFOLLOW);
    if there.is_ok_and(|stat| stat.st_size > 0 || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile) {
        return Ok(());
    }
    let mut file: File = open_own(folder, ".gitignore", path, owner)?;
    file.write_all(b"*\n").map_err(|source| ReportError::Write { path: path.to_owned(), source })
}
