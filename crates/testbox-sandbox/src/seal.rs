//! testbox executes itself from a sealed memfd, so that the box never gets a handle on the real binary (R1).

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::SandboxError;

const SEALS: SealFlags = SealFlags::from_bits_retain(
    SealFlags::SEAL.bits() | SealFlags::SHRINK.bits() | SealFlags::GROW.bits() | SealFlags::WRITE.bits(),
);

/// Returns if this process runs from a sealed copy already; otherwise executes that copy with the same arguments and
/// environment and does not return.
///
/// # Errors
/// [`SandboxError::Seal`] if the copy cannot be made or executed.
pub fn ensure() -> Result<(), SandboxError> {
    let own = fs_err::File::open("/proc/self/exe").map_err(|source| seal("open /proc/self/exe", source))?;
    if is_sealed(own.file()) {
        let _ = nix::sys::prctl::set_name(c"testbox");
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
