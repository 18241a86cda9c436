//! Garbage collection: removes the groups of boxes whose owner died, and touches nothing else.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::delegation::SUPERVISOR_PREFIX;
use crate::group::BoxGroup;
use crate::host::Hierarchy;
use crate::{BoxId, CgroupError, Host, box_id, scope};

/// How long one box may take to go away.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a garbage collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Directories that are gone now.
    pub removed: Vec<PathBuf>,
    /// Directories with our kind of name that stay, and why.
    pub kept: Vec<(PathBuf, String)>,
}

/// Finds the groups of boxes in all hierarchies, kills what is in those whose owner died, and removes them.
///
/// # Errors
/// The own boot id cannot be read. A group that cannot be removed is no error: it is in `kept` with the reason.
pub fn gc(host: &Host) -> Result<GcReport, CgroupError> {
    let boot = box_id::boot_tag(host.root())?;
    let mut report = GcReport::default();
    for (id, found) in boxes(host) {
        match reason_to_keep(host, &id, &boot) {
            Some(reason) => report.kept.extend(found.into_iter().map(|(_, path)| (path, reason.clone()))),
            None => collect(host, found, &mut report),
        }
    }
    let dead = |id: &Option<BoxId>| id.as_ref().is_some_and(|id| reason_to_keep(host, id, &boot).is_none());
    let unified = host.hierarchies().iter().filter(|hierarchy| hierarchy.unified);
    let below: Vec<(String, PathBuf)> = unified.flat_map(|hierarchy| named(&hierarchy.mount_point)).collect();
    for (_, path) in below.iter().filter(|(name, _)| dead(&id_of_leaf(name))) {
        if (host.kernel.rmdir)(path).is_ok() {
            report.removed.push(path.clone());
        }
    }
    // A scope that holds processes is left alone: systemd removes it after the last of them.
    for (_, path) in
        below.iter().filter(|(name, _)| dead(&scope::id_of(name))).filter(|(_, path)| scope::is_empty(path))
    {
        stop(host, path, &mut report);
    }
    Ok(report)
}

fn stop(host: &Host, path: &Path, report: &mut GcReport) {
    let owner = fs_err::metadata(path).map(|found| found.uid());
    let stopped = match owner {
        Ok(uid) if uid == rustix::process::geteuid().as_raw() => scope::stop(host.root(), path),
        Ok(uid) => Err(format!("it belongs to the systemd of user {uid}, who removes it with `testbox gc`")),
        Err(_) => return,
    };
    match stopped {
        Ok(()) => report.removed.push(path.to_owned()),
        Err(reason) => report.kept.push((path.to_owned(), reason)),
    }
}

fn reason_to_keep(host: &Host, id: &BoxId, boot: &str) -> Option<String> {
    if id.boot != boot {
        Some("it belongs to another boot or to another pid namespace".to_owned())
    } else if id.owner_alive(host.root()) {
        Some(format!("its owner, process {}, is running", id.pid))
    } else {
        None
    }
}

fn collect(host: &Host, found: Vec<(&Hierarchy, PathBuf)>, report: &mut GcReport) {
    let mut group = BoxGroup::empty(host);
    for (hierarchy, path) in found {
        group.adopt(hierarchy, path);
    }
    let result = group.kill().and_then(|()| group.remove(Instant::now() + PATIENCE));
    let (gone, left): (Vec<_>, Vec<_>) = group.paths().into_iter().partition(|path| !path.exists());
    let reason = result.err().map(|error| error.with_cause()).unwrap_or_default();
    report.removed.extend(gone);
    report.kept.extend(left.into_iter().map(|path| (path, reason.clone())));
}

/// The directories of boxes, by box.
pub(crate) fn boxes(host: &Host) -> BTreeMap<BoxId, Vec<(&Hierarchy, PathBuf)>> {
    let mut boxes: BTreeMap<BoxId, Vec<(&Hierarchy, PathBuf)>> = BTreeMap::new();
    for hierarchy in host.hierarchies() {
        for (name, path) in named(&hierarchy.mount_point) {
            if let Ok(id) = name.parse() {
                boxes.entry(id).or_default().push((hierarchy, path));
            }
        }
    }
    boxes
}

/// The box whose supervisor moved into the leaf of this name; nobody in it is ever killed.
fn id_of_leaf(name: &str) -> Option<BoxId> {
    format!("testbox-{}", name.strip_prefix(SUPERVISOR_PREFIX)?).parse().ok()
}

/// All groups below a mount point with their names; those that cannot be read hold nothing of ours.
fn named(mount_point: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![mount_point.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
                open.push(entry.path());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const DEAD: &str = "testbox-97b45cbc-4242-100";
    const ALIVE: &str = "testbox-97b45cbc-77-190080";
    const OTHER_BOOT: &str = "testbox-00000000-4242-100";

    fn with_owner_alive(fake: &FakeHost) {
        fake.put("proc/77/stat", "77 (testbox) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 190080 0 0");
    }

    #[test]
    fn only_boxes_of_dead_owners_go() {
        let fake = FakeHost::v1();
        with_owner_alive(&fake);
        let foreign = ["docker", "testbox", "testbox-mine", "testbox-97b45cbc-4242-100-x", "testbox-97B45CBC-4242-100"];
        let host = fake.detect();
        for name in foreign.iter().chain(&[DEAD, ALIVE, OTHER_BOOT]) {
            for parent in ["pids", "memory/session/a b", "memory/elsewhere"] {
                fake.dir(&format!("sys/fs/cgroup/{parent}"));
                crate::fake::mkdir(&fake.root().join("sys/fs/cgroup").join(parent).join(name)).unwrap();
            }
        }
        let report = gc(&host).unwrap();
        assert_eq!(report.removed.len(), 3);
        assert!(report.removed.iter().all(|path| path.ends_with(DEAD) && !path.exists()));
        let kept: Vec<&str> = report.kept.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(kept[..3], ["it belongs to another boot or to another pid namespace"; 3]);
        assert_eq!(kept[3..], ["its owner, process 77, is running"; 3]);
        for name in foreign {
            assert!(fake.root().join("sys/fs/cgroup/pids").join(name).exists(), "{name}");
        }
        assert!(gc(&host).unwrap().removed.is_empty(), "the second time there is nothing to do");
    }

    #[test]
    fn v2_kills_by_the_kernel_and_removes_groups_below() {
        let fake = FakeHost::v2();
        let dead = fake.root().join("sys/fs/cgroup/user.slice").join(DEAD);
        crate::fake::mkdir(&dead).unwrap();
        crate::fake::mkdir(&dead.join("worker")).unwrap();
        // A number that no process can have; only `cgroup.kill` can end it.
        fake.put(&format!("sys/fs/cgroup/user.slice/{DEAD}/cgroup.procs"), "2147483647\n");
        let report = gc(&fake.detect()).unwrap();
        assert_eq!((report.removed, report.kept), (vec![dead], vec![]));
    }

    #[test]
    fn what_cannot_be_removed_is_kept_with_the_reason() {
        let fake = FakeHost::v1();
        let dead = fake.root().join("sys/fs/cgroup/pids").join(DEAD);
        crate::fake::mkdir(&dead).unwrap();
        let mut host = fake.detect();
        host.kernel.rmdir = |_| Err(rustix::io::Errno::PERM.into());
        let report = gc(&host).unwrap();
        assert_eq!(
            report.kept,
            [(
                dead.clone(),
                format!("cannot remove cgroup `{}`: Operation not permitted (os error 1)", dead.display())
            )]
        );
    }

    #[test]
    fn an_empty_leaf_of_a_dead_supervisor_goes() {
        let fake = FakeHost::v2();
        with_owner_alive(&fake);
        for name in ["testbox-supervisor-97b45cbc-4242-100", "testbox-supervisor-97b45cbc-77-190080"] {
            crate::fake::mkdir(&fake.root().join("sys/fs/cgroup/user.slice").join(name)).unwrap();
        }
        let report = gc(&fake.detect()).unwrap();
        assert_eq!(report.removed.len(), 1);
        assert_eq!(fake.groups(), ["user.slice/testbox-supervisor-97b45cbc-77-190080"]);
    }

    #[test]
    fn systemd_is_asked_for_empty_scopes_of_dead_runs_only() {
        let fake = FakeHost::v2();
        with_owner_alive(&fake);
        let scope = |id: &str, populated: u32| {
            let path = fake.root().join(format!("sys/fs/cgroup/user.slice/{id}.scope"));
            crate::fake::mkdir(&path).unwrap();
            fs_err::write(path.join("cgroup.events"), format!("populated {populated}\nfrozen 0\n")).unwrap();
            path
        };
        let empty = scope(DEAD, 0);
        scope("testbox-97b45cbc-4243-100", 1);
        scope(ALIVE, 0);
        scope(OTHER_BOOT, 0);
        // No systemd listens in the temporary directory.
        let report = gc(&fake.detect()).unwrap();
        let kept: Vec<&Path> = report.kept.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!((kept, report.removed), (vec![empty.as_path()], vec![]));
        assert!(report.kept[0].1.contains("systemd"), "{}", report.kept[0].1);
    }
}
