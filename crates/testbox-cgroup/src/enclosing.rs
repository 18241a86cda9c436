//! What the groups around the caller leave it, whatever the machine has.

use std::path::{Path, PathBuf};

use crate::{Host, kernel};

/// The tightest limits of the groups that the caller is in, as far as they are visible.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Enclosing {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU time per wall time.
    pub cpus: Option<f64>,
}

impl Host {
    /// Reads the limits of the caller's groups, up to the mount points.
    pub fn enclosing(&self) -> Enclosing {
        let memory = self.tightest("memory", |group, unified| {
            number(&group.join(if unified { "memory.max" } else { "memory.limit_in_bytes" }))
        });
        Enclosing { memory_bytes: memory.map(|bytes| bytes as u64), cpus: self.tightest("cpu", cpus) }
    }

    /// The least value of the caller's group of this controller and of those above it.
    fn tightest(&self, controller: &str, limit: fn(&Path, bool) -> Option<f64>) -> Option<f64> {
        let hierarchy = self.hierarchy_of(controller)?;
        let own: &PathBuf = hierarchy.own.as_ref()?;
        let groups = own.ancestors().take_while(|group| group.starts_with(&hierarchy.mount_point));
        groups.filter_map(|group| limit(group, hierarchy.unified)).reduce(f64::min)
    }
}

fn cpus(group: &Path, unified: bool) -> Option<f64> {
    let (quota, period) = if unified {
        let text = kernel::read(&group.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse().ok()?, period.parse().ok()?)
    } else {
        (number(&group.join("cpu.cfs_quota_us"))?, number(&group.join("cpu.cfs_period_us"))?)
    };
    // Without a limit the quota is `max`, which is no number, or negative.
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// `None` also for `max`, and where the controller has no files.
fn number(path: &Path) -> Option<f64> {
    kernel::read(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn the_tightest_group_counts() {
        let fake = FakeHost::v2();
        fake.put("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
        fake.put("sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
        fake.put("sys/fs/cgroup/user.slice/run.scope/cpu.max", "max 100000\n");
        fake.put("sys/fs/cgroup/user.slice/run.scope/memory.max", "2147483648\n");
        assert_eq!(fake.detect().enclosing(), Enclosing { memory_bytes: Some(1 << 30), cpus: Some(1.5) });
    }

    #[test]
    fn hierarchies_of_v1_have_files_of_their_own() {
        let fake = FakeHost::v1();
        fake.put("sys/fs/cgroup/memory/session/memory.limit_in_bytes", "536870912\n");
        fake.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
        fake.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
        assert_eq!(fake.detect().enclosing(), Enclosing { memory_bytes: Some(512 << 20), cpus: None });
    }

    #[test]
    fn without_limits_there_are_none() {
        assert_eq!(FakeHost::v2().detect().enclosing(), Enclosing::default());
    }
}
