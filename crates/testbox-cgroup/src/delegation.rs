//! Groups that are the caller's to divide, the only ones whose controllers testbox may enable: those that systemd
//! delegated to it (`Delegate=yes`), and that of a container, which its engine made for nothing else.

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

/// Whether `group` is that of a container: the root of a cgroup namespace, which unlike that of the machine has a type,
/// with the caller in it, so that no systemd of the container keeps it for itself (cgroup_namespaces(7)).
fn is_of_container(unified: &Hierarchy, group: &Path) -> bool {
    let own = unified.own.as_deref();
    let in_it = own == Some(group)
        || own.is_some_and(|own| own.parent() == Some(group) && name_of(own).starts_with(SUPERVISOR_PREFIX));
    let is_root = unified.mount_root == "/" && unified.mount_point == group && group.join("cgroup.type").exists();
    is_root && in_it && !unified.read_only
}

fn name_of(group: &Path) -> std::borrow::Cow<'_, str> {
    group.file_name().unwrap_or_default().to_string_lossy()
}

/// What helps where `group` does not pass `controller` on.
pub(crate) fn remedy(unified: &Hierarchy, group: &Path, controller: &str) -> Option<String> {
    let of_container = || is_of_container(unified, group).then(|| share_out(&unified.mount_point));
    pass_on(group, controller).or_else(of_container)
}

/// A group with processes passes nothing on: in a container all of them start in its group.
fn share_out(group: &Path) -> String {
    if !rustix::process::geteuid().is_root() {
        return "start testbox as root of this container".to_owned();
    }
    let group = group.display();
    format!(
        "let this container's processes sit in a group of their own, before testbox comes: as root, `mkdir -p {group}/main && \
         while read p; do echo $p > {group}/main/cgroup.procs; done < {group}/cgroup.procs; sed 's/[a-z]*/+&/g' \
         {group}/cgroup.controllers > {group}/cgroup.subtree_control`"
    )
}

/// What lets systemd delegate `controller` to the group `group`, where it delegated others only.
fn pass_on(group: &Path, controller: &str) -> Option<String> {
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
    let is_ours = |group: &&Path| is_delegated(group) || is_of_container(unified, group);
    [Some(own), above].into_iter().flatten().find(is_ours).map(Path::to_owned)
}

/// See `Host::settle`.
pub(crate) fn settle(kernel: Kernel, unified: &Hierarchy, id: &BoxId) -> Result<Option<PathBuf>, CgroupError> {
    // In a container, a delegated group can be mounted read-only.
    let Some(own) = unified.own.as_deref().filter(|_| !unified.read_only) else { return Ok(None) };
    let delegated = is_delegated(own);
    if !delegated && !is_of_container(unified, own) {
        return Ok(None);
    }
    if !unified.has("memory") && !unified.has("pids") || !holds_only(own, id.pid)? {
        return Ok(None);
    }
    let leaf = own.join(id.to_string().replacen("testbox-", SUPERVISOR_PREFIX, 1));
    match move_into(kernel, &leaf) {
        // An engine gives its containers a group, but seldom the right to divide it.
        Err(_) if !delegated => return Ok(None),
        moved => moved?,
    }
    Ok(Some(leaf))
}

fn move_into(kernel: Kernel, leaf: &Path) -> Result<(), CgroupError> {
    let procs = leaf.join("cgroup.procs");
    (kernel.mkdir)(leaf).map_err(|source| CgroupError::Join { path: procs.clone(), source })?;
    (kernel.write)(&procs, "0").map_err(|source| {
        let _ = (kernel.rmdir)(leaf);
        CgroupError::Join { path: procs, source }
    })
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
    fn the_group_of_a_container_is_its_own_to_divide() {
        let fake = FakeHost::v2();
        fake.put("proc/self/cgroup", "0::/\n");
        fake.put("sys/fs/cgroup/cgroup.procs", "14646\n");
        assert_eq!(fake.detect().settle(&id()).unwrap(), None, "the machine's root has no type");
        fake.put("sys/fs/cgroup/cgroup.type", "domain\n");
        let mut host = fake.detect();
        let leaf = host.settle(&id()).unwrap().unwrap();
        let group = fake.root().join("sys/fs/cgroup");
        assert_eq!(leaf, group.join("testbox-supervisor-97b45cbc-14646-190080"));
        assert_eq!(divisible(&host.hierarchies()[0]), Some(group.clone()));
        assert_eq!(remedy(&host.hierarchies()[0], &group.join("other"), "io"), None);
    }

    #[test]
    fn the_group_of_a_container_that_others_share_needs_their_help() {
        let fake = FakeHost::v2();
        fake.put("proc/self/cgroup", "0::/\n");
        fake.put("sys/fs/cgroup/cgroup.type", "domain\n");
        fake.put("sys/fs/cgroup/cgroup.subtree_control", "\n");
        fake.put("sys/fs/cgroup/cgroup.procs", "1\n14646\n");
        let mut host = fake.detect();
        assert_eq!(host.settle(&id()).unwrap(), None);
        let group = fake.root().join("sys/fs/cgroup");
        let told = remedy(&host.hierarchies()[0], &group, "io").unwrap();
        let expected = if rustix::process::geteuid().is_root() { "/main/cgroup.procs" } else { "as root of" };
        assert!(told.contains(expected), "{told}");
        let mounts = "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        fake.put("sys/fs/cgroup/cgroup.procs", "14646\n");
        fake.put("proc/self/mountinfo", mounts);
        fake.delegate("sys/fs/cgroup");
        assert_eq!(fake.detect().settle(&id()).unwrap(), None, "read-only");
        fake.put("proc/self/mountinfo", &mounts.replace(" ro,", " rw,"));
        fake.put("proc/self/cgroup", "0::/init.scope\n");
        fake.dir("sys/fs/cgroup/init.scope");
        assert_eq!(remedy(&fake.detect().hierarchies()[0], &group, "io"), None, "a systemd has it");
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
