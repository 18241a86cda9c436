//! Whether a program needs nothing of the host: its ELF header asks for no interpreter.

use std::path::Path;

use crate::error::Error;

/// A program header that names the dynamic linker (elf(5), PT_INTERP).
const INTERPRETER: u32 = 3;

/// Refuses a program that is not a static one for x86-64.
pub(super) fn check_static(binary: &Path) -> Result<(), Error> {
    let refused = |why| Error::Binary { path: binary.to_owned(), why };
    let bytes = fs_err::read(binary)?;
    match program_headers(&bytes) {
        None => Err(refused("it is no ELF program for x86-64")),
        Some(types) if types.contains(&INTERPRETER) => Err(refused("it needs shared libraries")),
        Some(_) => Ok(()),
    }
}

/// The types of all program headers of a 64-bit little-endian program for x86-64.
fn program_headers(bytes: &[u8]) -> Option<Vec<u32>> {
    const X86_64: u16 = 62;
    let at = |offset: usize, length: usize| bytes.get(offset..offset.checked_add(length)?);
    let half = |offset| Some(u16::from_le_bytes(at(offset, 2)?.try_into().ok()?));
    if at(0, 6)? != b"\x7fELF\x02\x01" || half(18)? != X86_64 {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(at(32, 8)?.try_into().ok()?)).ok()?;
    let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
    let kind = |index: usize| {
        let offset = table.checked_add(index.checked_mul(size)?)?;
        Some(u32::from_le_bytes(at(offset, 4)?.try_into().ok()?))
    };
    (0..count).map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_shared_libraries_and_garbage_is_no_program() {
        let own = std::env::current_exe().unwrap();
        let error = check_static(&own).unwrap_err().to_string();
        assert!(error.ends_with("it needs shared libraries"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let bytes = fs_err::read(&own).unwrap();
        for garbage in [&b""[..], b"#!/bin/sh\n", &bytes[..60], &bytes[..64]] {
            let path = dir.path().join("x");
            fs_err::write(&path, garbage).unwrap();
            assert!(check_static(&path).unwrap_err().to_string().ends_with("it is no ELF program for x86-64"));
        }
    }
}
