//! Landlock: asked of the kernel; no wall of this version depends on it.

use super::super::finding::Finding;

/// Which Landlock the kernel has.
pub(super) fn probe() -> Finding {
    Finding::note(
        "landlock",
        match testbox_sandbox::landlock_abi() {
            Some(abi) => format!("ABI {abi}; no wall depends on it"),
            None => "not in this kernel; no wall depends on it".to_owned(),
        },
    )
}
