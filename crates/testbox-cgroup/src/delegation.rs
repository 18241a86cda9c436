//! Groups that systemd delegated to the caller (`Delegate=yes`): the only ones whose controllers testbox may enable.

use std::path::{Path, PathBuf};

use crate::host::Hierarchy;
use crate::kernel::{self, Kernel};
use crate::{BoxId, CgroupError, scope};

/// Names of the leaves that supervisors move into, before `<boot>-<pid>-<start>`.
pub(crate) const SUPERVISOR_PREFIX: &str = "testbox-supervisor-";

/// Where an administrator says what systemd delegates to all of its users.
const DROP_INS: &str = "/etc/systemd/system/user@.service.d";

/// Whether systemd marked this group as delegated to whoever runs in it. Old versions do not mark the groups of users,
/// so scopes that were asked for are known by their names.
pub(crate) fn is_delegated(group: &Path) -> bool {
    let is_marked = ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0u8; 8];
        matches!(rustix::fs::getxattr(group, *name, value.as_mut_slice()), Ok(1) if value[0] == b'1')
    });
    is_marked || scope::is_one(group) && group.is_dir()
}

/// What lets systemd delegate `controller` to the group `group`, where it delegated others only.
pub(crate) fn remedy(group: &Path, controller: &str) -> Option<String> {
    let passed_on = kernel::read(&group.join("cgroup.controllers")).ok()?;
    if !is_delegated(group) || passed_on.split_ascii_whitespace().any(|name| name == controller) {
        return None;
    }
    let user = group.iter().find_map(|name| name.to_str()?.strip_prefix("user@")?.strip_suffix(".service"))?;
    Some(format!(
        "let systemd pass `{controller}` on to its users: as root, `mkdir -p {DROP_INS} && printf '[Service]\\nDelegate=cpu \
         cpuset io memory pids\\n' > {DROP_INS}/delegate.conf && systemctl daemon-reload && systemctl restart user@{user}`, \
         which ends what user {user} runs"
    ))
}

/// The group that the caller may divide: its own one, or the one above a leaf of it.
pub(crate) fn divisible(unified: &Hierarchy) -> Option<PathBuf> {
    let own = unified.own.as_deref()?;
    let above = own.parent().filter(|above| above.starts_with(&unified.mount_point));
    [Some(own), above].into_iter().flatten().find(|group| is_delegated(group)).map(Path::to_owned)
}

/// See `Host::settle`.
pub(crate) fn settle(kernel: Kernel, unified: &Hierarchy, id: &BoxId) -> Result<Option<PathBuf>, CgroupError> {
    let Some(own) = unified.own.as_deref().filter(|own| is_delegated(own)) else { return Ok(None) };
    if !unified.has("memory") && !unified.has("pids") || !holds_only(own, id.pid)? {
        return Ok(None);
    }
    let leaf = own.join(id.to_string().replacen("testbox-", SUPERVISOR_PREFIX, 1));
    let procs = leaf.join("cgroup.procs");
    (kernel.mkdir)(&leaf).map_err(|source| CgroupError::Join { path: procs.clone(), source })?;
    if let Err(source) = (kernel.write)(&procs, "0") {
        let _ = (kernel.rmdir)(&leaf);
        return Err(CgroupError::Join { path: procs, source });
    }
    Ok(Some(leaf))
}

/// The controllers of `wanted` that a group does not pass on to its children.
pub(crate) fn not_enabled(group: &Path, wanted: &[&'static str]) -> Vec<&'static str> {
    let enabled = kernel::read(&group.join("cgroup.subtree_control")).unwrap_or_default();
    wanted.iter().copied().filter(|name| enabled.split_ascii_whitespace().all(|enabled| enabled != *name)).collect()
}

/// Enables controllers one by one, so that a missing one does not keep the others out.
pub(crate) fn enable(kernel: Kernel, group: &Path, controllers: &[&'static str]) {
    let file = group.join("cgroup.subtree_control");
    for controller in controllers {
        // What could not be enabled is found by reading back.
        let _ = (kernel.write)(&file, &format!("+{controller}"));
    }
}

fn holds_only(group: &Path, pid: i32) -> Result<bool, CgroupError> {
    let path = group.join("cgroup.procs");
    let text = kernel::read(&path).map_err(|source| CgroupError::Read { path, source })?;
    Ok(text.trim_ascii() == pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    fn id() -> BoxId {
        "testbox-97b45cbc-14646-190080".parse().unwrap()
    }

    #[test]
    fn the_only_process_of_a_delegated_group_moves_into_a_leaf() {
        let fake = FakeHost::v2();
        fake.delegate("sys/fs/cgroup/user.slice/run.scope");
        fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.procs", "14646\n");
        let mut host = fake.detect();
        let leaf = host.settle(&id()).unwrap().unwrap();
        let scope = fake.root().join("sys/fs/cgroup/user.slice/run.scope");
        assert_eq!(leaf, scope.join("testbox-supervisor-97b45cbc-14646-190080"));
        assert_eq!(kernel::read(&leaf.join("cgroup.procs")).unwrap(), "0");
        assert_eq!(host.hierarchies()[0].own, Some(leaf));
        assert_eq!(divisible(&host.hierarchies()[0]), Some(scope));
    }

    #[test]
    fn nothing_moves_in_groups_that_are_not_ours_or_shared() {
        let fake = FakeHost::v2();
        fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.procs", "14646\n");
        assert_eq!(fake.detect().settle(&id()).unwrap(), None, "not delegated");
        fake.delegate("sys/fs/cgroup/user.slice/run.scope");
        fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.procs", "77\n14646\n");
        assert_eq!(fake.detect().settle(&id()).unwrap(), None, "shared");
        assert_eq!(FakeHost::v1().detect().settle(&id()).unwrap(), None, "v1");
    }

    #[test]
    fn a_delegation_further_up_belongs_to_another() {
        let fake = FakeHost::v2();
        fake.delegate("sys/fs/cgroup");
        assert_eq!(divisible(&fake.detect().hierarchies()[0]), None);
    }
}
