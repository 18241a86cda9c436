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
    let mut file = open_file(path)?;
    // Most of these files are short: one read takes all, and no question is asked about a size that none of them has.
    let mut start = [0u8; 1024];
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..]) {
            Ok(0) => return Ok(String::from_utf8_lossy(&start[..length]).into_owned()),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = start.to_vec();
    file.read_to_end(&mut bytes)?;
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

/// Opens a directory.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_files_are_read_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in [0, 1, 1023, 1024, 1025, 100_000] {
            fs_err::write(file.path(), "x".repeat(length)).unwrap();
            assert_eq!(read(file.path()).unwrap().len(), length);
        }
    }
}
