//! Who the launcher is: the unprivileged host user, root of a user namespace that maps nobody else.

use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use testbox_bundle::Identity;
use testbox_model::SetupStep;

use crate::error::{AtStep, StepFailure};

/// Kernel quotas that belong to the host user and would be drained by a box (namespaces(7), inotify(7)), with the
/// highest value inside: half of the usual default for inotify, and just what the box itself is made of for namespaces
/// (each detached mount counts as a mount namespace while it is being placed).
const USER_QUOTAS: [(&str, u64); 10] = [
    ("max_inotify_instances", 64),
    ("max_inotify_watches", 65_536),
    ("max_user_namespaces", 1),
    ("max_mnt_namespaces", 16),
    ("max_pid_namespaces", 1),
    ("max_net_namespaces", 1),
    ("max_ipc_namespaces", 1),
    ("max_uts_namespaces", 1),
    ("max_cgroup_namespaces", 1),
    ("max_time_namespaces", 1),
];

/// From true root to the unprivileged host user, without any group but its own (F3: the host uid is never 0).
pub(crate) fn become_user(identity: &Identity) -> Result<(), StepFailure> {
    let (uid, gid) = (identity.host_uid, identity.host_gid);
    if uid == 0 || gid == 0 {
        let detail = format!("the box must not run as host user {uid}, group {gid}");
        return Err(StepFailure { step: SetupStep::Identity, errno: 0, detail });
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[]).at(SetupStep::Identity, || "drop the supplementary groups".to_owned())?;
    setresgid(group, group, group).at(SetupStep::Identity, || format!("become group {gid}"))?;
    setresuid(user, user, user).at(SetupStep::Identity, || format!("become user {uid}"))
}

/// Enters a user namespace in which the host user is root and nobody else exists.
pub(crate) fn enter_user_namespace(identity: &Identity) -> Result<(), StepFailure> {
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER)
        .at(SetupStep::Namespaces, || "create a user namespace".to_owned())?;
    with_own_proc_files(|| map(0, identity.host_uid, 0, identity.host_gid))
        .at(SetupStep::Namespaces, || "map the user".to_owned())
}

/// Maps exactly one user and one group into the caller's new user namespace (user_namespaces(7)).
pub(crate) fn map(inner_uid: u32, outer_uid: u32, inner_gid: u32, outer_gid: u32) -> std::io::Result<()> {
    fs_err::write("/proc/self/setgroups", "deny")?;
    fs_err::write("/proc/self/gid_map", format!("{inner_gid} {outer_gid} 1"))?;
    fs_err::write("/proc/self/uid_map", format!("{inner_uid} {outer_uid} 1"))
}

/// A process that changed its user is not dumpable, and its own /proc files then belong to root: runs `work` while it
/// is (PR_SET_DUMPABLE(2const)).
fn with_own_proc_files(work: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
    nix::sys::prctl::set_dumpable(true)?;
    let done = work();
    nix::sys::prctl::set_dumpable(false)?;
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

/// Maps user and group 0 of a file system to these, in the user namespace of `pid`; only true root can.
pub(crate) fn map_root_of(pid: nix::unistd::Pid, uid: u32, gid: u32) -> std::io::Result<()> {
    fs_err::write(format!("/proc/{pid}/gid_map"), format!("0 {gid} 1"))?;
    fs_err::write(format!("/proc/{pid}/uid_map"), format!("0 {uid} 1"))
}
