//! Who the launcher is: the unprivileged host user, root of a user namespace that maps nobody else.

use caps::CapSet;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use testbox_bundle::Identity;
use testbox_model::SetupStep;

use crate::error::{AtStep, StepFailure};

/// Kernel quotas that belong to the host user and would be drained by a box (namespaces(7), inotify(7)), with the
/// highest value inside: half of the usual default for inotify, and just what the box is still to be made of for
/// namespaces (each detached mount counts as a mount namespace while it is being placed; fuse-overlayfs has pids of its own).
const USER_QUOTAS: [(&str, u64); 10] = [
    ("max_inotify_instances", 64),
    ("max_inotify_watches", 65_536),
    ("max_user_namespaces", 1),
    ("max_mnt_namespaces", 16),
    ("max_pid_namespaces", 2),
    ("max_net_namespaces", 0),
    ("max_ipc_namespaces", 0),
    ("max_uts_namespaces", 0),
    ("max_cgroup_namespaces", 0),
    ("max_time_namespaces", 0),
];

/// True root's first step to the unprivileged host user: it keeps no group, and the host user is nobody's root (F3).
pub(crate) fn leave_root_groups(identity: &Identity) -> Result<(), StepFailure> {
    let (uid, gid) = (identity.host_uid, identity.host_gid);
    if uid == 0 || gid == 0 {
        let detail = format!("the box must not run as host user {uid}, group {gid}");
        return Err(StepFailure { step: SetupStep::Identity, errno: 0, detail });
    }
    setgroups(&[]).at(SetupStep::Identity, || "drop the supplementary groups".to_owned())
}

/// True root's last step: in the box's user namespace, root is the host user.
pub(crate) fn become_root_inside() -> Result<(), StepFailure> {
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group).at(SetupStep::Identity, || "become the box's group".to_owned())?;
    setresuid(user, user, user).at(SetupStep::Identity, || "become the box's user".to_owned())
}

/// Becomes the unprivileged host user for ever; did this process have the right to empty the bounding set of capabilities
/// before? Who is an ordinary user already stays it.
pub(crate) fn become_host_user(identity: &Identity) -> Result<bool, StepFailure> {
    let describe = || format!("become user {}, group {}", identity.host_uid, identity.host_gid);
    if !nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    leave_root_groups(identity)?;
    caps::clear(None, CapSet::Bounding).map_err(std::io::Error::other).at(SetupStep::Identity, describe)?;
    let (user, group) = (Uid::from_raw(identity.host_uid), Gid::from_raw(identity.host_gid));
    setresgid(group, group, group).at(SetupStep::Identity, describe)?;
    setresuid(user, user, user).at(SetupStep::Identity, describe)?;
    Ok(true)
}

/// Maps exactly one user and one group, inside and outside, into the new user namespace of a process: a pid, or `self`
/// (user_namespaces(7)).
pub(crate) fn map(process: &str, user: (u32, u32), group: (u32, u32)) -> std::io::Result<()> {
    let write = |file: &str, text: &str| fs_err::write(format!("/proc/{process}/{file}"), text);
    write("setgroups", "deny")?;
    write("gid_map", &format!("{} {} 1", group.0, group.1))?;
    write("uid_map", &format!("{} {} 1", user.0, user.1))
}

/// A process that changed its user, or whose program its user may not read, is not dumpable, and its own /proc files then
/// belong to root: runs `work` while it is (PR_SET_DUMPABLE(2const)).
pub(crate) fn with_own_proc_files(work: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
    let before = nix::sys::prctl::get_dumpable()?;
    nix::sys::prctl::set_dumpable(true)?;
    let done = work();
    nix::sys::prctl::set_dumpable(before)?;
    done
}

/// Caps what the box can take of the host user's kernel quotas (F5). Quotas that this kernel lacks are skipped.
pub(crate) fn cap_user_quotas() -> Result<(), StepFailure> {
    with_own_proc_files(|| USER_QUOTAS.iter().try_for_each(|(name, highest)| cap_quota(name, *highest)))
        .at(SetupStep::UserQuotas, || "cap the user's quotas".to_owned())
}

fn cap_quota(name: &str, highest: u64) -> std::io::Result<()> {
    match fs_err::write(format!("/proc/sys/user/{name}"), highest.to_string()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
