//! One run at a time: an exclusive lock on a file that names the run.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::ReportError;
use super::folder::Folder;

const LOCK: &str = "lock";

/// Takes the lock, which lasts as long as the descriptor and its copies in forked processes. The file itself stays: to
/// remove it would let two runs lock two files.
pub(super) fn take(folder: &Folder) -> Result<OwnedFd, ReportError> {
    let file = folder.open_own(LOCK)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(ReportError::Busy { path: folder.path().to_owned(), pid: holder(file) }),
        Err(errno) => return Err(ReportError::Lock { path: folder.place(LOCK), source: errno.into() }),
    }
    sign(&file).map_err(|source| ReportError::Write { path: folder.place(LOCK), source })?;
    Ok(file.into())
}

fn sign(file: &File) -> std::io::Result<()> {
    let line = format!("{}\n", std::process::id());
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)
}

/// The pid in the lock file; anything else in it is nobody's.
fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.lines().next()?.parse().ok()
}
