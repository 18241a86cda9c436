//! Files of one folder, reached only through its descriptor.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::ReportError;

const CREATE: OFlags =
    OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPEN: OFlags = OFlags::RDWR.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder and what its new files belong to.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Folder {
    pub(super) fn new(fd: OwnedFd, path: PathBuf, owner: Option<(u32, u32)>) -> Self {
        Self { fd, path, owner }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The place of a file, for messages only.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether `other` is this very folder.
    pub(super) fn is_same(&self, other: &OwnedFd) -> bool {
        let identity = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        identity(&self.fd).is_some_and(|own| identity(other) == Some(own))
    }

    /// The file of this name, made if need be; never a link, a device, or a file with a second name.
    pub(super) fn open_own(&self, name: &str) -> Result<File, ReportError> {
        open_own(&self.fd, name, &self.place(name), self.owner)
    }

    /// A new, empty file in the place of whatever a killed run left under this name.
    pub(super) fn create(&self, name: &str) -> Result<File, ReportError> {
        self.remove(name)?;
        create(&self.fd, name, &self.place(name), self.owner)?
            .ok_or_else(|| ReportError::CreateFile { path: self.place(name), source: Errno::EXIST.into() })
    }

    /// Writes a new file under a temporary name and brings it to the disk, so that [`Folder::rename`] can show it whole.
    /// `write` gets the file's place for its error.
    pub(super) fn write_new(
        &self,
        temporary: &str,
        write: impl FnOnce(&mut dyn Write, &Path) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        let place = self.place(temporary);
        let mut file = BufWriter::with_capacity(64 << 10, self.create(temporary)?);
        write(&mut file, &place)?;
        let error = |source| ReportError::Write { path: place.clone(), source };
        let file = file.into_inner().map_err(|failed| error(failed.into_error()))?;
        file.sync_all().map_err(|source| ReportError::Sync { path: place.clone(), source })
    }

    pub(super) fn rename(&self, from: &str, to: &'static str) -> Result<(), ReportError> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(|errno| ReportError::Rename {
            from: self.place(from),
            to,
            source: errno.into(),
        })
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), ReportError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(ReportError::Remove { path: self.place(name), source: errno.into() }),
        }
    }
}

/// As [`Folder::open_own`], in a folder that is only searched.
pub(super) fn open_own(
    folder: &OwnedFd,
    name: &str,
    path: &Path,
    owner: Option<(u32, u32)>,
) -> Result<File, ReportError> {
    if let Some(file) = create(folder, name, path, owner)? {
        return Ok(file);
    }
    let open_error = |errno: Errno| ReportError::OpenFile { path: path.to_owned(), source: errno.into() };
    let planted = || ReportError::Planted { path: path.to_owned() };
    let fd = rustix::fs::openat(folder, name, OPEN, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP | Errno::ISDIR | Errno::NXIO => planted(),
        errno => open_error(errno),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(open_error)?;
    let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
    if plain { Ok(File::from(fd)) } else { Err(planted()) }
}

/// A new file, or `None` if something has that name already.
fn create(folder: &OwnedFd, name: &str, path: &Path, owner: Option<(u32, u32)>) -> Result<Option<File>, ReportError> {
    match rustix::fs::openat(folder, name, CREATE, Mode::from_raw_mode(0o644)) {
        Ok(fd) => give_to(&fd, owner, path).map(|()| Some(File::from(fd))),
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(ReportError::CreateFile { path: path.to_owned(), source: errno.into() }),
    }
}

/// Gives a new file or folder to the user, so that nothing of root's is left in a project.
pub(super) fn give_to(fd: impl AsFd, owner: Option<(u32, u32)>, path: &Path) -> Result<(), ReportError> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(|errno| ReportError::Own {
        path: path.to_owned(),
        uid,
        gid,
        source: errno.into(),
    })
}
