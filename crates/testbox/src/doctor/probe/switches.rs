//! Switches of the kernel that keep users from making namespaces: read only to explain a box that could not be built.
//! Where no switch forbids it, a container may.

use std::fmt;
use std::path::Path;

use super::super::finding::Finding;
use super::restrictions;

/// A switch, the value that forbids, what it means, and what to do.
struct Switch {
    path: &'static str,
    forbids: &'static str,
    means: &'static str,
    fix: &'static str,
    /// What root types for it.
    command: &'static str,
}

const SWITCHES: [Switch; 3] = [
    Switch {
        path: "proc/sys/kernel/unprivileged_userns_clone",
        forbids: "0",
        means: "only root may make user namespaces",
        fix: "as root `sysctl -w kernel.unprivileged_userns_clone=1`, or run testbox as root",
        command: "sysctl -w kernel.unprivileged_userns_clone=1",
    },
    Switch {
        path: "proc/sys/user/max_user_namespaces",
        forbids: "0",
        means: "nobody may make user namespaces",
        fix: "as root `sysctl -w user.max_user_namespaces=10000`",
        command: "sysctl -w user.max_user_namespaces=10000",
    },
    Switch {
        path: "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        forbids: "1",
        means: "AppArmor gives no rights to namespaces of a user whose program has no profile",
        fix: "install testbox by its Debian package, which brings an AppArmor profile that allows `userns`, or as root \
              `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run testbox as root",
        command: "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    },
];

/// The finding with the switches of this host that may be its reason, and what to do about them.
pub(super) fn explain(finding: Finding) -> Finding {
    let suspects = suspects(Path::new("/"));
    if suspects.is_empty() {
        return restrictions::explain(finding);
    }
    let fixes: Vec<&str> = suspects.iter().map(|switch| switch.fix).collect();
    let commands = suspects.iter().map(|switch| switch.command.to_owned());
    finding.because(suspects.iter().map(|switch| switch.to_string())).fix(fixes.join("; ")).commands(commands)
}

fn suspects(root: &Path) -> Vec<&'static Switch> {
    let forbids = |switch: &&Switch| {
        let value = fs_err::read_to_string(root.join(switch.path));
        value.is_ok_and(|value| value.trim() == switch.forbids)
    };
    SWITCHES.iter().filter(forbids).collect()
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} is {}: {}", self.path, self.forbids, self.means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_switches_that_forbid_are_suspects() {
        let root = tempfile::tempdir().unwrap();
        for (path, value) in [
            ("proc/sys/kernel/unprivileged_userns_clone", "1\n"),
            ("proc/sys/user/max_user_namespaces", "127000\n"),
            ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ] {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, value).unwrap();
        }
        let suspects: Vec<String> = suspects(root.path()).iter().map(|switch| switch.to_string()).collect();
        assert_eq!(suspects.len(), 1);
        assert!(suspects[0].contains("AppArmor"), "{suspects:?}");
    }
}
