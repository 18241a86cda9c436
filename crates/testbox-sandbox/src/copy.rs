//! The copy of the project that a box gets where the kernel refuses an overlay of it: the same tree, in the box's scratch
//! space, made before the command starts.
//!
//! The walk goes by folder descriptors, follows no link and crosses into no other mount. Every access is checked by the
//! kernel as the box's user's own, so nothing becomes readable that an overlay would not have shown; what cannot be read
//! is left out, with a warning. Modes and times are kept (compiled Python files know their source by its time), holes stay
//! holes, links stay links as they are; a file with several names becomes several files, as writing to it through an
//! overlay would have made it.

mod left_out;
mod room;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, chownat,
    fchmod, fchown, fstat, fstatvfs, ftruncate, futimens, mkdirat, mknodat, openat, openat2, readlinkat, seek, statat,
    symlinkat, utimensat,
};
use rustix::io::{Errno, pread, pwrite};
use testbox_model::{Bytes, Limits, Moment, SetupStep};

use crate::error::{AtStep, StepFailure};
use left_out::LeftOut;
use room::Room;

/// Folders below folders; each holds two descriptors open.
const DEPTH: usize = 200;
const BUFFER_BYTES: usize = 256 << 10;

/// What is to be copied, and for whom.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The project's root.
    pub(crate) original: &'a OwnedFd,
    /// What something else covers in the box, relative to the root: its place is made, without its content.
    pub(crate) covered: &'a BTreeSet<PathBuf>,
    /// Whom the copies belong to; `None`: whoever makes them.
    pub(crate) owner: Option<(Uid, Gid)>,
    /// The room that there is.
    pub(crate) limits: &'a Limits,
}

/// What a copy took.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    pub(crate) inodes: u64,
    pub(crate) left_out: Vec<String>,
    /// What is changed later, the box has changed.
    pub(crate) finished: Moment,
}

impl Job<'_> {
    /// Copies what is in the project into the folder `target`, which is empty.
    ///
    /// Where it does not fit, it is counted to its end, so that the error says how much room it needs.
    pub(crate) fn run(&self, target: &OwnedFd) -> Result<Taken, StepFailure> {
        let describe = || "examine the scratch space".to_owned();
        let before = fstatvfs(target).at(SetupStep::Copy, describe)?;
        let mut copier = Copier {
            job: self,
            room: Room::of(self.limits),
            left_out: LeftOut::default(),
            buffer: vec![0; BUFFER_BYTES],
        };
        // A mount is only a place, and cannot be read itself.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let original = openat(self.original, c".", flags, Mode::empty());
        let original = original.at(SetupStep::Copy, || "read the project's folder".to_owned())?;
        let stat = fstat(&original).at(SetupStep::Copy, || "examine the project".to_owned())?;
        let into = target.try_clone().at(SetupStep::Copy, describe)?;
        copier.content(&original, Some(&into), Path::new(""), 0)?;
        copier.room.verdict()?;
        // The root of the view: the box's user must be able to write into its own project.
        let mode = stat.st_mode | 0o700;
        copier.finish(target, mode, &stat).at(SetupStep::Copy, || "finish the project's folder".to_owned())?;
        let after = fstatvfs(target).at(SetupStep::Copy, describe)?;
        let finished = fstat(target).at(SetupStep::Copy, describe)?;
        Ok(Taken {
            bytes: Bytes(before.f_bfree.saturating_sub(after.f_bfree).saturating_mul(after.f_frsize)),
            inodes: before.f_ffree.saturating_sub(after.f_ffree),
            left_out: copier.left_out.finish(),
            finished: Moment { seconds: finished.st_ctime, nanoseconds: finished.st_ctime_nsec as u32 },
        })
    }
}

struct Copier<'a> {
    job: &'a Job<'a>,
    room: Room,
    left_out: LeftOut,
    buffer: Vec<u8>,
}

/// An entry on its way: where it is, and where it goes unless there is no room and it is only counted.
#[derive(Clone, Copy)]
struct Entry<'a> {
    from: &'a OwnedFd,
    to: Option<&'a OwnedFd>,
    name: &'a CStr,
    path: &'a Path,
}

impl Copier<'_> {
    /// Copies what is in a folder.
    fn content(&mut self, from: &OwnedFd, to: Option<&OwnedFd>, path: &Path, depth: usize) -> Result<(), StepFailure> {
        let names = match names(from) {
            Ok(names) => names,
            Err(errno) => {
                self.left_out.unreadable(path, errno);
                return Ok(());
            }
        };
        for name in names {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let to = to.filter(|_| self.room.suffices());
            self.entry(Entry { from, to, name: &name, path: &path }, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry<'_>, depth: usize) -> Result<(), StepFailure> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = match statat(entry.from, entry.name, flags) {
            Ok(stat) => stat,
            Err(errno) => {
                self.left_out.unreadable(entry.path, errno);
                return Ok(());
            }
        };
        let covered = self.job.covered.contains(entry.path);
        let made = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if covered => self.empty_folder(entry, &stat),
            FileType::RegularFile if covered => self.empty_file(entry, &stat),
            FileType::Directory => return self.folder(entry, &stat, depth),
            FileType::RegularFile => self.file(entry, &stat),
            FileType::Symlink => self.link(entry, &stat),
            kind @ (FileType::Fifo | FileType::Socket) => self.node(entry, kind, &stat),
            _ => {
                self.left_out.other(entry.path, "it is a device");
                Ok(())
            }
        };
        self.wrote(made, entry.path)
    }

    fn folder(&mut self, entry: Entry<'_>, stat: &Stat, depth: usize) -> Result<(), StepFailure> {
        if depth == DEPTH {
            self.left_out.other(entry.path, "it lies too deep");
            return Ok(());
        }
        let from = match open_within(entry.from, entry.name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(from) => from,
            Err(Errno::XDEV) => {
                self.left_out.mounted(entry.path);
                let made = self.empty_folder(entry, stat);
                return self.wrote(made, entry.path);
            }
            Err(errno) => {
                self.left_out.unreadable(entry.path, errno);
                return Ok(());
            }
        };
        self.room.count(0);
        let to = match entry.to.map(|to| make_folder(to, entry.name)).transpose() {
            Ok(to) => to,
            Err(errno) => {
                self.wrote(Err(errno), entry.path)?;
                None
            }
        };
        self.content(&from, to.as_ref(), entry.path, depth + 1)?;
        // Last, because what comes into a folder changes its time, and its mode may forbid it.
        let finished = to.map_or(Ok(()), |to| self.finish(&to, stat.st_mode, stat));
        self.wrote(finished, entry.path)
    }

    fn empty_folder(&mut self, entry: Entry<'_>, stat: &Stat) -> Result<(), Errno> {
        self.room.count(0);
        entry.to.map_or(Ok(()), |to| self.finish(&make_folder(to, entry.name)?, stat.st_mode, stat))
    }

    fn empty_file(&mut self, entry: Entry<'_>, stat: &Stat) -> Result<(), Errno> {
        self.room.count(0);
        entry.to.map_or(Ok(()), |to| self.finish(&make_file(to, entry.name)?, stat.st_mode, stat))
    }

    fn file(&mut self, entry: Entry<'_>, stat: &Stat) -> Result<(), Errno> {
        let Some(to) = entry.to else {
            self.room.count(room::of_file(stat));
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = open_within(entry.from, entry.name, flags).and_then(|file| Ok((fstat(&file)?, file)));
        let (stat, source) = match opened {
            Ok((stat, file)) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => (stat, file),
            Ok(_) => {
                self.left_out.other(entry.path, "it changed its kind while it was looked at");
                return Ok(());
            }
            Err(Errno::XDEV) => {
                self.left_out.other(entry.path, "it is a mount of its own (`--ro PATH` shows it)");
                return Ok(());
            }
            Err(errno) => {
                self.left_out.unreadable(entry.path, errno);
                return Ok(());
            }
        };
        self.room.count(room::of_file(&stat));
        if !self.room.suffices() {
            return Ok(());
        }
        let target = make_file(to, entry.name)?;
        match self.bytes(&source, &target, &stat) {
            Ok(()) => {}
            Err(Trouble::Target(errno)) => return Err(errno),
            Err(Trouble::Source(errno)) => self.left_out.broken(entry.path, errno),
        }
        if fstat(&source).is_ok_and(|now| differs(&now, &stat)) {
            self.left_out.changed(entry.path);
        }
        self.finish(&target, stat.st_mode, &stat)
    }

    /// Copies the bytes of a file, as many as it had when it was opened; where it had none, there are none.
    fn bytes(&mut self, source: &OwnedFd, target: &OwnedFd, stat: &Stat) -> Result<(), Trouble> {
        let size = stat.st_size as u64;
        if !room::has_holes(stat) {
            return self.range(source, target, 0, size).map(drop);
        }
        let mut end = 0;
        while end < size {
            let data = match seek(source, SeekFrom::Data(end)) {
                Ok(data) => data,
                // Nothing but a hole is left.
                Err(Errno::NXIO) => break,
                Err(errno) => return Err(Trouble::Source(errno)),
            };
            end = seek(source, SeekFrom::Hole(data)).map_err(Trouble::Source)?.min(size);
            if !self.range(source, target, data, end)? {
                return Ok(());
            }
        }
        ftruncate(target, size).map_err(Trouble::Target)
    }

    /// Copies a range; `false` if the file ended before it did.
    fn range(&mut self, source: &OwnedFd, target: &OwnedFd, mut at: u64, end: u64) -> Result<bool, Trouble> {
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let length = match pread(source, &mut self.buffer[..most], at) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Trouble::Source(errno)),
            };
            let mut written = 0;
            while written < length {
                match pwrite(target, &self.buffer[written..length], at + written as u64) {
                    Ok(count) => written += count,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(Trouble::Target(errno)),
                }
            }
            at += length as u64;
        }
        Ok(true)
    }

    fn link(&mut self, entry: Entry<'_>, stat: &Stat) -> Result<(), Errno> {
        self.room.count(room::of_link(stat));
        let Some(to) = entry.to else { return Ok(()) };
        match readlinkat(entry.from, entry.name, Vec::new()) {
            Ok(target) => symlinkat(&target, to, entry.name)?,
            Err(errno) => {
                self.left_out.unreadable(entry.path, errno);
                return Ok(());
            }
        }
        self.finish_by_name(to, entry.name, stat)
    }

    /// A FIFO of the box's own; a socket to which nobody listens, as an overlay shows it.
    fn node(&mut self, entry: Entry<'_>, kind: FileType, stat: &Stat) -> Result<(), Errno> {
        self.room.count(0);
        let Some(to) = entry.to else { return Ok(()) };
        mknodat(to, entry.name, kind, Mode::from_raw_mode(stat.st_mode & 0o777), 0)?;
        self.finish_by_name(to, entry.name, stat)
    }

    /// Owner, mode and times of a file or folder that is complete. Set-user-ID means nothing in a box, and is not kept.
    fn finish(&self, made: &OwnedFd, mode: u32, original: &Stat) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.job.owner {
            fchown(made, Some(uid), Some(gid))?;
        }
        let kept = if FileType::from_raw_mode(original.st_mode) == FileType::Directory { 0o3777 } else { 0o777 };
        fchmod(made, Mode::from_raw_mode(mode & kept))?;
        futimens(made, &times(original))
    }

    fn finish_by_name(&self, folder: &OwnedFd, name: &CStr, original: &Stat) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.job.owner {
            chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(folder, name, &times(original), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What became of writing the copy: where the scratch space is full, the rest is only counted.
    fn wrote(&mut self, made: Result<(), Errno>, path: &Path) -> Result<(), StepFailure> {
        match made {
            Err(Errno::NOSPC) => {
                self.room.mark_full();
                Ok(())
            }
            made => made.at(SetupStep::Copy, || format!("write the copy of `{}`", path.display())),
        }
    }
}

/// Which side failed.
enum Trouble {
    Source(Errno),
    Target(Errno),
}

/// Opens a folder that the copy is made of.
pub(crate) fn open_original(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let entries = Dir::read_from(folder)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    names.filter(|name| !name.as_ref().is_ok_and(|name| matches!(name.to_bytes(), b"." | b".."))).collect()
}

/// Opens an entry of a folder, on the same mount and through no link.
fn open_within(folder: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), how)
}

fn make_folder(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    open_within(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn make_file(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
}

fn times(original: &Stat) -> Timestamps {
    let time = |tv_sec, nanoseconds| Timespec { tv_sec, tv_nsec: nanoseconds as i64 };
    Timestamps {
        last_access: time(original.st_atime, original.st_atime_nsec),
        last_modification: time(original.st_mtime, original.st_mtime_nsec),
    }
}

fn differs(now: &Stat, before: &Stat) -> bool {
    let state = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    state(now) != state(before)
}

#[cfg(test)]
mod tests;
