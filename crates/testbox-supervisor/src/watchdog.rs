//! The sampling watchdog: the meter of a box without cgroups (`--allow-degraded`). Weaker than a cgroup: it sees a
//! moment every 50 ms, so a burst between two looks escapes it, and page cache is not counted.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::fstatvfs;
use testbox_model::{Bytes, CpuEvidence, MemoryEvidence, PidsEvidence, StopCause};

use crate::meter::{Counters, Meter, MeterError, Usage};
use crate::process_stat::ProcessStat;
use crate::tree::ProcessTree;

const INTERVAL: Duration = Duration::from_millis(50);

/// What the watchdog guards; `None`: another wall does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchdogLimits {
    /// Memory of the whole box, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// The meter of a box without cgroups: it samples the process tree below init and the box's tmpfs.
#[derive(Debug)]
pub struct Watchdog {
    processes: ProcessTree,
    init: i32,
    limits: WatchdogLimits,
    tmpfs: Vec<OwnedFd>,
    usage: Usage,
    peak: Usage,
}

impl Watchdog {
    /// Watches the process tree of `init` in the proc file system at `root` and the tmpfs of these descriptors.
    pub fn new(root: &Path, init: i32, limits: WatchdogLimits, tmpfs: Vec<OwnedFd>) -> Self {
        Self { processes: ProcessTree::new(root), init, limits, tmpfs, usage: Usage::default(), peak: Usage::default() }
    }

    /// Resident memory is an upper bound, as shared pages count in each process; near the limit it is looked at exactly.
    fn memory_bytes(&self, processes: &[(i32, ProcessStat)]) -> u64 {
        let tmpfs = self.tmpfs_bytes();
        let resident: u64 = processes.iter().map(|(_, stat)| stat.resident_bytes).sum();
        let upper_bound = resident.saturating_add(tmpfs);
        match self.limits.memory_bytes {
            Some(limit) if upper_bound > limit / 10 * 8 => self.exact_bytes(processes, tmpfs),
            _ => upper_bound,
        }
    }

    /// Each page once: shared memory is either in a tmpfs or only in processes, so the larger of both counts.
    fn exact_bytes(&self, processes: &[(i32, ProcessStat)], tmpfs: u64) -> u64 {
        let pids: Vec<i32> = processes.iter().map(|(pid, _)| *pid).collect();
        let sum = self.processes.weigh(&pids);
        sum.private_bytes + sum.shmem_bytes.max(tmpfs)
    }

    fn tmpfs_bytes(&self) -> u64 {
        let stats = self.tmpfs.iter().filter_map(|fd| fstatvfs(fd).ok());
        stats.map(|stat| stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize)).sum()
    }
}

impl Meter for Watchdog {
    fn usage(&mut self) -> Result<Usage, MeterError> {
        // Orphans are init's children.
        let tree = self.processes.below(self.init).into_iter();
        let stat = |pid| Some((pid, self.processes.folder.stat(pid)?));
        let processes: Vec<(i32, ProcessStat)> = tree.filter_map(stat).collect();
        let cpu_ms = processes.iter().map(|(_, stat)| stat.cpu_ms).sum();
        self.usage = Usage {
            memory_bytes: self.memory_bytes(&processes),
            pids: processes.iter().map(|(_, stat)| stat.threads).sum(),
            cpu_ms: self.usage.cpu_ms.max(cpu_ms),
            refused_forks: 0,
        };
        self.peak.memory_bytes = self.peak.memory_bytes.max(self.usage.memory_bytes);
        self.peak.pids = self.peak.pids.max(self.usage.pids);
        Ok(self.usage)
    }

    fn counters(&mut self) -> Result<Counters, MeterError> {
        Ok(Counters {
            memory: MemoryEvidence {
                limit_bytes: self.limits.memory_bytes.map(Bytes),
                peak_bytes: Some(Bytes(self.peak.memory_bytes)),
                ..MemoryEvidence::default()
            },
            pids: PidsEvidence { limit: self.limits.pids, peak: Some(self.peak.pids), refused_forks: 0 },
            cpu: CpuEvidence { used_ms: self.usage.cpu_ms, throttled_ms: 0 },
            ..Counters::default()
        })
    }

    fn processes(&mut self) -> Result<Vec<i32>, MeterError> {
        Ok(self.processes.below(self.init))
    }

    fn breach(&self) -> Option<StopCause> {
        let above = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used > limit);
        if above(self.limits.memory_bytes, self.usage.memory_bytes) {
            return Some(StopCause::MemoryWatchdog);
        }
        above(self.limits.pids, self.usage.pids).then_some(StopCause::ForkStorm)
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_stat::ProcFolder;

    const MIB: u64 = 1 << 20;

    /// Records a process of a proc file system.
    fn process(root: &Path, pid: i32, parent: i32, children: &str, resident_mib: u64, pss_mib: (u64, u64)) {
        let folder = root.join(pid.to_string());
        let pages = resident_mib * MIB / ProcFolder::new(root).page_bytes();
        fs_err::create_dir_all(folder.join(format!("task/{pid}"))).unwrap();
        let stat = format!("{pid} (x) S {parent} 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 2 0 9 9 {pages} 0");
        fs_err::write(folder.join("stat"), stat).unwrap();
        let (all, shmem) = (pss_mib.0 << 10, pss_mib.1 << 10);
        let smaps = format!("0-1 ---p 00 00:00 0 [rollup]\nRss: 9 kB\nPss:   {all} kB\nPss_Shmem:    {shmem} kB\n");
        fs_err::write(folder.join("smaps_rollup"), smaps).unwrap();
        if children != "-" {
            fs_err::write(folder.join(format!("task/{pid}/children")), children).unwrap();
        }
    }

    fn watchdog(root: &Path, memory_mib: u64, pids: u64) -> Watchdog {
        let limits = WatchdogLimits { memory_bytes: Some(memory_mib * MIB), pids: Some(pids) };
        Watchdog::new(root, 10, limits, vec![])
    }

    #[test]
    fn the_whole_tree_counts_and_no_stranger() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 1, "11 12 ", 1, (1, 0));
        process(root.path(), 11, 10, "13 10", 10, (5, 0));
        process(root.path(), 12, 10, "99999", 10, (5, 0));
        process(root.path(), 13, 11, "", 10, (5, 0));
        process(root.path(), 14, 1, "", 500, (500, 0));
        let mut watchdog = watchdog(root.path(), 1000, 100);
        let usage = watchdog.usage().unwrap();
        assert_eq!(usage, Usage { memory_bytes: 31 * MIB, pids: 8, cpu_ms: 6000, refused_forks: 0 });
        assert_eq!(watchdog.breach(), None);
        let mut tree = watchdog.processes().unwrap();
        tree.sort_unstable();
        assert_eq!(tree, [10, 11, 12, 13, 99999]);
    }

    #[test]
    fn without_lists_of_children_parents_are_asked() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 1, "-", 1, (1, 0));
        process(root.path(), 11, 10, "-", 10, (5, 0));
        process(root.path(), 12, 11, "-", 10, (5, 0));
        process(root.path(), 14, 1, "-", 500, (500, 0));
        assert_eq!(watchdog(root.path(), 1000, 100).usage().unwrap().memory_bytes, 21 * MIB);
    }

    #[test]
    fn near_the_limit_shared_pages_count_once() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 1, "11", 80, (60, 20));
        process(root.path(), 11, 10, "", 80, (60, 20));
        let mut below = watchdog(root.path(), 121, 100);
        assert_eq!(below.usage().unwrap().memory_bytes, 120 * MIB);
        assert_eq!(below.breach(), None);
        let mut above = watchdog(root.path(), 119, 100);
        above.usage().unwrap();
        assert_eq!(above.breach(), Some(StopCause::MemoryWatchdog));
        assert_eq!(above.counters().unwrap().memory.peak_bytes, Some(Bytes(120 * MIB)));
    }

    #[test]
    fn too_many_threads_are_a_breach_and_cpu_time_never_falls() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 1, "11", 1, (1, 0));
        process(root.path(), 11, 10, "", 1, (1, 0));
        let mut watchdog = watchdog(root.path(), 100, 3);
        assert_eq!(watchdog.usage().unwrap().cpu_ms, 3000);
        assert_eq!(watchdog.breach(), Some(StopCause::ForkStorm));
        fs_err::remove_dir_all(root.path().join("11")).unwrap();
        let usage = watchdog.usage().unwrap();
        assert_eq!((usage.cpu_ms, usage.pids), (3000, 2));
        assert_eq!(watchdog.breach(), None);
    }
}
