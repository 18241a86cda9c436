//! Placing a file in the project: entered by descriptors, never through a link, whole or not at all.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fchown, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::fs::{Gid, Uid};
use rustix::io::{Errno, read, write};
use rustix::process::geteuid;

use super::walk::{Found, split};

const COPY_BYTES: usize = 64 << 10;
const ENTER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) struct Project<'a> {
    root: BorrowedFd<'a>,
    temporary_name: String,
}

impl<'a> Project<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, temporary_name: format!(".testbox-{}.tmp", process::id()) }
    }

    /// Copies a file to this place, at most `limit` bytes; the number of bytes.
    pub(super) fn place(&self, path: &Path, found: &Found, limit: u64) -> Result<u64, String> {
        let (folder, name) = split(path).ok_or("it has no name")?;
        let folder = self.enter(&folder)?;
        check_place(&folder, name)?;
        let written = self.write_temporary(&folder, found, limit);
        let renamed = written.and_then(|bytes| {
            let renamed = renameat(&folder, &self.temporary_name, &folder, name);
            renamed.map(|()| bytes).map_err(|errno| format!("cannot rename it into the project: {errno}"))
        });
        if renamed.is_err() {
            let _never_made = unlinkat(&folder, &self.temporary_name, AtFlags::empty());
        }
        renamed
    }

    /// Opens a folder of the project component by component; makes those that are missing.
    fn enter(&self, path: &Path) -> Result<OwnedFd, String> {
        let mut folder = openat(self.root, c".", ENTER, Mode::empty())
            .map_err(|errno| format!("cannot open the project: {errno}"))?;
        for name in path.components().map(|component| component.as_os_str()) {
            folder = enter_one(&folder, name)?;
        }
        Ok(folder)
    }

    fn write_temporary(&self, folder: &OwnedFd, found: &Found, limit: u64) -> Result<u64, String> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let _left_by_a_killed_run = unlinkat(folder, &self.temporary_name, AtFlags::empty());
        let file = openat(folder, &self.temporary_name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| format!("cannot create it in the project: {errno}"))?;
        let bytes = copy(&found.file, &file, limit)?;
        own_as(&file, folder).map_err(|errno| format!("cannot give it its owner: {errno}"))?;
        let mode = Mode::from_raw_mode(placed_mode(found.mode));
        fchmod(&file, mode).map_err(|errno| format!("cannot set its mode: {errno}"))?;
        Ok(bytes)
    }
}

fn enter_one(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, String> {
    match openat(parent, name, ENTER, Mode::empty()) {
        Err(Errno::NOENT) => make_folder(parent, name),
        Err(Errno::LOOP | Errno::NOTDIR) => Err("its folder is a link or a file in the project".to_owned()),
        result => result.map_err(|errno| format!("cannot enter its folder in the project: {errno}")),
    }
}

fn make_folder(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, String> {
    let failed = |errno| format!("cannot make its folder in the project: {errno}");
    mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
    let folder = openat(parent, name, ENTER, Mode::empty()).map_err(failed)?;
    own_as(&folder, parent).map_err(failed)?;
    Ok(folder)
}

/// Only a regular file, or nothing, is replaced.
fn check_place(folder: &OwnedFd, name: &OsStr) -> Result<(), String> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(format!("cannot examine its place in the project: {errno}")),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(()),
        Ok(_) => Err("its place in the project is taken by a link, a folder or a device".to_owned()),
    }
}

/// As root: the owner of the folder owns what comes into it.
fn own_as(file: &OwnedFd, folder: &OwnedFd) -> Result<(), Errno> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fstat(folder)?;
    fchown(file.as_fd(), Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)))
}

/// Read and write as in the box, execution for those who may read if the owner could execute; nothing else.
fn placed_mode(mode: u32) -> u32 {
    let executable = if mode & 0o100 != 0 { (mode & 0o444) >> 2 } else { 0 };
    (mode & 0o666) | executable
}

fn copy(from: &OwnedFd, to: &OwnedFd, limit: u64) -> Result<u64, String> {
    let (mut buffer, mut total) = (vec![0; COPY_BYTES], 0u64);
    loop {
        let length = match read(from, &mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(format!("cannot be read: {errno}")),
        };
        total += length as u64;
        if total > limit {
            return Err("it grew beyond what may be carried out".to_owned());
        }
        write_all(to, &buffer[..length]).map_err(|errno| format!("cannot be written into the project: {errno}"))?;
    }
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
