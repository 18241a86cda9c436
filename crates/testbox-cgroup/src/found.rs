//! The boxes of a host, found by the names of their groups. Looks and changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::counting::Gauges;
use crate::group::BoxGroup;
use crate::host::Hierarchy;
use crate::{BoxId, CgroupError, Host, box_id, gc};

/// The boxes that were found.
#[derive(Debug, Default)]
pub struct Found {
    /// Those of this boot and of the caller's pid namespace, by name, whether their owners live or not.
    pub boxes: Vec<FoundBox>,
    /// How many names of boxes belong to another boot or to another pid namespace: nothing can be said about those.
    pub elsewhere: usize,
}

/// One box that was found.
#[derive(Debug)]
pub struct FoundBox {
    /// Its name.
    pub id: BoxId,
    /// Whom its directories belong to. The name alone proves nothing: whoever may make groups may choose their names.
    pub uid: u32,
    /// Its directories, with usage and counters; walls are not known.
    pub group: BoxGroup,
}

/// Finds the groups of boxes in all hierarchies. Directories of one name that belong to several users are several boxes.
///
/// # Errors
/// The own boot id cannot be read.
pub fn find_boxes(host: &Host) -> Result<Found, CgroupError> {
    let boot = box_id::boot_tag(host.root())?;
    let (here, elsewhere): (Vec<_>, Vec<_>) = gc::boxes(host).into_iter().partition(|(id, _)| id.boot == boot);
    let boxes = here.into_iter().flat_map(|(id, directories)| by_owner(host, &id, directories)).collect();
    Ok(Found { boxes, elsewhere: elsewhere.len() })
}

/// A directory that is gone meanwhile is nobody's.
fn by_owner(host: &Host, id: &BoxId, directories: Vec<(&Hierarchy, PathBuf)>) -> Vec<FoundBox> {
    let mut groups: BTreeMap<u32, BoxGroup> = BTreeMap::new();
    for (hierarchy, path) in directories {
        if let Ok(metadata) = fs_err::metadata(&path) {
            groups.entry(metadata.uid()).or_insert_with(|| BoxGroup::empty(host)).adopt(hierarchy, path);
        }
    }
    let found = groups.into_iter().map(|(uid, mut group)| {
        group.gauges = Gauges::open(&group.parts);
        FoundBox { id: id.clone(), uid, group }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, FakeHost};
    use crate::{Demand, Usage};

    fn demand() -> Demand {
        Demand { memory_bytes: 64 << 20, pids: 32, ..Demand::default() }
    }

    #[test]
    fn a_box_is_found_with_its_usage_and_limits() {
        for host in [FakeHost::v1(), FakeHost::v2()] {
            let cgroups = host.detect();
            let id = fake::id();
            let made = BoxGroup::create(&cgroups, &id, &demand()).unwrap();
            let mut found = find_boxes(&cgroups).unwrap();
            assert_eq!((found.boxes.len(), found.elsewhere), (1, 0));
            let seen = found.boxes.remove(0);
            assert_eq!((&seen.id, seen.uid), (&id, rustix::process::geteuid().as_raw()));
            let paths = |group: &BoxGroup| group.paths().into_iter().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(paths(&seen.group), paths(&made));
            let Usage { memory_bytes, pids, .. } = seen.group.usage();
            assert_eq!((memory_bytes, pids), (made.usage().memory_bytes, made.usage().pids));
            let limits = seen.group.counters();
            assert_eq!(limits.memory.limit_bytes.map(|bytes| bytes.0), Some(64 << 20));
            assert_eq!(limits.pids.limit, Some(32));
        }
    }

    #[test]
    fn names_of_others_are_no_boxes_and_other_boots_are_only_counted() {
        let host = FakeHost::v1();
        for name in ["testbox", "testbox-mine", "testbox-97b45cbc-1-2-x", "testbox-00000000-4242-100", "docker"] {
            crate::fake::mkdir(&host.root().join("sys/fs/cgroup/pids").join(name)).unwrap();
        }
        let found = find_boxes(&host.detect()).unwrap();
        assert!(found.boxes.is_empty(), "{found:?}");
        assert_eq!(found.elsewhere, 1);
    }
}
