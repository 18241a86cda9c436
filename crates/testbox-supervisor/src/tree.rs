//! The processes below one of them, what they hold together, and their end: of who has no group.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process_stat::{ProcFolder, SharedUse};

/// Processes looked at; a box with more is far above any limit that makes sense without cgroups.
const PROCESSES: usize = 16_384;
/// Looks at a tree that is being killed: who was forked between two of them is met by the next.
const PASSES: usize = 3;

/// The trees of a proc file system.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    pub(crate) folder: ProcFolder,
}

impl ProcessTree {
    pub(crate) fn new(root: &Path) -> Self {
        Self { folder: ProcFolder::new(root) }
    }

    /// This process and everything below it, parents first.
    pub(crate) fn below(&self, root: i32) -> Vec<i32> {
        let (mut seen, mut found) = (HashSet::from([root]), vec![root]);
        let fallback = if self.folder.lists_children(root) { None } else { Some(self.by_parent()) };
        let mut next = 0;
        while next < found.len() && found.len() < PROCESSES {
            let parent = found[next];
            let children = match &fallback {
                Some(by_parent) => by_parent.get(&parent).cloned().unwrap_or_default(),
                None => self.folder.children(parent),
            };
            found.extend(children.into_iter().filter(|child| seen.insert(*child)));
            next += 1;
        }
        found
    }

    /// Memory of these processes, each page once as far as they share it; in a tmpfs as well, which they have mapped.
    pub(crate) fn weigh(&self, pids: &[i32]) -> SharedUse {
        let of_one = |pid: &i32| {
            let unshared = || Some(SharedUse { private_bytes: self.folder.stat(*pid)?.resident_bytes, shmem_bytes: 0 });
            self.folder.proportional(*pid).or_else(unshared).unwrap_or_default()
        };
        pids.iter().map(of_one).fold(SharedUse::default(), SharedUse::plus)
    }

    /// Resident memory of these processes, an upper bound: shared pages count in each.
    pub(crate) fn resident(&self, pids: &[i32]) -> u64 {
        pids.iter().filter_map(|pid| self.folder.stat(*pid)).map(|stat| stat.resident_bytes).sum()
    }

    /// Which of these processes has this pid in the box.
    pub(crate) fn named(&self, pids: &[i32], inner: i32) -> Option<i32> {
        pids.iter().copied().find(|pid| self.folder.innermost_pid(*pid) == Some(inner))
    }

    /// Sends SIGKILL to a process below `top`, and to everything below that.
    pub(crate) fn kill(&self, root: i32, top: i32) {
        let mut members = vec![root];
        for _ in 0..PASSES {
            // Whose parent has died is below it no more: all are open before the first dies.
            members = members.iter().flat_map(|pid| self.below(*pid)).collect::<BTreeSet<_>>().into_iter().collect();
            let open: Vec<OwnedFd> = members.iter().filter_map(|pid| self.open(*pid, top)).collect();
            for process in open {
                let _dead_already = pidfd_send_signal(&process, Signal::KILL);
            }
        }
    }

    /// A pid alone may be another process's by now: what is open is either a dead process or the one whose parents are
    /// looked at.
    fn open(&self, pid: i32, top: i32) -> Option<OwnedFd> {
        let opened = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        self.is_below(pid, top).then_some(opened)
    }

    fn is_below(&self, pid: i32, top: i32) -> bool {
        let parents = std::iter::successors(self.parent(pid), |pid| self.parent(*pid));
        parents.take(PROCESSES).any(|parent| parent == top)
    }

    fn parent(&self, pid: i32) -> Option<i32> {
        self.folder.stat(pid).map(|stat| stat.parent).filter(|parent| *parent > 0)
    }

    /// For kernels without `children` files: all processes of the host by their parents.
    fn by_parent(&self) -> HashMap<i32, Vec<i32>> {
        let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
        for pid in self.folder.all() {
            if let Some(stat) = self.folder.stat(pid) {
                by_parent.entry(stat.parent).or_default().push(pid);
            }
        }
        by_parent
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::tests::fake_box::shell;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_tree_is_found_weighed_and_killed_and_nobody_else() {
        let tree = ProcessTree::new(Path::new("/proc"));
        let mut other = shell("sleep 1000").spawn().unwrap();
        let mut child = shell("sleep 1000 & sleep 1000 & wait").spawn().unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while tree.below(root).len() < 3 {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(tree.below(root)[0], root);
        assert!(tree.weigh(&tree.below(root)).private_bytes > 0);
        assert_eq!(tree.named(&[1, root], root), Some(root));
        assert_eq!(tree.named(&[1], root), None);
        tree.kill(root, i32::MAX);
        assert!(child.try_wait().unwrap().is_none(), "it is not below that one");
        tree.kill(root, me());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
