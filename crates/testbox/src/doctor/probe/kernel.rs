//! What the host is: its kernel and its cgroups.

use testbox_cgroup::Version;

use super::super::finding::Finding;
use super::super::ground::Ground;

/// The kernel's version, and which cgroup interfaces are mounted.
pub(super) fn probe(ground: &Ground) -> Vec<Finding> {
    let release = nix::sys::utsname::uname().map_or_else(
        |errno| errno.to_string(),
        |name| format!("{} {}", name.release().to_string_lossy(), name.machine().to_string_lossy()),
    );
    let cgroups = match ground.cgroups.version() {
        Version::V1 => "v1",
        Version::V2 => "v2",
        Version::Hybrid => "v1 and v2 (hybrid)",
        Version::None => "none mounted",
    };
    vec![Finding::note("kernel", release), Finding::note("cgroups", cgroups)]
}
