//! Switches of the kernel that keep users from making namespaces: read only to explain a box that could not be built.

use std::path::Path;

/// A switch, the value that forbids, and what to do.
struct Switch {
    path: &'static str,
    forbids: &'static str,
    fix: &'static str,
}

const SWITCHES: [Switch; 3] = [
    Switch {
        path: "proc/sys/kernel/unprivileged_userns_clone",
        forbids: "0",
        fix: "only root may make user namespaces here: `sysctl -w kernel.unprivileged_userns_clone=1`",
    },
    Switch {
        path: "proc/sys/user/max_user_namespaces",
        forbids: "0",
        fix: "nobody may make user namespaces here: `sysctl -w user.max_user_namespaces=10000`",
    },
    Switch {
        path: "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        forbids: "1",
        fix: "AppArmor gives user namespaces of users no rights here: an AppArmor profile for testbox that allows \
              `userns`, or `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
    },
];

/// The switches of this host that may be the reason.
pub(super) fn suspects() -> Vec<String> {
    below(Path::new("/"))
}

fn below(root: &Path) -> Vec<String> {
    let forbidding = SWITCHES.iter().filter(|switch| {
        let value = fs_err::read_to_string(root.join(switch.path));
        value.is_ok_and(|value| value.trim() == switch.forbids)
    });
    forbidding.map(|switch| format!("/{} is {}: {}", switch.path, switch.forbids, switch.fix)).collect()
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
        let suspects = below(root.path());
        assert_eq!(suspects.len(), 1);
        assert!(suspects[0].contains("AppArmor"), "{suspects:?}");
    }
}
