//! Landlock: asked of the kernel. A default run does not need it; with the host's network it guards abstract sockets.

use super::super::finding::Finding;

const SUBJECT: &str = "landlock";

/// Which Landlock the kernel has, and what that means for a run with the host's network.
pub(super) fn probe() -> Finding {
    let version =
        testbox_sandbox::landlock_version().map_or_else(|| "none".to_owned(), |number| format!("ABI {number}"));
    if testbox_sandbox::scopes_abstract_sockets() {
        return Finding::note(
            SUBJECT,
            format!("{version}; also with `--net host` abstract unix sockets are out of reach"),
        );
    }
    Finding::note(SUBJECT, format!("{version}; with `--net host` a box can reach the abstract unix sockets of others"))
        .fix("a kernel with Landlock ABI 6 (Linux 6.12 and later); a default run has a network of its own")
}
