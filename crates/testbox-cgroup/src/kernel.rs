//! The few file operations that cgroups need, with the kernel's bare error numbers; writes go through one replaceable
//! table, so that tests can put a recorded kernel in its place.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// The operations that change a cgroup file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    /// Makes a group.
    pub(crate) mkdir: fn(&Path) -> io::Result<()>,
    /// Removes a group.
    pub(crate) rmdir: fn(&Path) -> io::Result<()>,
    /// Sets the value of a file.
    pub(crate) write: fn(&Path, &str) -> io::Result<()>,
}

impl Kernel {
    /// The kernel that runs.
    pub(crate) const REAL: Self = Self { mkdir, rmdir, write };
}

/// Reads a whole file; bytes that are not UTF-8 are replaced.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open_file(path)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file for reading.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    Ok(File::from(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Opens a file for reading and writing.
pub(crate) fn open_both(path: &Path) -> io::Result<File> {
    Ok(File::from(open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
}

/// Opens a file for writing.
pub(crate) fn open_write(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn mkdir(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkdir(path, Mode::from_bits_truncate(0o755))?)
}

fn rmdir(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::rmdir(path)?)
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    let file = open_write(path)?;
    match rustix::io::write(&file, value.as_bytes())? {
        written if written == value.len() => Ok(()),
        written => Err(io::Error::other(format!("only {written} of {} bytes were taken", value.len()))),
    }
}
