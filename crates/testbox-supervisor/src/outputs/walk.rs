//! The walk over the layer that a box wrote, by directory descriptors.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use testbox_model::Moment;

use super::place::Project;
use super::{Caps, Log, Written};
use crate::scan::shown;

/// Folders below folders.
const DEPTH: usize = 64;
/// What names of marks begin with (fuse-overlayfs(1), where it makes no devices).
const MARK: &[u8] = b".wh.";
const DELETED: &str = "the box deleted it; the project's own stays";
/// Entries looked at.
const ENTRIES: u64 = 1_000_000;

/// Is nothing in the folder? If it cannot be read, the walk says why.
pub(super) fn is_empty(folder: BorrowedFd<'_>) -> bool {
    let names = Dir::read_from(folder).map(|entries| entries.flatten());
    names.is_ok_and(|mut names| names.all(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
}

pub(super) struct Walk<'a> {
    globs: &'a GlobSet,
    project: &'a Project<'a>,
    caps: Caps,
    since: Option<Moment>,
    marked: bool,
    log: &'a mut Log,
    files: u64,
    bytes: u64,
    entries: u64,
}

/// An open, verified regular file of the upper layer.
pub(super) struct Found {
    pub(super) file: OwnedFd,
    pub(super) size: u64,
    pub(super) mode: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(globs: &'a GlobSet, project: &'a Project<'a>, caps: Caps, log: &'a mut Log) -> Self {
        Self { globs, project, caps, since: None, marked: false, log, files: 0, bytes: 0, entries: 0 }
    }

    pub(super) fn run(&mut self, written: Written<'_>) {
        (self.since, self.marked) = (written.since, written.marked);
        match open_folder(written.root, c".") {
            Ok(root) => self.folder(root, Path::new(""), 0),
            Err(errno) => self.log.warn(format!("cannot open the written layer of the project: {errno}")),
        }
    }

    fn folder(&mut self, folder: OwnedFd, path: &Path, depth: usize) {
        let mut entries = match Dir::read_from(&folder) {
            Ok(entries) => entries,
            Err(errno) => return self.skip(path, &format!("cannot be read: {errno}")),
        };
        while let Some(Ok(entry)) = entries.read() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries == ENTRIES {
                self.log.warn(format!("the walk ended after {ENTRIES} entries"));
            }
            if self.entries >= ENTRIES {
                return;
            }
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(folder.as_fd(), name, &path, depth);
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path, depth: usize) {
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(errno) => return self.skip(path, &format!("cannot be examined: {errno}")),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return self.descend(folder, name, &stat, path, depth);
        }
        if self.marked && name.to_bytes().starts_with(MARK) {
            return self.mark(&name.to_bytes()[MARK.len()..], path);
        }
        if !self.globs.is_match(path) || self.is_original(&stat) {
            return;
        }
        match obeyed(path).or_else(|| refusal(kind, &stat)) {
            Some(why) => self.skip(path, why),
            None => self.carry(folder, name, path),
        }
    }

    /// A mark of fuse-overlayfs in place of a name: its file is deleted. (Or of a folder: nothing of the project's is below.)
    fn mark(&mut self, name: &[u8], path: &Path) {
        let deleted = path.with_file_name(OsStr::from_bytes(name));
        if !name.is_empty() && !name.starts_with(MARK) && self.globs.is_match(&deleted) {
            self.skip(&deleted, DELETED);
        }
    }

    fn descend(&mut self, folder: BorrowedFd<'_>, name: &CStr, stat: &Stat, path: &Path, depth: usize) {
        if name.to_bytes() == b".git" {
            if self.globs.is_match(path) && !self.is_original(stat) {
                self.skip(path, "a `.git` folder is never changed");
            }
            return;
        }
        if depth == DEPTH {
            return self.log.warn(format!("the walk ended {DEPTH} folders deep"));
        }
        match open_folder(folder, name) {
            Ok(inner) => self.folder(inner, path, depth + 1),
            Err(errno) => self.skip(path, &format!("cannot be opened: {errno}")),
        }
    }

    /// Is it still what was copied? Nobody can set the time of a change. In the last tick of the copy's making, when the
    /// box's first one may have begun, a file that keeps an older time of writing is the project's.
    fn is_original(&self, stat: &Stat) -> bool {
        let moment = |seconds, nanoseconds| Moment { seconds, nanoseconds };
        let changed = moment(stat.st_ctime, stat.st_ctime_nsec as u32);
        let written = moment(stat.st_mtime, stat.st_mtime_nsec as u32);
        self.since.is_some_and(|since| changed < since || changed == since && written < since)
    }

    fn carry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) {
        let found = match open_file(folder, name) {
            Ok(found) => found,
            Err(why) => return self.skip(path, &why),
        };
        if self.files >= self.caps.files {
            return self.log.warn(format!("more than {} files match; the rest was left behind", self.caps.files));
        }
        let left = self.caps.bytes.saturating_sub(self.bytes);
        if found.size > left {
            let size = testbox_model::Bytes(found.size);
            return self.skip(path, &format!("its {size} are more than may still be carried out"));
        }
        match self.project.place(path, &found, left) {
            Ok(bytes) => {
                self.files += 1;
                self.bytes += bytes;
                self.log.copied.push(path.to_string_lossy().into_owned());
            }
            Err(why) => self.skip(path, &why),
        }
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.log.warn(format!("`{}` was left behind: {why}", shown(path.as_os_str().as_bytes())));
    }
}

/// The files that may hold the project's settings of testbox (images/base.toml guards the same where the project is
/// writable): carried out, they would choose the walls of the next run.
fn obeyed(path: &Path) -> Option<&'static str> {
    let settings = ["testbox.toml", "pyproject.toml"].map(Path::new);
    settings.contains(&path).then_some("the next run would take its walls from it")
}

/// Why this is not carried out.
fn refusal(kind: FileType, stat: &Stat) -> Option<&'static str> {
    match kind {
        FileType::RegularFile if stat.st_nlink == 1 => None,
        FileType::RegularFile => Some("it has more than one link"),
        FileType::CharacterDevice if stat.st_rdev == 0 => Some(DELETED),
        FileType::Symlink => Some("it is a symbolic link"),
        FileType::Fifo => Some("it is a FIFO"),
        FileType::Socket => Some("it is a socket"),
        _ => Some("it is a device"),
    }
}

fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Opens a file that was seen to be regular, and looks again at what was opened.
fn open_file(folder: BorrowedFd<'_>, name: &CStr) -> Result<Found, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|errno| format!("cannot be opened: {errno}"))?;
    let stat = fstat(&file).map_err(|errno| format!("cannot be examined: {errno}"))?;
    match refusal(FileType::from_raw_mode(stat.st_mode), &stat) {
        Some(why) => Err(why.to_owned()),
        None => Ok(Found { file, size: u64::try_from(stat.st_size).unwrap_or(0), mode: stat.st_mode }),
    }
}

/// The folder of a path and its last component.
pub(super) fn split(path: &Path) -> Option<(PathBuf, &OsStr)> {
    Some((path.parent()?.to_owned(), path.file_name()?))
}
