//! The box never gets a writable handle on testbox's binary, not even through /proc/1/exe (R1, CVE-2019-5736).
//!
//! The kernel already refuses it where the binary belongs to root and nobody else may write it: no process of a box has
//! host user 0 or a capability over the host's files. That is how programs are installed, and it costs nothing.
//! Everywhere else (a build folder, `~/.cargo/bin`) the box's user may own the binary: testbox then executes itself from
//! a sealed memfd before anything else.

use std::ffi::CString;
use std::fs::Metadata;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::SandboxError;

const SEALS: SealFlags = SealFlags::from_bits_retain(
    SealFlags::SEAL.bits() | SealFlags::SHRINK.bits() | SealFlags::GROW.bits() | SealFlags::WRITE.bits(),
);

/// Write permission of group and others; with an access control list the group's bits are the most that it grants
/// anybody (acl(5)).
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Returns if no box can write this process's binary, because only root can or because it is a sealed copy already;
/// otherwise executes such a copy with the same arguments and environment and does not return.
///
/// # Errors
/// [`SandboxError::Seal`] if the copy cannot be made or executed.
pub fn ensure() -> Result<(), SandboxError> {
    let own = fs_err::File::open("/proc/self/exe").map_err(|source| seal("open /proc/self/exe", source))?;
    if is_sealed(own.file()) {
        let _ = nix::sys::prctl::set_name(c"testbox");
        return Ok(());
    }
    let metadata = own.metadata().map_err(|source| seal("read the owner of the binary", source))?;
    if only_root_writes(&metadata) {
        return Ok(());
    }
    let copy = sealed_copy(own.file())?;
    let arguments: Vec<CString> = std::env::args_os().map(to_c_string).collect::<Result<_, _>>()?;
    let environment: Vec<CString> = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            to_c_string(name)
        })
        .collect::<Result<_, _>>()?;
    let error = match nix::unistd::fexecve(copy, &arguments, &environment) {
        Err(errno) => io::Error::from(errno),
    };
    Err(seal("execute the sealed copy", error))
}

fn only_root_writes(binary: &Metadata) -> bool {
    binary.uid() == 0 && binary.mode() & WRITABLE_BY_OTHERS == 0
}

fn is_sealed(file: &std::fs::File) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
}

fn sealed_copy(own: &std::fs::File) -> Result<OwnedFd, SandboxError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("testbox", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("testbox", flags))
        .map_err(|errno| seal("create a memfd", errno.into()))?;
    let length = own.metadata().map_err(|source| seal("read the size of the binary", source))?.len();
    let mut copied = 0;
    while copied < length {
        let sent = rustix::fs::sendfile(&copy, own, None, (length - copied) as usize)
            .map_err(|errno| seal("copy the binary", errno.into()))?;
        if sent == 0 {
            return Err(seal("copy the binary", io::ErrorKind::UnexpectedEof.into()));
        }
        copied += sent as u64;
    }
    rustix::fs::fcntl_add_seals(&copy, SEALS).map_err(|errno| seal("add seals", errno.into()))?;
    Ok(copy)
}

fn to_c_string(text: std::ffi::OsString) -> Result<CString, SandboxError> {
    CString::new(text.into_vec()).map_err(|error| seal("pass an argument with a NUL byte", error.into()))
}

fn seal(operation: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Seal { operation, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_sealed_copy_is_whole_and_cannot_be_changed_through_any_handle() {
        let mut original = tempfile::NamedTempFile::new().unwrap();
        original.write_all(b"#!/bin/true\n").unwrap();
        let copy = sealed_copy(&fs_err::File::open(original.path()).unwrap().into_parts().0).unwrap();
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        assert_eq!(fs_err::read(&path).unwrap(), b"#!/bin/true\n");
        let opened = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
        let error = opened.into_parts().0.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(rustix::fs::ftruncate(&copy, 0).is_err());
        assert!(is_sealed(&copy.into()));
    }

    #[test]
    fn a_binary_of_root_that_others_cannot_write_needs_no_copy() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_mode = |mode| {
            fs_err::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            only_root_writes(&fs_err::metadata(file.path()).unwrap())
        };
        assert!(with_mode(0o755));
        assert!(!with_mode(0o775));
        assert!(!with_mode(0o757));
        with_mode(0o755);
        nix::unistd::chown(file.path(), Some(1000.into()), None).unwrap();
        assert!(!only_root_writes(&fs_err::metadata(file.path()).unwrap()), "its owner could change its mode");
    }
}
