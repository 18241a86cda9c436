//! What proc says about one process: parent, threads, memory and CPU time.

use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

/// The proc file system, mounted at a root.
#[derive(Debug)]
pub(crate) struct ProcFolder {
    root: PathBuf,
    page_bytes: u64,
    ticks_per_second: u64,
}

/// The numbers of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) parent: i32,
    pub(crate) threads: u64,
    pub(crate) resident_bytes: u64,
    /// Its own CPU time and that of its waited-for children, in milliseconds.
    pub(crate) cpu_ms: u64,
}

/// Memory where a page that N processes share counts 1/N in each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SharedUse {
    /// Anonymous and file pages.
    pub(crate) private_bytes: u64,
    /// Shared memory, tmpfs included.
    pub(crate) shmem_bytes: u64,
}

impl ProcFolder {
    pub(crate) fn new(root: &Path) -> Self {
        let page_bytes = constant(SysconfVar::PAGE_SIZE, 4096);
        Self { root: root.to_owned(), page_bytes, ticks_per_second: constant(SysconfVar::CLK_TCK, 100) }
    }

    pub(crate) fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// The path of a file of a process.
    pub(crate) fn path(&self, pid: i32, file: &str) -> PathBuf {
        self.root.join(format!("{pid}/{file}"))
    }

    pub(crate) fn stat(&self, pid: i32) -> Option<ProcessStat> {
        let bytes = fs_err::read(self.path(pid, "stat")).ok()?;
        self.parse_stat(&String::from_utf8_lossy(&bytes))
    }

    /// The name in parentheses may hold anything, so fields count from the last parenthesis: `state ppid ...`.
    fn parse_stat(&self, text: &str) -> Option<ProcessStat> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = (14..=17).filter_map(number).sum::<u64>();
        Some(ProcessStat {
            parent: fields.get(1)?.parse().ok()?,
            threads: number(20)?,
            resident_bytes: number(24)? * self.page_bytes,
            cpu_ms: ticks * 1000 / self.ticks_per_second,
        })
    }

    /// Its pid in the innermost of its pid namespaces.
    pub(crate) fn innermost_pid(&self, pid: i32) -> Option<i32> {
        let text = fs_err::read_to_string(self.path(pid, "status")).ok()?;
        let pids = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        pids.split_ascii_whitespace().next_back()?.parse().ok()
    }

    /// Does this kernel list children (CONFIG_PROC_CHILDREN)?
    pub(crate) fn lists_children(&self, pid: i32) -> bool {
        self.path(pid, &format!("task/{pid}/children")).exists()
    }

    pub(crate) fn children(&self, pid: i32) -> Vec<i32> {
        let Ok(threads) = fs_err::read_dir(self.path(pid, "task")) else { return Vec::new() };
        let lists = threads.filter_map(|thread| fs_err::read_to_string(thread.ok()?.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// All processes of the host.
    pub(crate) fn all(&self) -> Vec<i32> {
        let Ok(entries) = fs_err::read_dir(&self.root) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    pub(crate) fn proportional(&self, pid: i32) -> Option<SharedUse> {
        let text = fs_err::read_to_string(self.path(pid, "smaps_rollup")).ok()?;
        let bytes = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map(|kib| kib << 10)
        };
        let (all, shmem) = (bytes("Pss:")?, bytes("Pss_Shmem:").unwrap_or(0));
        Some(SharedUse { private_bytes: all.saturating_sub(shmem), shmem_bytes: shmem })
    }
}

impl SharedUse {
    /// All of it.
    pub(crate) fn sum(self) -> u64 {
        self.private_bytes + self.shmem_bytes
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            private_bytes: self.private_bytes + other.private_bytes,
            shmem_bytes: self.shmem_bytes + other.shmem_bytes,
        }
    }
}

fn constant(name: SysconfVar, usual: u64) -> u64 {
    let value = sysconf(name).ok().flatten();
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let procs = ProcFolder::new(Path::new("/proc"));
        let text = "7 (a) R 1 (b)) S 42 7 7 0 -1 0 1 0 0 0 10 20 30 40 20 0 3 0 5 6 100 rest";
        let stat = procs.parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.threads), (42, 3));
        assert_eq!(stat.resident_bytes, 100 * procs.page_bytes());
        assert_eq!(stat.cpu_ms, 100 * 1000 / procs.ticks_per_second);
        for wrong in ["", "7 (a", "7 (a) S", "7 (a) S x"] {
            assert_eq!(procs.parse_stat(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_very_process_is_understood() {
        let procs = ProcFolder::new(Path::new("/proc"));
        let me = i32::try_from(std::process::id()).unwrap();
        let stat = procs.stat(me).unwrap();
        assert!(stat.threads >= 1 && stat.resident_bytes > 100_000);
        let exact = procs.proportional(me).unwrap();
        assert!(exact.private_bytes > 0 && exact.private_bytes <= stat.resident_bytes * 2);
        assert!(procs.all().contains(&me));
    }
}
